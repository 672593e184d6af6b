"""What fuzzing runs: the whole way of a checkpoint from its bytes to verified weights, without the forward pass.

Whatever is accepted is read with torch.load besides, which is no part of a conversion, and compared tensor by tensor.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ast2hf.checkpoint import limits, second_reading, synthetic
from ast2hf.checkpoint.state_dict import StateDict, open_checkpoint
from ast2hf.config import Config, Variant
from ast2hf.covering import cover
from ast2hf.errors import InputError, QuestionError
from ast2hf.families.ast import AST
from ast2hf.families.geometry import Geometry
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import HUGGING_FACE, names, weights
from ast2hf.mapping.plan import Plan
from ast2hf.proof import checks, compare
from ast2hf.proof.evidence import Evidence
from ast2hf.recognition import recognise

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

_VARIANT = Variant(
    name="m", family="ast", num_attention_heads=1, patch_size=2, frequency_stride=2, time_stride=2, max_length=4,
    num_mel_bins=4, mean=0.0, std=1.0,
)  # fmt: skip


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


def verify(folder: Path, geometry: Geometry, plan: Plan, state_dict: StateDict) -> None:
    """Raise AssertionError where the written weights are not those that are read the second time, and by torch.load."""
    spec = Spec(AST, _VARIANT.head, geometry, plan, AST.front_end(_VARIANT), None, "", 1e-6)
    with state_dict.checkpoint.watch.unchanged() as all_read:
        original = second_reading.load(state_dict)
        all_read()
        evidence = Evidence(spec, HUGGING_FACE, folder, original, clip=None, device=torch.device("cpu"))
        found = checks.CHECKS["weights"](evidence, None)
    assert found.status == "passed", found.reason
    same_as_torch(state_dict, original)


def same_as_torch(state_dict: StateDict, original: dict[str, Tensor]) -> None:
    """Raise AssertionError where torch.load reads the file, and reads other tensors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root = torch.load(state_dict.checkpoint.path, map_location="cpu", weights_only=True)
    except Exception:
        return  # it is stricter, or finds nothing: it does not read anything else
    for part in state_dict.parts:
        value = root
        for key in part.keys:
            value = value[key]
        for name, tensor in dict.items(value):
            if part.takes(name):
                same = tensor.detach().float(), original[part.renamed(name)]
                assert compare.bitwise_equal(*same), f"torch.load reads another {name}"


def examiner(folder: Path) -> Callable[[bytes], str | None]:
    """A function that says of a file why it is refused, or None if it is converted and verified in ``folder``.

    Whatever else the function raises is a defect: a crash, or weights that are not those that another reader finds.
    """
    path, written = folder / "fuzzed.pth", folder / names.WEIGHTS

    def examine(content: bytes) -> str | None:
        path.write_bytes(content)
        written.unlink(missing_ok=True)
        try:
            with open_checkpoint(path) as checkpoint:
                recognition = recognise(checkpoint, Config(model=_VARIANT), _VARIANT)
                match = recognition.match
                state_dict, family = match.state_dict, match.family
                geometry = family.geometry(_VARIANT, state_dict.shapes)
                limits.check_layers(geometry.num_hidden_layers)
                table = family.table(_VARIANT.head, state_dict.shapes)
                layers, dimensions = geometry.num_hidden_layers, geometry.dimensions()
                plan, _ = cover(match, table, layers, dimensions, recognition.others, None)
                limits.check_growth(plan.targets.values(), checkpoint.nbytes)
                weights.write(written, plan, state_dict)
                verify(folder, geometry, plan, state_dict)
        except (InputError, QuestionError) as error:
            refusal = str(error)
        else:
            return None
        assert refusal.isprintable()
        return refusal

    return examine
