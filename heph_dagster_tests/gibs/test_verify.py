"""Days on disk compared with what was downloaded, damaged on purpose, and mended."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from heph_dagster.cli import main
from heph_dagster.files import temporary
from heph_dagster.gibs import fetch as fetching
from heph_dagster.gibs.archive import mosaic_path, write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.client import GibsClient
from heph_dagster.gibs.download import DayRequest, FailedDay, fetch_days
from heph_dagster.gibs.grid import GRIDS, Tile, grid
from heph_dagster.gibs.manifest import Published
from heph_dagster.gibs.mrf import Layout, Mosaic, MosaicError, manifest_path
from heph_dagster.gibs.partial import PartialDay
from heph_dagster.gibs.publish import MosaicWriter, generation_files, superseded_files
from heph_dagster.gibs.verify import CheckedDay, check_agreement, check_days, check_sound, mend_days, stored_days
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import DAYS, EPSG, NDVI, TERRA, VIIRS, earth
from heph_dagster_tests.gibs.downloading import DAY, fetch, one, tiles_of
from heph_dagster_tests.servers import counted

Server = tuple[str, Counter[int], Path]


@pytest.fixture
def server(tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> Iterator[Server]:
    """A server of two days that counts its answers, its address and its archive."""
    archive = tmp_path / "archive"
    for day in DAYS[:2]:
        write_day(archive, viirs, EPSG, day, earth(day))
    with counted(archive, catalogue) as (url, statuses):
        yield url, statuses, archive


def check(root: Path) -> list[CheckedDay]:
    return check_days(stored_days(root))


def mend(url: str, catalogue: Catalogue, root: Path) -> CheckedDay:
    bad = [each for each in check(root) if not each.sound]
    (mended,) = mend_days(lambda endpoint: GibsClient(url, endpoint, backoff=0), catalogue, root, bad)
    return mended


def archive_path(archive: Path, layer: Layer) -> Path:
    return mosaic_path(archive, EPSG, DAY, layer)


def overwrite(path: Path, tile: Tile) -> None:
    """Change a byte in the middle of a tile on disk."""
    with Mosaic(path, EPSG) as mosaic:
        offset, size = mosaic._index[mosaic.layout.position(tile)].tolist()
        data = bytearray(mosaic.data_path.read_bytes())
        data[offset + size // 2] ^= 0xFF
        mosaic.data_path.write_bytes(data)


def test_days_as_they_were_downloaded_are_sound(server: Server, tmp_path: Path, viirs: Layer) -> None:
    results = fetch(server[0], viirs, tmp_path / "data", *DAYS[:2])
    checked = check(tmp_path / "data")
    assert [(each.stored.day, each.tiles, each.bytes, each.sound) for each in checked] == [
        (day, 6, result.bytes, True) for day, result in zip(DAYS[:2], results, strict=True)
    ]


def test_a_changed_byte_is_found_and_only_its_tile_is_sent_again(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    url, statuses, archive = server
    root = tmp_path / "data"
    path = one(fetch(url, viirs, root)).path
    overwrite(path, Tile(1, 1, 2))
    (checked,) = check(root)
    assert checked.damaged == (Tile(1, 1, 2),)
    statuses.clear()
    mended = mend(url, catalogue, root)
    assert mended.mended
    assert statuses == {304: 5, 200: 1}
    assert tiles_of(path) == tiles_of(mosaic_path(archive, EPSG, DAY, viirs))
    assert check(root)[0].damaged == ()


def test_a_mosaic_is_sound_or_an_error_says_what_it_is(server: Server, tmp_path: Path, viirs: Layer) -> None:
    path = one(fetch(server[0], viirs, tmp_path)).path
    check_sound(path, EPSG)
    overwrite(path, Tile(1, 1, 2))
    message = f"{path}: 1 of 6 tiles are not what they were; heph verify --mend downloads again what is damaged"
    with pytest.raises(MosaicError, match=f"^{re.escape(message)}$"):
        check_sound(path, EPSG)
    path.write_text("nonsense", "utf-8")
    with pytest.raises(MosaicError, match="is not an MRF"):
        check_sound(path, EPSG)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.mrf is not there: download the day first$"):
        check_sound(path, EPSG)


@pytest.mark.parametrize("lost", ["data", "index", "tail"])
def test_lost_files_are_found_and_mended(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue, lost: str
) -> None:
    root = tmp_path / "data"
    path = one(fetch(server[0], viirs, root)).path
    data = next(path.parent.glob("*.pjg"))
    if lost == "tail":
        data.write_bytes(data.read_bytes()[:-10])
    else:
        (data if lost == "data" else next(path.parent.glob("*.idx"))).unlink()
    (checked,) = check(root)
    assert not checked.sound
    assert len(checked.damaged) == (1 if lost == "tail" else 0)
    assert mend(server[0], catalogue, root).mended
    assert tiles_of(path) == tiles_of(mosaic_path(server[2], EPSG, DAY, viirs))


def test_a_day_that_the_server_has_otherwise_by_now_becomes_what_it_has(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    url, _, archive = server
    path = one(fetch(url, viirs, tmp_path / "data")).path
    overwrite(path, Tile(1, 0, 0))
    write_day(archive, viirs, EPSG, DAY, 255 - earth(DAY))
    assert mend(url, catalogue, tmp_path / "data").mended
    assert tiles_of(path) == tiles_of(mosaic_path(archive, EPSG, DAY, viirs))


def test_a_box_is_mended_as_a_box(server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    path = one(fetch(server[0], viirs, tmp_path / "data", bbox=(10.0, 10.0, 20.0, 20.0))).path
    ((tile, data),) = tiles_of(path).items()
    overwrite(path, tile)
    assert mend(server[0], catalogue, tmp_path / "data").mended
    assert tiles_of(path) == {tile: data}


def test_what_cannot_be_mended_says_why(server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue) -> None:
    url, _, archive = server
    root = tmp_path / "data"
    path = one(fetch(url, viirs, root)).path
    overwrite(path, Tile(1, 0, 0))
    shutil.rmtree(archive / str(EPSG) / str(DAY))
    mended = mend(url, catalogue, root)
    assert (mended.mended, mended.sound) == (False, False)
    assert "has no tile of VIIRS_SNPP_CorrectedReflectance_TrueColor on 2020-09-25" in (mended.error or "")
    manifest = manifest_path(path)
    assert manifest is not None
    manifest.write_bytes(b"damaged")
    mended = mend(url, catalogue, root)
    assert "is damaged or belongs to another mosaic" in (mended.unreadable or "")
    assert "nothing tells where the day came from: delete" in (mended.error or "")


def test_a_manifest_of_another_version_is_named(server: Server, tmp_path: Path, viirs: Layer) -> None:
    manifest = manifest_path(one(fetch(server[0], viirs, tmp_path / "data")).path)
    table = pq.read_table(manifest)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"version": b"99"}), manifest)
    assert "has schema version 99" in (check(tmp_path / "data")[0].unreadable or "")


def test_days_without_a_manifest_are_decoded(archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "data")
    checked = check(tmp_path / "data")
    assert {each.compared_with for each in checked} == {"decoder"}
    assert all(each.sound for each in checked)
    assert {each.stored.layer for each in checked} >= {VIIRS, TERRA, NDVI}
    day = next(each.stored for each in checked if each.stored.layer == NDVI)
    overwrite(day.path, Tile(1, 0, 1))
    assert [each.damaged for each in check(tmp_path / "data") if not each.sound] == [(Tile(1, 0, 1),)]


def test_a_day_that_came_from_another_server_is_not_mended_by_this_one(
    server: Server, gibs_url: str, tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    path = one(fetch(server[0], viirs, tmp_path / "data")).path
    overwrite(path, Tile(1, 0, 0))
    before = tiles_of(path)
    mended = mend(gibs_url, catalogue, tmp_path / "data")
    assert not mended.sound
    assert f"it came from {server[0]}, not from {gibs_url}: set HEPH_GIBS_URL to the former" in (mended.error or "")
    assert tiles_of(path) == before


@pytest.mark.parametrize("damage", ["tail", "byte"])
def test_a_refresh_does_not_take_damaged_tiles_over(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue, damage: str
) -> None:
    url, statuses, archive = server
    root = tmp_path / "data"
    path = one(fetch(url, viirs, root)).path
    data = next(path.parent.glob("*.pjg"))
    if damage == "tail":
        data.write_bytes(data.read_bytes()[:-10])
    else:
        overwrite(path, Tile(1, 1, 2))
    (damaged,) = check(root)[0].damaged
    changed = Tile(1, 0, 0) if damaged != Tile(1, 0, 0) else Tile(1, 0, 1)
    image = earth(DAY)
    image[:512, changed.col * 512 : changed.col * 512 + 512] = 255
    write_day(archive, viirs, EPSG, DAY, image)
    message = f"{data} ends before {damaged}: " if damage == "tail" else f"{data} is damaged: {damaged} is not what was"
    for _ in range(2):
        (failed,) = fetch(url, viirs, root, refresh=True)
        assert isinstance(failed, FailedDay)
        assert message in str(failed.error)
        assert "heph verify --mend downloads" in str(failed.error)
    statuses.clear()
    assert mend(url, catalogue, root).mended
    assert statuses == {304: 4, 200: 2}
    assert tiles_of(path) == tiles_of(archive_path(archive, viirs))


def test_what_a_stopped_refresh_took_for_unchanged_is_mended(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue
) -> None:
    url, _, archive = server
    root = tmp_path / "data"
    path = one(fetch(url, viirs, root)).path
    layout = Layout(viirs.grid(EPSG).window(1))
    with Published.load(path, layout) as old, PartialDay(path, layout) as partial:
        name = old.mosaic.data_path.name
        partial.recover({"server": url, "endpoint": "best", "window": str(layout.window), "replaces": name})
        partial.add(old.record(Tile(1, 0, 0)), None, changed=False)
    overwrite(path, Tile(1, 0, 0))
    assert mend(url, catalogue, root).mended
    assert tiles_of(path) == tiles_of(archive_path(archive, viirs))


def flip(file: Path, position: int, value: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] = value
    file.write_bytes(data)


@pytest.mark.parametrize("byte", [0, 1, 2, 5, 8, 9, 13])
def test_an_index_with_flipped_bits_is_a_damaged_tile(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue, byte: int
) -> None:
    root = tmp_path / "data"
    path, _ = (result.path for result in fetch(server[0], viirs, root, *DAYS[:2]))
    flip(next(path.parent.glob("*.idx")), 16 * 4 + byte, 0xFF)
    assert [each.damaged for each in check(root)] == [(Tile(1, 1, 1),), ()]
    assert mend(server[0], catalogue, root).mended
    assert tiles_of(path) == tiles_of(archive_path(server[2], viirs))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'Size x="1280"', b'Size x="0"'),
        (b'Size x="1280"', b'Size x="-1"'),
        (b'y="640"', b'y="0"'),
        (b'Size x="1280"', b'Size x="1' + b"0" * 400 + b'"'),
        (b'minx="-180.0"', b'minx="inf"'),
        (b'maxx="180.0"', b'maxx="-179.99999999999997"'),
        (b"<MRF_META>", b'<?xml version="1.0" encoding="other"?><MRF_META>'),
        (b"<MRF_META>", b'<!DOCTYPE MRF_META [<!ENTITY a "b">]><MRF_META>'),
        (b".idx<", b".idx/..<"),
    ],
    ids=["width", "negative", "height", "huge", "infinite", "thin", "encoding", "entity", "name"],
)
def test_a_damaged_mosaic_keeps_no_other_day_from_its_check(
    server: Server, tmp_path: Path, viirs: Layer, old: bytes, new: bytes
) -> None:
    root = tmp_path / "data"
    path, other = (result.path for result in fetch(server[0], viirs, root, *DAYS[:2]))
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    damaged, sound = check(root)
    assert str(path) in (damaged.unreadable or "")
    assert (sound.stored.path, sound.sound) == (other, True)
    assert superseded_files(path) == []


@pytest.mark.parametrize("place", ["page", "footer"])
def test_a_damaged_manifest_is_named_and_downloaded_anew(
    server: Server, tmp_path: Path, viirs: Layer, catalogue: Catalogue, place: str
) -> None:
    url, statuses, _ = server
    root = tmp_path / "data"
    path, _ = (result.path for result in fetch(url, viirs, root, *DAYS[:2]))
    manifest = manifest_path(path)
    size = manifest.stat().st_size
    damage = slice(4, 40) if place == "page" else slice(size - 300, size - 20)
    data = bytearray(manifest.read_bytes())
    data[damage] = b"\xff" * (damage.stop - damage.start)
    manifest.write_bytes(data)
    damaged, sound = check(root)
    assert f"manifest of {path} is damaged" in (damaged.unreadable or "") or f"manifest {manifest} is damaged" in (
        damaged.unreadable or ""
    )
    assert sound.sound
    statuses.clear()
    assert [result.outcome for result in fetch(url, viirs, root, *DAYS[:2], refresh=True)] == ["new", "unchanged"]
    assert statuses == {200: 6, 304: 6}
    assert all(each.sound for each in check(root))


@pytest.mark.parametrize(("word", "count"), [(b"stored_sha256", 9), (b"verified_by", 1), (b"absent\x18\x010", 1)])
def test_a_damaged_end_of_a_manifest_is_damage(
    server: Server, tmp_path: Path, viirs: Layer, word: bytes, count: int
) -> None:
    root = tmp_path / "data"
    path = one(fetch(server[0], viirs, root)).path
    manifest = manifest_path(path)
    whole = manifest.read_bytes()
    assert 1 <= whole.count(word) <= count
    manifest.write_bytes(whole.replace(word, word[:-1] + b"x"))
    assert f"the manifest of {path} is damaged" in (check(root)[0].unreadable or "")
    (failed,) = fetch(server[0], viirs, root)
    assert f"{path} is damaged (its manifest cannot be read)" in str(failed.error)
    assert one(fetch(server[0], viirs, root, refresh=True)).outcome == "new"


def test_a_flipped_bit_in_a_manifest_never_passes(server: Server, tmp_path: Path, viirs: Layer) -> None:
    path = one(fetch(server[0], viirs, tmp_path / "data")).path
    manifest = manifest_path(path)
    whole = manifest.read_bytes()
    for position in range(4, len(whole) // 2, 97):
        flip(manifest, position, whole[position] ^ 4)
        (checked,) = check(tmp_path / "data")
        assert checked.unreadable or checked.sound, position
        manifest.write_bytes(whole)


def test_a_day_that_is_removed_meanwhile_is_told(server: Server, tmp_path: Path, viirs: Layer) -> None:
    root = tmp_path / "data"
    fetch(server[0], viirs, root, *DAYS[:2])
    days = list(stored_days(root))
    shutil.rmtree(days[0].path.parent)
    gone, there = check_days(days)
    assert (gone.unreadable, there.sound) == (f"{days[0].path} has been removed meanwhile", True)
    assert superseded_files(days[0].path) == []


def test_what_a_crash_left_of_a_replaced_day_is_found_and_removed(server: Server, tmp_path: Path, viirs: Layer) -> None:
    path = one(fetch(server[0], viirs, tmp_path / "data")).path
    current = generation_files(path)
    old = path.with_name(f"{VIIRS}.0123456789ab.pjg")
    old.write_bytes(b"old")
    assert superseded_files(path) == [old]
    assert old.exists()
    assert superseded_files(path, remove=True) == [old]
    assert generation_files(path) == current


def test_other_files_and_folders_are_no_days(tmp_path: Path) -> None:
    for name in ("4326/2020-09-25/.X.mrf", "4326/notes/X.mrf", "9999/2020-09-25/X.mrf", "4326/2020-09-25/X.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(stored_days(tmp_path)) == []


def test_the_command_finds_mends_and_tells(
    server: Server, tmp_path: Path, viirs: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    monkeypatch.setenv("HEPH_GIBS_URL", server[0])
    runner = CliRunner()
    nothing = runner.invoke(main, ["verify"])
    assert nothing.exit_code == 1
    assert "has no days to check" in nothing.stderr
    paths = [one([each]).path for each in fetch(server[0], viirs, root, *DAYS[:2])]
    old = paths[0].with_name(f"{VIIRS}.0123456789ab.pjg")
    old.write_bytes(b"old")
    overwrite(paths[1], Tile(1, 0, 0))
    found = runner.invoke(main, ["verify"])
    assert found.exit_code == 1
    assert "2 days, 12 tiles" in found.stdout
    assert f"{DAYS[1]} {VIIRS}: 1 of 6 tiles are not what they were" in found.stderr
    assert "heph verify --mend" in found.stderr
    assert "1 files that replaced days left behind are there" in found.stdout
    mended = runner.invoke(main, ["verify", "--mend", "--json"])
    assert mended.exit_code == 0
    rows = json.loads(mended.stdout)
    assert [(date.fromisoformat(row["day"]), row["mended"], len(row["damaged"])) for row in rows] == [
        (DAYS[0], False, 0),
        (DAYS[1], True, 1),
    ]
    assert not old.exists()
    again = runner.invoke(main, ["verify", "--layer", "viirs"])
    assert (again.exit_code, again.stderr.count("not what")) == (0, 0)


def test_mending_to_a_generation_that_a_crash_had_left_keeps_it(
    server: Server, tmp_path: Path, viirs: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _, archive = server
    root = tmp_path / "data"
    # Tiles are kept in the order in which they are asked for: a generation is named after their places, too.
    monkeypatch.setattr(fetching, "_KEEPERS", 1)
    for name, value in {"GIBS_URL": url, "CONNECTIONS": "1"}.items():
        monkeypatch.setenv(f"HEPH_{name}", value)
    client, request = Settings().client(), DayRequest(viirs, EPSG, 1, root, refresh=True)
    path = one(fetch_days(client, request, [DAY])).path
    first = {file: file.read_bytes() for file in generation_files(path)}
    write_day(archive, viirs, EPSG, DAY, 255 - earth(DAY))
    one(fetch_days(client, request, [DAY]))
    for file, data in first.items():
        file.write_bytes(data)
    overwrite(path, Tile(1, 0, 0))
    write_day(archive, viirs, EPSG, DAY, earth(DAY))
    (row,) = json.loads(CliRunner().invoke(main, ["verify", "--mend", "--json"]).stdout)
    assert row["mended"]
    assert set(generation_files(path)) == set(first)
    assert tiles_of(path) == tiles_of(archive_path(archive, viirs))


def test_what_killed_writers_left_goes_after_a_day(server: Server, tmp_path: Path, viirs: Layer) -> None:
    root = tmp_path / "data"
    path = one(fetch(server[0], viirs, root)).path
    (path.parent / "tiles").mkdir()
    unborn = root / str(EPSG) / "2020-01-01" / f"{VIIRS}.mrf"
    unborn.parent.mkdir()
    old, young = [
        [
            MosaicWriter(unborn, Layout(viirs.grid(EPSG).window(1)))._part,
            temporary(path.with_suffix(".missing_data.tif"), ".tif"),
            temporary(path.parent / "tiles" / f"{VIIRS}_Tile_0-10.jpg", ".jpg"),
        ]
        for _ in range(2)
    ]
    mine = [path.with_name(name) for name in (f".{VIIRS}.part", ".x.1234567G.jpg", "x.12345678.jpg")]
    for file in (*old, *young, *mine):
        file.write_bytes(b"")
    for file in {*root.rglob("*")} - {*young}:
        os.utime(file, (time.time() - 24.1 * 3600,) * 2)
    before = {*root.rglob("*")}
    found, mended = (CliRunner().invoke(main, ["verify", *options]).stdout for options in ([], ["--mend"]))
    assert "3 files that writers that were killed left behind are there; --mend removes them" in found
    assert "3 files that writers that were killed left behind were removed" in mended
    assert before - {*root.rglob("*")} == {*old}


@given(st.sampled_from(sorted(GRIDS)), st.integers(2, 8), st.data())
def test_a_window_is_asked_for_by_its_box(epsg: int, level: int, data: st.DataObject) -> None:
    left, bottom, right, top = grid(epsg).extent
    west, east = (data.draw(st.floats(left, right, exclude_max=True)) for _ in range(2))
    south, north = sorted(data.draw(st.floats(bottom, top, exclude_max=True)) for _ in range(2))
    if south == north or west == east or (epsg != 4326 and west > east):
        return
    window = grid(epsg).window(level, (west, south, east, north))
    assert grid(epsg).window(level, window.request_bbox) == window


def test_a_day_whose_files_agree_is_told_from_others_without_its_tiles(
    server: Server, tmp_path: Path, viirs: Layer
) -> None:
    first, second = fetch(server[0], viirs, tmp_path / "data", *DAYS[:2])
    overwrite(first.path, Tile(1, 0, 0))
    check_agreement(first.path, EPSG)  # tiles are not read
    check_agreement(archive_path(server[2], viirs), EPSG)  # there is no manifest
    moved = tmp_path / "data" / str(EPSG) / "2020-10-01"
    shutil.copytree(second.path.parent, moved)
    with pytest.raises(MosaicError, match=r"has the day 2020-10-01, but its manifest says 2020-09-26"):
        check_agreement(moved / second.path.name, EPSG)
    with Mosaic(second.path, EPSG) as mosaic:
        index = mosaic.data_path.with_suffix(".idx")
        content = index.read_bytes()
        index.write_bytes(bytes(16) + content[16:])
    with pytest.raises(MosaicError, match=r"has the tiles 5, but its manifest says 6"):
        check_agreement(second.path, EPSG)
    index.write_bytes(content)
    mosaic.data_path.write_bytes(mosaic.data_path.read_bytes()[:-1])
    with pytest.raises(MosaicError, match="ends before its last tile"):
        check_agreement(second.path, EPSG)
    with pytest.raises(FileNotFoundError):
        check_agreement(archive_path(tmp_path / "none", viirs), EPSG)


def test_a_day_of_another_level_than_its_manifest_says_does_not_agree(
    server: Server, tmp_path: Path, viirs: Layer
) -> None:
    (fine,), (coarse,) = (fetch(server[0], viirs, tmp_path / f"{level}", level=level) for level in (1, 0))
    manifest = manifest_path(coarse.path)
    table = pq.read_table(manifest)
    facts = pq.read_table(manifest_path(fine.path)).schema.metadata
    pq.write_table(table.replace_schema_metadata({**facts, b"tiles": b"2"}), manifest)
    with pytest.raises(MosaicError, match=r'has the window .*"level": 0.*, but its manifest says .*"level": 1'):
        check_agreement(coarse.path, EPSG)
