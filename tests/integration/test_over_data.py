"""The proof over a data set on the command line and from Python, with a tiny model over generated sounds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY, TINY_OVERRIDES, Cli
from support.data_sets import sound, write
from support.models import compose

import ast2hf
from ast2hf.checkpoint import synthetic
from ast2hf.errors import VerificationError
from ast2hf.evaluation.hearing import FrontEnds
from ast2hf.evaluation.listening import listening
from ast2hf.evaluation.source import Example
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import HUGGING_FACE
from ast2hf.proof.checks import CHECKS, Check
from ast2hf.proof.finding import Finding

CLIPS = 20
LABELS = [f"LABEL_{number}" for number in range(TINY.num_labels)]
UNHEARD = "LABEL_6"
"""The label of no clip."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a checkpoint, a data set, and the model folder that was proved over it."""
    parent = tmp_path_factory.mktemp("made")
    synthetic.write(parent / "tiny.pth", AST, TINY, 1)
    write(parent / "sounds", CLIPS, LABELS[:-1])
    cli = Cli.make(parent)
    result = cli.tiny(f"checkpoint={parent / 'tiny.pth'}", "data=manifest", f"data.path={parent / 'sounds/eval.json'}")
    assert result.code == 0, result.err
    shutil.move(cli.model_folder(), parent / "model")
    return parent, result, cli.run_reports()[0]


@pytest.fixture
def verify(made, tmp_path):
    """Verify the folder, or another one, over the data set from Python. ``cache``: where parts are kept."""
    parent, _, _ = made

    def verify(*overrides, folder=None, cache=None):
        return ast2hf.verify(
            folder or parent / "model", parent / "tiny.pth", model="ast_16_16",
            overrides=[
                "experiment=offline", *TINY_OVERRIDES[1:], "data=manifest", f"data.path={parent / 'sounds/eval.json'}",
                f"paths.cache={cache or tmp_path / 'cache'}", *overrides,
            ],
        )  # fmt: skip

    return verify


def comparable(report):
    return replace(report.evaluation, clips_per_second=None)


def test_a_conversion_is_proved_over_a_data_set(made):
    parent, result, report = made
    check, found = report["checks"]["data_set"], report["evaluation"]
    assert (check["status"], check["measured"]["clips"], check["measured"]["agreement"]) == ("passed", CLIPS, 1.0)
    assert check["tolerance"] == {"agreement": 0.99, "headline": 1e-3}
    assert 0 < check["measured"]["max_abs_diff"] < 1e-4
    assert (found["clips"], found["headline"], found["skipped"]) == (CLIPS, "mAP", {})
    assert len(found["worst"]) == 10
    assert found["clips_per_second"] > 0
    assert "data set" in result.out
    assert f"Run both models over {CLIPS} clips" in result.err
    assert "<h2>On " in next(parent.glob("work/outputs/runs/*/report.html")).read_text()
    assert str(parent) not in json.dumps(report)
    assert json.loads((parent / "model" / "conversion_report.json").read_text())["evaluation"] == found


@pytest.mark.fault(140, "a class that no clip has")
def test_a_class_without_clips_has_no_figure_and_is_left_out(made, came_out):
    _, _, report = made
    (without,) = (c for c in report["evaluation"]["classes"] if c["label"] == UNHEARD)
    assert (without["positives"], without["original"], without["converted"]) == (0, None, None)
    assert report["evaluation"]["metrics"]["mAP"]["original"] > 0
    came_out(average_precision_of_the_class=without["original"], mAP=report["evaluation"]["metrics"]["mAP"]["original"])


def test_verifying_the_converted_folder_finds_its_parts_done(made, verify):
    parent, _, report = made
    again = verify(cache=parent / "cache")
    assert again.evaluation.clips_per_second is None
    assert json.loads(json.dumps(again.as_dict()["evaluation"])) == {**report["evaluation"], "clips_per_second": None}


def test_shards_make_the_figures_of_one_process_bit_for_bit(verify, tmp_path, monkeypatch):
    from ast2hf.evaluation import parts

    monkeypatch.setattr(parts, "PART_CLIPS", 3)
    whole = verify(cache=tmp_path / "whole")
    shards = [verify("data.shards=4", f"data.shard={n}", cache=tmp_path / "shared") for n in (3, 1, 0, 2)]
    assert [report.checks["data_set"].status for report in shards] == ["not_checked"] * 3 + ["passed"]
    assert shards[1].checks["data_set"].reason == "shard 2 of 4: 3 of 7 parts are done"
    assert shards[1].evaluation is None
    assert shards[1].status == "passed"
    assert comparable(shards[3]) == comparable(whole)
    assert comparable(verify(cache=tmp_path / "shared")) == comparable(whole)


def test_the_table_of_shards_names_no_folder_that_they_do_not_write(made, cli):
    parent, _, _ = made
    result = cli.tiny(
        "-m", "task=verify", f"folder={parent / 'model'}", f"checkpoint={parent / 'tiny.pth'}", "data=manifest",
        f"data.path={parent / 'sounds/eval.json'}", "data.shards=2", "data.shard=0,1", "data.workers=0",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "Sweep: 2 of 2 jobs passed" in result.out
    assert "job 0      folder:" not in result.out
    assert not (cli.outputs / "models").exists()


def test_processes_beside_hear_what_this_one_hears(made):
    parent, _, _ = made
    spec_front_end = AST.front_end(compose(*TINY_OVERRIDES).model)
    ends = FrontEnds(spec_front_end, HUGGING_FACE, parent / "model")
    examples = [Example(f"{n}.wav", (n,), b"" if n == 5 else sound(n)) for n in range(11)]
    with listening(ends, 0) as here, listening(ends, 2) as beside:
        results = list(beside(examples))
        for (example, a), (again, b) in zip(here(examples), results, strict=True):
            assert example == again
            assert a == b if example.name == "5.wav" else np.array_equal(a.original, b.original)
            assert example.name == "5.wav" or np.array_equal(a.converted, b.converted)


def rewritten(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_wrong_mean_in_the_preprocessor_fails(made, verify, tmp_path):
    folder = shutil.copytree(made[0] / "model", tmp_path / "theirs")
    rewritten(folder, "preprocessor_config.json", mean=-1.0)
    with pytest.raises(VerificationError) as found:
        verify(folder=folder)
    report = found.value.report
    assert report.checks["data_set"].status == "failed"
    assert report.evaluation.max_abs_diff > 1e-3


def test_permuted_classes_fail_over_the_data_set_alone(made, verify, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(made[0] / "model", tmp_path / "theirs")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in ("classifier.dense.weight", "classifier.dense.bias"):
        tensors[name] = tensors[name].roll(1, 0).contiguous()
    save_file(tensors, path, metadata={"format": "pt"})
    for name in [name for name in CHECKS if name != "data_set"]:
        monkeypatch.setitem(CHECKS, name, Check(name, name, lambda *_: Finding("passed")))
    with pytest.raises(VerificationError, match=r"the proof failed at data_set .*: the best label agrees for only 0"):
        verify(folder=folder)


def test_another_epsilon_costs_something_which_is_measured_and_said(made, verify, tmp_path):
    folder = shutil.copytree(made[0] / "model", tmp_path / "theirs")
    rewritten(folder, "config.json", layer_norm_eps=1e-2)
    with pytest.raises(VerificationError) as found:
        verify(folder=folder)
    report = found.value.report
    assert report.evaluation.max_abs_diff > 1e-3 > report.evaluation.original_epsilon["max_abs_diff"]
    assert [
        note for note in report.notes if note.startswith("over the data set, with the folder's layer_norm_eps of 0.01")
    ]


def test_a_screening_is_no_proof(verify):
    report = verify("data.dtype=bfloat16", "data.gates.headline=0.1", "data.gates.agreement=0.5")
    check = report.checks["data_set"]
    assert (check.status, check.measured["clips"]) == ("not_checked", CLIPS)
    assert check.reason.startswith("only a screening in bfloat16, not a proof")
    assert report.evaluation.dtype == "bfloat16"
    assert report.evaluation.mean_abs_diff > 1e-4
    assert [note for note in report.notes if "a screening, not a proof" in note]


def test_a_folder_that_was_proved_over_other_clips_is_not_up_to_date(cli, tmp_path):
    manifest = write(tmp_path / "sounds", 3, LABELS)
    command = ("checkpoint=synthetic:1", "tracking=off", "data=manifest", f"data.path={manifest}", "skip_existing=true")
    assert cli.tiny(*command).code == 0
    again = cli.tiny(*command)
    assert (again.code, "skipped: the folder is already" in again.out) == (0, True)
    manifest.write_text(manifest.read_text().replace("LABEL_2", "LABEL_3"))
    changed = cli.tiny(*command)
    assert changed.code == 6
    assert "exists" in changed.error_line


def test_an_encoder_has_no_figures_over_data(cli):
    result = cli.tiny("model.head=none", "checkpoint=synthetic:1", "output_dir=encoder")
    assert result.code == 0, result.err
    (report,) = cli.run_reports()
    assert report["checks"]["data_set"]["status"] == "not_applicable"


def test_without_a_data_set_the_check_says_so(cli):
    result = cli.tiny("checkpoint=synthetic:1")
    assert result.code == 0, result.err
    (report,) = cli.run_reports()
    assert report["checks"]["data_set"]["reason"] == "no data set was chosen (data=…)"
