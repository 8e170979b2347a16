"""Where on Earth tiles lie."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.gibs.box import Box, PixelWindow
from heph_dagster.gibs.tile_index import lonlat_bounds, write_index
from heph_dagster_tests.gibs.mosaics import noise, write_mosaic

METRES = st.integers(-4_194_304, 4_194_304)


def reference(epsg: int):
    from osgeo import osr

    osr.UseExceptions()
    made = osr.SpatialReference()
    made.ImportFromEPSG(epsg)
    made.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return made


@pytest.mark.parametrize(
    ("bounds", "degrees"),
    [
        ((-180, -90, 180, 90), (-180, -90, 180, 90)),
        ((0, 10, 20, 30), (0, 10, 20, 30)),
        ((170, 0, 180, 10), (170, 0, 180, 10)),
        ((170, 0, 190, 10), (170, 0, -170, 10)),
        ((180, 0, 190, 10), (-180, 0, -170, 10)),
    ],
)
def test_degrees_go_around_the_globe(bounds: tuple[float, ...], degrees: tuple[float, ...]) -> None:
    assert lonlat_bounds(reference(4326))(bounds) == degrees


# In EPSG:3413 longitude -45 points down from the pole, in EPSG:3031 longitude 0 points up.
@pytest.mark.parametrize(
    ("epsg", "bounds", "degrees"),
    [
        (3413, (-1, -1, 1, 1), (-180, None, 180, 90)),  # around the pole
        (3413, (0, 0, 1, 1), (45, None, 135, 90)),  # the pole is a corner
        (3413, (-1, 0, 1, 1), (45, None, -135, 90)),  # the pole is on an edge
        (3413, (-1, -2, 1, -1), (-90, None, 0, None)),
        (3413, (-2, 1, -1, 2), (161.565051, None, -161.565051, None)),
        (3031, (0, 0, 1, 1), (0, -90, 90, None)),
        (3031, (-1, -2, 1, -1), (135, None, -135, None)),
    ],
)
def test_polar_boxes_are_seen_from_the_pole(
    epsg: int, bounds: tuple[int, ...], degrees: tuple[float | None, ...]
) -> None:
    found = lonlat_bounds(reference(epsg))(tuple(edge * 1_048_576.0 for edge in bounds))
    assert [edge for edge, known in zip(found, degrees, strict=True) if known is not None] == pytest.approx(
        [edge for edge in degrees if edge is not None]
    )


@given(st.sampled_from([3413, 3031]), METRES, METRES, st.data())
def test_every_point_of_a_polar_box_lies_inside(epsg: int, min_x: int, min_y: int, data: st.DataObject) -> None:
    from osgeo import osr

    max_x, max_y = (data.draw(st.integers(low + 100, 4_200_000)) for low in (min_x, min_y))
    west, south, east, north = lonlat_bounds(reference(epsg))((min_x, min_y, max_x, max_y))
    x, y = (data.draw(st.integers(low, high)) for low, high in ((min_x, max_x), (min_y, max_y)))
    lon, lat, _ = osr.CoordinateTransformation(reference(epsg), reference(4326)).TransformPoint(x, y)
    assert south - 1e-9 <= lat <= north + 1e-9
    if (x, y) != (0, 0):
        assert (lon - west + 1e-9) % 360 <= (east - west) % 360 + 2e-9 or (west, east) == (-180, 180)


def test_an_index_has_a_line_for_each_tile(tmp_path: Path) -> None:
    box = Box.open(write_mosaic(tmp_path / "a.mrf", noise()), (171, 0, -171, 18))
    windows = [PixelWindow(0, 0, 16, 32), PixelWindow(8, 0, 16, 32)]
    tiles = [(f"{number}.png", box.of_mosaic(window)) for number, window in enumerate(windows)]
    with write_index(tmp_path / "tiles", box, tiles).open(encoding="ascii") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["file", "col", "row", "width", "height", "min_x", "min_y", "max_x", "max_y", "west", "south", "east", "north"],
        ["0.png", "624", "128", "16", "32", "171.0", "0.0", "180.0", "18.0", "171.0", "0.0", "180.0", "18.0"],
        ["1.png", "632", "128", "16", "32", "175.5", "0.0", "184.5", "18.0", "175.5", "0.0", "-175.5", "18.0"],
    ]
