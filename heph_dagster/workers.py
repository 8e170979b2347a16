"""Who does large work: threads of this process, or the workers of a dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from typing import Any

from heph_dagster.errors import HephError

_WAIT_SECONDS = 5


class WorkersError(HephError):
    """A cluster that cannot be used."""


@contextmanager
def workers(scheduler: str | None) -> Iterator[Executor | None]:
    """The workers of a cluster, who must see the data root under the same path.

    Args:
        scheduler: Address of its dask scheduler.

    Yields:
        What takes their work; None without a scheduler: the work is then done in threads of this process.

    Raises:
        WorkersError: The scheduler does not answer, has no workers, or `distributed` is not installed; or in the block,
            it went away or its workers died.
    """
    if scheduler is None:
        yield None
        return
    try:
        import distributed
    except ImportError as error:
        raise WorkersError(
            f"a dask scheduler is set, {scheduler}, and `distributed` is not installed: "
            "pip install heph-dagster[cluster], or unset HEPH_DASK"
        ) from error
    library: Any = distributed  # without types
    try:
        client = library.Client(scheduler, timeout=_WAIT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise WorkersError(
            f"no dask scheduler answers at {scheduler}: start one with `dask scheduler`, or unset HEPH_DASK"
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise WorkersError(f"the dask scheduler at {scheduler} has no workers: start one with `dask worker`")
        try:
            # Not pure: the same block of the same day is looked at again, since the day may have been replaced.
            yield client.get_executor(pure=False)
        except library.KilledWorker as error:
            raise WorkersError(
                f"workers of the dask scheduler at {scheduler} die of their work: their logs tell why; "
                "most often they need more memory"
            ) from error
        except CancelledError as error:
            raise WorkersError(
                f"the dask scheduler at {scheduler} went away: start it again, and run the same days again"
            ) from error
