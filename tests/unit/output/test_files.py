import errno

import pytest

from ast2hf.errors import OutputError
from ast2hf.output import files


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})


def test_the_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"absent/x.json cannot be written \(No such file or directory\)"):
        files.write_json(tmp_path / "absent" / "x.json", {})


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some space"), (errno.EFBIG, "ulimit -f"), (errno.ENOSYS, "supports locks")],
)
def test_each_cause_has_its_remedy(tmp_path, number, remedy):
    assert remedy in files.write_error(tmp_path, OSError(number, "so")).remedy
