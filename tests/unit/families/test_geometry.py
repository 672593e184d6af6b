from dataclasses import replace

import pytest
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.config import Variant
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.families.ast import AST
from ast2hf.families.geometry import Geometry

OPEN = Variant(name="m", frequency_stride=16, time_stride=16, max_length=64, num_mel_bins=128)


@pytest.mark.parametrize(
    ("stride", "max_length", "positions"),
    [(10, 1024, 1214), (12, 1024, 852), (14, 1024, 659), (16, 1024, 514), (10, 128, 146)],
)
def test_positions_of_the_published_models(stride, max_length, positions):
    geometry = Geometry(768, 12, 12, 527, 16, stride, stride, max_length, 128)
    assert geometry.num_positions == positions


def test_unset_sizes_are_read_from_the_tensors():
    assert AST.geometry(OPEN, synthetic.shapes(AST, TINY)) == TINY


def test_settings_take_precedence_over_the_tensors():
    given = replace(OPEN, num_labels=9)
    assert AST.geometry(given, synthetic.shapes(AST, TINY)).num_labels == 9


def test_tensors_of_another_model_are_an_input_error():
    with pytest.raises(InputError, match=r"no usable tensor v\.cls_token"):
        AST.geometry(OPEN, {"encoder.weight": (3, 3)})


def test_the_depth_is_the_number_of_blocks_and_not_the_largest_number_in_a_name():
    shapes = synthetic.shapes(AST, TINY) | {"v.blocks.99999999999.norm1.weight": (64,)}
    assert AST.geometry(OPEN, shapes).num_hidden_layers == 3


@pytest.mark.parametrize(
    ("name", "shape"),
    [("v.cls_token", (0, 0, 0)), ("mlp_head.1.weight", (0, 64)), ("v.blocks.0.mlp.fc1.weight", (0, 64))],
)
def test_sizes_of_zero_in_the_checkpoint_are_an_input_error(name, shape):
    with pytest.raises(InputError, match=f"no usable tensor {name}"):
        AST.geometry(OPEN, synthetic.shapes(AST, TINY) | {name: shape})


def test_the_width_of_the_feed_forward_layers_is_read_from_the_tensors():
    shapes = synthetic.shapes(AST, TINY) | {"v.blocks.0.mlp.fc1.weight": (128, 64)}
    geometry = AST.geometry(OPEN, shapes)
    assert (geometry.intermediate_size, geometry.as_dict()["intermediate_size"]) == (128, 128)
    assert "mlp_size" not in geometry.as_dict()
    assert replace(TINY, mlp_size=4 * TINY.hidden_size) == TINY


@pytest.mark.parametrize("name", ["frequency_stride", "time_stride", "max_length", "num_mel_bins"])
def test_sizes_that_tensors_do_not_show_must_be_set(name):
    with pytest.raises(ConfigurationError, match=f"model.{name} cannot be read from"):
        AST.geometry(replace(OPEN, **{name: None}), synthetic.shapes(AST, TINY))


def test_the_patch_is_read_from_the_kernel_where_it_is_open():
    shapes = synthetic.shapes(AST, replace(TINY, patch_size=8, frequency_stride=8, time_stride=8))
    assert AST.geometry(replace(OPEN, patch_size=None), shapes).patch_size == 8


def test_the_number_of_heads_must_be_given_for_an_unusual_width():
    with pytest.raises(ConfigurationError, match="number of attention heads cannot be derived"):
        AST.geometry(Variant(name="m", hidden_size=100, frequency_stride=1, time_stride=1, max_length=64), {})


@pytest.mark.parametrize("field", ["hidden_size", "frequency_stride", "max_length"])
def test_sizes_must_be_positive(field):
    with pytest.raises(ConfigurationError, match=field):
        Geometry(**{**TINY.__dict__, field: 0})


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigurationError, match="not a multiple"):
        Geometry(**{**TINY.__dict__, "num_attention_heads": 3})


def test_a_patch_must_fit_the_input():
    with pytest.raises(ConfigurationError, match="does not fit"):
        Geometry(**{**TINY.__dict__, "max_length": 8})


def test_a_model_without_a_head_has_no_labels_and_needs_none():
    shapes = {name: shape for name, shape in synthetic.shapes(AST, TINY).items() if not name.startswith("mlp_head")}
    geometry = AST.geometry(replace(OPEN, head="none"), shapes)
    assert geometry == replace(TINY, num_labels=None)
    assert "num_labels" not in geometry.as_dict()
    with pytest.raises(InputError, match=r"no classifier \(no mlp_head\.\*\)"):
        AST.geometry(OPEN, shapes)
