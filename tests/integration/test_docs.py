"""The commands and snippets of README, CONTRIBUTING and docs/ are run as they stand there.

Each page is followed from top to bottom in a folder of its own, which has the files that the pages speak of. Models are
tiny, and what the network would give is synthetic. What cannot be run here is named below, with the reason, and is at
least composed.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, TINY, TINY_OVERRIDES, Cli, Result, compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob

from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST
from ast2hf.validation import validate

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

ESC50 = replace(TINY, num_labels=50, frequency_stride=10, time_stride=10, max_length=512)
"""The input of the authors' recipe for ESC-50."""

LANGUAGES = {"bash", "python", "text", "yaml"}
"""Of blocks: commands, snippets, what a command prints, files."""

FAIL = "docs/errors.md"
"""The page whose commands are to fail."""

ONLY_COMPOSED = {
    "device=cuda": "a GPU",
    "hub=push": "the Hub; tests/integration/test_hub_push.py runs it",
    "http://": "a server; tests/integration/test_tracking_server.py runs it",
    "https://": "the network",
    "CHECKPOINT_URL": "the network",
    "folder=MIT/": "the Hub",
    "glob(ast_*)": "eight jobs, as sweep=all has them",
    "scale=slurm": "Slurm; tests/integration/test_launchers.py runs slurm_local",
    "scale=ray": "Ray; tests/integration/test_launchers.py runs it",
    "scale=joblib": "processes; tests/integration/test_launchers.py runs it",
    "always": "the official checkpoint",
}
"""What needs more than this machine has, or more time than a test should take."""

ELSEWHERE = {
    "split -l 500": "tests/integration/test_launchers.py runs the loop",
    'eval "$(ast2hf --shell-completion': "tests/unit/cli/test_completion.py",
    "source .venv/bin/activate": "the environment of the tests is in use",
    "pip install": "needs a package index; make dist installs the wheel",
    "mlflow ui": "goes on until it is ended; tests/integration/test_browser.py opens it",
    "mlflow server": "a server; tests/integration/test_tracking_server.py starts one",
    "mlflow models serve": "a server; tests/integration/test_registry.py serves a model",
    "curl http://127.0.0.1:5001/invocations": "asks that server; tests/integration/test_registry.py does",
    "createdb": "PostgreSQL; tests/integration/test_tracking_server.py makes one",
}
"""Lines that are not commands of ast2hf, and where they are tried, or why not."""


LAUNCHERS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
"""What ``scale=`` needs; Ray has a target of its own in the Makefile, and may be missing."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"))
    return [Block(language, text) for language, text in found]


def commands(text: str) -> list[str]:
    """One a line, without comments; a loop whole."""
    if "\nfor " in text:
        return [text]
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"(^|\s)#\s.*", "", line).strip() for line in lines) if line]


@dataclass
class Reader:
    """Somebody who follows a page."""

    cli: Cli
    fails: bool
    environment: dict[str, str] = field(default_factory=dict)
    last: Result | None = None
    code: str = ""

    def follow(self, block: Block) -> None:
        if block.language == "bash":
            for command in commands(block.text):
                self.type(command)
        elif block.language == "text":
            self.compare(block.text)
        elif block.language == "python":
            compile(block.text, "snippet", "exec")
            self.code += block.text + "\n"
        else:
            (self.cli.folder / "mine" / "model" / "ast_mine.yaml").write_text(block.text, encoding="utf-8")

    def type(self, command: str) -> None:
        if command.startswith(tuple(ELSEWHERE)):
            return
        if command.startswith("make "):
            target = command.split()[1]
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), command
            return
        words = shlex.split(command)
        if words[0] == "export":
            self.environment.update(word.split("=", 1) for word in words[1:])
            return
        while "=" in words[0]:
            words.pop(0)
        assert words[0] == "ast2hf", f"{command!r} is neither a command of ast2hf nor in ELSEWHERE"
        if any(needed in command for needed in ONLY_COMPOSED):
            self.compose(words[1:])
            return
        self.last = self.cli(*words[1:], *self.stand_ins(words[1:]), **self.environment)
        assert (self.last.code != 0) == self.fails, f"{command}\n{self.last.err}"
        assert "Traceback" not in self.last.err or "debug=true" in command, self.last.err

    def stand_ins(self, words: list[str]) -> list[str]:
        """What is tiny in place of what is large, and here in place of what is elsewhere."""
        if "--help" in words or "--cfg" in words:
            return []
        given = {word.partition("=")[0] for word in words}
        more = [] if "tracking.log_model=true" in words else ["tracking=off"]
        if {"model=custom", "task=inspect", "task=restore"} & set(words):
            return more
        more += [o for o in TINY_OVERRIDES[1:] if o.partition("=")[0] not in given]
        more += [
            o for o in ("checkpoint=synthetic", "audio=packaged", "labels=none") if o.partition("=")[0] not in given
        ]
        return more

    def compose(self, words: list[str]) -> None:
        """The configuration of the first job, without running it."""
        overrides = []
        for override in OverridesParser.create().parse_overrides([word for word in words if not word.startswith("-")]):
            if (
                override.key_or_group == "scale"
                and find_spec(f"hydra_plugins.hydra_{override.value()}_launcher") is None
            ):
                continue
            if override.key_or_group.startswith("hydra.launcher"):
                continue  # tests/integration/test_launchers.py
            value = override.input_line
            if isinstance(override.value(), Glob):
                value = f"{override.key_or_group}=ast_16_16"
            elif override.is_sweep_override():
                value = f"{override.key_or_group}={next(iter(override.sweep_string_iterator()))}"
            overrides.append(value)
        with pytest.MonkeyPatch.context() as patch:
            for name, content in self.environment.items():
                patch.setenv(name, content)
            validate(compose(*overrides))

    def compare(self, text: str) -> None:
        """Each line must be one that the last command printed; … stands for anything."""
        assert self.last is not None, "a block of output comes after a command"
        printed = [" ".join(line.replace("│", " ").split()) for line in (self.last.out + self.last.err).splitlines()]
        for line in text.splitlines():
            wanted = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
            wanted = wanted.replace(r".*\ ", ".*").replace(r"\ .*", ".*")
            assert any(re.search(wanted, one) for one in printed), f"{line!r} is not in\n" + "\n".join(printed)

    def run_snippets(self) -> None:
        if self.code:
            environment = {**self.cli.environment, "PYTHONPATH": str(ROOT / "src")}
            done = subprocess.run(
                [sys.executable, "-c", self.code], cwd=self.cli.folder, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr


@pytest.fixture
def trained(cli):
    """A folder as a training leaves it, with the names of the pages."""
    for name, seed in (("best_audio_model.pth", 1), ("a.pth", 2), ("b.pth", 3), ("my model, lr=1e-5.pth", 4)):
        synthetic.write(cli.folder / name, AST, ESC50, seed)
    synthetic.write(cli.folder / "file.pth", AST, replace(TINY, frequency_stride=10, time_stride=10), 5)
    rows = [f"{i},/m/{i},Sound {i}" for i in range(50)]
    (cli.folder / "labels.csv").write_text("\n".join(["index,mid,display_name", *rows]))
    data_sets(cli.folder)
    (cli.folder / "mine" / "model").mkdir(parents=True)
    return cli


def data_sets(folder: Path) -> None:
    """Ten clips, as a manifest in the authors' form lists them, and as ESC-50 is unpacked."""
    esc50 = folder / "ESC-50-master"
    for name in ("audio", "meta"):
        (esc50 / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for n in range(10):
        waveform = random.normal(0, 0.1, 3200).astype(np.float32)
        soundfile.write(esc50 / "audio" / f"{n}.wav", waveform, 16_000)
    soundfile.write(folder / "clip.wav", waveform, 16_000)
    rows = [f"{n}.wav,{1 + n % 2},{n},Sound {n}" for n in range(10)]
    (esc50 / "meta" / "esc50.csv").write_text("\n".join(["filename,fold,target,category", *rows]))
    clips = [{"wav": f"ESC-50-master/audio/{n}.wav", "labels": f"/m/{n}"} for n in range(10)]
    (folder / "eval.json").write_text(json.dumps({"data": clips}))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name)
def test_whoever_follows_the_page_gets_what_it_says(page, trained):
    reader = Reader(trained, fails=name(page) == FAIL)
    for block in blocks(page):
        reader.follow(block)
    reader.run_snippets()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_what_it_is(page):
    text = page.read_text(encoding="utf-8")
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert text.count("```") == 2 * len(blocks(page))


def test_each_exception_is_needed():
    """None is left over from a page that has changed."""
    typed = [
        command
        for page in PAGES
        for block in blocks(page)
        if block.language == "bash"
        for command in commands(block.text)
    ]
    assert [words for words in ONLY_COMPOSED if not any(words in command for command in typed)] == []
    assert [words for words in ELSEWHERE if not any(command.startswith(words) for command in typed)] == []


def test_a_command_that_fails_and_output_that_nobody_printed_are_found(trained):
    reader = Reader(trained, fails=False)
    with pytest.raises(AssertionError, match="unknown key modl"):
        reader.follow(Block("bash", "ast2hf modl=ast_16_16\n"))
    reader.compare("error: unknown key …; did you mean model?")
    with pytest.raises(AssertionError, match="is not in"):
        reader.compare("error: unknown key model")
    with pytest.raises(AssertionError, match="nor in ELSEWHERE"):
        reader.follow(Block("bash", "rm -r outputs\n"))


def test_without_the_length_the_newcomer_is_asked(trained):
    page = ROOT / "docs" / "your-own-model.md"
    (command,) = re.findall(r"(?m)^ast2hf (model=custom .*labels=labels.csv)$", page.read_text(encoding="utf-8"))
    result = trained(*shlex.split(command.replace("model.max_length=512 ", "")), "tracking=off")
    assert result.code == 2
    assert "model.frequency_stride=10 model.time_stride=10 model.max_length=512" in result.err
    assert not trained.model_folder("custom").exists()
