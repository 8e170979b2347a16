"""Materializations of a range of days: each with its own metadata, the failed ones named."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import dagster as dg

from heph_dagster.defs.resources import DataRoot
from heph_dagster.errors import HephError
from heph_dagster.gibs.preview import jpeg
from heph_dagster.gibs.raster import Image
from heph_dagster.hephaestus.drawing import webp

Root = TypeVar("Root", bound=DataRoot)

FLAGGED = "flagged"
"""Metadata of a check that names what is wrong: days or frames. Each is an event of its own to whoever is told."""
_MOST_BULLETS = 100


def bullets(lines: Iterable[object]) -> dg.MarkdownMetadataValue:
    """Lines as a list in the UI; of many, the first."""
    every = [f"- {line}" for line in lines]
    left = len(every) - _MOST_BULLETS
    return dg.MetadataValue.md("\n".join(every[:_MOST_BULLETS] + [f"- and {left} more"] * (left > 0)))


def picture(image: Image) -> dg.MarkdownMetadataValue:
    """An RGB picture that the UI shows."""
    data = base64.b64encode(jpeg(image)).decode("ascii")
    return dg.MetadataValue.md(f"![preview](data:image/jpeg;base64,{data})")


def plot(image: Image) -> dg.MarkdownMetadataValue:
    """An RGB chart that the UI shows, without loss."""
    data = base64.b64encode(webp(image)).decode("ascii")
    return dg.MetadataValue.md(f"![plot](data:image/webp;base64,{data})")


def origin(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Where a training comes from: its run and asset, and the data version of each input as Dagster has recorded it."""
    told = {"dagster_run_id": context.run.run_id, "asset_key": context.asset_key.to_user_string()}
    for key in sorted(context.assets_def.dependency_keys):
        event = context.instance.get_latest_materialization_event(key)
        made = None if event is None else event.asset_materialization
        version = None if made is None else (made.tags or {}).get("dagster/data_version")
        told[f"input/{key.to_user_string()}"] = version or "not materialized by Dagster"
    return told


@contextmanager
def in_own_words() -> Iterator[None]:
    """A HephError in the block becomes the asset's failure, in its own words.

    Raises:
        Failure: There was one.
    """
    try:
        yield
    except HephError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def work_through(
    context: dg.AssetExecutionContext,
    opened: AbstractContextManager[Root],
    work: Callable[[Root, str], Mapping[str, Any]],
    what: str = "days",
    at_once: int | None = None,
) -> None:
    """Do the partitions of a run and record them.

    Args:
        context: The asset's context.
        opened: The data that are worked on; they are kept before anything is recorded.
        work: Makes a partition of them and returns its metadata; a HephError, ValueError or OSError is that one's
            failure.
        what: What partitions are.
        at_once: How many at once. As many as cores by default: each holds its images in memory, and takes all cores
            where it can.

    Raises:
        Failure: Some failed; those that did not are recorded before.
    """
    done: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}

    def attempt(key: str) -> None:
        try:
            done[key] = work(data, key)
        except (HephError, ValueError, OSError) as error:
            failed[key] = data.words(error)

    with opened as data, ThreadPoolExecutor(at_once or os.cpu_count()) as pool:
        list(pool.map(attempt, context.partition_keys))
    conclude(context, done, failed, what)


def conclude(
    context: dg.AssetExecutionContext,
    done: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, object],
    what: str = "days",
) -> None:
    """Record the partitions of a run.

    Args:
        context: The asset's context.
        done: Metadata of each partition that was made.
        failed: What went wrong with each of the others.
        what: What partitions are.

    Raises:
        Failure: Some failed; those that did not are recorded before.
    """
    if not failed:
        for key, metadata in done.items():
            context.add_asset_metadata(metadata, partition_key=key)
        return
    for key, metadata in done.items():
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
    raise failure_of(done, failed, what)


def failure_of(done: Mapping[str, object], failed: Mapping[str, object], what: str = "days") -> dg.Failure:
    """The failure of a run some of whose partitions failed.

    Args:
        done: The partitions that were made.
        failed: What went wrong with each of the others.
        what: What partitions are.
    """
    lines = [f"{key}: {error}" for key, error in sorted(failed.items())]
    return dg.Failure(
        f"{len(failed)} of {len(failed) + len(done)} {what} failed; the others are done. " + "; ".join(lines[:10]),
        metadata={f"failed_{what}": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines))},
        allow_retries=False,
    )
