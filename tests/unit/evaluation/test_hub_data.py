import pyarrow
import pyarrow.parquet
import pytest
from datasets import Audio, ClassLabel, Features, List, Value
from support.clips import put, sound
from support.hub_data import add_speech_commands, words
from support.hub_server import Fault, HubServer

from ast2hf.config import Data
from ast2hf.errors import DownloadError, InputError
from ast2hf.evaluation.opening import open_source

LABELS = ("Dog", "Cat", "Child speech, kid speaking")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """What the library makes of a data set is kept apart from that of other tests."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def opened(path, labels=LABELS, **data):
    return open_source(Data(kind="huggingface", path=str(path), **data), labels)


def rows(source, start=0, stop=100):
    return [(example.name, example.labels) for example in source.examples(start, stop)]


def parquet(labels, kind, path="clip.wav", column="label", audio=None, seed=0) -> bytes:
    features = Features({"audio": audio or Audio(sampling_rate=16000), column: kind, "speaker": Value("string")})
    found = [
        {"audio": {"bytes": sound(seed=seed + i), "path": path and f"{i}_{path}"}, column: label, "speaker": "somebody"}
        for i, label in enumerate(labels)
    ]
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(found, schema=features.arrow_schema), file, row_group_size=2)
    return file.getvalue().to_pybytes()


def table(columns) -> bytes:
    """Parquet that says nothing of the types of its columns but what they are."""
    file = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue().to_pybytes()


PATHS = table({"audio": ["a.wav"], "label": ["Dog"]})


@pytest.fixture
def folder(tmp_path):
    """A folder with Parquet files of several splits in it."""

    def folder(**splits):
        (tmp_path / "set").mkdir()
        for split, content in splits.items():
            (tmp_path / "set" / f"{split}-00000-of-00001.parquet").write_bytes(content)
        return tmp_path / "set"

    return folder


def test_a_folder_for_each_class(tmp_path):
    put(tmp_path / "set", "test/dog/a.wav", "test/cat/a.wav", "train/dog/b.flac", "train/cat/b.wav")
    source = opened(tmp_path / "set", split="test")
    assert rows(source) == [("test/cat/a.wav", (1,)), ("test/dog/a.wav", (0,))]
    assert [e.audio for e in source.examples(1, 2)] == [tmp_path / "set/test/dog/a.wav"]
    assert source.name == "set, test"
    assert source.notes[0] == "labels are taken from the column label of set"


def test_a_folder_with_the_name_of_a_format_is_a_folder(tmp_path, monkeypatch):
    put(tmp_path / "csv", "dog/a.wav", "cat/a.wav")
    monkeypatch.chdir(tmp_path)
    assert rows(opened("csv")) == [("cat/a.wav", (1,)), ("dog/a.wav", (0,))]


def test_metadata_beside_the_sounds(tmp_path):
    put(tmp_path / "set", "a.wav", "b.wav")
    (tmp_path / "set" / "metadata.csv").write_text('file_name,label\nb.wav,"Child speech, kid speaking"\na.wav,Dog\n')
    assert rows(opened(tmp_path / "set")) == [("b.wav", (2,)), ("a.wav", (0,))]


@pytest.mark.parametrize(
    ("labels", "kind", "column", "found"),
    [
        ([1, 0], ClassLabel(names=["dog", "cat"]), "label", [(1,), (0,)]),
        ([[0, 1], []], List(ClassLabel(names=["cat", "dog"])), "labels", [(0, 1), ()]),
        ([["Dog", "Cat"], ["Cat"]], List(Value("string")), "human_labels", [(0, 1), (1,)]),
        (["Dog;Cat", "Child speech, kid speaking"], Value("string"), "category", [(0, 1), (2,)]),
        (["Dog", None], Value("string"), "label", [(0,), ()]),
        ([-1, 0], ClassLabel(names=["dog", "cat"]), "label", [(), (0,)]),
    ],
)
@pytest.mark.parametrize("audio", [None, {"bytes": Value("binary"), "path": Value("string")}])
def test_parquet_with_the_sounds_in_it(folder, labels, kind, column, found, audio):
    source = opened(folder(test=parquet(labels, kind, column=column, audio=audio)))
    assert rows(source) == [("0_clip.wav", found[0]), ("1_clip.wav", found[1])]
    assert [e.audio for e in source.examples(0, 2)] == [sound(seed=0), sound(seed=1)]


def test_numbers_are_indices_of_the_data_set(folder, tmp_path):
    path = folder(test=parquet([1, 0], Value("int64")))
    with pytest.raises(InputError, match=r"2 labels of set are not among the model's: 1, 0 .* set data\.labels"):
        opened(path)
    (tmp_path / "classes.csv").write_text("index,display_name\n0,Cat\n1,Dog\n")
    data = Data(kind="huggingface", path=str(path), labels=str(tmp_path / "classes.csv"))
    assert rows(open_source(data, LABELS)) == [("0_clip.wav", (0,)), ("1_clip.wav", (1,))]


def test_sounds_without_a_name_are_numbered(folder):
    source = opened(folder(test=parquet(["Dog", "Cat"], Value("string"), path=None)))
    assert rows(source) == [("test[0]", (0,)), ("test[1]", (1,))]


def test_clips_are_chosen_by_their_names(folder, tmp_path):
    (tmp_path / "ids.txt").write_text("2_clip\n0_clip.wav\nnone\n")
    source = opened(folder(test=parquet(["Dog", "Cat", "Dog"], Value("string"))), ids=str(tmp_path / "ids.txt"))
    assert rows(source) == [("0_clip.wav", (0,)), ("2_clip.wav", (0,))]
    assert [e.audio for e in source.examples(1, 2)] == [sound(seed=2)]
    assert source.notes[1:] == (
        "2 of 3 clips are used, those in ids.txt",
        "1 of the 3 names in ids.txt do not belong to any clip of the data set",
    )


def test_sounds_may_be_bytes_alone(folder):
    source = opened(folder(test=table({"label": ["Dog", "Cat"], "sound": [sound(seed=0), sound(seed=1)]})))
    assert rows(source) == [("test[0]", (0,)), ("test[1]", (1,))]
    assert [e.audio for e in source.examples(0, 2)] == [sound(seed=0), sound(seed=1)]


def test_the_split_is_never_guessed(folder):
    path = folder(train=parquet(["Dog"], Value("string")), test=parquet(["Cat"], Value("string")))
    with pytest.raises(InputError, match=r"set has several splits; set data\.split to one of: train, test"):
        opened(path)
    with pytest.raises(InputError, match=r"set has no split validation; set data\.split to one of: train, test"):
        opened(path, split="validation")
    assert rows(opened(path, split="test")) == [("0_clip.wav", (1,))]


def test_the_fingerprint_follows_the_files(folder):
    path = folder(test=parquet(["Dog", "Cat"], Value("string")))
    first = opened(path).fingerprint
    assert opened(path).fingerprint == first
    (path / "test-00000-of-00001.parquet").write_bytes(parquet(["Dog", "Cat"], Value("string"), seed=1))
    assert opened(path).fingerprint != first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (PATHS, "set has no audio column (its columns: audio, label)"),
        (parquet(["Dog"], Value("string"), column="name"), "set: no column of labels (columns: name, speaker)"),
        (parquet([0.5], Value("float32")), "column label does not hold labels"),
        (parquet(["Bird"], Value("string")), "1 label of set is not among the model's: Bird"),
        (parquet([None], Value("string")), "no clip of set has a label"),
        (b"no Parquet at all", "set cannot be read as a data set (ArrowInvalid: "),
    ],
)
def test_what_cannot_be_used_is_told(folder, content, words):
    with pytest.raises(InputError) as caught:
        opened(folder(test=content))
    assert words in caught.value.cause


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("./missing", "does not exist"),
        ("/a/b/c", "does not exist"),
        ("a/b/c", "does not exist"),
        ("e", "is not a folder"),
    ],
)
def test_a_path_that_is_none(tmp_path, monkeypatch, path, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e").touch()
    with pytest.raises(InputError, match=words):
        opened(path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read as a data set \(EmptyDatasetError: .*; use a folder with me"):
        opened(tmp_path)


def test_offline_a_hub_id_is_a_download_error_with_a_remedy():
    for streaming in (False, True):
        with pytest.raises(
            DownloadError, match=r"data set owner/name cannot be downloaded .* set data.path to a folder on this mach"
        ):
            opened("owner/name", streaming=streaming)


README = """---
dataset_info:
  features:
  - name: audio
    dtype: audio
  - name: label
    dtype: string
  - name: speaker
    dtype: string
  splits:
  - name: test
    num_examples: 5
configs:
- config_name: default
  data_files:
  - split: test
    path: test.parquet
---
"""

FIVE = parquet(["Dog", "Cat", "Dog", "Dog", "Cat"], Value("string"))
FOUND = [("0_clip.wav", (0,)), ("1_clip.wav", (1,)), ("2_clip.wav", (0,)), ("3_clip.wav", (0,)), ("4_clip.wav", (1,))]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubServer(tmp_path / "hub") as hub, hub.of_this_process(HF_HOME=str(tmp_path / "home")):
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.environment()["HF_ENDPOINT"])
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
        hub.add("owner/name", "README.md", README.encode())
        hub.add("owner/name", "test.parquet", FIVE)
        yield hub


def test_a_data_set_on_the_hub(hub):
    source = opened("owner/name")
    assert (source.name, len(source)) == ("owner/name, test", 5)
    assert rows(source) == FOUND
    assert [e.audio for e in source.examples(4, 5)] == [sound(seed=4)]
    assert opened("owner/name").fingerprint == source.fingerprint
    hub.add("owner/name", "test.parquet", parquet(["Dog", "Cat", "Dog", "Dog", "Cat"], Value("string"), seed=1))
    assert opened("owner/name").fingerprint != source.fingerprint


def test_what_was_fetched_once_is_there_offline(hub, monkeypatch):
    source = opened("owner/name")
    hub.faults += [Fault(method, "", 500) for method in ("GET", "HEAD")]
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    again = opened("owner/name")
    assert rows(again) == FOUND
    assert again.fingerprint == source.fingerprint


CONFIGURATIONS = """---
configs:
- config_name: small
  data_files: small.parquet
- config_name: large
  data_files: test.parquet
---
"""


def test_a_configuration_is_chosen_and_never_guessed(hub):
    hub.add("owner/name", "README.md", CONFIGURATIONS.encode())
    hub.add("owner/name", "small.parquet", parquet(["Cat"], Value("string")))
    with pytest.raises(
        InputError, match=r"owner/name has several configurations .*'small', 'large'.*owner/name:CONFIG"
    ):
        opened("owner/name")
    assert rows(opened("owner/name:small")) == [("0_clip.wav", (1,))]
    assert rows(opened("owner/name:large")) == FOUND


def test_a_revision_is_taken_where_it_is_said(hub):
    first = hub.repo("owner/name", "dataset").branches["main"]
    hub.add("owner/name", "test.parquet", parquet(["Cat"], Value("string")))
    hub.add("owner/name", "README.md", b"")
    assert rows(opened(f"owner/name@{first}")) == FOUND
    assert rows(opened("owner/name")) == [("0_clip.wav", (1,))]


@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_the_hub_made_of_code(hub, streaming):
    clips = words(3)
    add_speech_commands(hub, clips)
    path = "google/speech_commands@refs/convert/parquet:v0.02"
    if streaming:
        with pytest.raises(InputError, match="does not state its number of clips"):
            opened(path, labels=("no", "yes"), split="validation", streaming=True)
        return
    source = opened(path, labels=("no", "yes"), split="validation")
    assert rows(source) == [("0.wav", (1,)), ("1.wav", (1,)), ("2.wav", (1,))]
    assert [e.audio for e in source.examples(0, 3)] == clips


def test_a_data_set_that_is_code_is_refused_with_the_way_round_it(hub):
    hub.add("owner/code", "code.py", b"raise SystemExit(7)")
    with pytest.raises(
        InputError, match=r"owner/code is distributed as code, which is not run; set data\.path=owner/code@ref"
    ):
        opened("owner/code")


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_of_sounds_on_the_hub(hub, tmp_path, streaming):
    hub.add("owner/sounds", "dog/a.wav", sound(seed=1))
    hub.add("owner/sounds", "cat/b.wav", sound(seed=2))
    source = opened("owner/sounds")
    assert rows(source) == [("b.wav", (1,)), ("a.wav", (0,))]
    assert [e.audio.read_bytes() for e in source.examples(0, 2)] == [sound(seed=2), sound(seed=1)]
    if streaming:  # now its number of clips is known
        again = opened("owner/sounds", streaming=True)
        assert [(e.name, e.labels, e.audio) for e in again.examples(0, 2)] == [
            ("b.wav", (1,), sound(seed=2)),
            ("a.wav", (0,), sound(seed=1)),
        ]


def test_a_stream_goes_on_where_it_ended_and_can_go_back(hub):
    source = opened("owner/name", streaming=True)
    assert (source.name, len(source)) == ("owner/name, test", 5)
    assert rows(source, 0, 2) == FOUND[:2]
    asked = len(hub.asked("GET", "test.parquet"))
    assert rows(source, 3, 99) == FOUND[3:]
    assert rows(source, 1, 3) == FOUND[1:3]
    assert rows(source, 5, 9) == rows(source, 2, 2) == []
    assert [e.audio for e in source.examples(4, 5)] == [sound(seed=4)]
    assert asked


def test_a_stream_of_unknown_length_is_refused(hub):
    hub.add("owner/name", "README.md", README.replace("    num_examples: 5\n", "").encode())
    with pytest.raises(InputError, match=r"owner/name does not state its number of clips; leave out data\.streaming"):
        opened("owner/name", streaming=True)


def test_a_stream_that_is_shorter_than_it_says(hub):
    hub.add("owner/name", "README.md", README.replace("num_examples: 5", "num_examples: 7").encode())
    source = opened("owner/name", streaming=True)
    with pytest.raises(InputError, match=r"owner/name, test ended after 5 of 7 clips"):
        rows(source)


def test_a_stream_with_a_label_that_the_model_lacks(hub):
    source = opened("owner/name", labels=("Dog", "Bird"), streaming=True)
    assert rows(source, 0, 1) == FOUND[:1]
    with pytest.raises(InputError, match=r"1 label of owner/name is not among the model's: Cat"):
        rows(source, 1, 2)


def test_the_fingerprint_of_a_stream_follows_the_names_of_its_classes(hub, tmp_path):
    hub.add("owner/name", "README.md", README.replace("label\n    dtype: string", "label\n    dtype: int64").encode())
    hub.add("owner/name", "test.parquet", parquet([0, 1, 0, 0, 1], Value("int64")))
    fingerprints = set()
    for number, names in enumerate(("Dog\n1,Cat", "Cat\n1,Dog")):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"index,display_name\n0,{names}\n")
        data = Data(kind="huggingface", path="owner/name", streaming=True, labels=str(path))
        source = open_source(data, ("Dog", "Cat"))
        assert rows(source, 0, 1)[0][1] == (number,)
        fingerprints.add(source.fingerprint)
    assert len(fingerprints) == 2


def test_names_cannot_be_chosen_from_a_stream(hub, tmp_path):
    (tmp_path / "ids.txt").write_text("0_clip.wav\n")
    with pytest.raises(InputError, match=r"leave out data\.streaming"):
        opened("owner/name", streaming=True, ids=str(tmp_path / "ids.txt"))


def test_a_stream_that_breaks_off_is_a_download_error(hub):
    source = opened("owner/name", streaming=True)
    hub.faults += [Fault("GET", "test.parquet", 404), Fault("HEAD", "test.parquet", 404)]
    with pytest.raises(DownloadError, match=r"data set owner/name cannot be downloaded"):
        rows(source)
