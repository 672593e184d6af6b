import pytest
from hydra.errors import MissingConfigException

from ast2hf import hydra_errors


@pytest.mark.parametrize(
    ("launcher", "line"),
    [
        ("joblib", "scale=joblib needs pip install 'ast2hf[joblib]'"),
        ("ray", "scale=ray needs pip install 'ast2hf[ray]'"),
        ("submitit_slurm", "scale=slurm needs pip install 'ast2hf[slurm]'"),
        ("submitit_local", "scale=slurm_local needs pip install 'ast2hf[slurm]'"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named(launcher, line):
    error = hydra_errors.explain(MissingConfigException("", f"hydra/launcher/{launcher}", ["basic"]))
    assert str(error).startswith(line)
    assert error.exit_code == 2
