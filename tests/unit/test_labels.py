import json
import os
from pathlib import Path

import pytest

from ast2hf import labels
from ast2hf.config import HubFile, Variant
from ast2hf.errors import InputError
from ast2hf.labels import Labels, load_labels, parse

NAMES = ("Speech", "Male speech, man speaking", "Gebr\u00fcll")

CSV = 'index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/05zppz,"Male speech, man speaking"\n2,/m/x,Gebr\u00fcll\n'


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(dict(enumerate(NAMES))),
        json.dumps({"2": NAMES[2], "0": NAMES[0], "1": NAMES[1]}),
        json.dumps(NAMES, ensure_ascii=False),
        "\n " + json.dumps(NAMES),
        CSV,
        CSV.replace("\n", "\r\n"),
        CSV.replace("index,mid,display_name", "id,mid,label"),
        'name,id\nSpeech, 0\n\n"Male speech, man speaking",1\nGebr\u00fcll,2',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_gives_the_names_in_order(text, encoding):
    assert parse(text.encode(encoding), "labels") == NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "labels is empty"),
        (" \n", "labels is empty"),
        ("[]", "has no labels"),
        ("{}", "has no labels"),
        ("index,display_name\n", "has no labels"),
        ('{"0": "a",\n"1": }', "line 2: not valid JSON"),
        ("[" * 100_000, "is not a list of labels"),
        ("[" + "1" * 5000 + "]", "is not a list of labels"),
        ('{"0": "a", "0": "b"}', "entry 0: duplicate index 0"),
        ('{"0": "a", "1": "a"}', "entry 1: duplicate label a (first on entry 0)"),
        ('["a", "a"]', "entry 1: duplicate label a (first on entry 0)"),
        ('["a", " "]', "entry 1: the label is empty or not text"),
        ('["a", null]', "entry 1: the label is empty or not text"),
        ('["a", ["b"]]', "entry 1: the label is empty or not text"),
        ('{"0": "a", "5": "b"}', "index 1 is missing among 2 labels"),
        ('{"id2label": {"0": "a"}}', "entry id2label: 'id2label' is not an index"),
        ('{"-1": "a"}', "'-1' is not an index"),
        ('{"1_0": "a"}', "'1_0' is not an index"),
        ('{"9999999999": "a"}', "'9999999999' is not an index"),
        ('["a\\u001b[31m"]', r"entry 0: label a\x1b[31m has control characters"),
        ('["a\\u202eb"]', r"entry 0: label a\u202eb has an invisible character (U+202E)"),
        ("index,display_name\n0,a\n1,a\u200b\n", r"line 3: label a\u200b has an invisible character (U+200B)"),
        ('["a\\ud800"]', r"entry 0: label a\ud800 has control characters"),
        ("Speech\nMusic\n", "line 1: the header has no columns index and display_name"),
        ("index;display_name\n0;a\n", "line 1: the header has no columns index and display_name"),
        ("index,display_name\n0,a\n0,b\n", "line 3: duplicate index 0"),
        ("index,display_name\n0,a\n\n1,a\n", "line 4: duplicate label a (first on line 2)"),
        ("index,display_name\n0,a\n1,\n", "line 3: the label is empty or not text"),
        ("index,display_name\n0,a\n1\n", "line 3: the label is empty or not text"),
        ("index,display_name\n0,a\nx,b\n", "line 3: 'x' is not an index"),
        ("index,display_name\n0,a\n2,b\n", "index 1 is missing among 2 labels"),
        ("index,display_name\n0,Child speech, kid speaking\n", "line 2: more fields than the header"),
        ("index,display_name\n0," + "a" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_faults_are_located(text, words):
    with pytest.raises(InputError) as caught:
        parse(text.encode(), "labels")
    assert words in caught.value.cause


TEXT = "Speech\nMale speech, man speaking\nGebr\u00fcll"


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_file_has_a_name_a_line(end, newline, encoding):
    assert parse((TEXT + end).replace("\n", newline).encode(encoding), "a/labels.TXT") == NAMES


def test_json_and_csv_are_recognised_in_a_text_file_as_well():
    for text in (CSV, json.dumps(NAMES), json.dumps(dict(enumerate(NAMES)), indent=1)):
        assert parse(text.encode(), "labels.txt") == NAMES
    assert parse(b"[noise]\nindex\nname", "labels.txt") == ("[noise]", "index", "name")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n\nb\n", "line 2: the label is empty or not text"),
        ("\na\n", "line 1: the label is empty or not text"),
        ("a\n \t\nb", "line 2: the label is empty or not text"),
        ("a\nb\na", "line 3: duplicate label a (first on line 1)"),
        ("a\n a ", "line 2: duplicate label a (first on line 1)"),
        ("a\nb\x1b[31m", r"line 2: label b\x1b[31m has control characters"),
        ("a\n0\tb", r"line 2: label 0\tb has control characters"),
        ("a\u2028b\nc", r"line 1: label a\u2028b has control characters"),
        ("a\n\u202eb", r"line 2: label \u202eb has an invisible character (U+202E)"),
        ("\n \n", "labels.txt is empty"),
        ('["a",\n"b"', "not valid JSON"),
        ('{\n"0": "a"', "not valid JSON"),
    ],
)
def test_faults_in_a_text_file_are_located(text, words):
    with pytest.raises(InputError) as caught:
        parse(text.encode(), "labels.txt")
    assert words in caught.value.cause


def test_one_name_per_line_in_another_file_has_a_remedy():
    with pytest.raises(InputError, match=r"one name per line in a \.txt file"):
        parse(TEXT.encode(), "labels.lst")


@pytest.mark.parametrize("content", ["a\nb\nGebr\u00fcll".encode("latin-1"), b"\xff\xfea\x00\n\x00b"])
def test_other_encodings_name_the_line(content):
    with pytest.raises(InputError, match=r"line [23]: not UTF-8 text; save the label file as UTF-8"):
        parse(content, "labels")


def test_the_count_must_be_that_of_the_classes():
    found = Labels(NAMES, "labels.csv")
    assert found.for_classes(3) == NAMES
    with pytest.raises(InputError, match=r"labels\.csv has 3 labels, but the checkpoint has 7 classes"):
        found.for_classes(7)


def test_no_labels():
    for found in (load_labels("none", Variant()), load_labels(None, Variant(labels=None))):
        assert found.uri == "none"
        assert found.for_classes(2) == ("LABEL_0", "LABEL_1")


def test_a_file_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "labels.csv").write_text(CSV, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_labels("~/labels.csv", Variant()) == Labels(NAMES, "labels.csv")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom", "pipe", "large.csv"])
def test_a_file_without_end_is_not_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("large.csv").touch()
    os.truncate("large.csv", labels.MAX_FILE + 1)
    with pytest.raises(
        InputError, match=r"\(it (is a (device|pipe), not a regular file|has more than 67,108,864 bytes)\)"
    ):
        load_labels(path, Variant())


@pytest.mark.parametrize("path", ["missing.csv", ".", "", "a\0b", "~nobody-of-this-name/labels.csv"])
def test_a_file_that_cannot_be_read(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read|unknown user in"):
        load_labels(path, Variant())


def test_the_model_s_own_file(tmp_path, monkeypatch):
    file = HubFile("huggingface/label-files", "labels.json")
    (tmp_path / "labels.json").write_text(json.dumps(NAMES))
    monkeypatch.setattr(labels.hub_download, "fetch", lambda wanted, *_: tmp_path / wanted.filename)
    found = load_labels(None, Variant(labels=file))
    assert found == Labels(NAMES, "hf://datasets/huggingface/label-files/labels.json")
