"""What fuzzing runs: the whole way of a checkpoint from its bytes to verified weights, without the forward pass."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from ast2hf.geometry import Geometry, resolve
from ast2hf.huggingface import weights
from ast2hf.mapping.ast import TABLE
from ast2hf.mapping.foreign import require_ast
from ast2hf.report.report import Report
from ast2hf.verify.ladder import check_weights

from ast2hf.checkpoint import synthetic
from ast2hf.checkpoint.state_dict import open_checkpoint
from ast2hf.config import Model
from ast2hf.errors import InputError
from ast2hf.families.ast import AST
from ast2hf.mapping.plan import make_plan

SMALLEST = Geometry(
    hidden_size=2,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_labels=2,
    patch_size=2,
    frequency_stride=2,
    time_stride=2,
    max_length=4,
    num_mel_bins=4,
)

_MODEL = Model(
    name="m", num_attention_heads=1, patch_size=2, frequency_stride=2, time_stride=2, max_length=4, num_mel_bins=4
)


def valid(zipped: bool) -> bytes:
    """A sound checkpoint, with a shared storage, a transposed tensor and three types: 9 KB as zip, 4 KB as legacy."""
    tensors = synthetic.state_dict(AST, SMALLEST, 0, prefix="")
    norm = torch.stack([tensors["v.norm.weight"], tensors["v.norm.bias"]])
    tensors["v.norm.weight"], tensors["v.norm.bias"] = norm
    tensors["v.blocks.0.mlp.fc1.weight"] = tensors["v.blocks.0.mlp.fc1.weight"].t().contiguous().t()
    tensors["mlp_head.1.weight"] = tensors["mlp_head.1.weight"].to(torch.float16)
    tensors["mlp_head.1.bias"] = tensors["mlp_head.1.bias"].to(torch.float64)
    buffer = io.BytesIO()
    wanted = {f"module.{name}": value for name, value in tensors.items() if "v.head" not in name}
    torch.save(wanted, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def examiner(folder: Path) -> Callable[[bytes], str | None]:
    """A function that says of a file why it is refused, or None if it is converted and verified in ``folder``.

    Whatever else the function raises is a defect: a crash, or weights that are not those that torch.load reads.
    """
    path, written = folder / "fuzzed.pth", folder / weights.FILENAME

    def examine(content: bytes) -> str | None:
        path.write_bytes(content)
        written.unlink(missing_ok=True)
        try:
            with open_checkpoint(path) as checkpoint:
                require_ast(checkpoint.shapes)
                geometry = resolve(_MODEL, checkpoint.shapes)
                plan = make_plan(TABLE, geometry.num_hidden_layers, geometry.dimensions(), checkpoint.shapes)
                weights.write(written, plan, checkpoint)
                check_weights(Report(""), folder, plan, checkpoint.load_with_torch())
        except InputError as error:
            refusal = str(error)
        else:
            return None
        assert refusal.isprintable()
        return refusal

    return examine
