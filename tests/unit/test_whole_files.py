"""Real files of any family, size, wrapper and prefix: an inspection finds the truth, or has it among the answers."""

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import ast2hf
from ast2hf.checkpoint import synthetic
from ast2hf.families import FAMILIES
from ast2hf.families.geometry import Geometry

PREFIXES = ("", "module.", "model.", "net.", "_orig_mod.", "ast.")
KEYS = ("state_dict", "model", "net", "weights", "ema")


@st.composite
def models(draw):
    """A family, and a geometry that its authors' code could have."""
    family = draw(st.sampled_from(["ast", "ssast", "passt", "maest"]))
    bins = 96 if family == "maest" else 128
    # PaSST's code makes positions for bins // stride rows; at other strides these are not the rows of its patches.
    strides = {"passt": (10, 12, 14, 16), "maest": (10, 14, 16)}.get(family, range(8, 17))
    frequency, time = draw(st.sampled_from(strides)), draw(st.integers(8, 16))
    columns = draw(st.integers(2, 6))
    return FAMILIES[family], Geometry(
        hidden_size=64, num_hidden_layers=draw(st.integers(1, 2)), num_attention_heads=1,
        num_labels=draw(st.integers(1, 9)), patch_size=16, frequency_stride=frequency, time_stride=time,
        max_length=16 + (columns - 1) * time, num_mel_bins=bins,
    )  # fmt: skip


@settings(
    max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    model=models(),
    keys=st.lists(st.sampled_from(KEYS), max_size=2),
    prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3),
    zipped=st.booleans(),
)
def test_the_truth_is_found_or_offered(tmp_path, model, keys, prefixes, zipped):
    family, geometry = model
    prefix = "".join(prefixes)
    value = synthetic.state_dict(family, geometry, 1, prefix)
    for key in reversed(keys):
        value = {key: value, "epoch": 3, "args": slice(1)}
    path = tmp_path / "model.pth"
    torch.save(value, path, _use_new_zipfile_serialization=zipped)

    found = ast2hf.inspect(path, overrides=[f"model.num_mel_bins={geometry.num_mel_bins}"])
    assert found.verdict != "refused", found.reason
    assert (list(found.keys), found.prefix) == (keys, prefix)
    offered = {found.family} | {
        word.partition("=")[2] for choice in found.candidates for word in choice.override.split() if "family=" in word
    }
    # The synthetic SSAST has the bias of an ImageNet classifier, which none has.
    assert family.name in offered or family.name == "ssast"
    assert {"hidden_size": 64, "num_hidden_layers": geometry.num_hidden_layers}.items() <= found.geometry.items()
    strides = {(r["frequency_stride"], r["time_stride"]) for r in found.readings}
    assert (geometry.frequency_stride, geometry.time_stride) in strides
