"""Cases 42 to 46: the configuration."""

from __future__ import annotations

import pytest
import torch
from conftest import TINY_OVERRIDES

TOLERANCE = "verify.tolerances.logits.cpu.atol"


@pytest.fixture
def refused(cli):
    """The result of a command that must end with exit 2 and one line, and make no model."""

    def refused(*overrides: str):
        result = cli("experiment=offline", "tracking=off", *TINY_OVERRIDES, *overrides)
        assert result.code == 2, result.err
        assert result.error_line
        assert not (cli.outputs / "models").exists()
        return result

    return refused


@pytest.mark.fault(42, "an unknown key, a wrong type, an unknown choice, null")
def test_a_wrong_key_type_or_choice(refused, came_out):
    for override, message in (
        ("overwrit=true", "unknown key overwrit; did you mean overwrite?"),
        ("overwrite=maybe", "overwrite: Value 'maybe' is not a valid bool"),
        ("model=ast_16_61", "model=ast_16_61 is not a choice; did you mean ast_16_16?"),
        ("device=null", "null is not a choice: device=null"),
        ("model.sampling_rate=null", "model.sampling_rate must not be null"),
    ):
        result = refused(override)
        assert message in result.error_line
        came_out(result)


@pytest.mark.fault(43, "an unquoted URL")
def test_an_unquoted_url(refused, came_out):
    result = refused("checkpoint=https://host.example/a.pth?dl=1")
    assert """'checkpoint="https://host.example/a.pth?dl=1"'""" in result.error_line
    came_out(result)


@pytest.mark.fault(44, "a tolerance of -1, 0, NaN, infinity")
def test_tolerances(refused, came_out):
    for value in ("-1", "0", "nan", "inf"):
        result = refused(f"{TOLERANCE}={value}")
        assert f"{TOLERANCE} is {float(value)}; it must be > 0" in result.error_line
        came_out(result)


@pytest.mark.fault(45, "output_dir at or above the working directory or the home directory")
def test_the_working_directory_is_never_the_output(cli, came_out):
    for folder in (".", "..", "/", "x/..", str(cli.folder), "'~'"):
        for overrides in ([], ["overwrite=true"]):
            result = cli.tiny(f"output_dir={folder}", *overrides, HOME=str(cli.folder))
            assert result.code == 6, result.err
            assert "or contains it; set output_dir=… to a new folder" in result.error_line
            came_out(result)
    assert sorted(path.name for path in cli.folder.iterdir()) == ["outputs"]


@pytest.mark.fault(45, "output_dir with ~, spaces or umlauts, or relative; an empty paths.outputs")
def test_other_folders(cli, refused):
    home = cli.folder / "home"
    home.mkdir()
    for written, folder in (
        ("'~/a b/ü'", home / "a b/ü"),
        ("deep/er", cli.folder / "deep/er"),
        ("deep/../flat", cli.folder / "flat"),
    ):
        result = cli.tiny(f"output_dir={written}", HOME=str(home))
        assert result.code == 0, result.err
        assert (folder / "model.safetensors").exists()
    assert cli.tiny("paths.outputs='~/out'", HOME=str(home)).code == 0
    assert sorted(path.name for path in (home / "out").iterdir()) == ["models", "runs"]
    assert not (cli.folder / "~").exists()
    assert "paths.outputs is empty" in refused("paths.outputs=").error_line


@pytest.mark.fault(46, "device=cuda without CUDA")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_without_cuda(refused, came_out):
    result = refused("device=cuda")
    assert "device cuda is not available" in result.error_line
    came_out(result)
