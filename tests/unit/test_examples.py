"""The small trained model of examples/sounds: it is what its README says, it converts, and its training runs."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

import ast2hf
from ast2hf.errors import VerificationError
from ast2hf.families.ast import AST
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.formats.huggingface import HUGGING_FACE

FOLDER = ROOT / "examples" / "sounds"
FACTS = json.loads((FOLDER / "sounds.json").read_text(encoding="utf-8"))
CLIPS = 80

sys.path.insert(0, str(FOLDER))
import sounds  # noqa: E402
import train  # noqa: E402

sys.path.remove(str(FOLDER))


def checkpoint():
    return torch.load(FOLDER / "sounds.pth", weights_only=True)


def reference():
    return AST.reference(train.GEOMETRY, {name.removeprefix("module."): t for name, t in checkpoint().items()})


def settings(mean=FACTS["mean"], std=FACTS["std"]):
    sizes = ["model.family=ast", f"model.max_length={FACTS['max_length']}"]
    return {"model": "custom", "loss": "ce", "overrides": [*sizes, f"model.mean={mean}", f"model.std={std}"]}


def converted(folder: Path, audio="packaged", **statistics):
    own = settings(**statistics)
    return ast2hf.convert(
        FOLDER / "sounds.pth", labels=FOLDER / "labels.csv", output_dir=folder, audio=audio, **own
    )  # fmt: skip


def test_it_is_small_and_needs_no_code_to_be_read():
    assert (FOLDER / "sounds.pth").stat().st_size < 1_000_000
    assert all(tensor.dtype == torch.float32 and tensor.isfinite().all() for tensor in checkpoint().values())


def test_original_and_folder_hear_what_the_clips_are(tmp_path):
    """Clips that it was not trained on, each model on its own front end."""
    done = converted(tmp_path / "out")
    assert done.report.status == "passed"
    original, loaded = reference(), HUGGING_FACE.load(done.folder, torch.device("cpu"))
    front_end = KaldiFbank(
        sounds.RATE, train.GEOMETRY.num_mel_bins, FACTS["max_length"], FACTS["mean"], FACTS["std"]
    )  # fmt: skip
    clips = [sounds.clip(sounds.HELD_OUT, number) for number in range(CLIPS)]
    waveforms, truth = [torch.from_numpy(samples) for samples, _ in clips], torch.tensor([label for _, label in clips])
    with torch.inference_mode():
        before = original(torch.cat([front_end(w) for w in waveforms])).logits
        after = loaded(torch.cat([HUGGING_FACE.features(done.folder, w, sounds.RATE) for w in waveforms])).logits
    torch.testing.assert_close(after, before, atol=2e-3, rtol=0.0)
    for scores in (before, after):
        assert (scores.argmax(dim=1) == truth).double().mean() > 0.9


def test_a_clip_has_the_label_that_a_newcomer_expects(tmp_path):
    sounds.write(tmp_path / "clips", 1)
    done = converted(tmp_path / "out", audio=tmp_path / "clips" / "0000.wav")
    best = done.report.top5[0]
    assert best.label == "Tone"
    assert min(best.original, best.converted) > 0.5


def test_a_folder_with_rounded_statistics_differs_from_the_original_with_those_of_its_training(tmp_path):
    rounded = converted(tmp_path / "out", mean=round(FACTS["mean"], 1), std=round(FACTS["std"], 1))
    assert rounded.report.status == "passed"  # both models get the same wrong figures
    with pytest.raises(VerificationError, match="the proof failed at") as caught:
        ast2hf.verify(rounded.folder, FOLDER / "sounds.pth", audio="packaged", **settings())
    assert caught.value.report.checks["last_hidden_state"].status != "failed"


def test_clips_are_the_same_each_time_and_differ_from_those_of_the_training():
    (one, label), (again, same) = (sounds.clip(sounds.HELD_OUT, 3) for _ in range(2))
    assert (one == again).all()
    assert label == same == 3
    assert not (one == sounds.clip(sounds.TRAINING, 3)[0]).all()
    assert not (one == sounds.clip(sounds.HELD_OUT, 13)[0]).all()


def test_what_is_written_is_what_the_model_heard(tmp_path):
    """Sixteen bits hold the samples without loss, and the manifest has the authors' form."""
    soundfile = pytest.importorskip("soundfile")
    sounds.write(tmp_path, 12)
    listed = json.loads((tmp_path / "eval.json").read_text())["data"]
    assert [entry["labels"] for entry in listed[:11]] == [*sounds.MIDS, sounds.MIDS[0]]
    for number, entry in enumerate(listed):
        samples, rate = soundfile.read(tmp_path / entry["wav"], dtype="float32")
        assert rate == sounds.RATE
        assert (samples == sounds.clip(sounds.HELD_OUT, number)[0]).all()


def test_the_label_file_has_the_classes_in_order():
    with (FOLDER / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(i) for i in range(len(sounds.SOUNDS))]
    assert tuple(row["mid"] for row in rows) == sounds.MIDS
    assert [row["display_name"] for row in rows] == list(sounds.SOUNDS)


def test_the_training_runs_and_writes_the_authors_names():
    model = train.train(FACTS["mean"], FACTS["std"], steps=2)
    written = train.state_dict(model)
    assert {name: t.shape for name, t in written.items()} == {name: t.shape for name, t in checkpoint().items()}
    assert any((written[name] != tensor).any() for name, tensor in train.state_dict(train.untrained()).items())


@pytest.mark.parametrize("paper", ["Makefile", "examples/sounds/README.md"])
def test_the_command_gives_the_statistics_of_the_training_in_full(paper):
    text = (ROOT / paper).read_text(encoding="utf-8")
    for key in ("mean", "std", "max_length"):
        assert set(re.findall(rf"model\.{key}=(\S+)", text)) == {str(FACTS[key])}


def test_the_accuracy_that_the_readme_tells_is_the_one_that_was_measured():
    assert f"hears {FACTS['accuracy']:.1%}".replace("%", " %") in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert FACTS["accuracy"] >= 0.95
