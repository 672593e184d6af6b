"""Every file under conf/ composes, and what is wrong is told in one line."""

from __future__ import annotations

import math
import os

import pytest
from conftest import ROOT, VARIANTS, compose
from omegaconf import OmegaConf

from ast2hf import hydra_errors, settings, validation
from ast2hf.errors import ConfigurationError
from ast2hf.families.ast import AST

GROUP_FILES = sorted(
    (path.parent.relative_to(ROOT / "conf").as_posix(), path.stem)
    for path in (ROOT / "conf").rglob("*.yaml")
    if path.parent != ROOT / "conf"
)


@pytest.mark.parametrize(("group", "choice"), GROUP_FILES)
def test_every_file_composes(group, choice):
    if (group, choice) == ("scale", "ray"):
        pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="Ray is added by make ray")
    overrides = {
        ("model/dataset", choice): ["model=custom", f"+model/dataset@model={choice}"],
        ("hub", "push"): ["hub=push", "hub.repo_id=me/name"],
        ("data", choice): [f"data={choice}", "data.path=somewhere"],
    }
    validation.validate(compose(*overrides.get((group, choice), [f"{group}={choice}"])))


def test_every_group_is_known_to_the_error_messages():
    groups = {group.partition("/")[0] for group, _ in GROUP_FILES} - {"hydra"}
    assert groups == set(settings.GROUPS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_what_a_published_model_needs(variant):
    model = compose(f"model={variant}").model
    assert AST.geometry(model, {}).num_labels
    assert len(model.expected_logits.values) == 3
    assert model.url.startswith("https://www.dropbox.com/s/")
    assert model.url.endswith(".pth?dl=1")
    assert (model.clip_file is None) != (model.clip_row is None)


def test_no_two_variants_are_the_same_model():
    models = [compose(f"model={variant}").model for variant in VARIANTS]
    for values in ([m.name for m in models], [m.url for m in models], [m.expected_logits.values for m in models]):
        assert len({str(value) for value in values}) == len(VARIANTS)


def test_offline_needs_no_network():
    composed = compose("experiment=offline")
    assert (composed.checkpoint, composed.audio, composed.labels) == ("synthetic", "packaged", "none")


def test_paths_follow_outputs(tmp_path):
    composed = compose(f"paths.outputs={tmp_path}")
    assert composed.output_dir == f"{tmp_path}/models/ast-finetuned-audioset-10-10-0.4593"
    assert composed.tracking.uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_no_key_invites_a_secret():
    keys = list(settings.keys())
    assert "hub.repo_id" in keys
    assert not [key for key in keys if any(word in key for word in ("token", "password", "secret"))]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["modl=ast_16_16"], "unknown key modl; did you mean model?"),
        (["model.max_lenght=3"], "unknown key model.max_lenght; did you mean model.max_length?"),
        (["verify.tolerances.cpu.atol=1"], "did you mean verify.tolerances.CHECK.cpu.atol?"),
        (["+foo=1"], "unknown key foo"),
        (["+model.foo=1"], "unknown key model.foo"),
        (["verify.tolerances.poled.cpu.atol=1"], "verify.tolerances.poled"),
        (["model=ast_16_61"], "model=ast_16_61 is not a choice; did you mean ast_16_16?"),
        (["device=gpu"], "device=gpu is not a choice; did you mean cpu? choices: auto, cpu, cuda, mps"),
        (["mine.pth"], "mine.pth is not of the form key=value; did you mean checkpoint=mine.pth?"),
        (["missing.safetensors"], "did you mean checkpoint=missing.safetensors?"),
        (["my file.pth"], """did you mean 'checkpoint="my file.pth"'?"""),
        (["/data/mine"], "did you mean checkpoint=/data/mine?"),
        (["replay"], "did you mean task=replay?"),
        (["ast_16_16"], "did you mean model=ast_16_16?"),
        (["cuda"], "did you mean device=cuda?"),
        (["nonsense"], "nonsense is not of the form key=value; see --help"),
        (["fstride=10"], "unknown key fstride; did you mean model.frequency_stride?"),
        (["model.tstride=10"], "did you mean model.time_stride?"),
        (["+audio_length=1024"], "did you mean model.max_length?"),
        (["dataset_mean=-4.2"], "did you mean model.mean?"),
        (["dataset_std=4.5"], "did you mean model.std?"),
        (["n_class=50"], "did you mean model.num_labels?"),
        (["gpu=0"], "did you mean device=cuda?"),
        (["overwrite=maybe"], "overwrite: Value 'maybe' is not a valid bool"),
        (["model.max_length=long"], "model.max_length: Value 'long' of type 'str' could not be converted to Integer"),
        (["model=null"], "null is not a choice"),
        (["model.sampling_rate=null"], "model.sampling_rate must not be null"),
        (["tracking.uri="], "tracking.uri is empty"),
        (["paths.outputs="], "paths.outputs is empty; set it to a folder"),
        (["paths.outputs='~nobody-of-this-name/x'"], "unknown user in paths.outputs"),
        (["task=verify"], "task=verify needs a folder; set task=verify folder="),
        (["folder=x"], "folder is only for task=verify and task=restore"),
        (["task=verify", "folder=x", "hub=push", "hub.repo_id=me/name"], "task=verify does not write a model, so"),
        (["task=verify", "folder=x", "tracking.log_model=true"], "task=verify does not write a model, so"),
        (["model.family=bert"], "model.family is bert; choose one of: ast, ssast, ssast_frame, patchmix, passt, maest"),
        (["model.head=two"], "model.head is two; choose one of: classification, none"),
        (["model.head_norm=none"], "model.head_norm is none; choose one of: plain"),
        (
            ["task=restore", "folder=x", "checkpoint=y", "model.head_norm=plain"],
            "task=restore writes the layer norm of the classifier with the folder's parameters",
        ),
        (["task=conver"], "task is conver; choose one of: convert, inspect, verify, restore, replay"),
        (["inspect"], "did you mean task=inspect?"),
        (["esc50"], "did you mean stats=esc50?"),
        (["stats=esc5"], "stats=esc5 is not a choice; did you mean esc50? choices: audioset, esc50, speech_commands"),
        (["loss=BCE"], "loss=BCE is not a choice; choices: bce, ce"),
        (["model.pooling=max"], "model.pooling is max; choose one of: cls, mean"),
        (["unused=keep"], "unused is keep; choose one of: drop"),
        (["model.max_length=0"], "model.max_length is 0; it must be > 0"),
        (["resize.max_length=-1"], "resize.max_length is -1; it must be > 0"),
        (["task=inspect"], "task=inspect needs a checkpoint"),
        (["model.sampling_rate=0"], "model.sampling_rate is 0; it must be > 0"),
        (["model={a:1}"], "model must be set to the name of a choice"),
        (["model=ast_16_16,ast_12_12"], "add -m to run one job per value"),
        (["checkpoint=https://a.example/c.pth?dl=1"], """: 'checkpoint="https://a.example/c.pth?dl=1"'"""),
        (["model.problem_type=other"], "choose one of: multi_label_classification, single_label_classification"),
        (["verify.expected_logits=perhaps"], "choose one of: auto, always, never"),
        (["model.std=0"], "model.std is 0.0; it must be > 0"),
        (["download.deadline_s=0"], "download.deadline_s is 0.0; it must be > 0"),
        (["download.timeout_s=inf"], "download.timeout_s is inf; it must be > 0"),
        (["model.sha256=abc"], "model.sha256 is abc; set it to 64 hexadecimal digits"),
        (["model.mean=nan"], "model.mean is nan"),
        (["model.name=../x"], "use a name that is a valid folder name"),
        (["hub=pull"], "hub=pull is not a choice; did you mean push? choices: none, push"),
        (["hub=push"], "hub=push needs the name of a repository; add hub.repo_id=me/name"),
        (["hub.repo_id=me/name"], "hub.repo_id is set, but hub=push is not; add hub=push"),
        (
            ["hub=push", "hub.repo_id=datasets/me/name"],
            "hub.repo_id is 'datasets/me/name' (Repo id must be",
        ),
        (["hub=push", "hub.repo_id=me/na--me"], "write it as hub.repo_id=me/name"),
        (
            ["hub=push", "hub.repo_id=me/name", "hub.private=false", "checkpoint=synthetic:3"],
            "hub.private=false would publish synthetic weights, which have learned nothing; leave out hub.private=fal",
        ),
        (["hub=push", "hub.repo_id=me/name", "hub.revision=''"], "hub.revision is empty"),
        (["hub=push", "hub.repo_id=me/name", "hub.commit_message=' '"], "hub.commit_message is empty"),
        (["+hub.token=hf_x"], "unknown key hub.token"),
        (
            ["task=verify", "dry_run=true", "folder=a", "checkpoint=a.pth"],
            "task=verify writes no file that dry_run=true could leave out",
        ),
        (["task=replay", "dry_run=true"], "task=replay writes no file that dry_run=true could leave out"),
    ],
)
def test_a_wrong_configuration_is_explained_on_one_line(overrides, message):
    with pytest.raises(Exception) as caught:  # noqa: PT011  Hydra's, OmegaConf's and ours
        validation.validate(compose(*overrides))
    error = caught.value if isinstance(caught.value, ConfigurationError) else hydra_errors.explain(caught.value)
    assert message in str(error)
    assert "\n" not in str(error)
    assert error.exit_code == 2


@pytest.mark.parametrize("value", [-1.0, 0.0, math.nan, math.inf])
@pytest.mark.parametrize("key", ["features.cpu", "pooled.cuda", "end_to_end.mps"])
def test_tolerances_must_be_positive_numbers(key, value):
    with pytest.raises(ConfigurationError, match=rf"verify.tolerances.{key}.atol is .*; it must be > 0"):
        validation.validate(compose(f"verify.tolerances.{key}.atol={value}"))


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_the_relative_tolerance_may_be_zero_but_not_negative(value):
    validation.validate(compose("verify.tolerances.logits.cpu.rtol=0"))
    with pytest.raises(ConfigurationError, match=r"logits.cpu.rtol is .*; it must be >= 0"):
        validation.validate(compose(f"verify.tolerances.logits.cpu.rtol={value}"))


def test_a_tolerance_of_an_unknown_check_is_refused():
    config = compose()
    config.verify.tolerances["logitz"] = config.verify.tolerances["logits"]
    with pytest.raises(ConfigurationError, match=r"a check in verify.tolerances is logitz; choose one of: .*logits"):
        validation.validate(config)


def test_composing_leaves_no_unresolved_value():
    settings.register()
    assert "${" not in OmegaConf.to_yaml(OmegaConf.structured(compose("model=custom")))


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("output_dir=elsewhere", "output_dir", "elsewhere"),
        ("tracking.uri=http://host:5000", "tracking.uri", "http://host:5000"),
        ("threads=3", "threads", 3),
    ],
)
def test_set_values_are_not_computed(override, key, value):
    config = compose(override)
    settings.resolve(config, "_suffix", {"n_jobs": 1})
    assert OmegaConf.select(OmegaConf.structured(config), key) == value


def test_the_folder_of_a_job_has_what_distinguishes_it(tmp_path):
    config = compose(f"paths.outputs={tmp_path}", "model=ast_16_16")
    config.output_dir = None
    settings.resolve(config, "_device=cpu")
    assert config.output_dir == f"{tmp_path}/models/ast-finetuned-audioset-16-16-0.442_device=cpu"


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        ({}, None),
        ({"n_jobs": -1}, 1),
        ({"n_jobs": 1}, len(os.sched_getaffinity(0))),
        ({"n_jobs": 10_000}, 1),
        ({"cpus_per_task": 4}, 4),
        ({"cpus_per_task": None}, None),
        ({"ray": {"remote": {"num_cpus": 2}}}, 2),
        ({"ray": {"remote": {"num_cpus": 0.5}}}, 1),
    ],
)
def test_threads_follow_from_the_launcher(launcher, threads):
    config = compose("model=custom")
    settings.resolve(config, launcher=launcher)
    assert config.threads == threads


@pytest.mark.parametrize("tracking", ["mlflow", "off"])
def test_only_a_record_needs_a_store(tracking):
    assert (compose(f"tracking={tracking}").tracking.uri is None) == (tracking == "off")


def test_paths_mean_the_same_in_every_process_of_a_sweep(tmp_path, monkeypatch):
    """Hydra copies the cache of resolvers to the configuration of each job."""
    settings.register()
    monkeypatch.chdir(tmp_path)
    parent, job = (OmegaConf.create({"folder": "${path:outputs}/x"}) for _ in range(2))
    assert parent.folder == f"{tmp_path}/outputs/x"
    OmegaConf.copy_cache(from_config=parent, to_config=job)
    monkeypatch.chdir("/")
    assert job.folder == parent.folder
