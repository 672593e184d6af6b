import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ast2hf.errors import InputError
from ast2hf.evaluation.matching import Matcher, read_classes

LABELS = ("Speech", "Child speech, kid speaking", "Dog", "Glass (breaking)", "Mr. | Mrs.; both")

CSV = """index,mid,display_name
0,/m/0bt9lr,Dog
1,/m/09x0r,Speech
2,/m/0ytgt,"Child speech, kid speaking"
3,/m/none,Nothing of the model
"""


@pytest.fixture
def with_file(tmp_path):
    (tmp_path / "classes.csv").write_text(CSV)
    return Matcher(LABELS, str(tmp_path / "classes.csv"))


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Speech", (0,)),
        (" Speech ", (0,)),
        ("Child speech, kid speaking", (1,)),
        ("Speech,Dog", (0, 2)),
        ("Dog,Speech,Dog", (0, 2)),
        ("Speech, Child speech, kid speaking, Dog", (0, 1, 2)),
        ('Speech,"Child speech, kid speaking"', (0, 1)),
        ("Speech;Child speech, kid speaking", (0, 1)),
        ("Speech|Dog;", (0, 2)),
        ("Mr. | Mrs.; both", (4,)),
        (["Child speech, kid speaking", "Dog"], (1, 2)),
        ("", ()),
        (None, ()),
        ([], ()),
        ("dog", (2,)),
        ("child_speech,  kid speaking", (1,)),
    ],
)
def test_labels_are_found_by_name(field, found):
    matcher = Matcher(LABELS, None)
    assert matcher.find(field) == found
    matcher.require_all("eval.json")


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("/m/09x0r,/m/0ytgt", (0, 1)),
        (["/m/0bt9lr"], (2,)),
        (0, (2,)),
        ([1, 2], (0, 1)),
        ("0", (2,)),
        ("Dog", (2,)),
    ],
)
def test_mids_and_indices_are_found_through_the_file_alone(field, found, with_file):
    assert with_file.find(field) == found
    with_file.require_all("eval.json")
    without = Matcher(LABELS, None)
    without.find(field)
    if field != "Dog":
        with pytest.raises(
            InputError, match=r"set data\.labels=PATH to the CSV that names them, with the columns index, mid"
        ):
            without.require_all("eval.json")


def test_a_model_whose_labels_are_mids_is_matched_by_them(tmp_path):
    (tmp_path / "classes.csv").write_text(CSV)
    matcher = Matcher(("/m/09x0r", "/m/0bt9lr"), str(tmp_path / "classes.csv"))
    assert matcher.find("Dog,Speech") == (0, 1)
    assert matcher.find("/m/0bt9lr") == (1,)
    assert matcher.find([1]) == (0,)


def test_the_label_file_of_the_model_gives_its_mids_but_no_indices(tmp_path):
    (tmp_path / "own.csv").write_text("index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/0bt9lr,Dog\n")
    matcher = Matcher(("Speech", "Dog"), None, str(tmp_path / "own.csv"))
    assert matcher.find("/m/0bt9lr,/m/09x0r") == (0, 1)
    matcher.require_all("x")
    assert matcher.find([0]) == ()
    other = Matcher(("Dog", "Speech"), None, str(tmp_path / "own.csv"))  # the labels come from somewhere else
    assert other.find("/m/0bt9lr") == ()


def test_a_label_file_without_mids_gives_none(tmp_path):
    (tmp_path / "own.json").write_text('["Speech", "Dog"]')
    assert Matcher(("Speech", "Dog"), None, str(tmp_path / "own.json")).find("/m/0bt9lr") == ()


def test_an_index_is_never_that_of_the_model():
    matcher = Matcher(("cat", "dog"), None)
    assert matcher.find(0) == ()
    assert matcher.find("1") == ()
    with pytest.raises(InputError, match=r"2 labels of x are not among the model's: 0, 1"):
        matcher.require_all("x")


def test_names_that_are_numbers_are_names_first(tmp_path):
    (tmp_path / "digits.csv").write_text("index,display_name\n0,one\n1,zero\n")
    assert Matcher(("0", "1"), None).find("1") == (1,)
    digits = Matcher(("zero", "one"), str(tmp_path / "digits.csv"))
    assert digits.find("0") == digits.find(0) == (1,)


def test_classes_without_a_mid_are_not_taken_for_one_another(tmp_path):
    (tmp_path / "classes.csv").write_text("index,mid,display_name\n0,,dog\n1,,cat\n2, ,cow\n")
    matcher = Matcher(("cow", "cat", "dog"), str(tmp_path / "classes.csv"))
    assert [matcher.find(index) for index in range(3)] == [(2,), (1,), (0,)]
    assert matcher.find("") == matcher.find(" ") == ()
    matcher.require_all("x")


def test_a_mid_that_an_earlier_class_is_called_by_is_none_of_the_model(tmp_path):
    (tmp_path / "classes.csv").write_text("index,mid,display_name\n0,cat,dog\n1,dog,bird\n2,bird,cow\n")
    matcher = Matcher(("cow", "/m/dog"), str(tmp_path / "classes.csv"))
    assert matcher.find(2) == (0,)
    assert matcher.find(0) == matcher.find(1) == ()


def test_a_name_with_commas_that_the_model_lacks_is_not_taken_for_several(tmp_path):
    (tmp_path / "classes.csv").write_text('index,mid,display_name\n0,/m/a,"Rain, wind"\n1,/m/b,Dog\n')
    matcher = Matcher(("Rain", "wind", "Dog"), str(tmp_path / "classes.csv"))
    assert matcher.find("Rain, wind") == ()
    assert matcher.find("wind, Rain") == (0, 1)
    with pytest.raises(InputError, match="1 label of x is not among the model's: Rain, wind"):
        matcher.require_all("x")


@pytest.mark.parametrize("index", [-1, 4, 10**30])
def test_an_index_outside_of_the_file_is_unknown(index, with_file):
    assert with_file.find(index) == ()
    with pytest.raises(InputError, match=r"1 label of x is not among the model's"):
        with_file.require_all("x")


def test_what_is_not_found_is_listed_and_counted():
    matcher = Matcher(LABELS, None)
    for number in range(8):
        matcher.find([f"bird {number}", "Speech"])
    matcher.find("bird 0")
    with pytest.raises(InputError) as caught:
        matcher.require_all("eval.json")
    assert caught.value.cause == (
        "8 labels of eval.json are not among the model's: bird 0, bird 1, bird 2, bird 3, bird 4, and 3 more "
        "(found 9 times, while the model has Speech, Child speech, kid speaking, Dog, …)"
    )


def test_a_class_of_the_file_that_the_model_lacks_is_an_error_where_it_is_used(with_file):
    with_file.find("/m/09x0r")
    with_file.require_all("x")
    with_file.find("/m/none")
    with pytest.raises(InputError, match=re.escape("1 label of x is not among the model's: /m/none")):
        with_file.require_all("x")


def test_a_model_without_labels_is_told_how_to_get_some():
    matcher = Matcher(("LABEL_0", "LABEL_1"), None)
    matcher.find("dog")
    with pytest.raises(InputError, match="set labels=PATH to the label file"):
        matcher.require_all("x")


def test_names_that_differ_in_case_alone_are_not_confused():
    matcher = Matcher(("Bass", "bass", "Drum"), None)
    assert matcher.find("bass") == (1,)
    assert matcher.find("Bass") == (0,)
    assert matcher.find("BASS") == ()
    assert matcher.find("DRUM") == (2,)
    assert matcher.notes == ("labels matched ignoring case, spaces and underscores: DRUM as Drum",)
    with pytest.raises(InputError, match="1 label of x is not among the model's: BASS"):
        matcher.require_all("x")


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(InputError, match="the model has several classes called dog; give each a name of its own"):
        Matcher(("dog", "cat", "dog"), None)


def test_what_was_equal_is_not_noted():
    matcher = Matcher(LABELS, None)
    matcher.find("Speech,Dog")
    assert matcher.notes == ()


@pytest.mark.parametrize(
    ("text", "names", "mids"),
    [
        (CSV, 4, ("/m/0bt9lr", "/m/09x0r", "/m/0ytgt", "/m/none")),
        ("mid,id,label\n/m/b,1,b\n/m/a,0,a\n", 2, ("/m/a", "/m/b")),
        ("index,display_name\n0,a\n", 1, ()),
        ('{"0": "a", "1": "b"}', 2, ()),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_file_of_classes(tmp_path, text, names, mids, encoding):
    (tmp_path / "classes.csv").write_text(text, encoding=encoding)
    found = read_classes(str(tmp_path / "classes.csv"))
    assert (len(found.names), found.mids) == (names, mids)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("index,display_name\n0,a\n0,b\n", "classes.csv, line 3: duplicate index 0"),
        ("Speech\nDog\n", "the header has no columns index and display_name"),
        ("index,mid,display_name\n0,/m/a,a,b\n", "line 2: more fields than the header"),
        ("index,mid,display_name\n0,/m/a,a\n1,/m/a,b\n", "classes.csv has the mid /m/a twice"),
    ],
)
def test_a_file_of_classes_that_is_wrong_is_told_by_line(tmp_path, text, words):
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_classes(str(tmp_path / "classes.csv"))
    assert words in caught.value.cause


NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters=',;|"_'), min_size=1),
    min_size=2,
    max_size=6,
).map(lambda words: ", ".join(words[:2]) if len(words) % 2 else words[0])


@settings(deadline=None)
@given(st.data(), st.lists(NAMES, min_size=1, max_size=12, unique_by=lambda name: name.casefold().strip()))
def test_labels_that_are_written_are_found_again(data, labels):
    pieces = [piece.strip().casefold() for label in labels for piece in label.split(",")]
    if len(set(pieces)) < len(pieces):
        return  # "a, b" beside "b" could be either
    matcher = Matcher(tuple(labels), None)
    chosen = data.draw(st.sets(st.sampled_from(range(len(labels)))))
    found = tuple(sorted(chosen))
    assert matcher.find([labels[index] for index in chosen]) == found
    for separator in (",", ", ", ";", "|"):
        assert matcher.find(separator.join(labels[index] for index in chosen)) == found
    matcher.require_all("x")
