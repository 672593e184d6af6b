"""What is computed ahead of the checks that ask for it."""

from types import SimpleNamespace

import pytest
import torch

from ast2hf.families.base import Activations
from ast2hf.proof.evidence import Evidence


class Original:
    """Counts its forwards."""

    def __init__(self):
        self.seen = []

    def __call__(self, features):
        assert torch.is_inference_mode_enabled()
        self.seen.append(features)
        return Activations((features,), features, features, features)


def evidence(of_the_folder, of_the_original):
    front_end = type("FrontEnd", (), {"sampling_rate": 16000, "__call__": lambda *_: of_the_original})()
    spec = SimpleNamespace(front_end=front_end)
    made = Evidence(
        spec, SimpleNamespace(features=lambda *_: of_the_folder), None, {}, SimpleNamespace(waveform=None),
        torch.device("cpu"),
    )  # fmt: skip
    made.__dict__["reference_model"] = Original()
    return made


@pytest.mark.parametrize("ahead", [(), ("reference",), ("original_end_to_end",), ("original_end_to_end", "reference")])
def test_both_outcomes_are_computed_once_whatever_was_begun_ahead(ahead):
    a, b = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    found = evidence(a, b)
    with found.ahead() as begin:
        for name in ahead:
            begin(name)
        assert torch.equal(found.reference.logits, a)
        assert torch.equal(found.original_end_to_end.logits, b)
    assert len(found.reference_model.seen) == 2


@pytest.mark.parametrize("ahead", [(), ("original_end_to_end", "reference")])
def test_equal_features_are_computed_with_once(ahead):
    found = evidence(torch.ones(1, 2, 2), torch.ones(1, 2, 2))
    with found.ahead() as begin:
        for name in ahead:
            begin(name)
        assert found.reference is found.original_end_to_end
    assert len(found.reference_model.seen) == 1


def test_what_fails_ahead_fails_for_whoever_asks():
    def fails(_):
        raise ValueError("no such original")

    found = evidence(torch.zeros(1), torch.ones(1))
    found.__dict__["reference_model"] = fails
    with found.ahead() as begin:
        begin("reference")
    with pytest.raises(ValueError, match="no such original"):
        _ = found.reference
