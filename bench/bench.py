"""Speed and memory against ``cp`` and against the usual procedure, in one run, on synthetic checkpoints: make bench

Everything measured runs in a process of its own, on files that are in the page cache. What is compared is interleaved
in one loop, so that it sees the same machine. A warm-up round is not counted. A missed target is said, and no failure.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hydra import compose, initialize_config_dir
from results import Measurement, Row, rows, table, total
from rich.console import Console

from ast2hf import config, settings
from ast2hf.audio import PACKAGED_CLIP
from ast2hf.checkpoint import synthetic
from ast2hf.families.ast import AST
from ast2hf.families.geometry import Geometry
from ast2hf.local_files import write_atomically
from ast2hf.results import environment

BENCH = Path(__file__).parent.absolute()
ROOT = BENCH.parent
OUTPUTS = ROOT / "outputs"

CHOICE = "ast_10_10_0_4593"
VARIANTS = "ast_*"
DATA_CHOICE = "ast_16_16"
"""The variant of the proof over a data set; it has the fewest tokens, so that reading clips has the largest share."""
SEED = 1

STAGE_INTERVAL = 0.001
"""Seconds between two looks at the memory of a stage, which lasts a few tenths of a second."""

COMMAND_INTERVAL = 0.02

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1"}

PROGRAM = (ROOT / "convert.py",)

WITHOUT_END_TO_END = (
    "-c",
    "import sys; from ast2hf.proof import checks; del checks.CHECKS['end_to_end'];"
    "from ast2hf.cli.main import main; sys.exit(main())",
)
"""The same command without the forward that the usual procedure has no counterpart of."""

Workload = Callable[[], Measurement]


# --- one process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process that has ended: its seconds, its standard output, and samples of its memory by time."""

    seconds: float
    stdout: str
    samples: tuple[tuple[float, str], ...]

    def measurement(self) -> Measurement:
        # VmHWM and not ru_maxrss, which begins with the size of the process that started this one.
        return Measurement(self.seconds, self.peak("VmHWM"), self.peak("RssAnon"))

    def peak(self, name: str, since: float = 0.0) -> int | None:
        values = [memory(text, name) for when, text in self.samples if when >= since]
        return max((value for value in values if value is not None), default=None)


def memory(status: str, name: str) -> int | None:
    """Bytes of one line of ``/proc/PID/status``; None where it is not there."""
    found = [line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


def run(command: Sequence[object], interval: float) -> Process:
    """Run ``command`` to its end, looking at its memory every ``interval`` seconds. Ends the bench if it fails."""
    samples: list[tuple[float, str]] = []
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        start = time.perf_counter()
        with subprocess.Popen(
            [str(part) for part in command], stdout=out, stderr=err, env=os.environ | QUIET
        ) as process:
            status = Path(f"/proc/{process.pid}/status")
            while not _ended(process, interval):
                samples.append((time.perf_counter(), _text(status)))
        seconds = time.perf_counter() - start
        out.seek(0)
        err.seek(0)
        if process.returncode:
            sys.exit(f"error: {' '.join(map(str, command))} failed:\n{err.read()[-2000:]}")
        return Process(seconds, out.read(), tuple(samples))


def warm(path: Path) -> None:
    """Read ``path``, so that it is in the page cache: some machines take idle pages back within seconds."""
    with path.open("rb", buffering=0) as file:
        while file.read(16 << 20):
            pass


def _ended(process: subprocess.Popen[bytes], interval: float) -> bool:
    try:
        process.wait(interval)
    except subprocess.TimeoutExpired:
        return False
    return True


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # not Linux, or it has just ended
        return ""


# --- what is measured -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One model with its synthetic checkpoint."""

    choice: str
    model: config.Variant
    checkpoint: Path

    @property
    def geometry(self) -> Geometry:
        return AST.geometry(self.model, {})


@dataclass(frozen=True)
class Bench:
    """The workloads. ``scratch``: what they write; it is emptied after each, outside of the timing."""

    variants: Mapping[str, Variant]
    checkpoints: Path
    scratch: Path
    baseline_python: Path

    @property
    def variant(self) -> Variant:
        return self.variants[CHOICE]

    def cp(self) -> Measurement:
        warm(self.variant.checkpoint)
        with self._output() as output:
            return run(["cp", self.variant.checkpoint, output], STAGE_INTERVAL).measurement()

    def stage(self, name: str) -> Measurement:
        geometry = json.dumps(asdict(self.variant.geometry))
        warm(self.variant.checkpoint)
        with self._output() as output:
            arguments = (name, self.variant.checkpoint, output, geometry)
            process = run([sys.executable, BENCH / "stages.py", *arguments], STAGE_INTERVAL)
        said = json.loads(process.stdout)
        peak, before = process.peak("RssAnon", said["imported"]), memory(said["status"], "RssAnon")
        above = None if peak is None or before is None else peak - before
        return Measurement(said["seconds"], process.peak("VmHWM"), process.peak("RssAnon"), above)

    def baseline(self, variant: Variant) -> Measurement:
        front_end = {name: getattr(variant.model, name) for name in ("mean", "std", "sampling_rate")}
        sizes = variant.geometry.as_dict()
        del sizes["num_positions"]
        warm(variant.checkpoint)
        command = [self.baseline_python, BENCH / "baseline.py", variant.checkpoint, PACKAGED_CLIP]
        with self._output() as output:
            return run([*command, output, json.dumps(sizes | front_end)], COMMAND_INTERVAL).measurement()

    def command(self, *overrides: str, program: Sequence[object] = PROGRAM) -> Measurement:
        with self._output() as output:
            fixed = ("audio=packaged", "labels=none", "overwrite=true", f'paths.outputs="{output}"')
            return run([sys.executable, *program, *overrides, *fixed], COMMAND_INTERVAL).measurement()

    def one(self, *overrides: str, program: Sequence[object] = PROGRAM) -> Measurement:
        warm(self.variant.checkpoint)
        checkpoint = f'checkpoint="{self.variant.checkpoint}"'
        return self.command(f"model={CHOICE}", checkpoint, *overrides, program=program)

    def python(self, *arguments: object) -> Measurement:
        return run([sys.executable, *arguments], STAGE_INTERVAL).measurement()

    def tracked(self) -> Measurement:
        """Into a store that exists after the warm-up: it is made once, and takes seconds."""
        return self.one(f'tracking.uri="sqlite:///{self.scratch}/mlflow.db"')

    def over_data(self, mode: str) -> Measurement:
        variant = self.variants[DATA_CHOICE]
        warm(variant.checkpoint)
        process = run(
            [sys.executable, BENCH / "over_data.py", mode, variant.checkpoint, DATA_CHOICE, 48], COMMAND_INTERVAL
        )
        said = json.loads(process.stdout)
        return Measurement(said["seconds"], memory(said["status"], "VmHWM"), process.peak("RssAnon"))

    def eight(self, *overrides: str) -> Measurement:
        for variant in self.variants.values():
            warm(variant.checkpoint)
        checkpoint = f'checkpoint="{self.checkpoints}/${{model.name}}.pth"'
        return self.command("-m", f"model=glob({VARIANTS})", checkpoint, "tracking=off", *overrides)

    def processes(self, count: int) -> Measurement:
        """Memory is that of the parent alone, so it is not told."""
        return Measurement(self.eight("scale=joblib", f"hydra.launcher.n_jobs={count}").seconds)

    def eight_baselines(self) -> Measurement:
        return total([self.baseline(variant) for variant in self.variants.values()])

    @contextmanager
    def _output(self) -> Iterator[Path]:
        output = self.scratch / "output"
        try:
            yield output
        finally:
            if output.is_dir():
                shutil.rmtree(output)
            else:
                output.unlink(missing_ok=True)


def measure(found: dict[str, list[Measurement]], workloads: Mapping[str, Workload], repeat: int, warm_up: int) -> None:
    """Every workload ``repeat`` times, in turn, into ``found``."""
    for repetition in range(-warm_up, repeat):
        for key, workload in workloads.items():
            measured = workload()
            counted = repetition >= 0
            if counted:
                found.setdefault(key, []).append(measured)
            print(f"{key:<16} {measured.seconds:8.3f} s{'' if counted else '  warm-up'}", file=sys.stderr, flush=True)


def measure_all(bench: Bench, stages: int, commands: int) -> dict[str, list[Measurement]]:
    """Each group of workloads that are compared with each other in a loop of its own. Ctrl-C ends it early."""
    one: dict[str, Workload] = {
        "cp": bench.cp,
        **{name: partial(bench.stage, name) for name in ("convert", "read", "read_in_run", "sha", "both")},
    }
    whole = {
        "baseline": lambda: bench.baseline(bench.variant),
        "without": lambda: bench.one("tracking=off", "~verify.tolerances.end_to_end", program=WITHOUT_END_TO_END),
        "command": lambda: bench.one("tracking=off"),
        "tracked": bench.tracked,
    }
    eight = {"eight_baselines": bench.eight_baselines, "eight": bench.eight}
    scale: dict[str, Workload] = {
        "one_process": lambda: bench.processes(1),
        "two_processes": lambda: bench.processes(2),
    }
    data = {name: partial(bench.over_data, mode) for name, mode in (("forwards", "forwards"), ("over_data", "pass"))}
    start: dict[str, Workload] = {
        "import_hydra": lambda: bench.python("-c", "import hydra"),
        "help": lambda: bench.python(*PROGRAM, "--help"),
    }
    found: dict[str, list[Measurement]] = {}
    try:
        measure(found, start, stages, warm_up=1)
        measure(found, one, stages, warm_up=1)
        measure(found, whole, commands, warm_up=1)
        measure(found, eight, commands, warm_up=0)  # the same programs, just run
        measure(found, scale, commands, warm_up=0)
        measure(found, data, commands, warm_up=0)
    except KeyboardInterrupt:
        print("interrupted: the table has what is measured", file=sys.stderr)
    return found


# --- set-up and results -----------------------------------------------------------------------------------------------


def prepare(checkpoints: Path) -> dict[str, Variant]:
    """Every variant with a checkpoint in ``checkpoints``, written where it is not there yet."""
    settings.register()
    found: dict[str, Variant] = {}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for choice in sorted(path.stem for path in (ROOT / "conf/model").glob(f"{VARIANTS}.yaml")):
            model = settings.typed(compose("config", [f"model={choice}"])).model
            variant = Variant(choice, model, checkpoints / f"{model.name}.pth")
            if not variant.checkpoint.exists():
                print(f"writing {variant.checkpoint.name}", file=sys.stderr)
                import torch

                content = io.BytesIO()
                torch.save(synthetic.state_dict(AST, variant.geometry, SEED), content)
                write_atomically(variant.checkpoint, content.getvalue())
            found[choice] = variant
    return found


def describe(bench: Bench) -> dict[str, str | int]:
    """The machine, the file and the versions on both sides."""
    program = "import torch, transformers; print(torch.__version__, transformers.__version__)"
    baseline = run([bench.baseline_python, "-c", program], COMMAND_INTERVAL).stdout.split()
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "load": f"{os.getloadavg()[0]:.2f}",
        "checkpoint_bytes": bench.variant.checkpoint.stat().st_size,
        **environment(),
        "baseline torch": baseline[0],
        "baseline transformers": baseline[1],
    }


def save(folder: Path, about: Mapping[str, str | int], found: Sequence[Row]) -> None:
    """``bench.json`` (with every repetition) and ``bench.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = [row.as_dict() for row in found]
    whole = {"about": about, "rows": [{**f, "seconds": row.seconds} for f, row in zip(flat, found, strict=True)]}
    (folder / "bench.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    with (folder / "bench.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(flat[0]))
        writer.writeheader()
        writer.writerows(flat)


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """``given``, which is kept with its checkpoints, or a temporary folder under outputs/."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.absolute()
        return
    OUTPUTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=OUTPUTS) as temporary:
        yield Path(temporary)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory against cp and against the usual procedure.")
    parser.add_argument("--baseline-python", type=Path, required=True, help="the Python of a transformers 4.57 set-up")
    parser.add_argument("--repeat", type=int, help="repetitions of everything; default: 5 of stages, 3 of commands")
    parser.add_argument("--quick", action="store_true", help="the same as --repeat 1")
    parser.add_argument("--work", type=Path, help="keep the checkpoints here (3 GB, and 3 GB while it runs)")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    repeat = 1 if options.quick else options.repeat
    with work_folder(options.work) as work, tempfile.TemporaryDirectory(prefix="scratch-", dir=work) as scratch:
        bench = Bench(prepare(work), work, Path(scratch), options.baseline_python.absolute())
        about = describe(bench)
        found = rows(measure_all(bench, repeat or 5, repeat or 3))
    if not found:
        sys.exit("nothing was measured")
    save(OUTPUTS / "bench", about, found)
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    for name, value in about.items():
        console.print(f"{name:<22} {value}", markup=False)
    console.print(table(found))
    console.print(f"also in {(OUTPUTS / 'bench').relative_to(ROOT)}/bench.json and bench.csv")


if __name__ == "__main__":
    main()
