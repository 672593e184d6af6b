"""Each family at the size of its published models, with weights of the recipe, through the whole pipeline."""

import pytest

import ast2hf

PUBLISHED = {
    "ssast": {"frequency_stride": 10, "time_stride": 10, "max_length": 512, "num_labels": 50},
    "ssast_frame": {"frequency_stride": 128, "time_stride": 1, "max_length": 128, "num_labels": 35},
    "patchmix": {"frequency_stride": 10, "time_stride": 10, "max_length": 798, "num_labels": 4},
    "passt": {"frequency_stride": 10, "time_stride": 10, "max_length": 998, "num_labels": 527},
    "maest": {"frequency_stride": 10, "time_stride": 10, "max_length": 626, "num_labels": 400, "num_mel_bins": 96},
}
SIZES = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "patch_size": 16, "num_mel_bins": 128}


@pytest.mark.full
@pytest.mark.parametrize(("family", "exact_epsilon"), [*((family, False) for family in PUBLISHED), ("passt", True)])
def test_a_family_is_proved_at_the_size_of_its_published_models(tmp_path, family, exact_epsilon):
    sizes = {**SIZES, **PUBLISHED[family]}
    done = ast2hf.convert(
        "synthetic", model="custom", labels="none", audio="packaged", output_dir=tmp_path / "model",
        overrides=[
            f"model.family={family}", "model.pooling=cls", "stats=audioset", "loss=bce",
            f"model.exact_epsilon={str(exact_epsilon).lower()}", *(f"model.{key}={n}" for key, n in sizes.items()),
        ],
    )  # fmt: skip
    checks = done.report.checks
    assert done.report.family == family
    assert checks["logits"].status == checks["last_hidden_state"].status == "passed"
    assert checks["logits"].max_abs_diff <= (5e-6 if exact_epsilon else 5e-5)
    print(family, exact_epsilon, checks["last_hidden_state"].max_abs_diff, checks["logits"].max_abs_diff)
