"""Cases 120 to 130: data sets that are not there, not whole, or not the model's."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile
from support.clips import SUBTYPES, put, sound

from ast2hf import audio, local_files
from ast2hf.config import Data
from ast2hf.errors import DownloadError, InputError
from ast2hf.evaluation.opening import open_source

LABELS = ("Speech", "Child speech, kid speaking", "Dog")


@pytest.fixture
def manifest(tmp_path):
    """Open a manifest with this content as a data set."""

    def manifest(content: str | bytes, name: str = "eval.csv", **data):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return open_source(Data(kind="manifest", path=str(tmp_path / name), **data), LABELS)

    return manifest


def refusal(opened, *arguments, error=InputError, **settings):
    """The error of what must be refused, in one line."""
    with pytest.raises(error) as caught:
        opened(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return caught.value


def decoded(example) -> audio.Clip:
    content = local_files.read(example.audio, "clip", "give the clip", audio.MAX_FILE)
    return audio.decode(content, example.name, 16000)


@pytest.mark.fault(120, "a data set without clips: an empty list, an empty folder, no clip of the names asked for")
def test_an_empty_set(manifest, tmp_path, came_out):
    assert "eval.csv has no clips" in str(refusal(manifest, "path,label\n"))
    assert "has no clips" in str(refusal(manifest, '{"data": []}', "eval.json"))
    (tmp_path / "empty").mkdir()
    for kind in ("huggingface", "esc50", "audioset"):
        refusal(open_source, Data(kind=kind, path=str(tmp_path / "empty")), LABELS)
    (tmp_path / "ids.txt").write_text("b\n")
    error = refusal(manifest, "path,label\na.wav,Dog\n", ids=str(tmp_path / "ids.txt"))
    assert "none of the names in ids.txt belongs to a clip of eval.csv" in str(error)
    came_out(error)


@pytest.mark.fault(121, "a manifest that is missing, is no text, has a broken line, lacks a column, has no labels")
def test_a_manifest_that_cannot_be_read(manifest, tmp_path, came_out):
    for content, name, words in (
        (b"path,label\n\xff.wav,Dog\n", "eval.csv", "eval.csv, line 2: not UTF-8 text"),
        ('{"wav": "a", "labels": "Dog"}\n{"wav": "b"\n', "eval.jsonl", "eval.jsonl, line 2: not valid JSON"),
        ("path,what\na.wav,Dog\n", "eval.csv", "eval.csv: no column of labels (columns: path, what)"),
        ("path,label\na.wav,\n", "eval.csv", "no clip of eval.csv has a label"),
        ("path,label\na.wav,Child speech, kid speaking\n", "eval.csv", "line 2: more fields than the header"),
    ):
        error = refusal(manifest, content, name)
        assert words in str(error)
        came_out(error)
    missing = Data(kind="manifest", path=str(tmp_path / "missing.json"))
    assert "manifest" in str(refusal(open_source, missing, LABELS))


@pytest.mark.fault(122, "labels that the model does not have: other names, mids and numbers that nothing names")
def test_labels_of_another_model(manifest, came_out):
    for label, words in (
        ("Bird", "1 label of eval.csv is not among the model's: Bird"),
        ("/m/0bt9lr", "set data.labels=PATH to the CSV that names them, with the columns index, mid, display_name"),
        ("2", "set data.labels=PATH to the CSV"),  # the model has three classes
    ):
        error = refusal(manifest, f"path,label\na.wav,{label}\nb.wav,Dog\n")
        assert words in str(error)
        came_out(error)


@pytest.mark.fault(123, "a label file that does not match: of another data set, without the index, with a gap")
def test_a_label_file_that_does_not_match(manifest, tmp_path, came_out):
    put(tmp_path, "a.wav")
    for content, words in (
        ("index,mid,display_name\n0,/m/b,Bird\n", "1 label of eval.csv is not among the model's: /m/b"),
        ("index,mid,display_name\n0,/m/c,Cat\n", "is not among the model's: /m/b"),
        ("mid,display_name\n/m/b,Dog\n", "the header has no columns index and display_name"),
        ("index,mid,display_name\n1,/m/b,Dog\n", "index 0 is missing"),
    ):
        (tmp_path / "classes.csv").write_text(content)
        error = refusal(manifest, "path,label\na.wav,/m/b\n", labels=str(tmp_path / "classes.csv"))
        assert words in str(error)
        came_out(error)
    (tmp_path / "classes.csv").write_text("index,mid,display_name\n0,/m/b,Dog\n")
    assert len(manifest("path,label\na.wav,/m/b\n", labels=str(tmp_path / "classes.csv"))) == 1


@pytest.mark.fault(124, "clips that are in the list and not on the disk: some, all")
def test_missing_clips_keep_their_places(manifest, tmp_path, came_out):
    put(tmp_path, "b.wav")
    source = manifest("path,label\na.wav,Dog\nb.wav,Dog\nfolder/c.wav,Speech\n")
    examples = list(source.examples(0, 3))
    assert [(e.name, e.labels) for e in examples] == [("a.wav", (2,)), ("b.wav", (2,)), ("folder/c.wav", (0,))]
    assert decoded(examples[1]).waveform.shape == (1600,)
    missing = [example.name for example in examples if not example.audio.exists()]
    assert missing == ["a.wav", "folder/c.wav"]
    assert "cannot be read (No such file or directory)" in str(refusal(decoded, examples[0]))
    came_out(clips=len(source), missing=missing)
    error = refusal(manifest, "path,label\n/data/audioset/a.wav,Dog\n/data/audioset/b.wav,Dog\n")
    assert "none of the clips of eval.csv exists, for example '/data/audioset/a.wav'" in str(error)


@pytest.mark.fault(125, "clips at other rates, in stereo")
def test_clips_of_other_rates_are_adapted_and_that_is_said(cli, came_out):
    rows = ["path,label"]
    for number, kind in enumerate(SUBTYPES):
        rows.append(f"{kind}.{kind.lower()},LABEL_{number}")
        (cli.folder / rows[-1].partition(",")[0]).write_bytes(sound(kind, 44100, seconds=1, channels=2, seed=number))
        clip = audio.decode(sound(kind, 44100, seconds=1, channels=2), "a clip", 16000)
        assert abs(len(clip.waveform) - 16000) <= 2
        assert clip.notes == (
            "2 channels of the clip are averaged into one",
            "the clip is resampled from 44100 Hz to 16000 Hz",
        )
    (cli.folder / "eval.csv").write_text("\n".join(rows))
    result = cli.tiny("data=manifest", "data.path=eval.csv", "labels=none")
    assert result.code == 0, result.err
    said = ["4 of 4 clips were averaged to one channel", "4 of 4 clips were resampled to 16000 Hz"]
    assert [note for note in cli.run_reports()[0]["notes"] if note in said] == said
    assert all(note in result.out for note in said)
    came_out(result, said=said)


@pytest.mark.fault(126, "broken clips: cut short, empty, text, NaN, a rate of 44101 Hz; in wav, flac, ogg and mp3")
def test_broken_clips(came_out):
    odd = io.BytesIO()
    soundfile.write(odd, np.full(16000, np.nan, np.float32), 16000, format="WAV", subtype="FLOAT")
    broken = [sound(kind, seconds=1)[:-500] for kind in SUBTYPES]
    broken += [b"", b"<html>404</html>", odd.getvalue(), sound("WAV", 44101), sound("WAV", seconds=0.02)]
    for content in broken:
        error = refusal(audio.decode, content, "x/a.wav", 16000)
        assert error.cause.startswith("clip x/a.wav ")
        came_out(error)


@pytest.mark.fault(127, "several clips of one name, one of them twice in the list")
def test_clips_of_one_name(manifest, tmp_path, came_out):
    elsewhere = tmp_path.parent
    put(tmp_path, "a.wav")
    source = manifest(f"path,label\na.wav,Dog\na.wav,Dog\n{elsewhere}/1/a.wav,Dog\n{elsewhere}/2/a.wav,Dog\n")
    names = [example.name for example in source.examples(0, 4)]
    assert names == ["a.wav", "a.wav (2)", "a.wav (3)", "a.wav (4)"]
    assert source.notes == ("1 clip is repeated in the list, and counts again",)
    came_out(names=names, said=source.notes)


@pytest.mark.fault(128, "a data set on the Hub without a network")
def test_the_hub_offline(came_out):
    for streaming in (False, True):
        data = Data(kind="huggingface", path="owner/name", streaming=streaming)
        error = refusal(open_source, data, LABELS, error=DownloadError)
        assert "set data.path to a folder on this machine" in error.remedy
        came_out(error)


@pytest.mark.fault(129, "settings of a data set that say nothing: without data=, without a path, of another task")
def test_settings_without_a_data_set(cli, came_out):
    for overrides, words in (
        (["data.path=eval.json"], "data.path is set, but no data set is chosen; add data="),
        (["data=manifest"], "data=manifest needs a data set; add data.path=eval.json"),
        (["data=esc50", "data.path=x", "task=inspect", "checkpoint=a.pth"], "task=inspect does not run over a data"),
    ):
        result = cli(*overrides, "tracking=off")
        assert result.code == 2
        assert words in result.error_line
        came_out(result)


@pytest.mark.fault(130, "a folder with a loading script in it")
def test_code_that_comes_with_a_data_set_is_not_run(tmp_path, came_out):
    folder, trace = tmp_path / "set", tmp_path / "trace"
    put(folder, "a.wav")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "a.wav", "label": "Dog"}) + "\n")
    (folder / "set.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    error = refusal(open_source, Data(kind="huggingface", path=str(folder)), LABELS)
    assert "Dataset scripts are no longer supported" in str(error)
    came_out(error, code_was_run=trace.exists())
    assert not trace.exists()
    (folder / "set.py").unlink()
    assert len(open_source(Data(kind="huggingface", path=str(folder)), LABELS)) == 1
