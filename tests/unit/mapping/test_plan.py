"""The plan: complete, checked before a byte moves, and invertible."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st

from ast2hf.checkpoint import synthetic
from ast2hf.errors import InputError
from ast2hf.families.ast import AST
from ast2hf.families.base import ENCODER
from ast2hf.mapping.ops import Chunk
from ast2hf.mapping.plan import make_plan
from ast2hf.mapping.rules import Drop, Rule, expand, rename

SHAPES = synthetic.shapes(AST, TINY)
TABLE = AST.table("classification")


def plan_for(shapes, table=TABLE):
    return make_plan(table, TINY.num_hidden_layers, TINY.dimensions(), shapes)


def test_every_source_is_consumed_or_dropped_and_every_target_produced_once():
    plan = plan_for(SHAPES)
    assert set(plan.sources) | set(plan.dropped) == set(SHAPES)
    assert not set(plan.sources) & set(plan.dropped)
    assert sorted(plan.dropped) == ["v.head.bias", "v.head.weight", "v.head_dist.bias", "v.head_dist.weight"]
    assert len(plan.targets) == sum(len(step.targets) for step in plan.steps) == 5 + 16 * TINY.num_hidden_layers + 2 + 4


def test_published_size_has_203_targets():
    assert sum(len(r.targets) for r in expand(TABLE, 12) if not isinstance(r, Drop)) == 203


def test_query_key_and_value_are_the_thirds_of_qkv_in_this_order():
    source = {name: torch.from_numpy(synthetic.weight(name, shape, 1)) for name, shape in SHAPES.items()}
    target = dict(plan_for(SHAPES).tensors(source.__getitem__))
    prefix = "audio_spectrogram_transformer.encoder.layer.1.attention.attention."
    query, key, value = source["v.blocks.1.attn.qkv.weight"].chunk(3)
    assert torch.equal(target[prefix + "query.weight"], query)
    assert torch.equal(target[prefix + "key.weight"], key)
    assert torch.equal(target[prefix + "value.weight"], value)


def test_the_inverse_gives_the_original_state_dict_back_bit_for_bit():
    source = {name: torch.from_numpy(synthetic.weight(name, shape, 1)) for name, shape in SHAPES.items()}
    plan = plan_for(SHAPES)
    restored = dict(plan.reversed().tensors(dict(plan.tensors(source.__getitem__)).__getitem__))
    assert set(restored) == set(source) - set(plan.dropped)
    for name, tensor in restored.items():
        assert tensor.shape == source[name].shape
        assert torch.equal(tensor.view(torch.int32), source[name].view(torch.int32))


@st.composite
def tables(draw):
    """A random table of renames, splits and drops, with shapes that fit it."""
    rules, shapes = [], {}
    for i in range(draw(st.integers(1, 6))):
        parts = draw(st.integers(1, 4))
        rows, columns = parts * draw(st.integers(1, 3)), draw(st.integers(0, 3))
        shape = (rows, columns)
        source = f"s{i}"
        match draw(st.sampled_from(["rename", "split", "drop"])):
            case "rename":
                rules.append(rename(source, f"t{i}", shape))
            case "split":
                targets = tuple(f"t{i}.{p}" for p in range(parts))
                rules.append(Rule((source,), targets, Chunk(parts), (shape,)))
            case "drop":
                rules.append(Drop(source, "because", shape))
        shapes[source] = shape
    return tuple(rules), shapes


@given(tables(), st.integers(0, 2**31))
def test_any_table_inverts(table_and_shapes, seed):
    table, shapes = table_and_shapes
    generator = torch.Generator().manual_seed(seed)
    source = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    plan = make_plan(table, 0, {}, shapes)
    restored = dict(plan.reversed().tensors(dict(plan.tensors(source.__getitem__)).__getitem__))
    assert set(restored) | set(plan.dropped) == set(source)
    assert all(torch.equal(tensor, source[name]) for name, tensor in restored.items())


def test_a_missing_tensor_is_named_with_its_shape():
    shapes = {k: v for k, v in SHAPES.items() if k != "v.norm.bias"}
    with pytest.raises(InputError, match=r"1 tensor differs: missing v\.norm\.bias \[64\]"):
        plan_for(shapes)


def test_an_unexpected_tensor_is_named():
    with pytest.raises(InputError, match=r"unexpected v\.extra \[3\]"):
        plan_for(SHAPES | {"v.extra": (3,)})


def test_a_misshapen_tensor_is_named_with_expected_and_actual_shape():
    with pytest.raises(InputError, match=r"v\.cls_token has shape \[1, 1, 65\], expected \[1, 1, 64\]"):
        plan_for(SHAPES | {"v.cls_token": (1, 1, 65)})


def test_at_most_twenty_problems_are_shown_and_the_rest_counted():
    extra = {f"x{i}": (1,) for i in range(30)}
    with pytest.raises(InputError, match="30 tensors differ") as caught:
        plan_for(SHAPES | extra)
    assert caught.value.cause.count("unexpected") == 20
    assert "and 10 more" in caught.value.cause


def test_the_unused_classifiers_may_be_absent():
    shapes = {k: v for k, v in SHAPES.items() if not k.startswith("v.head")}
    assert not plan_for(shapes).dropped


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (rename("v.norm.bias", "elsewhere", ("hidden",)), r"uses source v\.norm\.bias twice"),
        (rename("another", "classifier.dense.bias", ("labels",)), r"makes target classifier\.dense\.bias twice"),
    ],
)
def test_a_table_that_contradicts_itself_is_a_defect_and_not_the_users_fault(extra, message):
    with pytest.raises(ValueError, match=message):
        plan_for(SHAPES, (*TABLE, extra))


def test_an_uneven_split_is_refused():
    with pytest.raises(ValueError, match="does not split into 2"):
        make_plan((Rule(("s",), ("a", "b"), Chunk(2), ((3,),)),), 0, {}, {"s": (3,)})


def test_an_operation_without_inverse_is_named():
    @dataclass(frozen=True)
    class Lossy:
        copies = False
        inverse = None

        def shapes(self, *sources):
            return sources

    plan = make_plan((Rule(("s",), ("t",), Lossy(), ((3,),)),), 0, {}, {"s": (3,)})
    with pytest.raises(ValueError, match="Lossy of s cannot be inverted"):
        plan.reversed()
    assert [len(part.steps) for part in plan.parts()] == [0, 1]


def test_without_a_head_the_encoder_has_the_names_of_ast_model():
    plan = plan_for(SHAPES, AST.table("none", SHAPES))
    whole = plan_for(SHAPES)
    assert [name for name in plan.dropped if name.startswith("mlp_head")] == [
        "mlp_head.0.weight", "mlp_head.0.bias", "mlp_head.1.weight", "mlp_head.1.bias",
    ]  # fmt: skip
    assert list(plan.targets) == [n.removeprefix(ENCODER) for n in whole.targets if n.startswith(ENCODER)]
