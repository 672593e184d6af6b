"""The figures over a data set, against scikit-learn by the authors' definition and against sums done by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from ast2hf.config import MULTI_LABEL, SINGLE_LABEL
from ast2hf.errors import InputError, VerificationError
from ast2hf.evaluation import metrics
from ast2hf.results import ACCURACY, ACCURACY_TOP5, AUC, D_PRIME, MAP, Metric, Report

ABOUT = {"name": "set", "digest": "ab", "skipped": {}, "batch_size": 8, "dtype": "float32"}


def figures(original, converted, truth, problem_type=MULTI_LABEL, **more):
    original, converted = np.asarray(original, np.float32), np.asarray(converted, np.float32)
    return metrics.figures(
        original, converted, np.asarray(truth, bool),
        clips=[f"clip {number}" for number in range(len(original))],
        labels=[f"class {number}" for number in range(original.shape[1])],
        problem_type=problem_type, **ABOUT, **more,
    )  # fmt: skip


def drawn(clips=200, labels=9, seed=0, noise=0.3):
    """Logits of a model that knows something, of one close to it, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.random((clips, labels)) < 0.15
    original = (random.normal(size=truth.shape) * 3 + 2 * truth).astype(np.float32)
    converted = original + random.normal(size=truth.shape).astype(np.float32) * np.float32(noise)
    return original, converted, truth


def authors(logits, truth):
    """mAP, AUC and d' as ``calculate_stats`` of the authors and their training script compute them."""
    scores = 1 / (1 + np.exp(-logits.astype(np.float32)))
    defined = [k for k in range(truth.shape[1]) if truth[:, k].any() and not truth[:, k].all()]
    precision = np.mean([average_precision_score(truth[:, k], scores[:, k], average=None) for k in defined])
    area = np.mean([roc_auc_score(truth[:, k], scores[:, k], average=None) for k in defined])
    return precision, area, norm.ppf(area) * np.sqrt(2.0)


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, SINGLE_LABEL])
def test_both_models_have_the_figures_of_the_authors_definition(problem_type):
    original, converted, truth = drawn()
    found = figures(original, converted, truth, problem_type).metrics
    for name, before, after in zip(
        (MAP, AUC, D_PRIME), authors(original, truth), authors(converted, truth), strict=True
    ):
        assert found[name].original == pytest.approx(before, abs=1e-7)
        assert found[name].converted == pytest.approx(after, abs=1e-7)
        assert found[name].difference == pytest.approx(after - before, abs=1e-7)
        assert found[name].difference != 0


def test_by_hand():
    """Four clips, of which the first and third have class 0: ranks 1 and 3, so (1 + 2/3) / 2; 3 of 4 pairs in order."""
    logits = [[4, 0], [3, 1], [2, 0], [1, 1]]
    truth = [[1, 0], [0, 1], [1, 0], [0, 1]]
    found = figures(logits, logits, truth)
    assert [c.original for c in found.classes] == [pytest.approx((1 + 2 / 3) / 2), 1.0]
    assert [c.positives for c in found.classes] == [2, 2]
    assert found.metrics[MAP].original == pytest.approx((5 / 6 + 1) / 2)
    assert found.metrics[AUC].original == pytest.approx((0.75 + 1) / 2)
    assert found.metrics[ACCURACY] == Metric(0.5, 0.5)
    assert (found.agreement, found.max_abs_diff, found.mean_abs_diff, found.p99_abs_diff) == (1, 0, 0, 0)
    assert found.worst[0].labels == ("class 0",)
    assert {clip.max_abs_diff for clip in found.worst} == {0.0}


def test_large_logits_are_equal_scores_as_in_the_authors_float32():
    """Both scores are 1.0 in float32, so the false one is not below the true one: half of what logits alone give."""
    logits = [[30.0], [31.0]]
    found = figures(logits, logits, [[1], [0]])
    assert found.metrics[AUC].original == 0.5
    assert found.metrics[MAP].original == 0.5


def test_the_best_label_counts_where_it_is_one_of_the_true_ones():
    logits = np.eye(7, dtype=np.float32)[[0, 1, 2, 3]]
    truth = np.zeros((4, 7), bool)
    truth[0, [0, 6]] = truth[1, 6] = truth[2, 2] = True  # right, wrong also among the best five, right, no label
    found = figures(logits, np.roll(logits, 1, axis=0), truth, SINGLE_LABEL)
    assert found.headline == ACCURACY
    assert found.metrics[ACCURACY].original == pytest.approx(2 / 3)
    assert found.metrics[ACCURACY].converted == 0
    assert found.metrics[ACCURACY_TOP5].original == pytest.approx(2 / 3)
    assert found.agreement == 0
    assert (found.worst[0].original, found.worst[0].converted) == ("class 0", "class 3")


def test_the_five_best_of_no_more_than_five_classes_say_nothing():
    original, converted, truth = drawn(labels=5)
    assert figures(original, converted, truth).metrics[ACCURACY_TOP5] == Metric(None, None)


def test_clips_without_labels_have_no_accuracy_and_no_class_any_figure():
    found = figures([[1, 2]], [[1, 2]], [[0, 0]])
    assert set(found.metrics.values()) == {Metric(None, None)}
    assert found.undefined == ("class 0", "class 1")


def test_a_class_that_no_clip_or_every_clip_has_is_left_out_and_named():
    original, converted, truth = drawn()
    truth[:, 2], truth[:, 5] = False, True
    found = figures(original, converted, truth)
    assert found.undefined == ("class 2", "class 5")
    assert (found.classes[2].positives, found.classes[5].positives) == (0, 200)
    rest = [0, 1, 3, 4, 6, 7, 8]
    assert found.metrics[MAP] == figures(original[:, rest], converted[:, rest], truth[:, rest]).metrics[MAP]


@pytest.mark.parametrize(("area", "distance"), [(1.0, None), (0.0, None), (None, None), (0.5, 0.0)])
def test_an_infinite_d_prime_is_none(area, distance):
    assert metrics.d_prime(area) == distance


def test_of_a_perfect_model_the_d_prime_is_undefined_and_the_rest_is_not():
    truth = np.eye(3, dtype=bool)[[0, 1, 2, 0]]
    found = figures(truth, truth, truth).metrics
    assert (found[AUC], found[MAP], found[ACCURACY]) == (Metric(1.0, 1.0),) * 3
    assert found[D_PRIME] == Metric(None, None)


def test_the_headline_is_the_first():
    for problem_type, headline in ((MULTI_LABEL, MAP), (SINGLE_LABEL, ACCURACY)):
        found = figures(*drawn(), problem_type)
        assert next(iter(found.metrics)) == found.headline == metrics.headline_of(problem_type) == headline
        assert set(found.metrics) == {MAP, AUC, D_PRIME, ACCURACY, ACCURACY_TOP5}


@pytest.mark.parametrize("problem_type", [MULTI_LABEL, SINGLE_LABEL])
def test_what_the_original_epsilon_would_give_stands_beside_it(problem_type):
    original, converted, truth = drawn()
    other = converted + np.float32(0.5)
    found = figures(original, converted, truth, problem_type, with_original_epsilon=other)
    alone = figures(original, other, truth, problem_type)
    assert found.original_epsilon == {
        "max_abs_diff": alone.max_abs_diff, found.headline: alone.metrics[found.headline].converted
    }  # fmt: skip
    assert figures(original, converted, truth, problem_type).original_epsilon == {}


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([MULTI_LABEL, SINGLE_LABEL]))
def test_the_order_of_the_clips_changes_nothing(seed, problem_type):
    arrays = drawn(clips=40, labels=6, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    before = figures(*arrays, problem_type)
    after = figures(*(array[order] for array in arrays), problem_type)
    names = {f"clip {new}": f"clip {old}" for new, old in enumerate(order)}
    worst = tuple(replace(clip, clip=names[clip.clip]) for clip in after.worst)
    assert after.mean_abs_diff == pytest.approx(before.mean_abs_diff, rel=1e-12)
    assert replace(after, worst=worst, mean_abs_diff=before.mean_abs_diff) == before


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_with_the_models_exchanged_the_differences_change_their_signs(seed):
    original, converted, truth = drawn(clips=40, labels=6, seed=seed)
    forth, back = figures(original, converted, truth), figures(converted, original, truth)
    for name, metric in forth.metrics.items():
        assert back.metrics[name] == Metric(metric.converted, metric.original)
        assert metric.difference == -back.metrics[name].difference
    assert forth.max_abs_diff == back.max_abs_diff
    assert forth.histogram == back.histogram


def test_more_classes_than_are_scored_at_a_time():
    original, converted, truth = drawn(clips=50, labels=70)
    found = figures(original, converted, truth)
    assert found.metrics[MAP].converted == pytest.approx(authors(converted, truth)[0], abs=1e-7)
    alone = figures(original[:, 60:], converted[:, 60:], truth[:, 60:])
    assert [(c.positives, c.original) for c in found.classes[60:]] == [
        (c.positives, c.original) for c in alone.classes
    ]  # fmt: skip


def test_a_logit_that_is_not_finite_gives_no_figures():
    original, converted, truth = drawn()
    converted[7, 3] = math.nan
    with pytest.raises(VerificationError, match=r"the converted model gives logits that are not finite .* clip 7"):
        figures(original, converted, truth)


def test_no_clip_gives_no_figures():
    with pytest.raises(InputError, match="no clip"):
        figures(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2)))


def test_the_report_of_a_large_set_is_json_of_a_modest_size():
    found = figures(*drawn())
    classes = tuple(replace(found.classes[0], label=f"class {number}") for number in range(527))
    value = Report("m", evaluation=replace(found, classes=classes)).as_dict()
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text) == value
    assert len(text) < 100_000
    assert len(value["evaluation"]["classes"]) == 527
