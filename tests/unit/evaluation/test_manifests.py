import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import put

from ast2hf.config import Data
from ast2hf.errors import InputError
from ast2hf.evaluation.opening import open_source
from ast2hf.privacy import without_paths

LABELS = ("Speech", "Child speech, kid speaking", "Dog")

AUTHORS = {
    "data": [
        {"video_id": "-0RWZT-miFs", "wav": "clips/a.wav", "labels": "Speech,Dog"},
        {"video_id": "-0nqfRcnAYE", "wav": "clips/b.flac", "labels": "Child speech, kid speaking"},
    ]
}
ROWS = AUTHORS["data"]

FORMS = {
    "authors.json": json.dumps(AUTHORS),
    "indented.json": json.dumps(AUTHORS, indent=1),
    "list.json": json.dumps(ROWS),
    "lines.jsonl": "\n".join(map(json.dumps, ROWS)),
    "lines.json": "\n".join(map(json.dumps, ROWS)) + "\n\n",
    "one_line.txt": json.dumps(ROWS[0]) + "\r\n" + json.dumps(ROWS[1]),
    "lists.jsonl": "\n".join(
        json.dumps(row) for row in ({"audio": "clips/a.wav", "label": ["Speech", "Dog"]},
                                    {"audio": "clips/b.flac", "label": ["Child speech, kid speaking"]})
    ),
    "table.csv": 'path,labels\nclips/a.wav,"Speech,Dog"\nclips/b.flac,"Child speech, kid speaking"\n',
    "other.csv": "Category,FileName\r\nSpeech;Dog,clips/a.wav\r\n\"Child speech, kid speaking\",clips/b.flac\r\n",
    "pipes.csv": 'id,file,class\n1,clips/a.wav,Speech|Dog\n2,clips/b.flac,"Child speech, kid speaking"',
}  # fmt: skip


@pytest.fixture
def opened(tmp_path):
    def opened(content: str, name: str = "eval.json", **data):
        (tmp_path / name).write_bytes(content.encode())
        return open_source(Data(kind="manifest", path=str(tmp_path / name), **data), LABELS)

    put(tmp_path, "clips/a.wav", "clips/b.flac")
    return opened


def rows(source):
    return [(example.name, example.labels) for example in source.examples(0, len(source))]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_clips(opened, name, tmp_path):
    source = opened(FORMS[name], name)
    assert source.name == name
    assert rows(source) == [("clips/a.wav", (0, 2)), ("clips/b.flac", (1,))]
    assert [e.audio for e in source.examples(0, 2)] == [tmp_path / "clips/a.wav", tmp_path / "clips/b.flac"]
    assert source.notes == ()


def test_mids_are_named_by_a_file(opened, tmp_path):
    (tmp_path / "classes.csv").write_text("index,mid,display_name\n0,/m/d,Dog\n1,/m/s,Speech\n2,/m/c,Cat\n")
    text = json.dumps({"data": [{"wav": "clips/a.wav", "labels": "/m/s,/m/d"}, {"wav": "clips/b.flac", "labels": 0}]})
    assert rows(opened(text, labels=str(tmp_path / "classes.csv"))) == [("clips/a.wav", (0, 2)), ("clips/b.flac", (2,))]
    with pytest.raises(InputError, match=r"3 labels of eval.json are not among the model's: /m/s, /m/d, 0"):
        opened(text)


def test_a_path_from_elsewhere_is_named_by_its_last_part(opened, tmp_path):
    elsewhere = tmp_path.parent / "elsewhere" / "c.wav"
    text = f"path,label\n{elsewhere},Dog\n../elsewhere/c.wav,Dog\n./clips/../clips/a.wav,Dog\nmissing.wav,Dog\n"
    source = opened(text, "eval.csv")
    assert [r[0] for r in rows(source)] == ["c.wav", "c.wav (2)", "clips/a.wav", "missing.wav"]
    assert [e.audio for e in source.examples(0, 1)] == [elsewhere]


def test_clips_of_one_name_are_told_apart(opened, tmp_path):
    put(tmp_path, "a/x.wav")
    source = opened("path,label\na/x.wav,Dog\na/x.wav,Dog\na/x.wav (2),Dog\n", "eval.csv")
    assert [r[0] for r in rows(source)] == ["a/x.wav", "a/x.wav (2)", "a/x.wav (2) (2)"]
    assert source.notes == ("1 clip is repeated in the list, and counts again",)


def test_a_name_is_shown_so_that_it_can_be_read(opened, tmp_path):
    put(tmp_path, "a\n\u202eb.wav")
    assert rows(opened('{"data": [{"wav": "a\\n\\u202eb.wav", "labels": "Dog"}]}'))[0][0] == r"a\n\u202eb.wav"


def test_clips_without_a_label_are_counted(opened, tmp_path):
    put(tmp_path, "a.wav")
    source = opened('path,label\na.wav,Dog\nb.wav,\nc.wav," "\n', "eval.csv")
    assert [r[1] for r in rows(source)] == [(2,), (), ()]
    assert source.notes == ("2 clips have no label",)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("e.json", "", "e.json is empty"),
        ("e.json", " \n ", "e.json is empty"),
        ("e.json", '{"data": []}', "e.json has no clips"),
        ("e.json", "[]", "e.json has no clips"),
        ("e.csv", "path,label\n", "e.csv has no clips"),
        ("e.json", '{"data": {}}', "e.json: no column of paths (columns: data)"),
        ("e.json", '{"rows": []\n}', "e.json has no list of clips"),
        ("e.json", '{"data": [1]}', "e.json, entry 1: not a clip with its labels"),
        ("e.json", '{"data": [{"wav": "a.wav", "labels": "Dog"},\n{"wav": }]}', "e.json, line 2: not valid JSON"),
        ("e.json", "[" * 100_000, "e.json: not valid JSON"),
        ("e.jsonl", '{"wav": "a", "label": "Dog"}\n{"wav": \n', "e.jsonl, line 2: not valid JSON"),
        ("e.jsonl", '{"wav": "a", "label": "Dog"}\n\n[1]\n', "e.jsonl, line 3: not a clip with its labels"),
        ("e.jsonl", '{"wav": "a", "label": "Dog"}\n{"wav": "b"}', "e.jsonl, line 2: label has no labels"),
        ("e.jsonl", '{"wav": "a", "label": "Dog"}\n{"label": "Dog"}', "e.jsonl, line 2: wav is not a path"),
        ("e.jsonl", '{"wav": "a", "label": {"a": 1}}', "e.jsonl, line 1: label has no labels"),
        ("e.jsonl", '{"wav": "a", "label": [true]}', "e.jsonl, line 1: label has no labels"),
        ("e.jsonl", '{"wav": "a", "label": 1.5}', "e.jsonl, line 1: label has no labels"),
        ("e.jsonl", '{"wav": 3, "label": "Dog"}', "e.jsonl, line 1: wav is not a path"),
        ("e.csv", "path,label\n,Dog\n", "e.csv, line 2: path is not a path"),
        ("e.csv", "a.wav,Dog\nb.wav,Dog\n", "e.csv: no column of paths (columns: a.wav, Dog)"),
        ("e.csv", "path,what\nb.wav,Dog\n", "e.csv: no column of labels (columns: path, what)"),
        ("e.csv", "path,label\na.wav,Child speech, kid speaking\n", "e.csv, line 2: more fields than the header"),
        ("e.csv", "path,label\na.wav\n", "e.csv, line 2: fewer fields than the header"),
        ("e.csv", "path,label\na.wav," + "x" * 200_000, "e.csv, line 2: field larger than field limit"),
        ("e.csv", "path,label\na.wav,\nb.wav,\n", "no clip of e.csv has a label"),
        ("e.csv", "path,label\na.wav,Bird\n", "1 label of e.csv is not among the model's: Bird"),
        ("e.csv", "path,label\na.wav,Dog;Bird,Child speech\n", "line 2: more fields"),
        ("e.csv", 'path,label\na.wav,"Dog;Bird,Child"\n', "2 labels of e.csv are not among the model's: Bird, Child "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(opened, name, text, words):
    with pytest.raises(InputError) as caught:
        opened(text, name)
    assert words in caught.value.cause
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "eval.csv").write_bytes(b"path,label\ncaf\xe9.wav,Dog\n")
    with pytest.raises(InputError, match=r"eval.csv, line 2: not UTF-8 text"):
        open_source(Data(kind="manifest", path=str(tmp_path / "eval.csv")), LABELS)


@pytest.mark.parametrize("path", ["missing.json", ".", "/dev/zero", "~nobody-of-this-name/x.json"])
def test_a_manifest_that_cannot_be_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"manifest .* cannot be read|unknown user"):
        open_source(Data(kind="manifest", path=path), LABELS)


IDS = """path,label
eval/Y-0RWZT-miFs.wav,Dog
eval/a.wav,Dog
-0nqfRcnAYE_10.000.flac,Dog
b/a.wav,Dog
"""


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ("-0RWZT-miFs", [0]),
        ("Y-0RWZT-miFs\n-0nqfRcnAYE\n", [0, 2]),
        ("eval/a.wav\r\n\r\n", [1]),
        ("a.wav", [1, 3]),
        ("a", [1, 3]),
        ("-0nqfRcnAYE_10.000", [2]),
    ],
)
def test_clips_are_chosen_by_their_names(opened, tmp_path, lines, chosen):
    put(tmp_path, "eval/Y-0RWZT-miFs.wav", "eval/a.wav", "-0nqfRcnAYE_10.000.flac", "b/a.wav")
    (tmp_path / "ids.txt").write_text(lines)
    every = rows(opened(IDS, "eval.csv"))
    source = opened(IDS, "eval.csv", ids=str(tmp_path / "ids.txt"))
    assert rows(source) == [every[place] for place in chosen]
    assert source.notes == (f"{len(chosen)} of 4 clips are used, those in ids.txt",)


def test_names_that_are_no_clips_are_counted(opened, tmp_path):
    put(tmp_path, "b/a.wav")
    (tmp_path / "ids.txt").write_text("a.wav\nnone\nneither\n")
    source = opened(IDS, "eval.csv", ids=str(tmp_path / "ids.txt"))
    assert source.notes[1] == "2 of the 3 names in ids.txt do not belong to any clip of the data set"
    (tmp_path / "ids.txt").write_text("none\nneither\n")
    with pytest.raises(
        InputError, match=r"none of the names in ids.txt belongs to a clip of eval.csv, such as eval/Y-0RWZT"
    ):
        opened(IDS, "eval.csv", ids=str(tmp_path / "ids.txt"))


def test_labels_of_clips_that_are_left_out_need_not_be_known(opened, tmp_path):
    put(tmp_path, "a.wav")
    (tmp_path / "ids.txt").write_text("a\n")
    text = "path,label\na.wav,Dog\nb.wav,Bird\n"
    assert rows(opened(text, "eval.csv", ids=str(tmp_path / "ids.txt"))) == [("a.wav", (2,))]


def test_the_fingerprint_follows_names_labels_and_files(opened, tmp_path):
    text = "path,label\nclips/a.wav,Dog\nclips/b.flac,Dog\n"
    first = opened(text, "eval.csv").fingerprint
    assert opened(text, "eval.csv").fingerprint == opened(text + "\n", "other.csv").fingerprint == first
    changed = {first}
    changed.add(opened(text.replace("Dog", "Speech", 1), "eval.csv").fingerprint)
    changed.add(opened("path,label\nclips/b.flac,Dog\nclips/a.wav,Dog\n", "eval.csv").fingerprint)
    Path(tmp_path / "clips/a.wav").write_bytes(b"other")
    changed.add(opened(text, "eval.csv").fingerprint)
    Path(tmp_path / "clips/a.wav").unlink()
    changed.add(opened(text, "eval.csv").fingerprint)
    assert len(changed) == 5


def test_the_paths_of_another_machine_are_told_before_anything_is_heard(opened):
    text = json.dumps({"data": [{"wav": f"/data/audioset/{i}.flac", "labels": "Dog"} for i in range(3)]})
    with pytest.raises(InputError) as caught:
        opened(text)
    assert str(caught.value) == (
        "none of the clips of eval.json exists, for example '/data/audioset/0.flac'; "
        "correct the paths, or put the clips there"
    )


def test_of_such_a_path_records_have_the_name_of_the_file_alone(opened):
    with pytest.raises(InputError) as caught:
        opened(json.dumps({"data": [{"wav": "/home/jane/some sounds/0.wav", "labels": "Dog"}]}))
    assert "for example '/home/jane/some sounds/0.wav'" in caught.value.cause
    assert "for example '0.wav'" in without_paths(caught.value.cause)


def test_parts_of_the_clips_in_their_order(opened, tmp_path):
    put(tmp_path, "3.wav")
    source = opened("path,label\n" + "".join(f"{i}.wav,Dog\n" for i in range(10)), "eval.csv")
    assert [e.name for e in source.examples(3, 5)] == ["3.wav", "4.wav"]
    assert [e.name for e in source.examples(8, 99)] == ["8.wav", "9.wav"]
    assert list(source.examples(4, 4)) == []


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["Dog", "a.wav"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "wav", "labels", "label", "path", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.lists(VALUES, max_size=3).map(lambda values: "\n".join(map(json.dumps, values)).encode()),
    st.lists(st.text(max_size=8), max_size=4).map(lambda lines: "\n".join(["path,label", *lines]).encode()),
)


@settings(deadline=None)
@given(st.sampled_from(["a.json", "a.jsonl", "a.csv", "a"]), CONTENTS)
def test_whatever_a_manifest_holds_is_clips_or_an_error_of_the_input(name, content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        for key in ("path", "labels", "ids"):
            named = {"path": f"{folder}/good.csv", key: f"{folder}/{name}"}
            (Path(folder) / "good.csv").write_text("path,label\ngood.csv,Dog\n")
            try:
                source = open_source(Data(kind="manifest", **named), LABELS)
            except InputError:
                continue
            assert len(list(source.examples(0, len(source)))) == len(source) > 0
