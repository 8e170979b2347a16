"""What the figures beside days call wrong, in words and in pictures."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest

from heph_dagster.anomalies.flagged_days import JudgedDay, judged_day, judged_days, picture
from heph_dagster.anomalies.labels import PALETTE, PixelClass
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.class_raster import write_class_raster
from heph_dagster_tests.anomalies.painting import DAYS, painted, store
from heph_dagster_tests.conftest import EPSG

AREA = 100_000.0


def write(root: Path, layer: Layer, day: date, method: str, **figures: object) -> Path:
    path = mosaic_path(root, EPSG, day, layer).with_suffix(f".{method}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures), "utf-8")
    return path


def hole(area: float, cause: str = "lost", latitude: float = 12.3) -> dict[str, object]:
    return {"area_km2": area, "latitude": latitude, "longitude": -45.6, "cause": cause}


@pytest.mark.parametrize(
    ("labels", "holes", "flagged", "area"),
    [
        ([2], [hole(60_000), hole(40_000)], True, 100_000),
        ([2], [hole(99_999)], False, 99_999),
        ([2, 5], [hole(50_000), hole(3e6, "eclipse")], False, 50_000),
        ([5], [hole(3e6, "eclipse")], False, 0),
        ([1], [], False, 0),
    ],
)
def test_missing_data_count_from_an_area_on_and_eclipses_never(
    tmp_path: Path, viirs: Layer, labels: list[int], holes: list[object], flagged: bool, area: float
) -> None:
    write(tmp_path, viirs, DAYS[0], "missing_data", labels=labels, holes=holes)
    judged = judged_day(tmp_path, viirs, EPSG, "missing_data", DAYS[0], AREA)
    assert judged is not None
    assert (judged.flagged, judged.area_km2) == (flagged, area)


def test_each_method_says_what_and_where(tmp_path: Path, viirs: Layer) -> None:
    day = DAYS[0]
    lost = [hole(60_000), hole(1_200_000, latitude=-7.8)]
    write(tmp_path, viirs, day, "missing_data", labels=[2], holes=lost, verdict="missing unexpected")
    write(tmp_path, viirs, day, "miscoloration", labels=[3], patches=[hole(12_345.6)], verdict="miscoloured")
    write(tmp_path, viirs, day, "edge_warping", labels=[4], edges=[hole(5), hole(9, latitude=1)], verdict="edge warped")
    missing, colours, edges = (
        judged_day(tmp_path, viirs, EPSG, method, day, AREA)
        for method in ("missing_data", "miscoloration", "edge_warping")
    )
    text = "1,260,000 km2 are missing that should be there, in 2 holes, the largest at 8 S, 46 W"
    assert missing == JudgedDay(day, True, 2, 1_260_000, f"{day}: {text}")
    assert colours is not None
    assert colours.flagged
    assert colours.message == f"{day}: 12,346 km2 are miscoloured, in 1 patch, the largest at 12 N, 46 W"
    assert edges is not None
    assert (edges.flagged, edges.message) == (True, f"{day}: 2 warped edges, the largest at 1 N, 46 W")


def test_days_come_in_order_and_those_that_nobody_judged_are_left_out(tmp_path: Path, viirs: Layer) -> None:
    for day, labels in ((DAYS[2], [0]), (DAYS[0], [3])):
        write(tmp_path, viirs, day, "miscoloration", labels=labels, verdict="?")
    reason = {"labels": [], "verdict": "unusable", "reason": "all of the image is of one colour"}
    write(tmp_path, viirs, DAYS[1], "miscoloration", **reason)
    copy = tmp_path / str(EPSG) / "2024-03-01 copy" / f"{viirs.identifier}.miscoloration.json"
    copy.parent.mkdir()
    copy.write_text("no figures", "utf-8")
    every = judged_days(tmp_path, viirs, EPSG, "miscoloration", None, AREA)
    assert [(each.day, each.flagged) for each in every] == [(DAYS[0], True), (DAYS[1], False), (DAYS[2], False)]
    assert every[1].message == f"{DAYS[1]} could not be judged: all of the image is of one colour"
    some = judged_days(tmp_path, viirs, EPSG, "miscoloration", [DAYS[5], DAYS[2]], AREA)
    assert [each.day for each in some] == [DAYS[2]]


def test_damaged_figures_are_named(tmp_path: Path, viirs: Layer) -> None:
    path = write(tmp_path, viirs, DAYS[0], "missing_data", labels=[2], holes=[{}])
    with pytest.raises(ValueError, match=rf"{path.name} is damaged \(KeyError\('area_km2'\)\): delete it"):
        judged_days(tmp_path, viirs, EPSG, "missing_data", None, AREA)


def test_a_picture_has_the_mask_drawn_over_it(tmp_path: Path, viirs: Layer) -> None:
    day = DAYS[0]
    mosaic = store(tmp_path, viirs, day, painted(day))
    classes = np.zeros((320, 640), np.uint8)
    classes[160:, :] = PixelClass.MISSING
    write_class_raster(mosaic.with_suffix(".missing_data.tif"), classes, PALETTE, like=mosaic)
    data = picture(tmp_path, viirs, EPSG, "missing_data", day)
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (192, 384, 3)
    red = np.array(PALETTE[PixelClass.MISSING][2::-1])
    assert np.abs(image[110:].mean(axis=(0, 1)) - red).max() < 6
    assert np.abs(image[:90].mean(axis=(0, 1)) - red).max() > 60
    plain = picture(tmp_path, viirs, EPSG, "frozen", day)
    assert plain not in (None, data)


def test_without_imagery_there_is_no_picture(tmp_path: Path, viirs: Layer) -> None:
    assert picture(tmp_path, viirs, EPSG, "missing_data", DAYS[0]) is None
    store(tmp_path, viirs, DAYS[0], painted(DAYS[0])).write_text("no mosaic", "utf-8")
    assert picture(tmp_path, viirs, EPSG, "missing_data", DAYS[0]) is None
