"""Pools of threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from heph_dagster.pools import in_order, stopping_pool


def test_an_interrupt_drops_what_has_not_begun() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(number: int) -> None:
        begun.set()
        go_on.wait(30)
        done.append(number)

    def interrupted() -> None:
        with stopping_pool(1) as pool:
            jobs = [pool.submit(work, number) for number in range(5)]
            begun.wait(30)
            jobs[-1].add_done_callback(lambda _: go_on.set())  # called when it is dropped
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0]


def test_results_come_in_order_and_only_a_few_ahead() -> None:
    begun = []
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda job: begun.append(job) or job, range(100))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert len(begun) <= 12
        results.close()


def test_an_error_of_a_job_is_raised_where_results_are_taken() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
        list(in_order(pool, lambda job: 1 // job, [2, 1, 0, 3]))
