"""Pools of threads."""

from __future__ import annotations

import threading

import pytest

from heph_dagster.pools import stopping_pool


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
