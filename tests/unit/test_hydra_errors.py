import pytest
from hydra.errors import HydraException, MissingConfigException
from support.models import compose

from ast2hf import hydra_errors


@pytest.mark.parametrize(
    ("launcher", "scale", "extra"),
    [
        ("joblib", "joblib", "joblib"),
        ("ray", "ray", "ray"),
        ("submitit_slurm", "slurm", "slurm"),
        ("submitit_local", "slurm_local", "slurm"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named(launcher, scale, extra):
    error = hydra_errors.explain(MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"]))
    assert error.cause == f"scale={scale} needs an extra that is not installed"
    assert error.remedy.startswith(f"run pip install 'ast2hf[{extra}]', or")
    assert error.exit_code == 2


def test_a_placeholder_that_was_left_in_is_named():
    with pytest.raises(HydraException) as caught:
        compose("model=custom", "model.max_length=CHOOSE")
    assert hydra_errors.explain(caught.value).cause == "model.max_length is still CHOOSE"
