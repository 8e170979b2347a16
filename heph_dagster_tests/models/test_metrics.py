from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from heph_dagster.models.metrics import Metric, best_threshold, evaluate, evaluate_mean_roc_auc


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40), st.integers(0, 6))
def test_figures_are_scikit_learns(cases: list[tuple[bool, int]], threshold: int) -> None:
    truth = np.array([True, False, *(positive for positive, _ in cases)])
    scores = np.array([3, 2, *(score for _, score in cases)], float)
    called = scores >= threshold
    found = evaluate(truth, scores, threshold)
    expected = {
        "roc_auc": sklearn_metrics.roc_auc_score(truth, scores),
        "average_precision": sklearn_metrics.average_precision_score(truth, scores),
        "f1": sklearn_metrics.f1_score(truth, called),
        "recall": sklearn_metrics.recall_score(truth, called),
        "precision": sklearn_metrics.precision_score(truth, called, zero_division=0),
        "accuracy": sklearn_metrics.accuracy_score(truth, called),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
        assert found[name].low <= found[name].high


def test_intervals_cover_the_figure_of_large_sets_as_often_as_they_say() -> None:
    # Of two normal distributions one standard deviation apart, the area under the curve is 0.7602.
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        truth = np.arange(200) < 80
        found = evaluate(truth, rng.normal(size=200) + truth, 0.5)["roc_auc"]
        covered += found.low <= 0.7602 <= found.high
    assert 88 <= covered <= 99


def test_intervals_are_those_of_the_seed() -> None:
    truth, scores = np.arange(30) < 9, np.random.default_rng(1).random(30)
    assert evaluate(truth, scores, 0.5, seed=3) == evaluate(truth, scores, 0.5, seed=3)
    assert evaluate(truth, scores, 0.5, seed=3) != evaluate(truth, scores, 0.5, seed=4)


def test_figures_of_a_large_set_are_those_of_all_resamples_at_once() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(5000) < 0.1
    scores = np.round(rng.random(5000) + 0.3 * truth, 3)
    assert evaluate(truth, scores, 0.8, seed=5) == {
        "roc_auc": Metric(0.7611214408525792, 0.7403489829977122, 0.7816311902619597),
        "average_precision": Metric(0.4532506446833021, 0.41519650562100524, 0.49000025432330724),
        "f1": Metric(0.3260225251926497, 0.30210749162130357, 0.35154655320926104),
        "recall": Metric(0.5218216318785579, 0.48002846299810253, 0.5636148007590133),
        "precision": Metric(0.23706896551724138, 0.22011529418480608, 0.2558350143277279),
        "accuracy": Metric(0.7726, 0.761795, 0.784),
    }


def test_the_mean_area_has_an_interval_over_cases_with_all_their_outputs() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random((60, 3)) < [0.5, 0.3, 0.02]
    truth[0, 2] = True  # many resamples have no positive case of the last
    scores = rng.random((60, 3)) + truth * [0.4, 0.6, 0.8]
    found = evaluate_mean_roc_auc(truth, scores, seed=1)
    assert found.value == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores, average="macro"))
    assert 0.5 < found.low < found.value < found.high < 1
    # One output over and over says no more than it does alone.
    alone = evaluate(truth[:, 0], scores[:, 0], 0.5, seed=1)["roc_auc"]
    assert evaluate_mean_roc_auc(truth[:, [0, 0]], scores[:, [0, 0]], seed=1) == pytest.approx(alone)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=30))
def test_no_threshold_has_a_higher_f1(cases: list[tuple[bool, int]]) -> None:
    truth = np.array([True, False, *(positive for positive, _ in cases)])
    scores = np.array([3, 2, *(score for _, score in cases)], float)
    best = sklearn_metrics.f1_score(truth, scores >= best_threshold(truth, scores))
    assert best == pytest.approx(max(sklearn_metrics.f1_score(truth, scores >= each) for each in range(7)))


def test_the_threshold_lies_between_the_classes() -> None:
    assert best_threshold(np.array([True, True, False, False]), np.array([0.9, 0.8, 0.2, 0.1])) == 0.5


@pytest.mark.parametrize(
    ("truth", "scores", "message"),
    [
        ([True, True], [0.1, 0.2], "all 2 cases are positive: nothing to compare"),
        ([False], [0.1], "all 1 cases are negative"),
        ([True, False], [0.1, np.nan], "1 of 2 scores are not finite"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(truth: list[bool], scores: list[float], message: str) -> None:
    for work in (lambda *each: evaluate(*each, 0.5), best_threshold):
        with pytest.raises(ValueError, match=message):
            work(np.array(truth), np.array(scores))


def test_a_figure_tells_its_interval_where_it_has_one() -> None:
    assert str(Metric(0.98249, 0.9514, 0.9966)) == "0.982 (0.951 to 0.997)"
    assert str(Metric(0.5, np.nan, np.nan)) == "0.500"
