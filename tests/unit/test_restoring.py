"""task=restore: from a folder back to the authors' file, bit for bit where nothing was computed."""

from __future__ import annotations

import json
import re

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, compose
from safetensors.torch import load_file, save_file
from support.authors_module import UNUSED, authors_module
from support.conversions import attempted

from ast2hf.checkpoint import synthetic
from ast2hf.errors import ConfigurationError, InputError, OutputError, VerificationError
from ast2hf.families.ast import AST
from ast2hf.formats import original

OFFLINE = ("experiment=offline", "tracking=off", *TINY_OVERRIDES)


def run(*overrides):
    settings = compose(*OFFLINE, *overrides)
    return attempted(settings)


@pytest.fixture
def folder(tmp_path, tiny_checkpoint):
    """Convert the tiny checkpoint, and restore what came of it."""

    def convert(*overrides):
        _, error = run(f"checkpoint={tiny_checkpoint}", f"output_dir={tmp_path / 'model'}", *overrides)
        assert error is None, error
        return tmp_path / "model"

    return convert


def restored(tmp_path, *overrides):
    return run("task=restore", f"folder={tmp_path / 'model'}", f"checkpoint={tmp_path / 'out.pth'}", *overrides)


def tensors(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("head", ["classification", "none"])
def test_a_folder_made_here_becomes_its_source_again(folder, tmp_path, tiny_checkpoint, head):
    folder(f"model.head={head}")
    conversion, error = restored(tmp_path)
    assert error is None, error
    assert conversion.restored == tmp_path / "out.pth"
    assert conversion.folder is None
    source, found = tensors(tiny_checkpoint), tensors(tmp_path / "out.pth")
    assert found.keys() == source.keys() - UNUSED
    assert all(torch.equal(found[name], source[name]) for name in found)
    report = conversion.report
    assert report.model == "model"  # as its folder, whatever variant was not asked for
    assert report.checks["weights"].measured["recomputed"] == 0
    assert {name: check.status for name, check in report.checks.items() if check.status != "passed"} == {
        "features": "not_applicable", "end_to_end": "not_applicable", "published_logits": "not_checked",
        "attention": "not_checked",
        "data_set": "not_applicable",
        **({"logits": "not_applicable"} if head == "none" else {}),
    }  # fmt: skip
    assert any("strict=False" in note and "v.head.weight" in note for note in report.notes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.pth", "tiny.pth"]


@pytest.mark.parametrize("overrides", [(), ("model.head=none",), ("model.exact_epsilon=true",)])
def test_the_authors_module_takes_the_file(folder, tmp_path, overrides):
    folder(*overrides)
    _, error = restored(tmp_path)
    assert error is None, error
    found = tensors(tmp_path / "out.pth")
    module = authors_module(TINY)
    result = module.load_state_dict(found, strict=False)
    assert (set(result.missing_keys), result.unexpected_keys) == (UNUSED, [])
    loaded = module.state_dict()
    assert all(torch.equal(loaded[name], found[name]) for name in found)
    authors_module(TINY, imagenet=False).load_state_dict(found, strict=True)


def left_out(conversion):
    """The names in the note about what the file has not."""
    (note,) = (note for note in conversion.report.notes if "strict=False" in note)
    return re.search(r"\((.*)\)", note)[1].split(", ")


def test_tensors_dropped_by_the_conversion_are_named(folder, tmp_path, tiny_checkpoint):
    torch.save({**tensors(tiny_checkpoint), "module.ema.decay": torch.zeros(1)}, tiny_checkpoint)
    report = json.loads((folder("unused=drop") / "conversion_report.json").read_text())
    conversion, error = restored(tmp_path)
    assert error is None, error
    assert set(left_out(conversion)) == set(report["dropped_tensors"])
    assert any("ema.decay" in name for name in left_out(conversion))


@pytest.mark.parametrize("apart", [True, False])
def test_a_head_that_is_not_beside_the_encoder_is_named_too(folder, tmp_path, apart):
    path = folder("model.head=none") / "head.safetensors"
    if not apart:
        path.unlink()
    conversion, error = restored(tmp_path)
    assert error is None, error
    head = {f"mlp_head.{part}.{name}" for part in (0, 1) for name in ("weight", "bias")}
    unused = {name.removeprefix("module.") for name in UNUSED}
    assert set(left_out(conversion)) == (unused if apart else unused | head)


@pytest.mark.parametrize("said", [None, "everything", {f"\x1b[1m{i}": 1 for i in range(50)}])
def test_the_report_s_list_of_dropped_tensors_is_not_trusted(folder, tmp_path, said):
    path = folder() / "conversion_report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dropped_tensors": said}))
    conversion, error = restored(tmp_path)
    assert error is None, error
    (note,) = (note for note in conversion.report.notes if "strict=False" in note)
    assert note.isprintable()
    assert ("and 34 more" in note) == isinstance(said, dict)


def test_scaled_weights_are_undone_within_one_rounding(folder, tmp_path, tiny_checkpoint):
    folder("model.exact_epsilon=true")
    conversion, error = restored(tmp_path)
    assert error is None, error
    source, found = tensors(tiny_checkpoint), tensors(tmp_path / "out.pth")
    assert found.keys() == source.keys() - UNUSED
    for name, tensor in found.items():
        assert ((tensor - source[name]).abs() <= source[name].abs() * 2**-22).all()
    assert torch.equal(found["module.v.norm.weight"], source["module.v.norm.weight"])
    assert conversion.report.checks["weights"].measured == {"bit_exact": 22, "recomputed": 13}


def test_a_folder_that_transformers_saved_is_restored(folder, tmp_path):
    from transformers import AutoModelForAudioClassification

    model = AutoModelForAudioClassification.from_pretrained(folder())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    model.save_pretrained(tmp_path / "model")
    for name in ("conversion_report.json", "preprocessor_config.json"):
        (tmp_path / "model" / name).unlink()
    conversion, error = restored(tmp_path)
    assert error is None, error
    found = {name.removeprefix("module."): tensor for name, tensor in tensors(tmp_path / "out.pth").items()}
    features = torch.from_numpy(synthetic.spectrogram(TINY, 3))
    with torch.inference_mode():
        expected = model.eval()(features).logits
        logits = AST.reference(TINY, found)(features).logits
    torch.testing.assert_close(logits, expected, atol=3e-5, rtol=1e-5)
    assert conversion.report.family == "ast"


def test_the_default_epsilon_is_replaced_and_its_cost_reported(folder, tmp_path):
    path = folder() / "config.json"
    path.write_text(path.read_text().replace('"layer_norm_eps": 1e-06', '"layer_norm_eps": 1e-12'))
    conversion, error = restored(tmp_path)
    assert error is None, error
    assert any("with its own of 1e-12" in note for note in conversion.report.notes)


def test_half_precision_is_written_in_float32(folder, tmp_path):
    path = folder() / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    _, error = restored(tmp_path)
    assert error is None, error
    assert {tensor.dtype for tensor in tensors(tmp_path / "out.pth").values()} == {torch.float32}


def test_a_file_that_exists_is_kept_unless_overwritten(folder, tmp_path):
    folder()
    (tmp_path / "out.pth").write_text("mine")
    _, error = restored(tmp_path)
    assert isinstance(error, OutputError)
    assert (tmp_path / "out.pth").read_text() == "mine"
    _, error = restored(tmp_path, "overwrite=true")
    assert error is None, error
    assert tensors(tmp_path / "out.pth")


def test_a_dry_run_writes_nothing(folder, tmp_path):
    folder()
    conversion, error = restored(tmp_path, "dry_run=true")
    assert (error, conversion.restored) == (None, None)
    assert not (tmp_path / "out.pth").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("classifier.dense.bias"), "lacks classifier.dense.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "has extra"),
        (
            lambda t: t.update({"classifier.dense.bias": torch.zeros(3)}),
            r"has shape \[3\], but its .* requires \[7\]",
        ),
    ],
)
def test_a_folder_of_other_tensors_is_refused(folder, tmp_path, change, message):
    path = folder() / "model.safetensors"
    found = load_file(path)
    change(found)
    save_file(found, path, {"format": "pt"})
    _, error = restored(tmp_path)
    assert isinstance(error, InputError)
    assert re.search(message, error.cause)
    assert not (tmp_path / "out.pth").exists()


def test_a_folder_without_its_weights_is_refused(folder, tmp_path):
    (folder() / "model.safetensors").unlink()
    _, error = restored(tmp_path)
    assert isinstance(error, InputError)
    assert "has no model.safetensors" in error.cause


def test_a_configuration_without_sizes_is_refused(folder, tmp_path):
    path = folder() / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_size": "64"}))
    _, error = restored(tmp_path)
    assert isinstance(error, InputError)
    assert "hidden_size in config.json of model is not a whole number" in error.cause


@pytest.mark.parametrize(
    ("file", "key", "value", "words"),
    [
        ("conversion_report.json", "family", ["ast"], "models of the family"),
        ("conversion_report.json", "pooling", "max", "has the unknown pooling max"),
        ("config.json", "num_hidden_layers", 10**9, "1,000,000,000 layers"),
    ],
)
def test_an_invalid_report_or_configuration_is_refused(folder, tmp_path, file, key, value, words):
    path = folder() / file
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    _, error = restored(tmp_path)
    assert isinstance(error, InputError | ConfigurationError)
    assert words in error.cause


def test_one_weight_that_is_written_otherwise_fails_the_proof_and_leaves_no_file(folder, tmp_path, monkeypatch):
    folder()
    write = original.written

    def changed(path, weights):
        return write(path, {name: tensor + (name == "v.norm.bias") for name, tensor in weights.items()})

    monkeypatch.setattr(original, "written", changed)
    conversion, error = restored(tmp_path)
    assert isinstance(error, VerificationError)
    assert "v.norm.bias" in conversion.report.checks["weights"].reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tiny.pth"]


def test_positions_that_are_sums_are_not_restored(folder, tmp_path):
    path = folder() / "conversion_report.json"
    path.write_text(json.dumps({"family": "passt"}))
    _, error = restored(tmp_path)
    assert isinstance(error, ConfigurationError)
    assert "passt cannot be restored" in error.cause
