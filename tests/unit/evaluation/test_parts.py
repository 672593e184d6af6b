"""The parts of a data set on disk: kept whole, done again where they are damaged, and merged in order."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace

import numpy as np
import pytest

from ast2hf.errors import OutputError
from ast2hf.evaluation import parts as parts_module
from ast2hf.evaluation.parts import PART_CLIPS, Clip, Part, Parts

GIVERS = ("original", "converted")
LABELS = 3


def part(number, count, skipped=()):
    """Part ``number`` of ``count`` clips, those at the places ``skipped`` in it not heard."""
    clips = tuple(
        Clip(f"clip {number}/{n}", (n % LABELS,), f"sha {n}", "it is empty")
        if n in skipped
        else Clip(f"clip {number}/{n}", (n % LABELS,), f"sha {n}", changes=("resampled",) * (n == 2))
        for n in range(count)
    )
    random = np.random.default_rng(number)
    shape = (count - len(skipped), LABELS)
    return Part(clips, {giver: random.normal(size=shape).astype(np.float32) for giver in GIVERS}, "cpu, 1 threads")


@pytest.fixture
def parts(tmp_path):
    return Parts(tmp_path / "key", 2 * PART_CLIPS + 5, LABELS, GIVERS)


def same(a, b):
    equal = all(np.array_equal(a.logits[giver], b.logits[giver]) for giver in GIVERS)
    return (a.clips, a.computed) == (b.clips, b.computed) and equal


def test_parts_are_fixed_runs_of_clips(parts):
    places = [parts.places(number) for number in range(len(parts))]
    assert [len(p) for p in places] == [PART_CLIPS, PART_CLIPS, 5]
    assert [place for p in places for place in p] == list(range(parts.clips))


def test_what_is_written_is_read_again(parts):
    own = part(2, 5, skipped=(1, 4))
    assert parts.read(2) is None
    parts.write(2, own)
    assert same(parts.read(2), own)
    assert parts.read(0) is None


def test_a_part_of_which_nothing_could_be_heard(parts):
    own = part(2, 5, skipped=range(5))
    parts.write(2, own)
    assert same(parts.read(2), own)


def damaged(path):
    """Ways in which a file can be damaged."""
    whole = path.read_bytes()
    yield b""
    yield whole[:100]
    yield whole[:-10]
    for record, flags, method in ((b"PK\x03\x04", 6, 8), (b"PK\x01\x02", 8, 10)):  # of the entries of the archive
        for place in (whole.index(record) + flags, whole.index(record) + method):
            for bit in range(8):
                yield whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
    for place in range(40, len(whole) - 200, len(whole) // 11):  # the values of arrays among them
        yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_a_damaged_part_is_not_done(parts):
    own = part(2, 5)
    parts.write(2, own)
    (path,) = parts.folder.iterdir()
    for content in damaged(path):
        path.write_bytes(content)
        found = parts.read(2)
        assert found is None or same(found, own)  # a bit of the time of a file in the archive says nothing


def test_a_part_of_another_model_or_length_is_not_done(parts, tmp_path):
    parts.write(2, part(2, 5))
    assert Parts(parts.folder, parts.clips, LABELS + 1, GIVERS).read(2) is None
    assert Parts(parts.folder, parts.clips + 1, LABELS, GIVERS).read(2) is None
    assert Parts(parts.folder, parts.clips, LABELS, (*GIVERS, "another")).read(2) is None


def test_merged_parts_are_all_clips_that_were_heard(parts):
    made = [part(0, PART_CLIPS, (3,)), part(1, PART_CLIPS), part(2, 5, (0,))]
    for number, own in reversed(list(enumerate(made))):
        parts.write(number, own)
    with parts.merged() as merged:
        for giver in GIVERS:
            assert np.array_equal(merged.logits[giver], np.concatenate([own.logits[giver] for own in made]))
        heard = [clip for own in made for clip in own.clips if clip.skipped is None]
        assert merged.names == tuple(clip.name for clip in heard)
        assert [tuple(np.flatnonzero(row)) for row in merged.truth] == [clip.labels for clip in heard]
        assert merged.skipped == {"clip 0/3": "it is empty", "clip 2/0": "it is empty"}
        assert [place for place in range(parts.clips) if place not in merged.places] == [3, 2 * PART_CLIPS]
        assert merged.changes == {"resampled": 3}
        digest = merged.digest
        assert isinstance(merged.truth, np.memmap)
    assert sorted(path.suffix for path in parts.folder.iterdir()) == [".npz"] * 3
    parts.write(1, part(1, PART_CLIPS, (8,)))
    with parts.merged() as merged:
        assert merged.digest == digest  # the clips are the same, heard or not
    other = part(2, 5)
    parts.write(2, Part((*other.clips[:-1], Clip("clip 2/4", (1,), "another sha")), other.logits, other.computed))
    with parts.merged() as merged:
        assert merged.digest != digest


def test_clips_of_one_name_are_all_counted(tmp_path):
    parts = Parts(tmp_path / "key", 4, LABELS, GIVERS)
    own = part(0, 4, (1, 3))
    parts.write(0, replace(own, clips=tuple(replace(clip, name="a.wav") for clip in own.clips)))
    with parts.merged() as merged:
        assert merged.names == ("a.wav", "a.wav (3)")
        assert list(merged.skipped) == ["a.wav (2)", "a.wav (4)"]


def test_nothing_heard_at_all_is_merged_too(tmp_path):
    parts = Parts(tmp_path / "key", 2, LABELS, GIVERS)
    parts.write(0, part(0, 2, (0, 1)))
    with parts.merged() as merged:
        assert merged.truth.shape == merged.logits["original"].shape == (0, LABELS)


def test_a_full_disk_is_said_and_done_parts_stay(parts, monkeypatch):
    parts.write(0, part(0, PART_CLIPS))

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parts_module, "write_atomically", full)
    with pytest.raises(OutputError, match=r"cannot be saved in .* \(No space left on device\)"):
        parts.write(1, part(1, PART_CLIPS))
    assert parts.read(0) is not None


def test_a_disk_that_is_full_when_parts_are_merged_is_said(parts):
    for number in range(len(parts)):
        parts.write(number, part(number, len(parts.places(number))))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OutputError, match=r"cannot be saved in .* \(File too large\)"), parts.merged():
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert parts.done() == [0, 1, 2]
