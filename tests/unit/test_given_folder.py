"""What is compared about someone else's folder beside its proof, and what is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ast2hf.config import MULTI_LABEL, SINGLE_LABEL, Config, Variant
from ast2hf.errors import InputError, VerificationError
from ast2hf.given_folder import labels_of, remarks

OWN = {"0": "dog", "1": "cat"}


@pytest.fixture
def folder(tmp_path):
    def write(**values):
        config = {"architectures": ["ASTForAudioClassification"], "id2label": OWN, **values}
        (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
        (tmp_path / "labels.txt").write_text("dog\ncat\n")
        return tmp_path

    return write


def labels(path, said="labels.txt"):
    return labels_of(path, Config(model=Variant(name="custom"), labels=said and str(path / said))).names


@pytest.mark.parametrize("own", [OWN, {"1": "cat", "0": "dog"}, {"00": "dog", "01": "cat"}])
def test_labels_are_read_as_transformers_reads_them(folder, own):
    assert labels(folder(id2label=own)) == ("dog", "cat")


@pytest.mark.parametrize("own", [{"0": "cat", "1": "dog"}, {"00": "cat", "01": "dog"}])
def test_other_labels_than_those_of_the_file_are_refused(folder, own):
    with pytest.raises(VerificationError, match="class 0 is cat in the folder, but dog in the label file"):
        labels(folder(id2label=own))


@pytest.mark.parametrize("said", ["labels.txt", None])
@pytest.mark.parametrize("own", [{"1": "dog", "2": "cat"}, {"0": "dog", "2": "cat"}, {"a": "dog"}, {}, ["dog", "cat"]])
def test_names_that_are_not_those_of_the_classes_are_refused(folder, own, said):
    with pytest.raises(InputError, match=r"id2label in config.json of .* does not name the classes 0, 1, 2"):
        labels(folder(id2label=own), said)


def test_a_label_file_needs_names_to_be_compared_with(folder):
    with pytest.raises(VerificationError, match="the folder has no names of classes"):
        labels(folder(id2label=None))
    assert labels(folder(id2label=None), None) is None
    assert labels(folder(id2label=None, architectures=["ASTModel"])) is None


def said(path, head="classification", problem_type=MULTI_LABEL):
    front_end = SimpleNamespace(as_dict=lambda: {"mean": -4.0, "std": 4.0})
    family = SimpleNamespace(expressible=True)
    return list(
        remarks(path, SimpleNamespace(head=head, problem_type=problem_type, front_end=front_end, family=family))
    )


def test_a_dtype_in_which_users_compute_is_pointed_out(folder):
    for name in ("dtype", "torch_dtype"):
        (remark,) = said(folder(problem_type=MULTI_LABEL, **{name: "float16"}))
        assert "says dtype float16" in remark
    for dtype in ("float32", "auto", None):
        assert said(folder(problem_type=MULTI_LABEL, dtype=dtype)) == []


def test_a_missing_problem_type_is_pointed_out_where_it_changes_the_scores(folder):
    (remark,) = said(folder())
    assert "no problem_type, so a pipeline gives the softmax" in remark
    assert said(folder(), problem_type=SINGLE_LABEL) == []
    assert said(folder(), head="none") == []
