"""Bad checkpoints given to the command line, and all that it owes whoever gives one."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from conftest import Cli, Result

from ast2hf.formats.huggingface import names
from ast2hf.output.up_to_date import file_hashes

FILE = "bad.pth"

GEOMETRY = ("model.frequency_stride=16", "model.time_stride=16", "model.max_length=64")
"""Of conftest.TINY: what its tensors do not show."""


class Converted(NamedTuple):
    """``files``: the hash of each file of the model. ``log``: that of the run."""

    files: dict[str, str]
    log: str
    result: Result


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_MEASURED = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
# A process of its own, because at its start a child counts the pages of its parent, here those of pytest with torch.


def saved(value: object, zipped: bool = True) -> bytes:
    """What torch.save writes, as zip or in the legacy format."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


class Part(torch.nn.Module):
    """A module with any parts."""


def as_module(tensors: dict[str, torch.Tensor]) -> Part:
    """A module whose state dict is ``tensors``. Their names have no prefix."""
    root = Part()
    for name, value in tensors.items():
        *path, last = name.split(".")
        module = root
        for key in path:
            if key not in module._modules:
                module.add_module(key, Part())
            module = module._modules[key]
        module.register_parameter(last, torch.nn.Parameter(value))
    assert root.state_dict().keys() == tensors.keys()
    return root


SAID = ("stats=audioset", "loss=bce")
"""What no file says of the training."""

CUSTOM = ("model=custom", f"checkpoint={FILE}", "labels=none", "audio=packaged", "tracking=off", *SAID, *GEOMETRY)


def convert(cli: Cli, content: bytes, *arguments: str) -> Result:
    (cli.folder / FILE).write_bytes(content)
    return cli(*CUSTOM, *arguments)


def converted(cli: Cli, content: bytes, name: str) -> Converted:
    """The checkpoint ``content``, converted to the folder ``name``."""
    result = convert(cli, content, f"output_dir={name}")
    assert result.code == 0, result.err
    return Converted(file_hashes(cli.folder / name, names.MODEL_FILES), _logs(cli)[-1], result)


def refused(cli: Cli, content: bytes, *arguments: str, run: Callable[..., Result] | None = None) -> Result:
    """The refusal of a checkpoint: one line, nothing published, nothing changed, nothing left, nothing raw."""
    (cli.folder / FILE).write_bytes(content)
    before = _files(cli.folder)
    result = (run or cli)(*CUSTOM, *arguments)
    assert result.code == 3, result.err
    cause, _, remedy = result.error_line.partition("; ")
    assert cause
    assert remedy
    assert _files(cli.folder) == before
    for shown in (result.out, result.err, *_logs(cli)):
        assert not _CONTROL.search(shown), repr(shown)
        assert "weights_only" not in shown
    for run in (cli.outputs / "runs").iterdir():
        assert {p.name for p in run.iterdir()} <= {".hydra", "ast2hf.log", "conversion_report.json"}
    return result


def asked(cli: Cli, content: bytes, *arguments: str) -> tuple[Result, list[str]]:
    """The question about a checkpoint, and its answers: exit 2, the answers one a line, nothing written or changed."""
    (cli.folder / FILE).write_bytes(content)
    before = _files(cli.folder)
    result = cli(f"checkpoint={FILE}", "labels=none", "audio=packaged", "tracking=off", *arguments)
    assert result.code == 2, result.err
    assert _files(cli.folder) == before
    lines = result.err.splitlines()
    answers = lines[lines.index(result.error_line) + 1 :]
    assert answers
    assert not _CONTROL.search(result.err)
    return result, [answer.partition(": ")[0].strip() for answer in answers]


def refused_measured(cli: Cli, content: bytes, *arguments: str) -> tuple[Result, float, float]:
    """The refusal, its seconds (start of Python and imports included) and the peak of its memory in MB."""
    result = refused(cli, content, *arguments, run=partial(cli.cold, wrapper=(sys.executable, "-c", _MEASURED)))
    seconds, kilobytes = result.err.splitlines()[-1].split()
    return result, float(seconds), int(kilobytes) / 1e3


def _files(folder: Path) -> dict[str, bytes | None]:
    """By path: the content of each file, None for each folder; without the runs, which each command adds to."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "runs" not in path.parts and path not in (folder / "outputs", folder / "outputs/models")
    }


def _logs(cli: Cli) -> list[str]:
    return [path.read_text() for path in sorted((cli.outputs / "runs").glob("*/ast2hf.log"))]
