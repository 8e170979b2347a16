"""Pools of threads that an error or Ctrl-C stops."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


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
