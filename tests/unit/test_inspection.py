"""What task=inspect finds, its page, and the command that converts."""

from __future__ import annotations

import json
import shlex

import pytest
from support.fake_checkpoints import FAMILY_FILES, FakeCheckpoint, ast_shapes, family_file, prefixed
from support.models import compose

from ast2hf.config import Config, Variant
from ast2hf.errors import CHOOSE, ConfigurationError
from ast2hf.inspecting import inspect, override
from ast2hf.render.inspection import page
from ast2hf.validation import validate

GIVEN = ["task=inspect", "checkpoint=best.pth", "model=custom"]


def look(checkpoint, given=GIVEN, **said):
    return inspect(checkpoint, Config(model=Variant(name="custom", **said)), given)


def text(found):
    return "\n".join(page(found))


VERDICTS = {
    "ssast_patch_finetuned": ("ambiguous", None),
    "ssast_frame_finetuned": ("ambiguous", "ssast_frame"),
    "ssast_patch_pretrained": ("recognised", "ssast"),
    "ssast_frame_pretrained": ("recognised", "ssast_frame"),
    "passt_s10": ("recognised", "passt"),
    "maest_10s": ("recognised", "maest"),
    "patchmix": ("recognised", "patchmix"),
    "ast_no_distillation": ("refused", None),
    "ast_tiny_ln_dropout_linear": ("ambiguous", "ast"),
    "ast_small_f12_t16": ("ambiguous", "ast"),
}


@pytest.mark.parametrize("key", FAMILY_FILES)
def test_each_family_file_has_its_verdict_and_a_page(key):
    found = look(family_file(key))
    assert (found.verdict, found.family) == VERDICTS[key]
    assert (found.command is None) == (found.verdict == "refused")
    assert (found.reason is not None) == (found.verdict == "refused")
    assert bool(found.candidates) == (found.verdict == "ambiguous")
    shown = text(found)
    assert shown.splitlines()[0].startswith(f"best.pth: {found.verdict}")
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["verdict"] == found.verdict
    assert all(len(line) <= 110 for line in shown.splitlines() if line != f"  {found.command}")


@pytest.mark.parametrize("key", FAMILY_FILES)
def test_the_truth_is_found_or_listed(key):
    truth = {
        "ssast_patch_finetuned": (10, 10, 512), "ssast_frame_finetuned": (128, 1, 128),
        "ssast_patch_pretrained": (16, 16, 1024), "ssast_frame_pretrained": (128, 2, 1024), "passt_s10": (10, 10, 998),
        "maest_10s": (10, 10, 626), "patchmix": (10, 10, 798), "ast_tiny_ln_dropout_linear": (10, 10, 256),
        "ast_small_f12_t16": (12, 16, 128),
    }  # fmt: skip
    found = look(family_file(key))
    if key in truth:
        frequency, time, length = truth[key]
        assert any(
            (r["frequency_stride"], r["time_stride"]) == (frequency, time) and r["shortest"] <= length <= r["longest"]
            for r in found.readings
        )


def test_what_is_known_of_a_patch_mix_is_on_its_page():
    found = look(family_file("patchmix"))
    assert found.geometry["hidden_size"] == 192
    assert found.geometry["num_labels"] == 4
    assert found.dtypes == {"float32": 163}
    assert (found.keys, found.prefix, found.head, found.pooling) == (("model",), "", "classification", "cls")
    shown = text(found)
    for words in (
        "Patch-Mix AST (patchmix)", "under model", "192 wide, 12 blocks, 3 attention heads", "4 classes", "798 frames",
        "strides 10 x 10", "the classifier was never trained in the model", "stats=audioset", "loss=ce", "labels=none",
    ):  # fmt: skip
        assert words in " ".join(shown.split())


def test_sizes_that_strides_decide_are_unknown_while_they_are_open():
    found = look(family_file("ast_small_f12_t16"))
    assert not {"frequency_stride", "time_stride", "max_length", "num_positions"} & set(found.geometry)
    assert found.geometry["hidden_size"] == 384
    found = look(family_file("ast_small_f12_t16"), frequency_stride=12, time_stride=16)
    assert found.verdict == "recognised"
    assert found.geometry["max_length"] == 128


# The command


def words(found):
    return shlex.split(found.command)


def test_the_command_repeats_the_overrides_and_has_placeholders():
    assert words(look(family_file("patchmix"))) == [
        "ast2hf", "model=custom", "checkpoint=best.pth", "stats=CHOOSE", "loss=CHOOSE", "labels=CHOOSE",
    ]  # fmt: skip
    found = look(family_file("ssast_patch_finetuned"))
    assert {"model.family=CHOOSE", "model.pooling=CHOOSE", "model.max_length=CHOOSE"} < set(words(found))
    assert words(look(family_file("ssast_patch_pretrained")))[3:] == ["model.head=none", "stats=CHOOSE"]


def test_the_command_has_no_placeholders_if_everything_is_set():
    given = [*GIVEN, "stats=audioset", "loss=bce", "labels=none"]
    said = {"mean": 1.0, "std": 1.0, "problem_type": "multi_label_classification"}
    config = Config(model=Variant(name="custom", **said), labels="none")
    found = inspect(family_file("patchmix"), config, given, "python convert.py")
    assert found.command == ("python convert.py model=custom checkpoint=best.pth stats=audioset loss=bce labels=none")
    assert found.to_choose == ()


PLACEHOLDERS = [
    "stats", "loss", "model.family", "model.pooling", "model.frequency_stride", "model.time_stride",
    "model.max_length", "unused",
]  # fmt: skip


@pytest.mark.parametrize("key", PLACEHOLDERS)
def test_a_command_with_a_placeholder_left_in_is_an_error(key):
    with pytest.raises(Exception, match="CHOOSE"):
        validate(compose("model=custom", "checkpoint=x.pth", f"{key}={CHOOSE}"))


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("best.pth", "checkpoint=best.pth"),
        ("/a/b-1_2.pth", "checkpoint=/a/b-1_2.pth"),
        ("a b,c=d'.pth", 'checkpoint="a b,c=d\'.pth"'),
        ('q"uote.pth', 'checkpoint="q\\"uote.pth"'),
        ("x\\", 'checkpoint="x\\\\"'),
    ],
)
def test_a_path_is_quoted_as_the_command_line_needs_it(value, word):
    assert override("checkpoint", value) == word
    assert compose("model=custom", word).checkpoint == value


# Leftovers and refusals


def test_unknown_tensors_are_listed_and_the_command_asks_about_them():
    shapes = prefixed("net.", ast_shapes(patches=1212)) | {"projector.weight": (3, 3), "loss.pos_weight": (7,)}
    found = look(FakeCheckpoint({(): shapes}, opaque={"argparse.Namespace": 1}))
    assert found.verdict == "recognised"
    assert found.left_over["projector.weight"] is None
    assert found.left_over["loss.pos_weight"]
    assert "unused=CHOOSE" in words(found)
    shown = text(found)
    assert "unknown: projector.weight" in shown
    assert "argparse.Namespace (1): neither imported nor run" in shown


@pytest.mark.parametrize(
    ("shapes", "values", "said", "reason"),
    [
        ({"weight": (3, 3)}, {}, {}, "looks like an unknown model"),
        ({**ast_shapes(), "v.blocks.0.attn.qkv.lora_A": (4, 192)}, {}, {}, "unknown tensors inside the model"),
        ({**ast_shapes(), "v.norm.weight": (3,)}, {}, {}, "v.norm.weight has shape [3], expected [192]"),
        (ast_shapes(width=100), {}, {}, "number of attention heads cannot be derived"),
        (ast_shapes(), {}, {"family": "passt"}, "model.family=passt means PaSST"),
        (ast_shapes(), {}, {"max_length": 999}, "are model.max_length=999"),
    ],
)
def test_inconvertible_files_are_refused_with_the_reason(shapes, values, said, reason):
    found = look(FakeCheckpoint({(): shapes}, values), **said)
    assert found.verdict == "refused"
    assert reason in found.reason
    assert found.remedy
    assert found.command is None
    assert "reason" in text(found)


def test_head_norm_is_suggested_and_kept_in_the_command():
    shapes = {name: shape for name, shape in ast_shapes(patches=1212).items() if not name.startswith("mlp_head.0")}
    found = look(FakeCheckpoint({(): shapes}))
    assert (found.verdict, found.head) == ("recognised", "none")
    assert any("model.head_norm=plain" in note for note in found.notes)
    found = look(FakeCheckpoint({(): shapes}), [*GIVEN, "model.head_norm=plain"], head_norm="plain")
    assert (found.verdict, found.head, found.no_head) == ("recognised", "classification", None)
    assert "model.head_norm=plain" in words(found)
    assert "model.head=none" not in words(found)
    assert not any("head_norm" in note for note in found.notes)


def test_a_plain_norm_that_contradicts_the_tensors_is_refused():
    found = look(FakeCheckpoint({(): ast_shapes(patches=1212)}), head_norm="plain")
    assert found.verdict == "refused"
    assert "has no parameters, but the checkpoint has them (mlp_head.0.*)" in found.reason
    assert found.remedy == "leave out model.head_norm"


def test_figures_of_the_normalisation_that_look_rounded_are_remarked_on():
    checkpoint = FakeCheckpoint({(): ast_shapes(patches=1212)})
    assert "look like stats=audioset, rounded" in " ".join(text(look(checkpoint, mean=-4.268, std=4.569)).split())
    assert "stats=" not in text(look(checkpoint, mean=-5.1, std=4.2))


def test_an_untrained_head_is_an_encoder_with_the_reason():
    found = look(FakeCheckpoint({(): ast_shapes(patches=1212)}, {"mlp_head.0.weight": 1, "mlp_head.0.bias": 0}))
    assert (found.verdict, found.head) == ("recognised", "none")
    assert "never trained" in found.no_head
    assert "model.head=none" in words(found)


def test_hostile_names_and_counts_make_a_short_page():
    shapes = ast_shapes() | {f"\u202e\x1b[31m{i}" * 30: (1,) for i in range(2000)}
    shown = text(look(FakeCheckpoint({(): shapes}, opaque={f"os.\x1b{i}": 1 for i in range(5000)})))
    assert len(shown) < 40_000
    assert "\x1b" not in shown


def test_what_inspect_does_not_do_is_refused():
    for overrides, message in (
        (["task=inspect"], "task=inspect needs a checkpoint"),
        (["task=inspect", "checkpoint=x", "hub=push", "hub.repo_id=a/b"], "task=inspect does not write a model"),
        (["task=inspect", "checkpoint=x", "folder=y"], "folder is only for task=verify"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            validate(compose(*overrides))
