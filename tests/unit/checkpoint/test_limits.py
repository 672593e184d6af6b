import pytest

from ast2hf.checkpoint import limits
from ast2hf.errors import InputError


def test_a_deep_model_is_refused():
    limits.check_layers(limits.MAX_LAYERS)
    with pytest.raises(InputError, match="has 6,000 layers, over the limit of 128"):
        limits.check_layers(6000)


def test_a_file_that_grows_is_refused():
    limits.check_growth([(10, 100)], 1000)
    with pytest.raises(InputError, match="would grow from 1,000 to 4,004 bytes, over the limit of 4 times"):
        limits.check_growth([(10, 100), ()], 1000)
