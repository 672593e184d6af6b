"""What a command did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """``code``: the exit code, negative for the signal that ended the process."""

    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The one line that an expected error prints; fails the test if there are more, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]
