"""The families of checkpoints that can be converted. Adding one: a folder here, and its line in FAMILIES."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ast2hf.families import foreign
from ast2hf.families.ast import AST
from ast2hf.families.base import Family
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST
from ast2hf.families.patchmix import PATCH_MIX
from ast2hf.families.ssast import SSAST, SSAST_FRAME

FAMILIES: Mapping[str, Family] = {family.name: family for family in (AST, SSAST, SSAST_FRAME, PATCH_MIX, MAEST, PASST)}


def recognise(names: Collection[str]) -> Family:
    """The family that tensors of these ``names`` belong to. Raises InputError that says what they look like instead."""
    for family in FAMILIES.values():
        if family.anchors[0] in names:
            return family
    raise foreign.refusal(names)
