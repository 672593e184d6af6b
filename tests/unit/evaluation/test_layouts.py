import os

import pytest
from support.clips import put

from ast2hf.config import Data
from ast2hf.errors import InputError
from ast2hf.evaluation.opening import open_source

LABELS = ("Dog", "Speech", "Door wood knock", "yes", "no")

ESC50 = """filename,fold,target,category,esc10,src_file,take
1-100032-A-0.wav,1,0,dog,True,100032,A
2-100210-A-36.wav,2,36,door_wood_knock,False,100210,A
2-100786-A-1.wav,2,0,dog,False,100786,A
"""

EVAL = """# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=4, num_segs=4, num_unique_labels=2, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--4gqARaEJE, 0.000, 10.000, "/m/d,/m/s"
-0BIyqJj9ZU, 30.000, 40.000, "/m/d"
YbbbbbbbbbY, 20.500, 30.500, "/m/s"
missing_abc, 20.000, 30.000, "/m/s"
"""

CLASSES = "index,mid,display_name\n0,/m/s,Speech\n1,/m/d,Dog\n"


def rows(source):
    return [(example.name, example.labels) for example in source.examples(0, len(source))]


@pytest.fixture
def esc50(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(ESC50)
    put(tmp_path / "audio", "1-100032-A-0.wav", "2-100210-A-36.wav")
    return lambda **data: open_source(Data(kind="esc50", path=str(tmp_path), **data), LABELS)


def test_esc50(esc50, tmp_path):
    source = esc50()
    assert source.name == "ESC-50"
    assert rows(source) == [
        ("audio/1-100032-A-0.wav", (0,)),
        ("audio/2-100210-A-36.wav", (2,)),
        ("audio/2-100786-A-1.wav", (0,)),
    ]
    assert [e.audio.exists() for e in source.examples(0, 3)] == [True, True, False]
    assert source.notes == (
        "labels matched ignoring case, spaces and underscores: dog as Dog; door_wood_knock as Door wood knock",
    )


def test_a_fold_of_esc50(esc50):
    assert [r[0] for r in rows(esc50(split="2"))] == ["audio/2-100210-A-36.wav", "audio/2-100786-A-1.wav"]
    assert esc50(split="2").name == "ESC-50, fold 2"
    with pytest.raises(InputError, match=r"ESC-50 has no fold 6; set data\.split to one of: 1, 2"):
        esc50(split="6")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,fold\na,1\n", "esc50.csv has no column filename"),
        ("filename,fold,category\n", "ESC-50 has no clips"),
        ("filename,fold,category\na.wav,1,cat\n", "1 label of ESC-50 is not among the model's: cat"),
    ],
)
def test_another_table_than_that_of_esc50(esc50, tmp_path, text, words):
    (tmp_path / "meta" / "esc50.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        esc50()


@pytest.fixture
def speech_commands(tmp_path):
    (tmp_path / "testing_list.txt").write_text("yes/a.wav\nno/a.wav\n")
    (tmp_path / "validation_list.txt").write_text("no/b.wav\n")
    put(tmp_path, "yes/a.wav", "no/a.wav", "no/b.wav", "no/training.wav")
    return lambda **data: open_source(Data(kind="speech_commands", path=str(tmp_path), **data), LABELS)


def test_speech_commands(speech_commands):
    assert rows(speech_commands(split="testing")) == [("yes/a.wav", (3,)), ("no/a.wav", (4,))]
    assert rows(speech_commands(split="validation")) == [("no/b.wav", (4,))]
    assert speech_commands(split="testing").name == "Speech Commands, testing"


@pytest.mark.parametrize(
    ("split", "words"), [(None, "needs a split; set data.split=testing"), ("test", "has no split test with a list")]
)
def test_a_split_of_speech_commands_that_there_is_not(speech_commands, split, words):
    with pytest.raises(InputError, match=words):
        speech_commands(split=split)


def test_a_list_of_speech_commands_without_words(speech_commands, tmp_path):
    (tmp_path / "testing_list.txt").write_text("yes/a.wav\na.wav\n")
    with pytest.raises(InputError, match=r"testing_list.txt has a.wav, which is not in the folder of a word"):
        speech_commands(split="testing")


@pytest.fixture
def audioset(tmp_path):
    (tmp_path / "eval_segments.csv").write_text(EVAL)
    (tmp_path / "classes.csv").write_text(CLASSES)

    def audioset(**data):
        given = {"path": str(tmp_path), "labels": str(tmp_path / "classes.csv"), **data}
        return open_source(Data(kind="audioset", **given), LABELS)

    return audioset


@pytest.mark.parametrize(
    "names",
    [
        ("--4gqARaEJE.wav", "-0BIyqJj9ZU.wav", "YbbbbbbbbbY.wav"),
        ("Y--4gqARaEJE.wav", "Y-0BIyqJj9ZU.wav", "YYbbbbbbbbbY.wav"),
        ("eval/--4gqARaEJE_0.flac", "eval/-0BIyqJj9ZU_30.flac", "eval/YbbbbbbbbbY_20.flac"),
        ("--4gqARaEJE_0_10000.wav", "-0BIyqJj9ZU_30000_40000.wav", "YbbbbbbbbbY_20500_30500.wav"),
        ("Dog/--4gqARaEJE_0.0-10.0.wav", "Dog/-0BIyqJj9ZU_30.0-40.0.wav", "x/YbbbbbbbbbY_20.5-30.5.wav"),
        ("yt_--4gqARaEJE_0_10.wav", "yt_-0BIyqJj9ZU_30_40.wav", "yt_YbbbbbbbbbY_20_30.wav"),
    ],
)
def test_audioset_under_the_names_of_common_tools(audioset, tmp_path, names):
    put(tmp_path, *names)
    source = audioset()
    assert source.name == "eval_segments"
    assert rows(source) == [
        (names[0], (0, 1)),
        (names[1], (0,)),
        (names[2], (1,)),
        ("missing_abc.wav", (1,)),
    ]
    assert not next(source.examples(3, 4)).audio.exists()


def test_of_several_clips_of_a_video_that_of_the_segment_is_heard(audioset, tmp_path):
    put(tmp_path, "-0BIyqJj9ZU_10.wav", "-0BIyqJj9ZU_30.flac", "-0BIyqJj9ZU_30.wav", "--4gqARaEJE.flac")
    assert [r[0] for r in rows(audioset())][:2] == ["--4gqARaEJE.flac", "-0BIyqJj9ZU_30.wav"]


def test_a_folder_that_leads_back_is_not_walked_again(audioset, tmp_path):
    put(tmp_path, "clips/--4gqARaEJE.wav")
    (tmp_path / "clips" / "back").symlink_to(tmp_path)
    assert rows(audioset())[0] == ("clips/--4gqARaEJE.wav", (0, 1))


def test_clips_may_lie_behind_a_link(audioset, tmp_path):
    disk = tmp_path.parent / f"{tmp_path.name}-disk"
    put(disk, "--4gqARaEJE.wav")
    (tmp_path / "clips").symlink_to(disk)
    assert rows(audioset())[0][0] == "clips/--4gqARaEJE.wav"


def test_which_list_of_audioset(audioset, tmp_path):
    put(tmp_path, "--4gqARaEJE.wav")
    (tmp_path / "balanced_train_segments.csv").write_text(EVAL.replace("missing_abc", "missing_def"))
    with pytest.raises(InputError, match=r"has several lists of segments: balanced_train_segments.csv, eval_segments"):
        audioset()
    assert audioset(split="balanced_train").name == "balanced_train_segments"
    assert audioset(path=str(tmp_path / "eval_segments.csv")).name == "eval_segments"
    with pytest.raises(InputError, match=r"has no unbalanced_train_segments.csv, but balanced_train_segments.csv, ev"):
        audioset(split="unbalanced_train")


def test_the_clips_of_the_authors_are_chosen_by_the_ids_of_their_videos(audioset, tmp_path):
    put(tmp_path, "Y--4gqARaEJE.wav", "Y-0BIyqJj9ZU_30.wav")
    (tmp_path / "ids.txt").write_text("-0BIyqJj9ZU\nmissing_abc\nnot_a_video\n")
    assert [r[0] for r in rows(audioset(ids=str(tmp_path / "ids.txt")))] == ["Y-0BIyqJj9ZU_30.wav", "missing_abc.wav"]


def test_mids_need_a_file_that_names_them(audioset, tmp_path):
    put(tmp_path, "--4gqARaEJE.wav")
    with pytest.raises(
        InputError, match=r"2 labels of eval_segments are not among the model's: /m/d, /m/s .* data\.la"
    ):
        audioset(labels=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("YTID, start_seconds, end_seconds, positive_labels\n", "has no clips"),
        ('# c\n--4gqARaEJE, x, 1, "/m/d"\n', r"eval_segments.csv, line 2: x is not a time in seconds"),
        ("# c\n--4gqARaEJE, 1, 1, /m/d, /m/s\n", r"eval_segments.csv, line 2: more fields"),
    ],
)
def test_a_list_of_segments_that_is_none(audioset, tmp_path, text, words):
    put(tmp_path, "--4gqARaEJE.wav")
    (tmp_path / "eval_segments.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        audioset()


def test_a_folder_without_clips(audioset):
    with pytest.raises(
        InputError, match=r"there are no clips of AudioSet in or below the folder of eval_segments.csv; name them"
    ):
        audioset()


@pytest.mark.parametrize("kind", ["esc50", "speech_commands", "audioset"])
def test_a_folder_that_is_another(kind, tmp_path):
    for path in (tmp_path, tmp_path / "missing", os.devnull):
        with pytest.raises(InputError):
            open_source(Data(kind=kind, path=str(path), split="testing" if kind == "speech_commands" else None), LABELS)
