"""The whole pipeline in one process with a tiny model, and the negative controls: wrong conversions fail the proof."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import yaml
from conftest import TINY, TINY_OVERRIDES, compose
from support.conversions import attempted

from ast2hf.audio import PACKAGED, load_clip
from ast2hf.checkpoint import synthetic
from ast2hf.config import DeviceTolerances, Tolerance
from ast2hf.errors import ConfigurationError, DownloadError, InputError, OutputError, VerificationError
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import HUGGING_FACE, config, weights
from ast2hf.mapping.rules import Rule
from ast2hf.proof.checks import CHECKS, PLANNED, Check
from ast2hf.proof.finding import Finding
from ast2hf.results import CheckResult, Conversion

ORDER = [*PLANNED, *CHECKS]
TABLE = AST.table("classification")


@pytest.fixture
def run(tmp_path, tiny_checkpoint):
    """Run the pipeline on the tiny checkpoint; returns what came of it, as far as it came, and the error."""

    def run(*overrides: str, **tolerances: float) -> tuple[Conversion, Exception | None]:
        settings = compose(
            "experiment=offline", "tracking=off", f"checkpoint={tiny_checkpoint}", f"output_dir={tmp_path / 'model'}",
            *TINY_OVERRIDES, *overrides,
        )  # fmt: skip
        for name, atol in tolerances.items():
            settings.verify.tolerances[name] = DeviceTolerances(cpu=Tolerance(atol))
        return attempted(settings)

    return run


def fails(run, tmp_path, kind, *overrides):
    """The report of a conversion that must fail: nothing published, nothing left over."""
    conversion, error = run(*overrides)
    assert isinstance(error, kind), error
    assert conversion.report.status == "failed"
    assert conversion.folder is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.pth"]
    assert error.cause.partition("/")[0] in conversion.report.error
    return conversion.report


def statuses(report, *names):
    assert list(report.checks) == ORDER
    return [report.checks[name].status for name in names or ORDER]


def first_failure(report):
    """The check that failed; those before it passed, and those after it were not made."""
    found = statuses(report)
    place = found.index("failed")
    assert set(found[:place]) <= {"passed"}
    assert set(found[place + 1 :]) <= {"not_checked"}
    return ORDER[place]


def test_a_right_conversion_is_published(run, tmp_path):
    conversion, error = run()
    assert error is None
    report = conversion.report
    assert (
        statuses(report) == ["passed"] * (len(ORDER) - 3) + ["not_checked"] * 3
    )  # published logits, attention, data set
    assert report.checks["pooled"].max_abs_diff <= report.checks["pooled"].atol
    assert report.checks["weights"].measured == {"bit_exact": 43, "recomputed": 0}
    assert report.first_divergence is None
    assert [b.name for b in report.blocks] == ["embeddings", "blocks.0", "blocks.1", "pooled", "logits"]
    assert conversion.folder == tmp_path / "model"
    assert sorted(p.name for p in conversion.folder.iterdir()) == [
        "README.md", "config.json", "conversion_report.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    published = json.loads((conversion.folder / "conversion_report.json").read_text())
    assert (published["schema_version"], published["status"], published["family"]) == (2, "passed", "ast")
    assert published["source"]["prefix"] == "module."


def test_query_and_key_swapped_in_the_table_diverge_in_the_first_block(run, tmp_path, monkeypatch):
    def swapped(rule):
        if isinstance(rule, Rule) and len(rule.targets) == 3:
            query, key, value = rule.targets
            return dataclasses.replace(rule, targets=(key, query, value))
        return rule

    monkeypatch.setattr(AST, "table", lambda head, shapes, *_, **__: tuple(map(swapped, TABLE)), raising=False)
    report = fails(run, tmp_path, VerificationError)
    assert first_failure(report) == "last_hidden_state"
    assert report.first_divergence == "blocks.0"


def test_the_default_epsilon_of_transformers_fails_before_the_head(run, tmp_path):
    report = fails(run, tmp_path, VerificationError, "model.layer_norm_eps=1e-12")
    assert first_failure(report) == "last_hidden_state"
    assert report.first_divergence == "blocks.0"


def test_one_flipped_bit_in_the_written_file_fails_the_weights(run, tmp_path, monkeypatch):
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
    assert first_failure(fails(run, tmp_path, VerificationError)) == "weights"


def test_a_tensor_that_transformers_does_not_know_fails_the_loading(run, tmp_path, monkeypatch):
    renamed = tuple(
        dataclasses.replace(rule, targets=("classifier.typo",))
        if isinstance(rule, Rule) and rule.sources == ("mlp_head.0.bias",)
        else rule
        for rule in TABLE
    )
    monkeypatch.setattr(AST, "table", lambda head, shapes, *_, **__: renamed, raising=False)
    report = fails(run, tmp_path, VerificationError)
    assert first_failure(report) == "loading"
    assert report.checks["loading"].measured == {"missing": 1, "unexpected": 1, "mismatched": 0}
    assert "classifier.layernorm.bias" in report.checks["loading"].reason


def test_a_wrong_front_end_fails_the_features(run, tmp_path, monkeypatch):
    original = config.preprocessor_config
    monkeypatch.setattr(config, "preprocessor_config", lambda spec: {**original(spec), "mean": -4.0})
    assert first_failure(fails(run, tmp_path, VerificationError)) == "features"


def test_features_within_their_tolerance_can_still_fail_end_to_end(run, tmp_path, monkeypatch):
    original = config.preprocessor_config
    monkeypatch.setattr(config, "preprocessor_config", lambda spec: {**original(spec), "mean": -4.0})
    tolerances = ["verify.tolerances.features.cpu.atol=1", "verify.tolerances.end_to_end.cpu.atol=1e-3"]
    report = fails(run, tmp_path, VerificationError, *tolerances)
    assert first_failure(report) == "end_to_end"
    assert report.checks["logits"].max_abs_diff < 1e-5 < report.checks["end_to_end"].max_abs_diff


def test_published_logits_that_do_not_match_fail(run, tmp_path):
    report = fails(run, tmp_path, VerificationError, "verify.expected_logits=always")
    assert first_failure(report) == "published_logits"


def first_logits(folder, tmp_path, epsilon):
    loaded = HUGGING_FACE.load(folder, torch.device("cpu"))
    features = HUGGING_FACE.features(folder, load_clip(PACKAGED, compose().model, tmp_path).waveform, 16000)
    with torch.inference_mode(), loaded.with_epsilon(epsilon):
        return loaded(features).logits[0, :3].tolist()


def test_published_logits_are_repeated_with_the_epsilon_they_were_made_with(run, tmp_path):
    run()
    as_written, as_published = (first_logits(tmp_path / "model", tmp_path, eps) for eps in (1e-6, 1e-12))
    always = ("overwrite=true", "verify.expected_logits=always")
    conversion, error = run(*always, f"model.expected_logits.values={as_published}")
    assert error is None
    check = conversion.report.checks["published_logits"]
    assert (check.status, check.max_abs_diff) == ("passed", pytest.approx(0, abs=1e-7))
    assert check.measured["max_abs_diff_as_written"] > 1e-4
    _, error = run(*always, f"model.expected_logits.values={as_written}")
    assert isinstance(error, VerificationError)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(run, tmp_path, tiny_checkpoint, value):
    state = torch.load(tiny_checkpoint, weights_only=True)
    state["module.v.norm.weight"][3] = value
    torch.save(state, tiny_checkpoint)
    _, error = run()
    assert isinstance(error, InputError)
    assert "v.norm.weight" in error.cause


def test_a_checkpoint_that_does_not_fit_is_an_input_error(run, tmp_path):
    report = fails(run, tmp_path, InputError, "model.num_labels=8")
    assert first_failure(report) == "coverage"
    assert "mlp_head.1.weight has shape [7, 64], expected [8, 64]" in report.checks["coverage"].reason


def test_a_checkpoint_of_something_else_fails_the_recognition(run, tmp_path, tiny_checkpoint):
    torch.save({"conv1.weight": torch.zeros(3)}, tiny_checkpoint)
    assert first_failure(fails(run, tmp_path, InputError)) == "recognition"


def test_a_new_check_needs_nothing_but_its_function(run, tmp_path, monkeypatch):
    def silence(evidence, tolerance):
        return Finding("passed", {"max_abs_diff": 0.0}, {"atol": tolerance.atol})

    monkeypatch.setitem(CHECKS, "silence", Check("silence", "is it quiet", silence))
    _, error = run(silence=1e-3)
    assert error is None
    published = json.loads((tmp_path / "model" / "conversion_report.json").read_text())
    assert published["checks"]["silence"]["title"] == "is it quiet"
    assert "| is it quiet |" in (tmp_path / "model" / "README.md").read_text()


@pytest.fixture
def attentions(monkeypatch):
    """Which implementations of attention the layers computed with, in order; each a number, by which it is wrong."""
    from transformers.models.audio_spectrogram_transformer import modeling_audio_spectrogram_transformer as modeling

    used, wrong = [], {}
    plain = modeling.ALL_ATTENTION_FUNCTIONS.get_interface

    def get_interface(name, default):
        def attention(*args, **kwargs):
            used.append(name)
            output, weights = plain(name, default)(*args, **kwargs)
            return output + wrong.get(name, 0.0), weights

        return attention

    monkeypatch.setattr(modeling.ALL_ATTENTION_FUNCTIONS, "get_interface", get_interface)
    return used, wrong


@pytest.mark.parametrize("head", ["classification", "none"])
def test_each_implementation_of_attention_is_proved_where_asked(run, attentions, head):
    used, _ = attentions
    conversion, error = run(f"model.head={head}", "verify.attention=all")
    assert error is None
    check = conversion.report.checks["attention"]
    assert check.status == "passed"
    assert check.measured["flash_attention_2"] == "not for cpu"
    assert check.max_abs_diff == max(check.measured[f"max_abs_diff_{name}"] for name in ("eager", "sdpa"))
    assert used[-4:] == ["eager"] * 2 + ["sdpa"] * 2


@pytest.mark.parametrize(("backend", "error"), [("eager", 1e-2), ("eager", float("nan")), ("sdpa", 1e-2)])
def test_an_implementation_of_attention_that_is_wrong_fails_by_its_name(run, attentions, backend, error):
    _, wrong = attentions
    wrong[backend] = error
    # The default one would fail before, were the other tolerances as they are.
    before = dict.fromkeys(("last_hidden_state", "pooled", "logits", "end_to_end"), 1.0) if backend == "sdpa" else {}
    conversion, raised = run("verify.attention=all", **before)
    assert isinstance(raised, VerificationError)
    check = conversion.report.checks["attention"]
    assert check.status == "failed"
    assert check.reason.endswith(f"with {backend}")
    assert conversion.report.first_divergence is not None


def test_one_implementation_of_attention_is_proved_where_no_more_was_asked(run, attentions):
    used, _ = attentions
    conversion, error = run("verify.attention=default")
    assert error is None
    assert set(used) == {"sdpa"}
    assert conversion.report.checks["attention"].reason == "verify.attention=all proves each of them"


@pytest.mark.parametrize("where", ["the original", "the folder"])
def test_too_little_memory_for_the_proof_is_said_and_nothing_is_published(run, tmp_path, monkeypatch, where):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    if where == "the original":
        monkeypatch.setattr(AST, "reference", full, raising=False)
    else:
        from transformers import AutoModelForAudioClassification

        monkeypatch.setattr(AutoModelForAudioClassification, "from_pretrained", full)
    report = fails(run, tmp_path, ConfigurationError)
    assert report.error.startswith("cpu ran out of memory (CUDA out of memory.")


def test_the_tolerances_of_a_gpu_are_those_of_its_kind(run, tmp_path, monkeypatch):
    """The handle's index is none of them; the proof itself is made on the CPU, for want of the device."""
    asked = []

    def check(evidence, tolerance):
        asked.append((str(evidence.device), tolerance.atol))
        return Finding("passed")

    monkeypatch.setattr("ast2hf.device.resolve", lambda name: name)
    monkeypatch.setattr("ast2hf.proof.checks.CHECKS", {"logits": Check("logits", "all logits", check)})
    monkeypatch.setattr("ast2hf.proof.prove.CHECKS", {"logits": Check("logits", "all logits", check)})
    conversion, error = run("device=cuda:1")
    assert error is None
    assert asked == [("cuda:1", 1e-4)]
    assert conversion.report.device == "cuda:1"
    assert json.loads((tmp_path / "model" / "conversion_report.json").read_text())["device"] == "cuda:1"


def test_an_encoder_is_published_without_a_head(run, tmp_path):
    conversion, error = run("model.head=none")
    assert error is None
    assert statuses(conversion.report, "last_hidden_state", "pooled", "end_to_end") == ["passed"] * 3
    assert statuses(conversion.report, "logits") == ["not_applicable"]
    assert "mlp_head.1.weight" in conversion.report.dropped_tensors
    written = json.loads((tmp_path / "model" / "config.json").read_text())
    assert written["architectures"] == ["ASTModel"]
    assert not {"id2label", "problem_type"} & set(written)
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(info.values())
    assert type(model).__name__ == "ASTModel"


def verified(run, tmp_path, *overrides):
    return run("task=verify", f"folder={tmp_path / 'model'}", *overrides)


@pytest.mark.parametrize("head", ["classification", "none"])
def test_a_right_folder_is_verified_whatever_head_it_has(run, tmp_path, head):
    run(f"model.head={head}")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    conversion, error = verified(run, tmp_path)
    assert error is None
    assert conversion.report.status == "passed"
    assert conversion.report.head == head
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


def test_what_the_epsilon_of_the_official_conversions_costs_is_said(run, tmp_path):
    run()
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace('"layer_norm_eps": 1e-06', '"layer_norm_eps": 1e-12'))
    conversion, error = verified(run, tmp_path)
    assert isinstance(error, VerificationError)
    logits = conversion.report.checks["logits"]
    assert logits.max_abs_diff > 1e-4 > 1e-5 > logits.measured["max_abs_diff_with_original_epsilon"]
    assert any("layer_norm_eps differs from the original's 1e-06" in note for note in conversion.report.notes)
    assert statuses(conversion.report, "end_to_end") == ["passed"]  # a comparison that fails does not stop the others


def test_rounded_figures_of_the_normalisation_are_said(run, tmp_path):
    conversion, error = run("model.mean=-4.268", "model.std=4.569")
    assert error is None
    (note,) = [note for note in conversion.report.notes if "stats=" in note]
    assert note.startswith("model.mean=-4.268 and model.std=4.569 look like stats=audioset, rounded")
    verification, error = verified(run, tmp_path)
    assert error is None
    (note,) = [note for note in verification.report.notes if "normalises" in note]
    assert "the folder's look rounded" in note
    assert verification.report.checks["features"].max_abs_diff > 1e-5


def test_another_normalisation_than_that_of_the_training_is_said_beside_the_failure(run, tmp_path):
    run("model.mean=-6.1", "model.std=4.2")
    conversion, error = verified(run, tmp_path)
    assert isinstance(error, VerificationError)
    assert conversion.report.checks["features"].status == "failed"
    assert any(
        "normalises with mean -6.1 and std 4.2, but the settings have mean -4.2677393" in n
        for n in conversion.report.notes
    )


def test_the_normalisation_of_the_training_is_nothing_to_speak_of(run, tmp_path):
    run()
    conversion, error = verified(run, tmp_path)
    assert error is None
    assert not [note for note in conversion.report.notes if "normalises" in note or "stats=" in note]


def test_labels_in_another_order_than_those_of_the_training_are_found(run, tmp_path):
    names = [f"sound {i}" for i in range(7)]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(names))
    run(f"labels={path}")
    _, error = verified(run, tmp_path, f"labels={path}")
    assert error is None
    path.write_text(json.dumps([*names[:5], names[6], names[5]]))
    _, error = verified(run, tmp_path, f"labels={path}")
    assert isinstance(error, VerificationError)
    assert "class 5 is sound 5 in the folder, but sound 6 in the label file" in error.cause


def test_one_class_has_no_softmax(run, tmp_path):
    path = tmp_path / "one.pth"
    torch.save(synthetic.state_dict(AST, dataclasses.replace(TINY, num_labels=1), 1), path)
    said = (f"checkpoint={path}", "model.num_labels=1", "model.problem_type=single_label_classification")
    _, error = run(*said)
    assert isinstance(error, ConfigurationError)
    assert "one class" in error.cause


def test_scores_by_another_loss_than_that_of_the_training_are_found(run, tmp_path):
    run()
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace("multi_label_classification", "single_label_classification"))
    _, error = verified(run, tmp_path)
    assert isinstance(error, VerificationError)
    assert "problem_type of the folder is single_label_classification" in error.cause


@pytest.mark.parametrize(
    ("key", "value", "words"), [("sampling_rate", 8000, "8000 Hz"), ("mean", None, "does not work")]
)
def test_an_extractor_that_does_not_take_the_clip_is_told(run, tmp_path, key, value, words):
    run()
    path = tmp_path / "model" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    _, error = verified(run, tmp_path)
    assert isinstance(error, VerificationError)
    assert words in error.cause


def test_a_folder_of_another_checkpoint_is_not_verified(run, tmp_path, tiny_checkpoint):
    run()
    state = torch.load(tiny_checkpoint, weights_only=True)
    state["module.v.norm.bias"][0] += 1
    torch.save(state, tiny_checkpoint)
    conversion, error = verified(run, tmp_path)
    assert isinstance(error, VerificationError)
    assert first_failure(conversion.report) == "weights"


def test_a_check_of_the_report_has_all_that_tools_read(run):
    conversion, _ = run()
    value = conversion.report.as_dict()["checks"]["logits"]
    assert set(value) == {"title", "status", "reason", "measured", "tolerance"}
    assert CheckResult("logits", **value) == conversion.report.checks["logits"]


def test_an_existing_folder_is_kept_unless_overwritten(run, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.txt").write_text("precious")
    _, error = run()
    assert isinstance(error, OutputError)
    assert (tmp_path / "model" / "mine.txt").read_text() == "precious"
    _, error = run("overwrite=true")
    assert error is None
    assert not (tmp_path / "model" / "mine.txt").exists()


@pytest.mark.parametrize(("source", "is_own"), [("tiny", True), ("synthetic", False), ("null", False)])
def test_labels_that_cannot_be_downloaded_for_a_checkpoint_of_ones_own(
    run, tiny_checkpoint, monkeypatch, source, is_own
):
    def fail(*_):
        raise DownloadError("label file x cannot be downloaded", "set labels=none")

    monkeypatch.setattr("ast2hf.pipeline.load_labels", fail)
    _, error = run(f"checkpoint={tiny_checkpoint if source == 'tiny' else source}")
    more = ", or model=custom for a checkpoint of your own" if is_own else ""
    assert str(error) == f"label file x cannot be downloaded; set labels=none{more}"


def test_a_folder_of_synthetic_weights_may_be_overwritten(run, tiny_checkpoint):
    run("checkpoint=synthetic")
    _, error = run()
    assert isinstance(error, OutputError)
    assert error.cause.endswith("/model already exists, made of synthetic weights")
    assert error.remedy.startswith("set overwrite=true to replace it (nothing is lost)")
    assert run("overwrite=true")[1] is None
    _, error = run()
    assert error.cause.endswith("/model already exists")


def test_a_failed_proof_keeps_the_folder_that_was_there(run, tmp_path):
    run()
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    _, error = run("overwrite=true", "model.layer_norm_eps=1e-12")
    assert isinstance(error, VerificationError)
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before


def test_the_same_input_gives_the_same_bytes(run, tmp_path):
    run()
    first = {n: (tmp_path / "model" / n).read_bytes() for n in ("model.safetensors", "config.json", "README.md")}
    run("overwrite=true")
    assert {n: (tmp_path / "model" / n).read_bytes() for n in first} == first


def test_a_dry_run_writes_nothing(run, tmp_path):
    conversion, error = run("dry_run=true")
    assert error is None
    assert conversion.report.checks["coverage"].status == "passed"
    assert conversion.report.status == "failed"  # nothing was proved
    assert conversion.report.source["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.pth"]


@pytest.mark.gpu
def test_on_the_gpu(run):
    conversion, error = run("device=auto", "verify.attention=all")
    assert error is None
    assert conversion.report.device in ("cuda", "mps")
    assert conversion.report.checks["attention"].status == "passed"


@pytest.mark.parametrize(
    ("overrides", "licence"),
    [((), None), (("license=cc-by-4.0",), "cc-by-4.0"), (("model.license=mit",), None)],
    ids=["unsaid", "said", "of the published file, which this is not"],
)
def test_the_card_has_the_licence_that_the_user_says(run, overrides, licence):
    conversion, error = run(*overrides)
    assert error is None
    card = (conversion.folder / "README.md").read_text()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata.get("license") == licence
    assert ("does not know the licence" in card) == (licence is None)
    assert AST.citation in card
