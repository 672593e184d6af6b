"""The pipeline with what is not an AST with its classifier: other families, poolings, epsilons, heads apart, sizes."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from conftest import TINY, TINY_OVERRIDES, compose
from safetensors.torch import load_file, save_file
from support.conversions import attempted

from ast2hf.checkpoint import synthetic
from ast2hf.errors import ConfigurationError, InputError, VerificationError
from ast2hf.families import resize
from ast2hf.families.ast import AST
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST, reference
from ast2hf.formats.huggingface import HUGGING_FACE
from ast2hf.mapping.ops import Filled

OFFLINE = ("experiment=offline", "tracking=off")

SUMMED = {"passt": (PASST, 128, 90), "maest": (MAEST, 96, 62)}
"""Family, mel bins, columns of its positions; a model input is 64 frames, which are five columns."""


def converted(*overrides):
    """What came of the settings, as far as it came, and the error."""
    settings = compose(*OFFLINE, *overrides)
    return attempted(settings)


@pytest.fixture
def ast(tmp_path, tiny_checkpoint):
    """Run the pipeline on the tiny AST."""
    place = (f"checkpoint={tiny_checkpoint}", f"output_dir={tmp_path / 'model'}", *TINY_OVERRIDES)
    return lambda *overrides: converted(*place, *overrides)


@pytest.fixture(params=SUMMED)
def summed(request, tmp_path):
    """Run the pipeline on a tiny PaSST, and on a tiny MAEST, of more columns than the model takes."""
    family, mels, columns = SUMMED[request.param]
    geometry = dataclasses.replace(
        TINY, frequency_stride=10, time_stride=10, num_mel_bins=mels, max_length=6 + 10 * columns
    )
    path = tmp_path / "summed.pth"
    torch.save(synthetic.state_dict(family, geometry, 1, prefix=""), path)
    place = (
        "model=custom", f"checkpoint={path}", f"output_dir={tmp_path / 'model'}", "labels=none", "model.mean=0",
        "model.std=1", "model.problem_type=multi_label_classification", "model.frequency_stride=10",
        "model.time_stride=10", "model.max_length=64", f"model.num_mel_bins={mels}",
        f"model.family={family.name}",  # 9 rows are those of 128 bins at a stride of 14, too
    )  # fmt: skip
    return lambda *overrides: converted(*place, *overrides)


def with_tensors(path, **named):
    """Add tensors of these names, with __ for each dot, to the checkpoint."""
    state = torch.load(path, weights_only=True)
    torch.save(state | {name.replace("__", "."): torch.ones(shape) for name, shape in named.items()}, path)


def test_a_front_end_in_the_file_is_pointed_out(ast, tiny_checkpoint, tmp_path):
    with_tensors(tiny_checkpoint, spectrogram__mel_scale__fb=(201, 64))
    conversion, error = ast()
    assert error is None, error
    (note,) = [note for note in conversion.report.notes if "a front end of its own" in note]
    assert "(spectrogram.mel_scale.fb)" in note
    assert "a front end of its own" in (tmp_path / "model" / "README.md").read_text()


def test_without_an_extractor_there_is_no_other_front_end(summed, tmp_path):
    with_tensors(tmp_path / "summed.pth", melspectrogram__extra__window=(8,))
    conversion, error = summed()
    assert error is None, error
    assert "melspectrogram.extra.window" in conversion.report.dropped_tensors
    assert not any("front end of its own" in note for note in conversion.report.notes)


def test_the_other_model_of_a_file_is_not_up_to_date(ast, tiny_checkpoint):
    state = torch.load(tiny_checkpoint, weights_only=True)
    one = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    both = {f"net.{n}": t for n, t in one.items()} | {f"net_swa.{n}": t * 1.5 for n, t in one.items()}
    torch.save(both, tiny_checkpoint)
    for prefix, skipped in (("net.", False), ("net.", True), ("net_swa.", False), ("net_swa.", True)):
        conversion, error = ast(f"checkpoint_prefix={prefix}", "skip_existing=true", "overwrite=true")
        assert (error, conversion.skipped) == (None, skipped), prefix
        assert conversion.report.source["prefix"] == prefix


def test_a_folder_with_another_licence_in_its_card_is_not_up_to_date(ast, tmp_path):
    ast()
    conversion, error = ast("skip_existing=true", "overwrite=true", "license=cc-by-4.0")
    assert (error, conversion.skipped) == (None, False)
    assert "license: cc-by-4.0" in (tmp_path / "model" / "README.md").read_text()


def test_a_folder_without_an_extractor_may_not_have_gained_one(summed, tmp_path):
    summed()
    (tmp_path / "model" / "preprocessor_config.json").write_text('{"feature_extractor_type": "ASTFeatureExtractor"}')
    _, error = summed("task=verify", f"folder={tmp_path / 'model'}", "output_dir=null")
    assert isinstance(error, VerificationError)
    assert error.cause.startswith("the folder has preprocessor_config.json, but no feature extractor")


def statuses(report, *names):
    return [report.checks[name].status for name in names]


def published(tmp_path, name):
    return json.loads((tmp_path / "model" / name).read_text())


def test_without_an_extractor_its_checks_are_not_applicable(summed, tmp_path):
    conversion, error = summed()
    assert error is None, error
    report = conversion.report
    assert statuses(report, "features", "end_to_end") == ["not_applicable"] * 2
    assert statuses(report, "weights", "loading", "last_hidden_state", "pooled", "logits") == ["passed"] * 5
    assert report.checks["weights"].measured["recomputed"] == 1
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "conversion_report.json", "model.safetensors",
    ]  # fmt: skip
    assert set(published(tmp_path, "conversion_report.json")["files"]) == {"config.json", "model.safetensors"}
    assert report.clip == "synthetic features (seed 0)"
    assert not report.top5
    card = (tmp_path / "model" / "README.md").read_text()
    assert "a `pipeline` cannot be used" in card
    assert str(report.front_end["sampling_rate"]) in card
    assert report.front_end["normalisation"].replace("*", "\\*") in card
    assert "AutoFeatureExtractor" not in card


def test_the_snippet_of_its_card_runs(summed, tmp_path, capsys):
    summed()
    code = (tmp_path / "model" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("path/to/this/folder", str(tmp_path / "model")), {})
    assert capsys.readouterr().out.count("LABEL_") == 5


def test_it_is_verified_and_skipped_without_an_extractor(summed, tmp_path):
    summed()
    conversion, error = summed("skip_existing=true")
    assert (error, conversion.skipped) == (None, True)
    conversion, error = summed("task=verify", f"folder={tmp_path / 'model'}", "output_dir=null")
    assert error is None, error
    assert conversion.report.status == "passed"


def test_positions_taken_from_the_end_fail_the_proof(summed, monkeypatch):
    original = reference.positions

    def shifted(geometry, state_dict):
        columns = state_dict["time_new_pos_embed"]
        return original(geometry, {**state_dict, "time_new_pos_embed": columns.flip(3)})

    monkeypatch.setattr(reference, "positions", shifted)
    conversion, error = summed()
    assert isinstance(error, VerificationError)
    assert statuses(conversion.report, "weights", "last_hidden_state") == ["passed", "failed"]
    assert conversion.report.first_divergence == "embeddings"


def test_a_model_without_an_extractor_is_not_registered_as_a_pipeline(summed, tmp_path):
    settings = ("tracking=mlflow", "tracking.log_model=true", f"paths.outputs={tmp_path / 'outputs'}")
    _, error = summed(*settings)
    assert isinstance(error, ConfigurationError)
    assert "needs a feature extractor" in error.cause


def test_a_shorter_input_of_summed_positions_is_the_same_function(summed):
    conversion, error = summed("resize.max_length=44")
    assert error is None, error
    assert conversion.report.geometry["max_length"] == conversion.report.front_end["max_length"] == 44
    assert not conversion.report.resized
    assert any("use the first positions" in note for note in conversion.report.notes)
    _, error = summed("resize.num_mel_bins=64", "overwrite=true")
    assert isinstance(error, ConfigurationError)
    assert "no rule to resize positions" in error.cause


def test_a_longer_input_of_summed_positions_is_refused_with_the_longest_that_there_is(summed, tmp_path):
    _, error = summed("resize.max_length=1000")
    assert isinstance(error, ConfigurationError)
    assert "1000 frames make 99 patches in time, but the checkpoint has positions for only" in error.cause
    longest = re.search(r"set model.max_length or resize.max_length to at most (\d+)", error.remedy)[1]
    assert not (tmp_path / "model").exists()
    assert summed(f"resize.max_length={longest}")[1] is None
    assert summed(f"resize.max_length={int(longest) + 1}", "overwrite=true")[1] is not None
    _, error = summed("model.max_length=1000", "overwrite=true")
    assert isinstance(error, InputError)
    assert "are model.frequency_stride=10, model.time_stride=10, model.max_length=1000" in error.cause
    assert "the checkpoint has position embeddings in frequency and time, which fit strides 10 x 10" in error.cause
    assert error.cause.endswith("patches, or a shorter input")


def test_both_epsilons_exactly(ast, tmp_path):
    plain, error = ast()
    assert error is None
    exact, error = ast("model.exact_epsilon=true", "overwrite=true")
    assert error is None, error
    report = exact.report
    assert published(tmp_path, "config.json")["layer_norm_eps"] == report.layer_norm_eps == 1e-5
    assert report.exact_epsilon is True
    assert report.checks["logits"].max_abs_diff <= 2e-6 < plain.report.checks["logits"].max_abs_diff
    assert report.checks["weights"].measured == {"bit_exact": 30, "recomputed": 13}
    assert all(block.relative_diff < 1e-5 for block in report.blocks)
    assert "square root of" in (tmp_path / "model" / "README.md").read_text()


def test_where_the_plain_epsilon_fails_the_logits_the_exact_one_is_named_and_passes(ast, tiny_checkpoint):
    state = torch.load(tiny_checkpoint, weights_only=True)
    for name in ("weight", "bias"):
        state[f"module.v.norm.{name}"] *= 0.03  # so that the variance of the pooled vector is small
    torch.save(state, tiny_checkpoint)
    conversion, error = ast()
    assert isinstance(error, VerificationError)
    assert statuses(conversion.report, "pooled", "logits") == ["passed", "failed"]
    assert "model.exact_epsilon=true" in error.remedy
    conversion, error = ast("model.exact_epsilon=true")
    assert error is None, error
    assert conversion.report.checks["logits"].max_abs_diff < 3e-6


def test_other_failures_do_not_name_the_epsilon(ast):
    _, error = ast("model.layer_norm_eps=1e-12")
    assert isinstance(error, VerificationError)
    assert "exact_epsilon" not in error.remedy


def test_published_logits_are_repeated_with_the_same_epsilon_however_weights_are_scaled(ast, tmp_path):
    ast()
    loaded = HUGGING_FACE.load(tmp_path / "model", torch.device("cpu"))
    from ast2hf.audio import PACKAGED, load_clip

    waveform = load_clip(PACKAGED, compose().model, tmp_path).waveform
    features = HUGGING_FACE.features(tmp_path / "model", waveform, 16000)
    with torch.inference_mode(), loaded.with_epsilon(1e-12):
        values = loaded(features).logits[0, :3].tolist()
    conversion, error = ast(
        "overwrite=true", "model.exact_epsilon=true", "verify.expected_logits=always",
        f"model.expected_logits.values={values}",
    )  # fmt: skip
    assert error is None, error
    assert conversion.report.checks["published_logits"].max_abs_diff < 2e-6


@pytest.fixture
def plain(ast, tiny_checkpoint):
    """Run the pipeline on the tiny AST, whose head has a layer norm without parameters, dropout and a linear layer."""
    state = torch.load(tiny_checkpoint, weights_only=True)
    for part in ("weight", "bias"):
        del state[f"module.mlp_head.0.{part}"]
        state[f"module.mlp_head.2.{part}"] = state.pop(f"module.mlp_head.1.{part}")
    torch.save(state, tiny_checkpoint)
    return ast


def test_a_plain_layer_norm_is_written_if_it_is_set(plain, tmp_path):
    _, error = plain()
    assert isinstance(error, InputError)
    assert "model.head=none" in error.remedy
    assert "model.head_norm=plain" in error.remedy
    conversion, error = plain("model.head_norm=plain")
    assert error is None, error
    report = conversion.report
    assert statuses(report, "weights", "loading", "pooled", "logits", "end_to_end") == ["passed"] * 5
    assert report.checks["weights"].measured["recomputed"] == 2
    assert any("according to model.head_norm=plain" in note for note in report.notes)
    written = load_file(tmp_path / "model" / "model.safetensors")
    assert torch.equal(written["classifier.layernorm.weight"], torch.ones(TINY.hidden_size))
    assert torch.equal(written["classifier.layernorm.bias"], torch.zeros(TINY.hidden_size))


@pytest.mark.parametrize(
    "settings",
    [("model.exact_epsilon=true",), ("model.head=none",), ("resize.max_length=160",),
     ("resize.max_length=160", "model.exact_epsilon=true")],
)  # fmt: skip
def test_a_plain_layer_norm_combines_with_other_settings(plain, settings):
    conversion, error = plain("model.head_norm=plain", *settings)
    assert error is None, error
    assert conversion.report.checks["logits"].status == (
        "not_applicable" if "model.head=none" in settings else "passed"
    )


def test_a_folder_of_it_is_verified_restored_and_not_what_was_changed(plain, tmp_path):
    plain("model.head_norm=plain")
    verify = ("task=verify", f"folder={tmp_path / 'model'}", "output_dir=null")
    _, error = plain(*verify, "model.head_norm=plain")
    assert error is None, error
    restored = tmp_path / "restored.pth"
    _, error = plain("task=restore", f"folder={tmp_path / 'model'}", f"checkpoint={restored}", "output_dir=null")
    assert error is None, error
    state = torch.load(restored, weights_only=True)
    assert torch.equal(state["module.mlp_head.0.weight"], torch.ones(TINY.hidden_size))
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["classifier.layernorm.bias"][3] = 1e-7
    save_file(tensors, path, metadata={"format": "pt"})
    conversion, error = plain(*verify, "model.head_norm=plain")
    assert isinstance(error, VerificationError)
    assert "classifier.layernorm.bias" in conversion.report.checks["weights"].reason


def test_other_values_than_ones_fail_the_logits(plain, monkeypatch):
    monkeypatch.setattr(Filled, "__call__", lambda self: (torch.full((self.size,), self.value + 0.01),))
    conversion, error = plain("model.head_norm=plain")
    assert isinstance(error, VerificationError)
    assert statuses(conversion.report, "pooled", "logits") == ["passed", "failed"]


def test_a_plain_layer_norm_may_not_be_set_for_one_with_parameters(ast):
    for head in ("classification", "none"):
        _, error = ast("model.head_norm=plain", f"model.head={head}")
        assert isinstance(error, ConfigurationError)
        assert "the checkpoint has them (mlp_head.0.*)" in error.cause


def test_an_encoder_keeps_its_head_beside_it(ast, tmp_path, tiny_checkpoint):
    conversion, error = ast("model.head=none")
    assert error is None, error
    source = torch.load(tiny_checkpoint, weights_only=True)
    head = load_file(tmp_path / "model" / "head.safetensors")
    assert sorted(head) == ["mlp_head.0.bias", "mlp_head.0.weight", "mlp_head.1.bias", "mlp_head.1.weight"]
    assert all(torch.equal(tensor, source[f"module.{name}"]) for name, tensor in head.items())
    assert conversion.report.checks["weights"].measured["head_apart"] == 4
    assert conversion.report.head_apart["mlp_head.1.weight"] == [7, 64]
    assert "head.safetensors" in conversion.report.files


def test_a_head_that_was_changed_fails_the_weights(ast, tmp_path, monkeypatch):
    write = HUGGING_FACE.write

    def tamper(folder, spec, checkpoint):
        write(folder, spec, checkpoint)
        head = load_file(folder / "head.safetensors")
        head["mlp_head.1.bias"][0] += 1
        save_file(head, folder / "head.safetensors")

    monkeypatch.setattr(type(HUGGING_FACE), "write", lambda self, *given: tamper(*given))
    conversion, error = ast("model.head=none")
    assert isinstance(error, VerificationError)
    assert "mlp_head.1.bias" in conversion.report.checks["weights"].reason


def test_an_encoder_from_elsewhere_need_not_have_it(ast, tmp_path):
    ast("model.head=none")
    (tmp_path / "model" / "head.safetensors").unlink()
    conversion, error = ast("task=verify", f"folder={tmp_path / 'model'}", "output_dir=null")
    assert error is None, error
    assert "head_apart" not in conversion.report.checks["weights"].measured


def test_the_head_is_applied_as_the_card_says(ast, tmp_path, tiny_checkpoint):
    ast("model.head=none")
    card = (tmp_path / "model" / "README.md").read_text()
    code = "".join(part.split("```")[0] for part in card.split("```python\n")[1:])
    found = {}
    exec(code.replace("path/to/this/folder", str(tmp_path / "model")), found)
    state = {name.removeprefix("module."): t for name, t in torch.load(tiny_checkpoint, weights_only=True).items()}
    expected = AST.reference(TINY, state)(found["inputs"]["input_values"]).logits
    torch.testing.assert_close(found["logits"], expected, atol=1e-5, rtol=0)


def test_averaging_the_patches_is_left_to_the_user_with_a_note(ast, tmp_path):
    conversion, error = ast("model.head=none", "model.pooling=mean")
    assert error is None, error
    report = conversion.report
    assert statuses(report, "pooled", "logits") == ["not_applicable"] * 2
    assert statuses(report, "last_hidden_state", "end_to_end") == ["passed"] * 2
    assert report.pooling == "mean"
    assert [block.name for block in report.blocks][-1] == "last_hidden_state"
    assert "last_hidden_state[:, 2:].mean(1)" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(("key", "size"), [("max_length", 32), ("max_length", 160), ("num_mel_bins", 64)])
def test_positions_are_fitted_and_the_folder_marked(ast, tmp_path, key, size):
    conversion, error = ast(f"resize.{key}={size}")
    assert error is None, error
    report = conversion.report
    assert report.resized["from"][key] == getattr(TINY, key)
    assert report.resized["to"][key] == report.geometry[key] == size
    assert published(tmp_path, "config.json")[key] == published(tmp_path, "preprocessor_config.json")[key] == size
    assert report.checks["weights"].measured["recomputed"] == 1
    assert any("not equal to the source" in note for note in report.notes)
    assert "## Not equal to the source" in (tmp_path / "model" / "README.md").read_text()


def test_fitted_and_exact_at_once(ast):
    conversion, error = ast("resize.max_length=160", "model.exact_epsilon=true")
    assert error is None, error
    assert conversion.report.checks["logits"].max_abs_diff < 3e-6


def test_another_rule_in_the_proof_fails(ast, monkeypatch):
    original = resize.fitted
    monkeypatch.setattr(resize, "fitted", lambda e, source, target: original(e, source, target)[:, ::-1].copy())
    conversion, error = ast("resize.max_length=160")
    assert isinstance(error, VerificationError)
    assert statuses(conversion.report, "weights", "last_hidden_state") == ["passed", "failed"]
