import pytest

from ast2hf.checkpoint.candidates import Candidate
from ast2hf.checkpoint.selection import Part, choose, unread_note
from ast2hf.checkpoint.tensor_meta import Storage, TensorMeta
from ast2hf.errors import InputError


def meta(*shape: int) -> TensorMeta:
    return TensorMeta(Storage("0", "float32", 64), 0, shape, (1,) * len(shape))


MODEL = Candidate(("model",), {"module.a": meta(1), "module.b": meta(2), "loss.weight": meta(3)})
HEAD = Candidate(("classifier",), {"0.weight": meta(4)})
BOTH = (MODEL, HEAD)


def test_a_prefix_is_taken_off_and_the_rest_is_outside():
    chosen = choose(BOTH, [Part(("model",), "module.")])
    assert {name: found.name for name, found in chosen.tensors.items()} == {"a": "module.a", "b": "module.b"}
    assert chosen.outside == {"loss.weight": (3,)}
    assert chosen.notes == ("the state dict was found under model", "removed from the tensor names: prefix module.")


def test_parts_of_several_candidates_make_one_state_dict():
    chosen = choose(BOTH, [Part(("model",), "module."), Part(("classifier",), rename="classifier.")])
    assert list(chosen.tensors) == ["a", "b", "classifier.0.weight"]
    assert chosen.outside == {"loss.weight": (3,)}
    assert chosen.notes[0] == "the state dict was found under model and classifier"


def test_two_parts_of_one_candidate():
    chosen = choose(BOTH, [Part(("model",), "module.", only=["a"]), Part(("model",), "loss.", "loss.")])
    assert list(chosen.tensors) == ["a", "loss.weight"]
    assert chosen.outside == {"module.b": (2,)}
    assert not any("outside" in note for note in chosen.notes)


def test_a_file_without_wrapper_has_no_notes():
    assert choose([Candidate((), {"a": meta(1)})], [Part()]) == ({"a": ("a", meta(1))}, {}, ())


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([Part()], "no state dict under its root; choose one of model, classifier"),
        ([Part(("other",))], "no state dict under other"),
        ([Part(("model",), "net.")], r"no tensor whose name begins with net\."),
        ([Part(("model",), "module.", only=[])], r"no tensor whose name begins with module\."),
        ([Part(("model",)), Part(("model",))], "two tensors of the checkpoint would have the name loss.weight"),
        ([Part(("model",), "module."), Part(("classifier",), "0.weight", "a")], "would have the name a"),
    ],
)
def test_invalid_selections_are_refused(parts, words):
    with pytest.raises(InputError, match=words):
        choose(BOTH, parts)


def test_unusable_tensors_matter_only_where_they_are_chosen():
    candidate = Candidate((), {"net.a": meta(1), "x.a": meta(1)}, {"x.b": "a sparse tensor"})
    assert list(choose([candidate], [Part(prefix="net.")]).tensors) == ["a"]
    assert list(choose([candidate], [Part(prefix="x.", only=["a"])]).tensors) == ["a"]
    with pytest.raises(InputError, match=r"contains a sparse tensor \(x\.b\)"):
        choose([candidate], [Part(prefix="x.")])


def test_a_state_dict_with_other_keys_than_text_is_none():
    candidate = Candidate((), {"net.a": meta(1)}, nameless=("7",))
    with pytest.raises(InputError, match="7 is not a valid tensor name"):
        choose([candidate], [Part(prefix="net.")])


def test_unread_objects_are_one_line_however_many():
    assert list(unread_note({})) == []
    assert list(unread_note({"a.B": 1, "c.D": 2000})) == ["left unread: a.B (1), c.D (2,000)"]
    many = {f"a\x1b{i}": 1 for i in range(100)}
    (note,) = unread_note(many)
    assert note.isprintable()
    assert note.endswith("a\\x1b9 (1) and 90 more kinds of objects")
