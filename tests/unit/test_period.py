"""What position embeddings say of the grid: smooth ones show its columns, noise shows nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.fake_checkpoints import ast_shapes

from ast2hf import period
from ast2hf.config import Variant
from ast2hf.families import FAMILIES
from ast2hf.settling import settle

GRIDS = {600: [(12, 50), (15, 40), (10, 60), (8, 75)], 850: [(10, 85), (17, 50)], 80: [(10, 8), (8, 10)]}


def smooth(rows, columns, noise, seed=0, width=64):
    """Patches of a grid, (rows * columns, width): sums of waves that are longer than a few patches, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    waves = rng.uniform(-0.4, 0.4, (2, width)), rng.uniform(0, 2 * np.pi, width)
    values = np.sin(y[..., None] * waves[0][0] + x[..., None] * waves[0][1] + waves[1])
    return (values + noise * rng.standard_normal(values.shape)).reshape(rows * columns, width)


@pytest.mark.parametrize("noise", [0, 0.5, 1])
@pytest.mark.parametrize(("count", "grid"), [(count, grid) for count, grids in GRIDS.items() for grid in grids])
def test_a_smooth_grid_shows_its_columns(count, grid, noise):
    choices = {columns for _, columns in GRIDS[count]}
    found = period.columns(smooth(*grid, noise), choices)
    assert found == grid[1] or (noise == 1 and found is None)


def test_noise_shows_nothing():
    rng = np.random.default_rng(0)
    assert not [n for n in range(200) if period.columns(rng.standard_normal((600, 64)), {50, 40, 60, 75}) is not None]


@pytest.mark.parametrize("patches", [np.zeros((600, 8)), np.full((600, 8), np.nan), np.ones((600, 8))])
def test_nan_or_constant_positions_show_nothing(patches):
    assert period.columns(patches, {50, 40}) is None


def test_one_choice_is_none():
    assert period.columns(smooth(12, 50, 0), {50}) is None


def test_it_orders_the_answers_and_settles_nothing():
    variant = Variant(name="custom", mean=0.0, std=1.0, problem_type="multi_label_classification")
    for grid in GRIDS[600]:
        positions = np.concatenate([np.zeros((2, 64)), smooth(*grid, 0.2)])[None]
        found = settle(replace(variant), FAMILIES["ast"], ast_shapes(patches=600), {"v.pos_embed": positions}.get)
        assert found.strides is not None
        assert found.readings[0].columns == grid[1]
        assert "the position embeddings" in found.strides.choices[0].evidence
        assert any(f"repeat every {grid[1]} patches" in note for note in found.notes)
