"""The whole road in one process with a tiny model, and the negative controls: wrong conversions fail the proof."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from conftest import TINY_OVERRIDES, compose, convert_and_record

from ast2hf import pipeline
from ast2hf.audio import PACKAGED, load_clip
from ast2hf.errors import InputError, OutputError, VerificationError
from ast2hf.huggingface import description, reload, weights
from ast2hf.mapping.ast import TABLE
from ast2hf.mapping.rules import Split
from ast2hf.progress import Progress
from ast2hf.report.report import Report
from ast2hf.run import Run


@pytest.fixture
def execute(tmp_path, tiny_checkpoint):
    """Run the pipeline on the tiny checkpoint; returns the run, whose report is filled in even if it fails."""

    def execute(*overrides: str) -> tuple[Run, Exception | None]:
        config = compose(
            "experiment=offline", "tracking=off", f"checkpoint={tiny_checkpoint}", f"output_dir={tmp_path / 'model'}",
            *TINY_OVERRIDES, *overrides,
        )  # fmt: skip
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        run = Run(config, Report(config.model.name), Progress(), folder)
        try:
            convert_and_record(run)
        except Exception as error:
            return run, error
        return run, None

    return execute


def fails_with(execute, tmp_path, kind, *overrides):
    """The report of a run that must fail: nothing published, nothing left over, the report kept."""
    run, error = execute(*overrides)
    assert isinstance(error, kind), error
    assert run.report.status == "failed"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "tiny.pth"]
    kept = json.loads((tmp_path / "run" / "conversion_report.json").read_text())
    assert kept["status"] == "failed"
    assert kept["error"] == str(error)
    return run.report


def statuses(report):
    return [check.status for check in report.checks.values()]


def test_a_right_conversion_is_published(execute, tmp_path):
    run, error = execute()
    assert error is None
    report = run.report
    assert statuses(report) == ["passed"] * 6 + ["not_checked"]
    assert report.pooled.max_abs_diff <= report.pooled.atol
    assert report.first_divergence is None
    assert [b.name for b in report.blocks] == ["embeddings", "blocks.0", "blocks.1", "pooled", "logits"]
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "conversion_report.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "model" / "conversion_report.json").read_text())["status"] == "passed"


def test_query_and_key_swapped_in_the_table_diverge_in_the_first_block(execute, tmp_path, monkeypatch):
    def swapped(rule):
        if isinstance(rule, Split):
            query, key, value = rule.targets
            return dataclasses.replace(rule, targets=(key, query, value))
        return rule

    monkeypatch.setattr(pipeline, "TABLE", tuple(map(swapped, TABLE)))
    report = fails_with(execute, tmp_path, VerificationError)
    assert statuses(report) == ["passed"] * 4 + ["failed", "failed", "not_checked"]
    assert report.first_divergence == "blocks.0"


def test_the_default_epsilon_of_transformers_fails_before_the_head(execute, tmp_path):
    report = fails_with(execute, tmp_path, VerificationError, "model.layer_norm_eps=1e-12")
    assert report.pooled.status == "failed"
    assert report.first_divergence == "blocks.0"


def test_one_flipped_bit_in_the_written_file_fails_the_weights(execute, tmp_path, monkeypatch):
    write = weights.write

    def write_and_flip(path, plan, checkpoint):
        size = write(path, plan, checkpoint)
        with path.open("r+b") as file:
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 1]))
        return size

    monkeypatch.setattr(weights, "write", write_and_flip)
    report = fails_with(execute, tmp_path, VerificationError)
    assert statuses(report)[:3] == ["passed", "failed", "not_checked"]
    assert report.weights.bit_exact is False


def test_a_tensor_that_transformers_does_not_know_fails_the_loading(execute, tmp_path, monkeypatch):
    renamed = tuple(
        dataclasses.replace(rule, target="classifier.typo") if rule.source == "mlp_head.0.bias" else rule
        for rule in TABLE
    )
    monkeypatch.setattr(pipeline, "TABLE", renamed)
    report = fails_with(execute, tmp_path, VerificationError)
    assert statuses(report)[:4] == ["passed", "passed", "failed", "not_checked"]
    assert report.load.missing == ["classifier.layernorm.bias"]
    assert report.load.unexpected == ["classifier.typo"]


def test_a_wrong_front_end_fails_the_features(execute, tmp_path, monkeypatch):
    original = description.preprocessor_config
    monkeypatch.setattr(description, "preprocessor_config", lambda front_end: {**original(front_end), "mean": -4.0})
    report = fails_with(execute, tmp_path, VerificationError)
    assert statuses(report)[3:] == ["failed", "not_checked", "not_checked", "not_checked"]


def test_published_logits_that_do_not_match_fail(execute, tmp_path):
    report = fails_with(execute, tmp_path, VerificationError, "verify.expected_logits=always")
    assert statuses(report) == ["passed"] * 6 + ["failed"]


def test_published_logits_that_match_pass(execute, tmp_path):
    execute()
    features = reload.extract_features(
        tmp_path / "model", load_clip(PACKAGED, compose().model, tmp_path).waveform, 16000
    )
    model, _ = reload.load_model(tmp_path / "model", torch.device("cpu"))
    with torch.inference_mode():
        values = model(features).logits[0, :3].tolist()
    run, error = execute("overwrite=true", "verify.expected_logits=always", f"model.expected_logits.values={values}")
    assert error is None
    assert statuses(run.report) == ["passed"] * 7


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(execute, tmp_path, tiny_checkpoint, value):
    state = torch.load(tiny_checkpoint, weights_only=True)
    state["module.v.norm.weight"][3] = value
    torch.save(state, tiny_checkpoint)
    _, error = execute()
    assert isinstance(error, InputError)
    assert "v.norm.weight" in error.cause


def test_a_checkpoint_that_does_not_fit_is_an_input_error(execute, tmp_path):
    report = fails_with(execute, tmp_path, InputError, "model.num_labels=8")
    assert statuses(report) == ["failed"] + ["not_checked"] * 6
    assert "mlp_head.1.weight has shape [7, 64], expected [8, 64]" in report.coverage.reason


def test_an_existing_folder_is_kept_unless_overwritten(execute, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    _, error = execute()
    assert isinstance(error, OutputError)
    assert (tmp_path / "model" / "mine.txt").read_text() == "precious"
    _, error = execute("overwrite=true")
    assert error is None
    assert not (tmp_path / "model" / "mine.txt").exists()


def test_a_failed_proof_keeps_the_folder_that_was_there(execute, tmp_path):
    execute()
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    _, error = execute("overwrite=true", "model.layer_norm_eps=1e-12")
    assert isinstance(error, VerificationError)
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before


def test_the_same_input_gives_the_same_bytes(execute, tmp_path):
    execute()
    first = {n: (tmp_path / "model" / n).read_bytes() for n in ("model.safetensors", "config.json", "README.md")}
    execute("overwrite=true")
    assert {n: (tmp_path / "model" / n).read_bytes() for n in first} == first


def test_a_dry_run_writes_nothing(execute, tmp_path):
    run, error = execute("dry_run=true")
    assert error is None
    assert run.report.coverage.status == "passed"
    assert run.report.source["sha256"]
    assert not (tmp_path / "model").exists()
    assert not any((tmp_path / "run").iterdir())


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_layouts_of_the_source_do_not_show_in_the_result(execute, tmp_path, tiny_checkpoint, zipped, prefix, dtype):
    state = torch.load(tiny_checkpoint, weights_only=True)
    half = {k: v.to(dtype) for k, v in state.items()}  # so that every dtype holds the same values
    expected = {k: v.to(torch.float32) for k, v in half.items()}
    torch.save(expected, tiny_checkpoint)
    execute()
    wanted = (tmp_path / "model" / "model.safetensors").read_bytes()
    renamed = {prefix + k.removeprefix("module."): v for k, v in half.items()}
    torch.save(renamed, tiny_checkpoint, _use_new_zipfile_serialization=zipped)
    _, error = execute("overwrite=true")
    assert error is None
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == wanted


@pytest.mark.gpu
def test_on_the_gpu(execute):
    run, error = execute("device=auto")
    assert error is None
    assert run.report.device in ("cuda", "mps")
