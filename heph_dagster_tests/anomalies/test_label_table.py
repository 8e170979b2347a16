"""Hand and automatic labels as one table."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.hand_labels import label_day
from heph_dagster.anomalies.label_table import (
    LabelRow,
    LabelTableError,
    label_rows,
    labels_path,
    read_labels,
    update_labels,
)
from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.miscolour import label_miscolouring
from heph_dagster.anomalies.missing_files import label_missing_data
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster_tests.anomalies.painting import DAYS, MAGENTA, painted, store
from heph_dagster_tests.conftest import EPSG

FIRST, SECOND, THIRD = (date(2020, 9, number) for number in (24, 25, 26))

Report = Callable[..., Path]


@pytest.fixture
def report(tmp_path: Path, viirs: Layer) -> Report:
    """Writes the figures of a method beside a day."""

    def write(day: date, name: str, *codes: int, **figures: Any) -> Path:
        path = mosaic_path(tmp_path, EPSG, day, viirs).with_suffix(f".{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"method": f"{name}-finder", "version": "7", "verdict": f"{codes}", "labels": codes}
        path.write_text(json.dumps(facts | figures), "utf-8")
        return path

    return write


def only(root: Path, layer: Layer, **options: bool) -> LabelRow:
    (row,) = label_rows(root, layer, EPSG, **options)
    return row


def test_the_methods_speak_together_where_nobody_looked(tmp_path: Path, viirs: Layer, report: Report) -> None:
    holes = [{"area_km2": 9e3, "cause": "eclipse"}, {"area_km2": 2e4, "cause": "lost"}]
    shares = {"missing_share": 0.25, "not_observed_share": 0.125}
    report(SECOND, "missing_data", 2, **shares, holes=holes, eclipse=[-10, 20, 30, 40], expectation="orbit")
    report(SECOND, "miscoloration", 0, miscoloured_share=0.0, patches=[], climatology_days=9)
    report(SECOND, "edge_warping", 4, edges=[{}, {}], score=1.5)
    report(FIRST, "miscoloration", 3, miscoloured_share=0.5, patches=[{"area_km2": 7e4}, {"area_km2": 3e4}])
    report(THIRD, "missing_data", 0)
    report(THIRD, "miscoloration", 0)
    first, second, third = label_rows(tmp_path, viirs, EPSG)
    assert second == LabelRow(
        day=SECOND,
        codes=(Label.MISSING_UNEXPECTED, Label.EDGE_WARPED),
        source="automatic",
        missing=True,
        hand=None,
        automatic=(Label.MISSING_UNEXPECTED, Label.EDGE_WARPED),
        differing=(),
        method="missing_data-finder, miscoloration-finder, edge_warping-finder",
        version="7, 7, 7",
        verdict="(2,), (0,), (4,)",
        reason=None,
        origin=None,
        expectation="orbit",
        not_observed_share=0.125,
        missing_share=0.25,
        holes=2,
        eclipsed_holes=1,
        largest_hole_km2=2e4,
        eclipse=(-10, 20, 30, 40),
        miscoloured_share=0.0,
        patches=0,
        largest_patch_km2=0.0,
        climatology_days=9,
        warped_edges=2,
        warping_score=1.5,
    )
    assert (first.day, first.codes, first.missing, first.holes, first.patches) == (FIRST, (3,), None, None, 2)
    assert (first.miscoloured_share, first.largest_patch_km2) == (0.5, 7e4)
    assert (third.codes, third.missing) == ((0,), False)


def test_a_person_wins(tmp_path: Path, viirs: Layer, report: Report) -> None:
    report(SECOND, "missing_data", 2, missing_share=0.25)
    label_day(tmp_path, viirs, EPSG, SECOND, [Label.EDGE_WARPED, Label.MISCOLOURED])
    row = only(tmp_path, viirs)
    assert (row.codes, row.source, row.missing, row.origin) == ((3, 4), "hand", False, "heph label")
    assert (row.hand, row.automatic, row.missing_share, row.method) == ((3, 4), (2,), 0.25, "missing_data-finder")


@pytest.mark.parametrize(
    ("hand", "missing_data", "miscoloration", "differing"),
    [
        ([2, 3], [2], [3], ()),
        ([2], [0], [0], (2,)),
        ([0], [2], [3], (2, 3)),
        ([2], [5], [0], (2, 5)),
        ([3], [0], [], ()),  # colours could not be judged
        ([3], [0], None, ()),
        ([1], [0], [0], ()),  # people note expected gaps now and then only
        ([0], [1], [0], ()),
        ([4], [0], [0], ()),  # no method looks for it
        ([2], None, [0], ()),
        ([6], [6], [3], (3,)),
    ],
)
def test_differences_are_those_of_what_was_judged(
    tmp_path: Path,
    viirs: Layer,
    report: Report,
    hand: list[int],
    missing_data: list[int] | None,
    miscoloration: list[int] | None,
    differing: tuple[int, ...],
) -> None:
    if missing_data is not None:
        report(SECOND, "missing_data", *missing_data)
    if miscoloration is not None:
        report(SECOND, "miscoloration", *miscoloration)
    label_day(tmp_path, viirs, EPSG, SECOND, [Label(code) for code in hand])
    assert only(tmp_path, viirs).differing == differing


@pytest.mark.parametrize(
    ("hand", "edge_warping", "differing"), [([4], [4], ()), ([4], [0], (4,)), ([0], [4], (4,)), ([4], [], ())]
)
def test_warped_edges_are_compared_where_they_were_looked_for(
    tmp_path: Path, viirs: Layer, report: Report, hand: list[int], edge_warping: list[int], differing: tuple[int, ...]
) -> None:
    report(SECOND, "missing_data", 0)
    report(SECOND, "edge_warping", *edge_warping)
    label_day(tmp_path, viirs, EPSG, SECOND, [Label(code) for code in hand])
    assert only(tmp_path, viirs).differing == differing


def test_an_eclipse_counts_as_missing_only_if_asked_to(tmp_path: Path, viirs: Layer, report: Report) -> None:
    report(SECOND, "missing_data", 5)
    assert only(tmp_path, viirs).missing is False
    assert only(tmp_path, viirs, eclipse_is_missing=True).missing is True
    label_day(tmp_path, viirs, EPSG, SECOND, [Label.MISSING_UNEXPECTED])
    assert only(tmp_path, viirs).differing == (2, 5)
    row = only(tmp_path, viirs, eclipse_is_missing=True)
    assert (row.differing, row.codes, row.automatic) == ((), (2,), (5,))


def test_a_day_that_could_not_be_judged_has_no_codes(tmp_path: Path, viirs: Layer, report: Report) -> None:
    report(SECOND, "miscoloration", patches=None, verdict="no climatology yet", reason="it has 2", climatology_days=2)
    row = only(tmp_path, viirs)
    assert (row.codes, row.source, row.missing, row.verdict) == ((), "automatic", None, "no climatology yet")
    assert (row.reason, row.climatology_days, row.patches, row.largest_patch_km2) == ("it has 2", 2, None, None)


def test_the_figures_are_those_of_the_real_reports(root: Path, viirs: Layer) -> None:
    bad, night = DAYS[-1] + timedelta(days=1), DAYS[0]
    store(root, viirs, bad, painted(bad, MAGENTA))
    colours = label_miscolouring(root, viirs, EPSG, bad).result
    missing = label_missing_data(root, viirs, EPSG, night, None).result
    rows = {row.day: row for row in label_rows(root, viirs, EPSG)}
    assert (rows[bad].codes, rows[bad].patches, rows[bad].climatology_days) == ((3,), 1, 8)
    assert rows[bad].largest_patch_km2 == colours.patches.regions[0].area_km2
    row = rows[night]
    assert (row.codes, row.expectation, row.eclipse) == (missing.labels, "orbit", None)
    assert (row.missing_share, row.not_observed_share) == (missing.missing_share, missing.not_observed_share)
    assert (row.holes, row.eclipsed_holes, row.largest_hole_km2) == (0, 0, 0.0)


def test_copies_of_days_have_no_labels(tmp_path: Path, viirs: Layer, report: Report) -> None:
    folder = report(FIRST, "missing_data", 2).parent
    folder.rename(folder.with_name(f"{FIRST}-copy"))
    report(SECOND, "missing_data", 0)
    assert only(tmp_path, viirs).day == SECOND


def test_an_unusable_day_is_not_normal(tmp_path: Path, viirs: Layer, report: Report) -> None:
    report(FIRST, "missing_data", 0, verdict="normal")
    report(FIRST, "miscoloration", verdict="unusable")
    report(SECOND, "missing_data", 2, verdict="missing unexpected")
    report(SECOND, "miscoloration", verdict="unusable")
    first, second = label_rows(tmp_path, viirs, EPSG)
    assert (first.codes, first.automatic, first.verdict) == ((), (), "normal, unusable")
    assert (second.codes, second.missing) == ((2,), True)


def test_the_table_is_read_as_it_was_written(tmp_path: Path, viirs: Layer, report: Report) -> None:
    hole = {"area_km2": 5e5, "cause": "eclipse"}
    report(SECOND, "missing_data", 5, missing_share=0.25, holes=[hole], eclipse=[1.5, 2, 3, 4])
    label_day(tmp_path, viirs, EPSG, FIRST, [Label.NORMAL])
    rows = update_labels(tmp_path, viirs, EPSG, eclipse_is_missing=True)
    assert rows == label_rows(tmp_path, viirs, EPSG, eclipse_is_missing=True)
    table = pq.read_table(labels_path(tmp_path, EPSG, viirs))
    assert table.schema.metadata == {b"version": b"3", b"eclipse_is_missing": b"true"}
    dicts = [
        {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in table.to_pylist()
    ]
    assert [LabelRow(**each) for each in dicts] == rows


def test_a_table_is_made_by_one_run_at_a_time(tmp_path: Path, viirs: Layer, report: Report) -> None:
    figures = report(SECOND, "missing_data")
    figures.unlink()
    os.mkfifo(figures)  # who opens it waits for the other
    path = labels_path(tmp_path, EPSG, viirs)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(update_labels, tmp_path, viirs, EPSG)
        with figures.open("w") as written, path.with_name(f".{path.name}.lock").open() as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            written.write('{"labels": [2]}')
        assert [row.codes for row in made.result()] == [(2,)]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"labels": [9]}', '{"labels": 2}', '{"labels": [2], "holes": [{}]}']
)
def test_damaged_figures_are_named(tmp_path: Path, viirs: Layer, report: Report, text: str) -> None:
    path = report(SECOND, "missing_data", 0)
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"missing_data\.json is damaged \(.*\): delete it, and judge the day again"):
        label_rows(tmp_path, viirs, EPSG)


def test_the_codes_of_judged_days_are_read_again(tmp_path: Path, viirs: Layer, report: Report) -> None:
    path = labels_path(tmp_path, EPSG, viirs)
    with pytest.raises(FileNotFoundError, match=r"labels\.parquet is not there: materialize the layer's labels first"):
        read_labels(path)
    report(SECOND, "missing_data", 2)
    report(THIRD, "miscoloration")
    label_day(tmp_path, viirs, EPSG, FIRST, [Label.MISCOLOURED, Label.MISSING_UNEXPECTED])
    update_labels(tmp_path, viirs, EPSG)
    assert read_labels(path) == {FIRST: (2, 3), SECOND: (2,)}
    pq.write_table(pq.read_table(path).replace_schema_metadata({"version": "0"}), path)
    with pytest.raises(LabelTableError, match="has schema version 0, not 3: materialize the layer's labels again"):
        read_labels(path)
    unknown = pa.table({"day": [FIRST], "codes": [[9]]}).replace_schema_metadata({"version": "3"})
    pq.write_table(unknown, path)
    with pytest.raises(LabelTableError, match="is of another program: 9 is not a valid Label; materialize the layer's"):
        read_labels(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(LabelTableError, match=r"labels\.parquet is damaged: "):
        read_labels(path)
