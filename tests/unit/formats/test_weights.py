from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file

from ast2hf.checkpoint import second_reading
from ast2hf.checkpoint.selection import Part
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.families.ast import AST
from ast2hf.formats.huggingface import weights
from ast2hf.mapping.plan import make_plan
from ast2hf.mapping.rules import Rule

TABLE = AST.table("classification")


@contextmanager
def opened(path, prefix="module."):
    with open_checkpoint(path) as checkpoint:
        yield checkpoint.select([Part(prefix=prefix)])


@pytest.fixture
def plan_of():
    return lambda state_dict: make_plan(TABLE, TINY.num_hidden_layers, TINY.dimensions(), state_dict.shapes)


def test_safetensors_reads_what_the_plan_says(tmp_path, tiny_checkpoint, plan_of):
    with opened(tiny_checkpoint) as state_dict:
        plan = plan_of(state_dict)
        size = weights.write(tmp_path / "w.safetensors", plan, state_dict)
        expected = dict(plan.tensors(second_reading.load(state_dict).__getitem__))
    written = load_file(tmp_path / "w.safetensors")
    assert size == (tmp_path / "w.safetensors").stat().st_size
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)


def test_the_header_is_padded_so_that_tensors_are_aligned(tiny_checkpoint, plan_of):
    with opened(tiny_checkpoint) as state_dict:
        header = weights.header(plan_of(state_dict))
    assert len(header) % 8 == 0
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    assert b'"__metadata__":{"format":"pt"}' in header


def test_an_existing_file_is_not_overwritten(tmp_path, tiny_checkpoint, plan_of):
    (tmp_path / "w").write_text("mine")
    with opened(tiny_checkpoint) as state_dict, pytest.raises(FileExistsError):
        weights.write(tmp_path / "w", plan_of(state_dict), state_dict)


def test_tensors_that_are_not_plain_are_converted(tmp_path, tiny_checkpoint, plan_of):
    state = torch.load(tiny_checkpoint, weights_only=True)
    name = "module.v.blocks.0.attn.qkv.weight"
    state[name] = state[name].T.contiguous().T
    state["module.v.norm.bias"] = state["module.v.norm.bias"].double()
    torch.save(state, tiny_checkpoint)
    with opened(tiny_checkpoint) as state_dict:
        assert not state_dict.tensors["v.blocks.0.attn.qkv.weight"].is_plain
        plan = plan_of(state_dict)
        weights.write(tmp_path / "w", plan, state_dict)
    written = load_file(tmp_path / "w")
    restored = dict(plan.reversed().tensors(written.__getitem__))
    assert torch.equal(restored["v.blocks.0.attn.qkv.weight"], state[name])
    assert torch.equal(restored["v.norm.bias"], state["module.v.norm.bias"].float())


@dataclass(frozen=True)
class Doubled:
    """An operation that computes: its target is not a run of bytes of the file."""

    copies = False
    inverse = None

    def __call__(self, *sources):
        return tuple(2 * source for source in sources)

    def shapes(self, *sources):
        return sources


def test_computed_and_copied_tensors_are_written_together(tmp_path, tiny_checkpoint):
    table = tuple(
        replace(rule, op=Doubled()) if isinstance(rule, Rule) and rule.sources == ("v.norm.bias",) else rule
        for rule in TABLE
    )
    with opened(tiny_checkpoint) as state_dict:
        plan = make_plan(table, TINY.num_hidden_layers, TINY.dimensions(), state_dict.shapes)
        weights.write(tmp_path / "w", plan, state_dict)
        original = second_reading.load(state_dict)
    written = load_file(tmp_path / "w")
    prefix = "audio_spectrogram_transformer.layernorm."
    assert torch.equal(written[prefix + "bias"], 2 * original["v.norm.bias"])
    assert torch.equal(written[prefix + "weight"], original["v.norm.weight"])


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_the_layout_of_the_checkpoint_does_not_show_in_the_weights(
    tmp_path, tiny_checkpoint, plan_of, zipped, prefix, dtype
):
    def written(state: dict[str, torch.Tensor], name: str, prefix: str = "module.", **layout: bool) -> bytes:
        torch.save(state, tiny_checkpoint, **layout)
        with opened(tiny_checkpoint, prefix) as state_dict:
            weights.write(tmp_path / name, plan_of(state_dict), state_dict)
        return (tmp_path / name).read_bytes()

    state = {key: value.to(dtype) for key, value in torch.load(tiny_checkpoint, weights_only=True).items()}
    float32 = {key: value.to(torch.float32) for key, value in state.items()}  # the same values, whatever the type
    renamed = {prefix + key.removeprefix("module."): value for key, value in state.items()}
    expected = written(float32, "expected")
    assert written(renamed, "found", prefix, _use_new_zipfile_serialization=zipped) == expected
