from pathlib import Path

import pytest
from conftest import ROOT, compose
from support.clips import put

from ast2hf.config import Data
from ast2hf.errors import ConfigurationError, DownloadError, InputError
from ast2hf.evaluation.opening import KINDS, open_source
from ast2hf.validation import validate


def test_every_kind_is_a_choice_of_the_configuration():
    assert {path.stem for path in (ROOT / "conf" / "data").glob("*.yaml")} == set(KINDS)
    for kind in KINDS:
        assert compose(f"data={kind}").data.kind == kind


def test_paths_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path, "a.wav")
    (tmp_path / "eval.csv").write_text("path,label\n~/a.wav,Dog\n")
    (tmp_path / "classes.csv").write_text("index,display_name\n0,Dog\n")
    (tmp_path / "ids.txt").write_text("a\n")
    source = open_source(
        Data(kind="manifest", path="~/eval.csv", labels="~/classes.csv", ids="~/ids.txt"), ("Dog", "Cat")
    )
    assert [e.audio for e in source.examples(0, 1)] == [tmp_path / "a.wav"]


@pytest.mark.parametrize("key", ["labels", "ids"])
def test_other_files_that_cannot_be_read(tmp_path, key):
    (tmp_path / "eval.csv").write_text("path,label\na.wav,Dog\n")
    for path in (tmp_path / "missing", tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match=r"(label file|list of names) .* cannot be read"):
            open_source(Data(kind="manifest", path=str(tmp_path / "eval.csv"), **{key: str(path)}), ("Dog",))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "path", ["a" * 5000, "a/" * 3000, "nul\0", "~nobody-of-this-name/x", "\u202e", "a.csv/b", "/dev/null"]
)
def test_a_path_that_cannot_be_is_told_in_one_line(kind, path):
    with pytest.raises((InputError, DownloadError)) as caught:
        open_source(Data(kind=kind, path=path, split="testing"), ("Dog",))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


DATA = ["data=manifest", "data.path=eval.json"]
VERIFY = [*DATA, "task=verify", "folder=out", "checkpoint=a.pth"]


@pytest.mark.parametrize(
    "overrides",
    [
        DATA,
        VERIFY,
        ["data=huggingface", "data.path=owner/name", "data.streaming=true", "data.dtype=bfloat16"],
        [*DATA, "data.max_skipped=0", "data.gates.agreement=1", "data.gates.headline=0", "data.workers=0"],
        [*VERIFY, "data.shards=4", "data.shard=3"],
    ],
)
def test_what_may_be_said_of_a_data_set(overrides):
    validate(compose(*overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=manifest"], "data=manifest needs a data set; add data.path=eval.json"),
        (["data=esc50", "data.path=' '"], "data=esc50 needs a data set; add data.path=ESC-50-master"),
        (
            ["data.path=eval.json"],
            "data.path is set, but no data set is chosen; add data=… (manifest, huggingface, esc50",
        ),
        (["data.split=test"], "data.split is set, but no data set is chosen"),
        (["data.labels=a.csv"], "data.labels is set, but no data set is chosen"),
        (["data.ids=a.txt"], "data.ids is set, but no data set is chosen"),
        (["data.shard=0"], "data.shard is set, but no data set is chosen"),
        (["data.shards=2"], "data.shards is set, but no data set is chosen"),
        ([*DATA, "data.kind=folder"], "data.kind is folder; choose one of: manifest"),
        (
            [*DATA, "task=inspect", "checkpoint=a.pth"],
            "task=inspect does not run over a data set; leave out data=man",
        ),
        ([*DATA, "task=restore", "folder=a", "checkpoint=a.pth"], "task=restore does not run over a data set"),
        ([*DATA, "task=replay"], "task=replay does not run over a data set"),
        ([*DATA, "model.head=none"], "data=manifest compares classes, but model.head=none makes an encoder"),
        ([*DATA, "data.streaming=true"], "data=manifest cannot be streamed; leave out data.streaming"),
        ([*DATA, "data.dtype=float16"], "data.dtype is float16; choose one of: float32, bfloat16"),
        ([*DATA, "data.batch_size=0"], "data.batch_size is 0; it must be > 0"),
        ([*DATA, "data.workers=-1"], "data.workers is -1; it must be >= 0"),
        ([*DATA, "data.max_skipped=1.5"], "data.max_skipped is 1.5; it must be a fraction"),
        ([*DATA, "data.max_skipped=nan"], "data.max_skipped is nan; it must be a fraction"),
        ([*DATA, "data.gates.agreement=99"], "data.gates.agreement is 99.0; it must be a fraction"),
        ([*DATA, "data.gates.headline=-1"], "data.gates.headline is -1.0; it must be >= 0"),
        ([*DATA, "data.gates.headline=inf"], "data.gates.headline is inf; it must be >= 0"),
        ([*DATA, "data.shards=0"], "data.shards is 0; it must be > 0"),
        ([*DATA, "data.shards=4", "data.shard=1"], "data.shards=4 shares the clips among jobs, which task=convert can"),
        (
            [*VERIFY, "data.shards=4"],
            "data.shards=4 needs data.shard, the number of the shard for this job; add -m 'data.shard=range(4",
        ),
        ([*VERIFY, "data.shards=4", "data.shard=4"], "data.shard is 4 of data.shards=4; it must be from 0 to 3"),
        ([*VERIFY, "data.shards=4", "data.shard=-1"], "data.shard is -1 of data.shards=4"),
        ([*VERIFY, "data.shard=1"], "data.shard is 1 of data.shards=1"),
    ],
)
def test_what_makes_no_sense_is_told(overrides, message):
    with pytest.raises(ConfigurationError) as caught:
        validate(compose(*overrides))
    assert str(caught.value).startswith(message)
