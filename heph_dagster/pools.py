"""Pools of threads that an error or Ctrl-C stops, and results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 8


@contextmanager
def stopping_pool(workers: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads; when the block ends, what has not begun is dropped, and what has is waited for.

    Args:
        workers: Threads; as many as `ThreadPoolExecutor` takes by default.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(pool: Executor, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Results of jobs in their order, a few jobs ahead of whom they are for: results do not heap up.

    Args:
        pool: Threads, processes, or the workers of a cluster (`distributed.Client.get_executor`).
        work: What is done; for processes, a function of a module.
        jobs: What it is done to.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
