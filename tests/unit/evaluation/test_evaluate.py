"""One pass over a data set with small functions as models: batches, parts, shards, what is done again, what fails."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support import clips
from support.data_sets import RATE, sound

from ast2hf.config import MULTI_LABEL, Data, Gates
from ast2hf.errors import ConfigurationError, InputError, OutputError, VerificationError
from ast2hf.evaluation import gates, parts
from ast2hf.evaluation.evaluate import evaluate
from ast2hf.evaluation.hearing import FrontEnds
from ast2hf.evaluation.pair import DataSet, Pair
from ast2hf.evaluation.source import Example
from ast2hf.families.ast.front_end import KaldiFbank
from ast2hf.progress import Progress, Stage

LABELS = ("a", "b", "c")
FRONT_END = KaldiFbank(RATE, 16, 20, -4.0, 4.5)
CLIPS = 18


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_CLIPS", 4)


class Clips:
    """A data set of sounds. ``asked``: the places that were asked for."""

    name, fingerprint, notes = "sounds", "1", ()

    def __init__(self, count=CLIPS, broken=()):
        self.asked = []
        self._clips = [
            Example(f"{n}.wav", (n % 3,), b"" if n in broken else sound(n, 0.05)) for n in range(count)
        ]  # fmt: skip

    def __len__(self):
        return len(self._clips)

    def examples(self, start, stop):
        for place in range(start, stop):
            self.asked.append(place)
            yield self._clips[place]


class Shown(Progress):
    def __init__(self):
        super().__init__()
        self.seen = []

    @contextmanager
    def __call__(self, name, text, bar=None):
        stage = Stage()
        stage.progress = lambda done, total: self.seen.append((done, total))
        yield stage


class Model:
    """Its logits depend on the whole batch, as those of real models do in their last bits."""

    def __init__(self, error=0.0):
        self.error, self.batches = error, []

    def __call__(self, features):
        self.batches.append(len(features))
        bands = features[:, :, :3].mean(dim=1) * 5
        return bands + features.mean() * 1e-3 + self.error


class Loaded:
    """A folder whose epsilon is added to its logits."""

    def __init__(self, model, epsilon=0.0):
        self.model, self.layer_norm_eps = model, epsilon

    def logits(self, features):
        return self.model(features) + self.layer_norm_eps

    @contextmanager
    def with_epsilon(self, epsilon):
        own, self.layer_norm_eps = self.layer_norm_eps, epsilon
        yield
        self.layer_norm_eps = own


def pair(original=None, converted=None, epsilon=0.0):
    spec = SimpleNamespace(labels=LABELS, problem_type=MULTI_LABEL, layer_norm_eps=0.0, front_end=FRONT_END)
    ends = FrontEnds(FRONT_END, SimpleNamespace(extractor=lambda folder, rate: FRONT_END), None)
    return Pair(spec, original or Model(), Loaded(converted or Model(1e-4), epsilon), ends, torch.device("cpu"))


def data_set(cache, clips=None, progress=None, **settings):
    settings = {"kind": "manifest", "batch_size": 3, "workers": 0, "gates": Gates(0.99), **settings}
    return DataSet(clips or Clips(), Data(**settings), cache, "key", progress or Progress())


def comparable(outcome):
    return replace(outcome.evaluation, clips_per_second=None)


def test_both_models_hear_every_clip_in_batches_that_parts_end(tmp_path):
    original, shown = Model(), Shown()
    outcome = evaluate(data_set(tmp_path, progress=shown), pair(original))
    found = outcome.evaluation
    assert (found.clips, found.name, found.batch_size, found.dtype) == (CLIPS, "sounds", 3, "float32")
    assert original.batches == [3, 1, 3, 1, 3, 1, 3, 1, 2]
    assert found.max_abs_diff == pytest.approx(1e-4, rel=1e-3)
    assert found.agreement == 1.0
    assert found.clips_per_second > 0
    assert len(outcome.worst) == len(found.worst) == 10
    assert outcome.worst[0].shape == (20, 16)
    assert outcome.notes == ()
    assert shown.seen == [(0, 18), (4, 18), (8, 18), (12, 18), (16, 18), (18, 18)]


def test_the_figures_of_shards_are_those_of_one_process_bit_for_bit(tmp_path):
    whole = evaluate(data_set(tmp_path / "whole"), pair())
    said = []
    for shard in (2, 0, 3, 1):
        clips = Clips()
        outcome = evaluate(data_set(tmp_path / "shared", clips, shards=4, shard=shard), pair())
        said.append(outcome.unfinished)
        assert all(place // 4 % 4 == shard for place in clips.asked[:4])
    assert said == [
        "shard 3 of 4: 1 of 5 parts are done",
        "shard 1 of 4: 3 of 5 parts are done",
        "shard 4 of 4: 4 of 5 parts are done",
        None,
    ]
    assert comparable(outcome) == comparable(whole)
    model = Model()
    merged = evaluate(data_set(tmp_path / "shared"), pair(model))
    assert model.batches == []
    assert merged.evaluation.clips_per_second is None
    assert comparable(merged) == comparable(whole)
    for number in range(5):
        a, b = ((tmp_path / name / "key" / f"part-{number:06}.npz").read_bytes() for name in ("whole", "shared"))
        assert a == b


def test_other_batches_would_give_other_logits(tmp_path):
    """The control of the test above: these models are sensitive to what it holds fixed."""
    for size in (1, 3):
        evaluate(data_set(tmp_path / str(size), batch_size=size), pair())
    one, three = ((tmp_path / size / "key" / "part-000000.npz").read_bytes() for size in "13")
    assert one != three


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    class Interrupted(Model):
        def __call__(self, features):
            if len(self.batches) == 5:
                raise KeyboardInterrupt
            return super().__call__(features)

    with pytest.raises(KeyboardInterrupt):
        evaluate(data_set(tmp_path), pair(Interrupted()))
    assert sorted(p.name for p in (tmp_path / "key").iterdir()) == ["part-000000.npz", "part-000001.npz"]
    clips, shown = Clips(), Shown()
    resumed = evaluate(data_set(tmp_path, clips, shown), pair())
    assert clips.asked[:10] == list(range(8, 18))
    assert shown.seen[0] == (8, 18)
    assert comparable(resumed) == comparable(evaluate(data_set(tmp_path / "whole"), pair()))


def test_a_damaged_part_is_done_again(tmp_path):
    first = evaluate(data_set(tmp_path), pair())
    path = tmp_path / "key" / "part-000002.npz"
    path.write_bytes(path.read_bytes()[:-50])
    model = Model()
    assert comparable(evaluate(data_set(tmp_path), pair(model))) == comparable(first)
    assert model.batches == [3, 1]


def test_a_part_that_cannot_be_read_again_is_no_shard_of_another(tmp_path, monkeypatch):
    write = parts.Parts.write

    def emptied(self, number, part):
        write(self, number, part)
        if number == 4:
            (self.folder / "part-000001.npz").unlink()

    monkeypatch.setattr(parts.Parts, "write", emptied)
    with pytest.raises(OutputError, match="1 of 5 parts of the data set cannot be read again"):
        evaluate(data_set(tmp_path), pair())
    assert evaluate(data_set(tmp_path), pair()).evaluation.clips == CLIPS


def test_clips_that_were_replaced_behind_its_back_are_no_longer_those_of_the_parts(tmp_path):
    evaluate(data_set(tmp_path), pair())
    other = Clips()
    other._clips = [replace(clip, audio=sound(100 + n, 0.05)) for n, clip in enumerate(other._clips)]
    with pytest.raises(InputError, match=r"clip \d+\.wav was replaced by another.*; remove .*key, which has"):
        evaluate(data_set(tmp_path, other), pair())


def test_broken_clips_are_named_and_left_out(tmp_path):
    original = Model()
    outcome = evaluate(data_set(tmp_path, Clips(broken=(1, 9)), max_skipped=0.2), pair(original))
    assert outcome.evaluation.clips == CLIPS - 2
    assert outcome.evaluation.skipped == {"1.wav": "clip 1.wav is empty", "9.wav": "clip 9.wav is empty"}
    assert original.batches == [3, 3, 1, 3, 3, 1, 2]


@pytest.mark.parametrize("done_before", [False, True])
def test_too_many_broken_clips_are_an_error(tmp_path, done_before):
    clips = Clips(broken=(1, 9))
    if done_before:
        evaluate(data_set(tmp_path, clips, max_skipped=0.5), pair())
    with pytest.raises(InputError, match=r"2 of 18 clips cannot be read, more than .*=0.1 .*, the first: clip 1.wav"):
        evaluate(data_set(tmp_path, clips, max_skipped=0.1), pair())


def test_a_source_that_ends_early_is_an_error(tmp_path):
    clips = Clips()
    del clips._clips[:]
    clips.__class__ = type("Short", (Clips,), {"__len__": lambda _: 3, "examples": lambda *_: iter(())})
    with pytest.raises(InputError, match="the data set sounds has fewer clips than it stated"):
        evaluate(data_set(tmp_path, clips), pair())


def test_logits_that_are_not_finite_fail(tmp_path):
    with pytest.raises(VerificationError, match="the converted model gives logits that are not finite"):
        evaluate(data_set(tmp_path), pair(converted=Model(float("nan"))))


@pytest.mark.parametrize(
    ("error", "batch_size", "remedy"),
    [
        (MemoryError(), 4, "set data.batch_size=2"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 4, "set data.batch_size=2"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 2, "set data.batch_size=1"),
        (RuntimeError("MPS backend out of memory"), 1, "free some memory"),
    ],
)
def test_too_large_a_batch_says_which_one_to_try(tmp_path, error, batch_size, remedy):
    def model(features):
        raise error

    with pytest.raises(ConfigurationError, match="cpu ran out of memory") as found:
        evaluate(data_set(tmp_path, Clips(8), batch_size=batch_size), pair(model))
    assert found.value.remedy.startswith(remedy)


def test_another_error_of_a_model_is_a_defect(tmp_path):
    def model(features):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        evaluate(data_set(tmp_path), pair(model))


def test_what_another_epsilon_costs_is_measured_and_said(tmp_path):
    outcome = evaluate(data_set(tmp_path), pair(converted=Model(), epsilon=0.25))
    found = outcome.evaluation
    assert found.max_abs_diff == pytest.approx(0.25, rel=1e-5)
    assert found.original_epsilon["max_abs_diff"] == 0.0
    assert found.original_epsilon["mAP"] == found.metrics["mAP"].original
    (note,) = outcome.notes
    assert "the folder's layer_norm_eps of 0.25 the logits differ by up to 2.5e-01" in note


def test_a_screening_computes_in_its_dtype_and_is_said_to_be_none_of_a_proof(tmp_path):
    seen = []

    class Half(Model):
        def __call__(self, features):
            seen.append(features.dtype)
            return super().__call__(features)

    outcome = evaluate(data_set(tmp_path, dtype="bfloat16"), pair(Half(), Half()))
    assert set(seen) == {torch.bfloat16}
    assert outcome.evaluation.dtype == "bfloat16"
    assert "a screening, not a proof" in outcome.notes[0]


class Adapted(Clips):
    """Clips 0, 3, 6, … are in stereo at another rate."""

    def __init__(self):
        super().__init__()
        self._clips[::3] = [replace(clip, audio=clips.sound(rate=8000, channels=2)) for clip in self._clips[::3]]


def test_clips_that_were_adapted_are_counted_however_the_work_was_shared(tmp_path):
    said = ("6 of 18 clips were averaged to one channel", f"6 of 18 clips were resampled to {RATE} Hz")
    assert evaluate(data_set(tmp_path / "whole", Adapted()), pair()).notes == said
    assert evaluate(data_set(tmp_path / "whole", Adapted()), pair()).notes == said
    for shard in (1, 0):
        outcome = evaluate(data_set(tmp_path / "shared", Adapted(), shards=2, shard=shard), pair())
    assert outcome.notes == said


def test_parts_of_different_machines_are_said_to_be_so(tmp_path, monkeypatch):
    from ast2hf.evaluation import one_pass

    for shard, where in enumerate(("cpu, 1 threads", "cpu, 8 threads")):
        monkeypatch.setattr(one_pass, "_where", lambda device, where=where: where)
        outcome = evaluate(data_set(tmp_path, shards=2, shard=shard), pair())
    assert "(cpu, 1 threads; cpu, 8 threads)" in outcome.notes[0]


def evaluation(**values):
    metric = SimpleNamespace(original=0.5, converted=0.5005, difference=5e-4)
    return SimpleNamespace(headline="mAP", **{"agreement": 0.995, "metrics": {"mAP": metric}, **values})


BOUNDS = gates.bounds(Gates(0.99), "float32")


def test_gates_hold():
    assert list(gates.broken(evaluation(), BOUNDS)) == []


@pytest.mark.parametrize("difference", [2e-3, -2e-3, float("nan"), None])
def test_a_headline_too_far_off_or_none_at_all_breaks_them(difference):
    metrics = {"mAP": SimpleNamespace(difference=difference)}
    (reason,) = gates.broken(evaluation(metrics=metrics), BOUNDS)
    assert reason.startswith("mAP is undefined" if difference is None else "mAP differs by")


@pytest.mark.parametrize("agreement", [0.9899, float("nan")])
def test_too_little_agreement_breaks_them(agreement):
    (reason,) = gates.broken(evaluation(agreement=agreement), BOUNDS)
    assert reason.startswith("the best label agrees for only")


def test_a_screening_has_a_gate_of_its_own_unless_one_is_given():
    assert gates.bounds(Gates(0.99), "bfloat16")["headline"] == 2e-3
    assert gates.bounds(Gates(0.99, 1e-9), "bfloat16")["headline"] == 1e-9


def test_numpy_scalars_do_not_reach_the_report(tmp_path):
    measured = gates.measures(evaluate(data_set(tmp_path), pair()).evaluation)
    assert not any(isinstance(value, np.generic) for value in measured.values())
