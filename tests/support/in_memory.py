"""A conversion without a checkpoint file: tensors in memory to a model folder, by the plan of their family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ast2hf.families.base import CLASSIFICATION, CLS, Family
from ast2hf.families.exact import HEAD_EPSILON
from ast2hf.families.geometry import Geometry
from ast2hf.formats.base import Loaded, Spec
from ast2hf.formats.huggingface import HUGGING_FACE, config, names
from ast2hf.mapping.plan import Plan, make_plan
from ast2hf.output.files import write_json

if TYPE_CHECKING:
    from torch import Tensor


def plan_of(
    family: Family, geometry: Geometry, state_dict: Mapping[str, Tensor], head: str = CLASSIFICATION,
    exact_epsilon: bool = False, head_norm: str | None = None,
) -> Plan:  # fmt: skip
    shapes = {name: tuple(tensor.shape) for name, tensor in state_dict.items()}
    table = family.table(head, shapes, exact_epsilon, head_norm)
    return make_plan(table, geometry.num_hidden_layers, geometry.dimensions(), shapes)


def convert(
    folder: Path, family: Family, geometry: Geometry, state_dict: Mapping[str, Tensor], head: str = CLASSIFICATION,
    exact_epsilon: bool = False, head_norm: str | None = None,
) -> Loaded:  # fmt: skip
    """The model that transformers loads from what is written into the new ``folder``."""
    import torch
    from safetensors.torch import save_file

    plan = plan_of(family, geometry, state_dict, head, exact_epsilon, head_norm)
    count = geometry.num_labels
    labels = None if count is None else tuple(f"class {i}" for i in range(count))
    epsilon = HEAD_EPSILON if exact_epsilon else 1e-6
    spec = Spec(family, head, geometry, plan, None, labels, "", epsilon, CLS, exact_epsilon)
    folder.mkdir()
    tensors = {name: tensor.clone() for name, tensor in plan.tensors(state_dict.__getitem__)}
    save_file(tensors, folder / names.WEIGHTS, metadata={"format": "pt"})
    value = config.config(spec)
    value.pop("problem_type", None)
    write_json(folder / names.CONFIG, value)
    return HUGGING_FACE.load(folder, torch.device("cpu"))
