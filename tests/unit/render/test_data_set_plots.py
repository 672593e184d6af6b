from dataclasses import replace
from itertools import pairwise

import pytest
import samples
from matplotlib.colors import to_hex

from ast2hf.render import data_set_plots, plots
from ast2hf.results import ClassFigures

evaluation = pytest.fixture(samples.evaluation)


def of(evaluation, *precisions):
    classes = (ClassFigures(f"class {number}", 1, *pair) for number, pair in enumerate(precisions))
    return replace(evaluation, classes=tuple(classes))


def axes_of(figure):
    (axes,) = figure.axes
    return axes


def points(axes, colour):
    """What is drawn in ``colour``, as pairs."""
    return sorted(
        point for line in axes.lines if to_hex(line.get_color()) == colour and line.get_marker() == "o"
        for point in zip(*line.get_data(), strict=True)
    )  # fmt: skip


def test_each_class_is_a_point_and_what_is_undefined_is_none(evaluation):
    axes = axes_of(data_set_plots.precisions(of(evaluation, (0.5, 0.501), (None, None), (0.25, 0.25))))
    assert points(axes, plots.GOOD) == [(0.25, 0.25), (0.5, 0.501)]
    assert points(axes, plots.BAD) == []
    assert not axes.texts


def test_the_five_classes_farthest_from_the_diagonal_are_named_where_that_can_be_seen(evaluation):
    pairs = [(0.5, 0.5 + sign * step / 50) for step, sign in enumerate((1, -1, 1, -1, 1, -1, 1, -1))]
    axes = axes_of(data_set_plots.precisions(of(evaluation, *pairs)))
    assert {text.get_text() for text in axes.texts} == {f"class {number}" for number in (3, 4, 5, 6, 7)}
    assert len(points(axes, plots.BAD)) == 5
    axes = axes_of(data_set_plots.precisions(of(evaluation, (0.5, 0.5), (0.7, 0.6), (0.2, 0.2049))))
    assert [text.get_text() for text in axes.texts] == ["class 1"]


@pytest.mark.parametrize("start", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_names_stand_apart_within_the_picture_on_their_side(evaluation, start, sign):
    pairs = [(start + 0.05 + step / 100, start + 0.05 + step / 100 + sign * 0.05) for step in range(5)]
    axes = axes_of(data_set_plots.precisions(of(evaluation, *pairs)))
    places = sorted(text.xyann for text in axes.texts)
    assert {x for x, _ in places} == {0 if sign > 0 else 1}
    heights = [y for _, y in places]
    assert min(heights) >= 0
    assert max(heights) <= 1
    assert min(b - a for a, b in pairwise(heights)) > 0.06


def test_names_from_outside_are_no_formulas(evaluation):
    bent = of(evaluation, (0.9, 0.1))
    bent = replace(bent, classes=(replace(bent.classes[0], label="$\\frac$ \x1b"),))
    (text,) = axes_of(data_set_plots.precisions(bent)).texts
    assert text.get_text() == "$\\frac$ \\x1b"
    assert text.get_parse_math() is False


def test_nothing_is_drawn_where_no_class_has_a_precision(evaluation):
    assert data_set_plots.precisions(of(evaluation, (None, None))) is None


def heights(axes):
    return {round(bar.get_x(), 3): bar.get_height() for bar in axes.patches if bar.get_height()}


def test_the_differences_are_shares_of_all_logits(evaluation):
    counts = [0] * 48
    counts[20], counts[21] = 30, 10
    axes = axes_of(data_set_plots.differences(replace(evaluation, histogram=tuple(counts))))
    assert heights(axes) == {-5.0: 75.0, -4.75: 25.0}
    assert "0" not in [text.get_text() for text in axes.get_xticklabels()]
    assert "1e-5" in [text.get_text() for text in axes.get_xticklabels()]


def test_zero_stands_apart_at_the_left(evaluation):
    counts = [0] * 48
    counts[0], counts[20] = 30, 10
    axes = axes_of(data_set_plots.differences(replace(evaluation, histogram=tuple(counts))))
    found = heights(axes)
    assert found.pop(-5.0) == 25.0
    ((place, share),) = found.items()
    assert place < -5
    assert share == 75.0
    assert "0" in [text.get_text() for text in axes.get_xticklabels()]


def test_of_equal_models_all_is_zero(evaluation):
    axes = axes_of(data_set_plots.differences(replace(evaluation, histogram=(40, *[0] * 47))))
    assert list(heights(axes).values()) == [100.0]
