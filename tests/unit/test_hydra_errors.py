import pytest
from hydra.errors import MissingConfigException

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
