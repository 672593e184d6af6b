"""The families of checkpoints that can be converted. Adding one: a folder here, and its line in FAMILIES."""

from __future__ import annotations

from collections.abc import Mapping

from ast2hf.families.ast import AST
from ast2hf.families.base import Family
from ast2hf.families.maest import MAEST
from ast2hf.families.passt import PASST
from ast2hf.families.patchmix import PATCH_MIX
from ast2hf.families.ssast import SSAST, SSAST_FRAME

_ALL: tuple[Family, ...] = (AST, SSAST, SSAST_FRAME, PATCH_MIX, PASST, MAEST)

FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}

DEFAULT = AST
"""The family of a synthetic checkpoint or of a folder to restore, if nothing names another."""
