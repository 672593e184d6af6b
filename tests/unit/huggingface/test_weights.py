import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file

from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.huggingface import weights
from ast2hf.mapping.ast import TABLE
from ast2hf.mapping.plan import make_plan


@pytest.fixture
def plan_of():
    return lambda checkpoint: make_plan(TABLE, TINY.num_hidden_layers, TINY.dimensions(), checkpoint.shapes)


def test_safetensors_reads_what_the_plan_says(tmp_path, tiny_checkpoint, plan_of):
    with open_checkpoint(tiny_checkpoint) as checkpoint:
        plan = plan_of(checkpoint)
        size = weights.write(tmp_path / "w.safetensors", plan, checkpoint)
        expected = plan.apply(checkpoint.load_with_torch())
    written = load_file(tmp_path / "w.safetensors")
    assert size == (tmp_path / "w.safetensors").stat().st_size
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)


def test_the_header_is_padded_so_that_tensors_are_aligned(tiny_checkpoint, plan_of):
    with open_checkpoint(tiny_checkpoint) as checkpoint:
        header = weights.header(plan_of(checkpoint))
    assert len(header) % 8 == 0
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    assert b'"__metadata__":{"format":"pt"}' in header


def test_an_existing_file_is_not_overwritten(tmp_path, tiny_checkpoint, plan_of):
    (tmp_path / "w").write_text("mine")
    with open_checkpoint(tiny_checkpoint) as checkpoint, pytest.raises(FileExistsError):
        weights.write(tmp_path / "w", plan_of(checkpoint), checkpoint)


def test_tensors_that_are_not_plain_are_converted(tmp_path, tiny_checkpoint, plan_of):
    state = torch.load(tiny_checkpoint, weights_only=True)
    name = "module.v.blocks.0.attn.qkv.weight"
    state[name] = state[name].T.contiguous().T
    state["module.v.norm.bias"] = state["module.v.norm.bias"].double()
    torch.save(state, tiny_checkpoint)
    with open_checkpoint(tiny_checkpoint) as checkpoint:
        assert not checkpoint.tensors["v.blocks.0.attn.qkv.weight"].is_plain
        plan = plan_of(checkpoint)
        weights.write(tmp_path / "w", plan, checkpoint)
    written = load_file(tmp_path / "w")
    restored = dict(plan.invert(written.__getitem__))
    assert torch.equal(restored["v.blocks.0.attn.qkv.weight"], state[name])
    assert torch.equal(restored["v.norm.bias"], state["module.v.norm.bias"].float())
