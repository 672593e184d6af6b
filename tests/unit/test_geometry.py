import pytest
from conftest import TINY

from ast2hf.checkpoint import synthetic
from ast2hf.config import Model
from ast2hf.errors import ConfigurationError, InputError
from ast2hf.geometry import Geometry, resolve

OPEN = Model(name="m", frequency_stride=16, time_stride=16, max_length=64)


@pytest.mark.parametrize(
    ("stride", "max_length", "positions"),
    [(10, 1024, 1214), (12, 1024, 852), (14, 1024, 659), (16, 1024, 514), (10, 128, 146)],
)
def test_positions_of_the_published_models(stride, max_length, positions):
    geometry = Geometry(768, 12, 12, 527, 16, stride, stride, max_length, 128)
    assert geometry.num_positions == positions


def test_what_is_open_is_read_from_the_tensors():
    assert resolve(OPEN, synthetic.shapes(TINY)) == TINY


def test_what_is_given_wins_over_the_tensors():
    given = Model(name="m", frequency_stride=16, time_stride=16, max_length=64, num_labels=9)
    assert resolve(given, synthetic.shapes(TINY)).num_labels == 9


def test_tensors_of_another_model_are_an_input_error():
    with pytest.raises(InputError, match=r"no usable tensor v\.cls_token"):
        resolve(OPEN, {"encoder.weight": (3, 3)})


def test_the_depth_is_the_number_of_blocks_and_not_the_largest_number_in_a_name():
    shapes = synthetic.shapes(TINY) | {"v.blocks.99999999999.norm1.weight": (64,)}
    assert resolve(OPEN, shapes).num_hidden_layers == 3


@pytest.mark.parametrize("name", ["v.cls_token", "mlp_head.1.weight"])
def test_sizes_of_zero_in_the_checkpoint_are_an_input_error(name):
    with pytest.raises(InputError, match=f"no usable tensor {name}"):
        resolve(OPEN, synthetic.shapes(TINY) | {name: (0, 0, 0)})


def test_head_count_that_cannot_be_told_must_be_given():
    with pytest.raises(ConfigurationError, match="attention heads cannot be told"):
        resolve(Model(name="m", hidden_size=100, frequency_stride=1, time_stride=1, max_length=64), {})


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
