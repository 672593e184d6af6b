"""The command line as a user types it, in a folder of its own, with no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import mlflow
import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, TINY_OVERRIDES, VARIANTS

NO_TORCH = "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['mlflow'] = None; "


def test_the_synthetic_checkpoint_is_not_left_behind(cli):
    assert cli.tiny().code == 0
    (run,) = (cli.outputs / "runs").iterdir()
    assert sorted(p.name for p in run.iterdir()) == [".hydra", "ast2hf.log", "conversion_report.json"]


def test_seeds_give_other_weights_and_the_same_seed_the_same(cli):
    def weights(name, seed):
        assert cli.tiny(f"checkpoint={seed}", f"output_dir={name}").code == 0
        return (cli.folder / name / "model.safetensors").read_bytes()

    assert weights("a", "synthetic:3") == weights("b", "synthetic:3") != weights("c", "synthetic:4")


def test_a_local_file_in_place_of_the_published(cli, tiny_checkpoint):
    shutil.copy(tiny_checkpoint, cli.folder / "my file.pth")
    result = cli("tracking=off", *TINY_OVERRIDES, "checkpoint='my file.pth'", "labels=none", "audio=packaged")
    assert result.code == 0, result.err
    assert "my file.pth" in result.out


def test_a_users_own_clip(cli):
    soundfile.write(cli.folder / "clip.wav", np.random.default_rng(0).uniform(-0.1, 0.1, (44100, 2)), 44100)
    result = cli.tiny("audio=clip.wav")
    assert result.code == 0, result.err
    assert "2 channels of the clip are averaged into one" in result.out
    assert "resampled from 44100 Hz to 16000 Hz" in result.out


@pytest.mark.parametrize("how", [["-m", "model=glob(ast_*)"], ["sweep=all"]])
def test_every_variant_in_one_command(cli, how):
    sizes = [o for o in TINY_OVERRIDES if not o.startswith("model=") and "max_length" not in o]
    result = cli("experiment=offline", "tracking=off", *sizes, "model.num_mel_bins=32", *how)
    assert result.code == 0, result.err
    assert len(list((cli.outputs / "models").iterdir())) == len(VARIANTS)
    reports = [json.loads(p.read_text()) for p in cli.outputs.glob("multiruns/*/*/conversion_report.json")]
    assert [r["status"] for r in reports] == ["passed"] * len(VARIANTS)
    assert len({r["model"] for r in reports}) == len(VARIANTS)


def test_a_failed_job_does_not_stop_the_others_and_shows_in_the_exit_code(cli):
    result = cli.tiny("-m", "model.layer_norm_eps=1e-12,1e-6")
    assert result.code == 5
    assert [r["status"] for r in sorted(
        (json.loads(p.read_text()) for p in cli.outputs.glob("multiruns/*/*/conversion_report.json")),
        key=lambda r: r["layer_norm_eps"],
    )] == ["failed", "passed"]  # fmt: skip


def test_help_and_configuration_need_no_heavy_import(cli):
    for arguments in (["--help"], ["--cfg", "job", "--resolve"], ["--info", "defaults"]):
        code = (
            f"{NO_TORCH} import runpy; sys.argv = ['convert.py', *{arguments!r}]; "
            f"runpy.run_path({str(ROOT / 'convert.py')!r}, run_name='__main__')"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=cli.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    assert not cli.outputs.exists()


def test_tracking_off_imports_no_mlflow(cli):
    code = (
        f"import sys; sys.modules['mlflow'] = None; import runpy; "
        f"sys.argv = ['convert.py', 'experiment=offline', 'tracking=off', *{TINY_OVERRIDES!r}]; "
        f"runpy.run_path({str(ROOT / 'convert.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cli.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (cli.outputs / "mlflow.db").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_is_an_error_and_never_the_cpu(cli):
    result = cli.tiny("device=cuda")
    assert result.code == 2
    assert "device cuda is not available" in result.error_line


def test_device_auto_says_what_it_chose(cli):
    result = cli.tiny("device=auto")
    assert result.code == 0
    assert "device=auto is " in result.out


def test_debug_shows_the_traceback(cli):
    result = cli.tiny("checkpoint=absent.pth", "debug=true")
    assert result.code == 3
    assert "Traceback" in result.err


def test_an_error_is_shown_before_it_is_recorded(cli):
    result = cli("experiment=offline", *TINY_OVERRIDES, "checkpoint=absent.pth")
    assert result.code == 3
    assert result.err.index(result.error_line) < result.err.index("Record in MLflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{cli.outputs}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("ast2hf").experiment_id])
    assert run.info.status == "FAILED"


def test_an_existing_folder_is_refused_before_anything_is_loaded(cli):
    assert cli.tiny().code == 0
    result = cli.tiny()
    assert result.code == 6
    assert "overwrite=true" in result.error_line
    assert "Import torch" not in result.err
    assert cli.tiny("overwrite=true").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_half_written(cli, number, code):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "convert.py"), "experiment=offline", "tracking=off", *TINY_OVERRIDES],
        cwd=cli.folder,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored, which is inherited; a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if line.startswith("Write "):  # what comes next is the proof
            break
    process.send_signal(number)
    process.communicate()
    assert process.returncode == code
    assert not list(cli.folder.rglob("*.safetensors"))
    assert not list(cli.folder.rglob("*.pth"))


def test_the_snippet_of_the_model_card_runs(cli):
    assert cli.tiny().code == 0
    card = (cli.model_folder() / "README.md").read_text()
    snippet = card.split("```python\n")[1].split("```")[0]
    assert snippet.count("path/to/this/folder") == 1
    snippet = snippet.replace("path/to/this/folder", str(cli.model_folder()))
    done = subprocess.run([sys.executable, "-c", snippet], cwd=cli.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "LABEL_" in done.stdout


def test_a_pipe_that_is_closed_early_ends_the_command_without_an_error(cli, tiny_checkpoint):
    command = [sys.executable, str(ROOT / "convert.py"), "task=inspect", f"checkpoint={tiny_checkpoint}"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, cwd=cli.folder, env=cli.environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.returncode == 141
    assert "error" not in done.stderr
    assert len(list(cli.outputs.glob("runs/*/inspection.json"))) == 1


def test_closed_stdout_does_not_lose_the_model(cli):
    arguments = ("experiment=offline", "tracking=off", *TINY_OVERRIDES)
    result = cli.cold(*arguments, wrapper=("bash", "-c", 'exec "$@" >&-', "bash"))
    assert result.code == 6
    assert "error: cannot write to stdout (it is closed)" in result.err
    assert (cli.model_folder() / "model.safetensors").exists()
