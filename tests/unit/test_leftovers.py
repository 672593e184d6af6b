"""Tensors that no part of a model takes: known, asked about, or a reason to refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.fake_checkpoints import FakeCheckpoint, ast_shapes, prefixed

from ast2hf.config import Config, Variant
from ast2hf.covering import cover, left_over
from ast2hf.errors import InputError
from ast2hf.families import FAMILIES
from ast2hf.recognition import recognise

AST = FAMILIES["ast"]
VARIANT = Variant(name="custom", frequency_stride=16, time_stride=16, max_length=1024, num_mel_bins=128)


def covered(shapes, unused=None, *, prefix=None, dtypes=None, family=None):
    variant = replace(VARIANT, family=family)
    config = Config(model=variant, checkpoint_prefix=prefix)
    recognition = recognise(FakeCheckpoint({(): shapes}, dtypes=dtypes), config, variant)
    match = recognition.match
    table = AST.table("classification", match.state_dict.shapes)
    dimensions = AST.geometry(VARIANT, match.state_dict.shapes).dimensions()
    left = left_over(match, table, 2, recognition.others)
    return left, lambda: cover(match, table, 2, dimensions, recognition.others, unused)


def test_a_model_alone_leaves_nothing():
    left, make = covered(ast_shapes())
    assert not any((left.known, left.inside, left.outside))
    plan, left_out = make()
    assert left_out == {}
    assert len(plan.sources) == 5 + 2 * 12 + 2 + 4


FRONT_END = {
    "model.spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
    "model.logmel_extractor.melW": (513, 64),
    "loss_fn.pos_weight": (7,),
    "train_acc.tp": (7,),
}


def test_inert_tensors_are_left_out_with_the_reason():
    left, make = covered({**FRONT_END, **prefixed("model.", ast_shapes())}, dtypes={"train_acc.tp": "int64"})
    assert {name.rpartition(".")[2] for name in left.known} == {"weight", "melW", "pos_weight", "tp"}
    _, left_out = make()
    assert left_out == left.known
    assert all(left_out.values())


@pytest.mark.parametrize("unused", [None, "drop"])
@pytest.mark.parametrize("prefix", ["", "ast."])
def test_unknown_tensors_are_refused_unless_unused_is_drop(prefix, unused):
    shapes = {**prefixed(prefix, ast_shapes()), "projector.weight": (3, 192)}
    left, make = covered(shapes, unused)
    assert left.outside == {"projector.weight": (3, 192)}
    if unused:
        _, left_out = make()
        assert left_out == {"projector.weight": "not part of the model; left out by unused=drop"}
        return
    with pytest.raises(InputError, match=r"are not part of the model \(projector.weight \[3, 192\]\);") as caught:
        make()
    assert "unused=drop" in caught.value.remedy


@pytest.mark.parametrize(
    "name", ["v.blocks.0.attn.qkv.lora_A", "v.blocks.1.ls1.gamma", "v.blocks.2.norm1.weight", "v.loss.weight", "v.x"]
)
@pytest.mark.parametrize("unused", [None, "drop"])
def test_tensors_inside_the_model_are_never_left_out(name, unused):
    """An adapter, a scale, a further block change what it computes: dropping them would certify another function."""
    left, make = covered({**prefixed("net.", ast_shapes()), "net." + name: (192,)}, unused)
    assert name in left.inside
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        make()


def test_a_bare_name_outside_of_the_prefix_is_not_inside_the_model():
    left, make = covered({**prefixed("net.", ast_shapes()), "v.extra": (3,)}, "drop")
    assert left.outside == {"v.extra": (3,)}
    make()


def test_the_other_model_of_the_file_is_left_out_as_such():
    left, make = covered({**prefixed("net.", ast_shapes()), **prefixed("net_swa.", ast_shapes())}, prefix="net.")
    assert set(left.known.values()) == {"part of another model in the file, which was not chosen"}
    make()


def test_the_classifier_beside_the_model_is_not_another_model_s_although_the_family_was_set():
    """model.family narrows a place down; that place has not become another one."""
    beside = {"classifier.weight": (3, 192), "classifier.bias": (3,)}
    shapes = prefixed("model.", {**ast_shapes(), **beside})
    left, make = covered(shapes, family="ast")
    assert left.outside == prefixed("model.", beside)
    with pytest.raises(InputError, match=r"not part of the model \(model.classifier.weight"):
        make()
    assert covered(shapes)[0].outside == left.outside


def test_a_model_inside_another_s_prefix_keeps_its_own_tensors():
    student = {**ast_shapes(), "classifier.weight": (3, 192)}
    shapes = {**prefixed("model.", ast_shapes()), **prefixed("model.student.", student)}
    left, _ = covered(shapes, prefix="model.student.")
    assert left.outside == {"model.student.classifier.weight": (3, 192)}
    assert set(left.known) == set(prefixed("model.", ast_shapes()))


def test_misfits_are_listed_with_the_unknown_tensors():
    shapes = {**ast_shapes(), "v.norm.weight": (3,), "v.extra": (1,)}
    _, make = covered(shapes)
    with pytest.raises(InputError, match=r"2 tensors differ: v.norm.weight .*, unexpected v.extra"):
        make()


def test_hostile_counts_are_shown_in_part():
    _, make = covered({**ast_shapes(), **{f"x.{i}": (1,) for i in range(5000)}})
    with pytest.raises(InputError) as caught:
        make()
    assert "and 4980 more" in caught.value.cause
    assert len(str(caught.value)) < 4000
