"""Sensors of annotations and raw frames, over real folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.resources import Insar
from heph_dagster.settings import Settings

ONE, TWO = "124D_05291_081406", "001A_00000_010101"
Look = Callable[[], tuple[list[str | None], str | None]]


@pytest.fixture
def looking(instance: dg.DagsterInstance, tmp_path: Path) -> Callable[[str], Look]:
    """Look with a sensor as the daemon does; tells the frames that are asked for, or why there is none."""
    settings = Settings(data_dir=tmp_path, layers=())

    def of(name: str) -> Look:
        sensor = build_definitions(settings).resolve_sensor_def(name)
        cursors: list[str | None] = [None]

        def look() -> tuple[list[str | None], str | None]:
            resources = {"insar": Insar.of(settings)}
            with dg.build_sensor_context(
                instance=instance,
                cursor=cursors[-1],
                resources=resources,
                repository_def=build_definitions(settings).get_repository_def(),
            ) as context:
                told = sensor(context)
            assert isinstance(told, dg.SensorResult)
            cursors.append(told.cursor)
            skipped = None if told.skip_reason is None else str(told.skip_reason.skip_message)
            return [request.partition_key for request in told.run_requests or ()], skipped

        return look

    return of


def test_annotations_are_imported_once_they_have_come(looking: Callable[[str], Look], tmp_path: Path) -> None:
    look = looking("hephaestus_annotations")
    archive = tmp_path / "hephaestus" / "downloads" / "annotations_hephaestus.zip"
    assert look() == ([], f"{archive} is not there")
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"half")
    still = ([], f"{archive} has not changed, or does still")
    assert look() == still
    archive.write_bytes(b"half and whole")
    assert look() == still  # it was being copied
    assert look() == ([None], None)
    assert look() == still
    archive.unlink()
    assert look() == ([], f"{archive} is not there")
    archive.write_bytes(b"another")
    assert [look(), look()] == [still, ([None], None)]


def test_frames_are_listed_when_interferograms_have_come(
    looking: Callable[[str], Look], instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    look = looking("hephaestus_raw")
    raw = tmp_path / "hephaestus" / "raw"
    none = ([], f"none of the 2 frames in {raw} has changed, or some do still")
    assert look() == ([], f"none of the 0 frames in {raw} has changed, or some do still")
    pairs = [raw / frame / "interferograms" / "20200101_20200113" for frame in (ONE, TWO)]
    for pair in pairs:
        pair.mkdir(parents=True)
        (pair / "InSAR.png").write_bytes(b"half")
    (raw / "no frame").mkdir()
    assert look() == none
    (pairs[0] / "InSAR.png").write_bytes(b"half and whole")
    assert look() == ([TWO], None)  # the other was being copied
    assert look() == ([ONE], None)
    assert instance.has_dynamic_partition("hephaestus_frames", TWO)
    assert look() == none
    (pairs[1] / "Coherence.png").write_bytes(b"later")
    assert [look(), look(), look()] == [none, ([TWO], None), none]
