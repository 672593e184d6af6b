"""The reference of each family against the code of its authors. Sizes: 192 or 384 wide, 12 blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.family_cases import CASES
from support.in_memory import convert

from ast2hf.device import full_precision
from ast2hf.families.base import CLASSIFICATION, CLS, MEAN

pytestmark = pytest.mark.full

ATOL = 5e-6

FIGURES = [
    ("ast_tiny_ln_dropout_linear", CLS, ""),
    ("ast_small_f12_t16", CLS, ""),
    ("ssast_patch_finetuned", CLS, "_ft_cls"),
    ("ssast_patch_finetuned", MEAN, "_ft_avgtok"),
    ("ssast_frame_finetuned", CLS, "_ft_cls"),
    ("ssast_frame_finetuned", MEAN, "_ft_avgtok"),
    ("patchmix", CLS, ""),
]
"""Case, pooling, and what the names of its figures end with."""


COMPARED = ("logits", "pooled", "last_hidden_state")


def run(case, pooling, head=CLASSIFICATION, weights=None):
    reference = case.family.reference(case.geometry(head), weights or case.state_dict(), pooling)
    with full_precision():
        return reference(case.features())


def difference(actual, expected):
    return np.abs(actual.double().numpy() - expected).max()


def tokens(out, case):
    figure = case.figure("tokens")
    return difference(out.last_hidden_state[0][[0, 1, 2, -1], : figure.shape[1]], figure)


@pytest.mark.parametrize(("name", "pooling", "suffix"), FIGURES)
def test_reference_computes_what_the_authors_code_computes(name, pooling, suffix):
    case = CASES[name]
    out = run(case, pooling)
    assert difference(out.logits, case.figure(f"logits{suffix}")) <= ATOL
    assert difference(out.pooled, case.figure(f"pooled{suffix}")) <= ATOL
    assert tokens(out, case) <= ATOL


def test_a_pretrained_model_has_all_its_tokens():
    case = CASES["ssast_patch_pretrained"]
    out = run(case, CLS, head="none")
    assert out.logits is None
    assert tokens(out, case) <= ATOL
    norms = out.last_hidden_state[0].double().norm(dim=1).numpy()
    np.testing.assert_allclose(norms, case.figure("token_norms"), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "pooling", "suffix"),
    [("ssast_patch_finetuned", CLS, "_ft_avgtok"), ("ssast_frame_finetuned", MEAN, "_ft_cls")],
)
def test_the_other_pooling_is_far_off(name, pooling, suffix):
    case = CASES[name]
    assert difference(run(case, pooling).logits, case.figure(f"logits{suffix}")) > 0.1


def test_the_untrained_head_of_a_patch_mix_model_is_far_off():
    case = CASES["patchmix"]
    wrong = replace(case, family_name="ast")
    out = run(wrong, CLS, weights={n: t for n, t in case.state_dict().items() if not n.startswith("classifier")})
    assert difference(out.logits, case.figure("logits_untrained_mlp_head")) <= ATOL
    assert difference(out.logits, case.figure("logits")) > 0.1


def test_equal_strides_are_far_off_for_a_model_of_unequal_ones():
    case = CASES["ast_small_f12_t16"]  # 10 x 8 patches; so many in other rows
    other = replace(case, strides=(14, 12))  # 9 x 10
    weights = dict(case.state_dict())
    weights["v.pos_embed"] = torch.cat([weights["v.pos_embed"], weights["v.pos_embed"][:, -10:]], dim=1)
    assert difference(run(other, CLS, weights=weights).logits, case.figure("logits")) > 0.01


def test_frames_that_no_patch_reaches_change_nothing():
    case = CASES["ssast_frame_finetuned"]
    geometry = case.geometry(CLASSIFICATION)
    assert (geometry.patch_size, geometry.max_length, geometry.num_positions) == (128, 254, 129)
    reference = case.family.reference(geometry, case.state_dict(), CLS)
    padded = torch.cat([case.features(), torch.full((1, 126, 128), 9.0)], dim=1)
    assert torch.equal(reference(padded).logits, reference(case.features()).logits)


@pytest.mark.parametrize(("name", "suffix"), [(name, suffix) for name, pooling, suffix in FIGURES if pooling == CLS])
def test_transformers_computes_what_the_authors_code_computes(name, suffix, tmp_path):
    case = CASES[name]
    geometry, weights = case.geometry(CLASSIFICATION), case.state_dict()
    features = case.features(geometry.max_length)  # with frames to ignore, where a patch is two frames long
    in_float64 = {name: tensor.double() for name, tensor in weights.items()}
    expected = case.family.reference(geometry, in_float64, CLS)(features.double())
    off = {}
    for exact_epsilon, atol in ((False, 2e-5), (True, ATOL)):
        loaded = convert(tmp_path / str(exact_epsilon), case.family, geometry, weights, exact_epsilon=exact_epsilon)
        with full_precision():
            out = loaded(features)
        assert difference(out.logits, case.figure(f"logits{suffix}")) <= atol
        assert difference(out.pooled, case.figure(f"pooled{suffix}")) <= ATOL
        assert tokens(out, case) <= ATOL
        off[exact_epsilon] = {of: difference(getattr(out, of), getattr(expected, of).numpy()) for of in COMPARED}
    assert off[False]["logits"] > 3e-6  # what the option is for
    assert all(value <= 3e-6 for value in off[True].values()), off[True]
