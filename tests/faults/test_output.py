"""Cases 47 to 55: output and disk."""

import pytest


@pytest.mark.fault(54, "the same input twice")
def test_the_same_input_gives_the_same_bytes(cli, came_out):
    written = []
    for _ in range(2):
        result = cli.tiny("overwrite=true")
        assert result.code == 0, result.err
        written.append((cli.model_folder() / "model.safetensors").read_bytes())
    assert written[0] == written[1]
    came_out("exit 0: byte-identical model.safetensors")
