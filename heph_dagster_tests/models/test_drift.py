"""Drift of figures, on numbers whose distribution is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from heph_dagster.models.drift import FEWEST, Reference, as_json, from_json, reference, shift

EVEN = Reference((0.2, 0.4, 0.6, 0.8), (200, 200, 200, 200, 200))


def test_a_reference_parts_its_cases_into_equal_shares() -> None:
    assert reference(np.arange(101.0)) == Reference((20, 40, 60, 80), (21, 20, 20, 20, 20))


def test_the_index_is_that_of_the_formula() -> None:
    values = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], [10, 20, 30, 20, 20])
    found = shift(EVEN, values)
    share = (np.array([10, 20, 30, 20, 20]) + 0.5) / 102.5
    assert found is not None
    assert found.index == pytest.approx(((share - 0.2) * np.log(share / 0.2)).sum())
    assert not found.drifted


def test_a_great_shift_is_drift_and_the_same_distribution_is_not() -> None:
    rng = np.random.default_rng(0)
    known = reference(rng.normal(size=300))
    moved = shift(known, rng.normal(1.5, 1, 60))
    assert moved is not None
    assert moved.drifted
    same = [shift(known, rng.normal(size=40)) for _ in range(200)]
    assert sum(each is not None and each.drifted for each in same) <= 2


def test_few_cases_need_a_greater_shift() -> None:
    few, many = (shift(EVEN, np.linspace(0, 1, count)) for count in (FEWEST, 2000))
    assert few is not None
    assert many is not None
    assert few.threshold > many.threshold == 0.25


def test_nothing_is_said_of_too_few_cases() -> None:
    assert shift(EVEN, np.linspace(0, 1, FEWEST - 1)) is None


def test_what_was_constant_drifts_when_it_is_not() -> None:
    known = reference(np.zeros(100))
    assert known == Reference((np.nextafter(0, -1), 0), (0, 100, 0))
    same, more, less = (shift(known, np.repeat([0, other], 25)) for other in (0, 0.1, -0.1))
    assert same is not None
    assert more is not None
    assert less is not None
    assert same.index == pytest.approx(0, abs=0.01)
    assert more.drifted
    assert less.drifted


def test_references_are_read_from_what_was_written() -> None:
    known = {"score": EVEN}
    assert from_json(json.loads(json.dumps(as_json(known)))) == known
