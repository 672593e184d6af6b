"""The pass over a data set, or the forwards of both models alone over the same batches: seconds as JSON on stdout.

Usage: over_data.py pass|forwards CHECKPOINT MODEL CLIPS. Its clips are ten seconds of noise; the conversion before the
pass, and the features before the forwards, are not counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch

import ast2hf
from ast2hf.evaluation import one_pass
from ast2hf.evaluation.hearing import Heard
from ast2hf.evaluation.listening import listening
from ast2hf.evaluation.pair import ORIGINAL, DataSet, Model, Pair
from ast2hf.evaluation.parts import Parts

STATUS = Path("/proc/self/status")

RATE, SECONDS = 16000, 10

run = one_pass.run
found: dict[str, object] = {}


def whole(data_set: DataSet, pair: Pair, parts: Parts, models: Mapping[str, Model]) -> float | None:
    start = time.perf_counter()
    rate = run(data_set, pair, parts, models)
    found.update(seconds=time.perf_counter() - start, status=STATUS.read_text() if STATUS.exists() else "")
    return rate


def forwards(data_set: DataSet, pair: Pair, parts: Parts, models: Mapping[str, Model]) -> float | None:
    """Ends the process: there are no parts to go on with."""
    with listening(pair.front_ends, 0) as listen:
        heard = [h for _, h in listen(data_set.source.examples(0, len(data_set.source))) if isinstance(h, Heard)]
    seconds = 0.0
    for number in range(len(parts)):
        part = [heard[place] for place in parts.places(number)]
        for first in range(0, len(part), data_set.settings.batch_size):
            batch = part[first : first + data_set.settings.batch_size]
            for name, model in models.items():
                features = torch.from_numpy(np.stack([h.original if name == ORIGINAL else h.converted for h in batch]))
                start = time.perf_counter()
                model(features)
                seconds += time.perf_counter() - start
    found.update(seconds=seconds, status=STATUS.read_text() if STATUS.exists() else "")
    print(json.dumps(found))
    sys.exit(0)


def main(mode: str, checkpoint: str, model: str, clips: int) -> None:
    one_pass.run = {"pass": whole, "forwards": forwards}[mode]
    with tempfile.TemporaryDirectory() as folder:
        noise, rows = np.random.default_rng(0), []
        for number in range(clips):
            path = Path(folder) / f"{number}.wav"
            soundfile.write(path, noise.normal(0, 0.1, RATE * SECONDS), RATE)
            rows.append({"wav": path.name, "labels": f"LABEL_{number % 10}"})
        (Path(folder) / "eval.json").write_text(json.dumps({"data": rows}))
        ast2hf.convert(
            checkpoint, model=model, output_dir=f"{folder}/model", labels="none", audio="packaged",
            overrides=[
                "data=manifest", f"data.path={folder}/eval.json", f"paths.cache={folder}/cache",
                "data.gates.headline=1", "data.gates.agreement=0",
            ],
        )  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
