"""Old days that make room: exactly their imagery goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from heph_dagster.gibs.archive import write_day
from heph_dagster.gibs.catalogue import Catalogue, Layer
from heph_dagster.gibs.export import export_image, export_tiles, export_tiling
from heph_dagster.gibs.grid import Resolution, Tile
from heph_dagster.gibs.mrf import Layout, Mosaic
from heph_dagster.gibs.partial import DayBusyError, PartialDay
from heph_dagster.gibs.prune import old_days, remove_day
from heph_dagster.gibs.tiling import Tiling
from heph_dagster_tests.conftest import EPSG, NO_DATA, TERRA, VIIRS, earth

OLD, YOUNG = date(2020, 9, 25), date(2020, 9, 26)
SMALL = Resolution("64km", 0, (1024, 512), (2, 1), 2)


def make(root: Path, layer: Layer, day: date, epsg: int = EPSG) -> Path:
    image = earth(day, 0) if epsg == EPSG else earth(day, 2)[:1024, :1024]
    return write_day(root, layer, epsg, day, image)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def remove_all(root: Path, *layers: Layer, before: date = YOUNG) -> list[Path]:
    return [day.mosaic for day in old_days(root, layers, [EPSG], before) if remove_day(day)]


def test_all_imagery_of_an_old_day_goes_and_what_was_found_out_stays(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    export_image(mosaic, "jpg")
    export_image(mosaic, "tif")
    export_tiles(mosaic, "jpg", SMALL)
    for name in (f".{VIIRS}.part", f".{VIIRS}.part.jsonl", f".{VIIRS}.rgba", f"{VIIRS}.000000000000.tiles.parquet"):
        mosaic.with_name(name).write_bytes(b"1234567")
    imagery = files(tmp_path)
    assert len(imagery) == 3 + 3 + 2 + 4
    derived = [mosaic.with_suffix(suffix) for suffix in (".missing_data.tif", ".missing_data.json", ".labels.parquet")]
    for path in (*derived, mosaic.parent.parent / f"{VIIRS}.txt"):
        path.write_text("dear", "utf-8")
    stay = files(tmp_path) - imagery
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    assert {str(path.relative_to(tmp_path)) for path in found.files} == imagery
    assert found.bytes == sum((tmp_path / name).stat().st_size for name in imagery)
    assert remove_day(found) == found
    assert files(tmp_path) == stay
    assert not (mosaic.parent / "tiles").exists()
    assert old_days(tmp_path, [viirs], [EPSG], YOUNG) == []


def test_labels_beside_tiles_stay(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    box = (170.5, -1e-05, -170, 20.25)
    export_image(mosaic, "png", bbox=box)
    label = export_tiling(mosaic, "jpg", Tiling(320, 320, 0)).with_name(f"{VIIRS}_0-0.txt")
    export_tiling(mosaic, "jpg", Tiling(320, 320, 0, "include-incomplete-tiles"), box)
    assert len(files(tmp_path)) == 3 + 2 + 3 + 2
    strangers = {
        label,
        mosaic.with_name(f"{VIIRS}.bbox_1_2_3.jpg"),
        label.parent.with_name(f"{VIIRS}.other") / "index.csv",
    }
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_text("dear", "utf-8")
    assert remove_all(tmp_path, viirs) == [mosaic]
    assert {tmp_path / name for name in files(tmp_path)} == strangers


def test_the_first_day_that_stays_stays(tmp_path: Path, viirs: Layer) -> None:
    kept, old = make(tmp_path, viirs, YOUNG), make(tmp_path, viirs, OLD)
    assert remove_all(tmp_path, viirs) == [old]
    assert kept.exists()
    assert not old.parent.exists()


def test_folders_go_when_nothing_is_left_in_them(tmp_path: Path, viirs: Layer) -> None:
    make(tmp_path, viirs, OLD)
    remove_all(tmp_path, viirs)
    assert list(tmp_path.iterdir()) == []


def test_names_of_others_are_never_touched(tmp_path: Path, viirs: Layer) -> None:
    folder = make(tmp_path, viirs, OLD).parent
    (folder / "tiles").mkdir()
    strangers = [
        folder / name
        for name in (
            "notes.txt", f"{VIIRS}.mrf.bak", f"{VIIRS}.jpg.aux.xml", f"{VIIRS}.xlsx", f"{VIIRS} (1).jpg", f"{VIIRS}",
            f"{VIIRS}.0123456789AB.idx", f".{VIIRS}.partner", f"tiles/{VIIRS}_Tile_1.jpg", "Other.mrf", "tiles/readme",
        )
    ]  # fmt: skip
    strangers += [
        tmp_path / str(EPSG) / name
        for name in (f"{VIIRS}.mrf", f"2020/{VIIRS}.mrf", f"2020-09-25T00:00:00Z/{VIIRS}.mrf")
    ]
    for path in strangers:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine", "utf-8")
    assert len(remove_all(tmp_path, viirs)) == 1
    assert files(tmp_path) == {str(path.relative_to(tmp_path)) for path in strangers}


def test_images_without_a_mosaic_are_not_ours(tmp_path: Path, viirs: Layer) -> None:
    folder = tmp_path / str(EPSG) / str(OLD)
    (folder / "tiles").mkdir(parents=True)
    images = [folder / f"{VIIRS}.jpg", folder / f"{VIIRS}.jgw", folder / "tiles" / f"{VIIRS}_Tile_0-0.jpg"]
    for path in images:
        path.write_text("gibs-ml's", "utf-8")
    assert old_days(tmp_path, [viirs], [EPSG], YOUNG) == []
    part = folder / f".{VIIRS}.part"
    part.write_bytes(b"0")
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    assert found.files == (part,)
    assert remove_day(found) == found
    assert [path.exists() for path in (*images, part)] == [True, True, True, False]
    # What a removal that was stopped left is still known as ours.
    left = folder / f"{VIIRS}.0123456789ab.idx"
    left.write_bytes(b"0")
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    assert set(found.files) == {left, *images}


def test_a_removal_that_is_stopped_leaves_what_tells_that_exports_are_ours(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    (mosaic.parent / "tiles" / f"{VIIRS}_Tile_0-0.jpg").mkdir(parents=True)  # cannot be removed as a file
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    with pytest.raises(OSError, match="_Tile_0-0"):
        remove_day(found)
    assert mosaic.exists()


def test_files_that_come_and_go_meanwhile_stop_nothing(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    whole = files(tmp_path)
    working = threading.Event()

    def work() -> None:
        passing = [mosaic.with_name(f"{VIIRS}.{number:012x}.idx") for number in range(50)]
        while not working.is_set():
            for path in passing:
                path.touch()
            for path in passing:
                path.unlink()

    with ThreadPoolExecutor() as pool:
        job = pool.submit(work)
        try:
            for _ in range(100):
                (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
                assert {str(path.relative_to(tmp_path)) for path in found.files} >= whole
        finally:
            working.set()
        job.result()


def test_a_layer_whose_name_begins_like_anothers_is_another(tmp_path: Path, viirs: Layer) -> None:
    others = [
        viirs.model_copy(update={"identifier": VIIRS + rest})
        for rest in ("_Night", ".v2", "-2", "_Tile_1-1", "_Tile_1-1.jpg")
    ]
    for layer in (viirs, *others):
        mosaic = make(tmp_path, layer, OLD)
        export_image(mosaic, "jpg")
        export_tiles(mosaic, "jpg", SMALL)
        mosaic.with_name(f".{layer.identifier}.part").write_bytes(b"0")
    (mosaic.parent / "tiles" / f"{VIIRS}_Night").write_bytes(b"0")
    before = files(tmp_path)
    assert len(remove_all(tmp_path, viirs)) == 1
    gone = before - files(tmp_path)
    assert len(gone) == 3 + 2 + 2 + 1
    for layer in others:
        (left,) = old_days(tmp_path, [layer], [EPSG], YOUNG)
        assert len(left.files) == 3 + 2 + 2 + 1
        assert remove_day(left) == left
    assert files(tmp_path) == {f"{EPSG}/{OLD}/tiles/{VIIRS}_Night"}


def test_layers_and_projections_can_be_chosen(tmp_path: Path, catalogue: Catalogue) -> None:
    viirs, terra = catalogue[VIIRS], catalogue[TERRA]
    for layer in (viirs, terra):
        for epsg in (EPSG, 3031):
            make(tmp_path, layer, OLD, epsg)
    found = old_days(tmp_path, [terra, catalogue[NO_DATA]], [3031, 3413], YOUNG)
    assert [(day.layer.identifier, day.epsg, day.day) for day in found] == [(TERRA, 3031, OLD)]
    assert len(old_days(tmp_path, catalogue.values(), [EPSG, 3031], YOUNG)) == 4


def test_a_day_that_is_being_downloaded_is_left_alone(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    with PartialDay(mosaic, Layout(viirs.grid(EPSG).window(0))) as partial:
        partial.recover({})
        before = files(tmp_path)
        (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
        with pytest.raises(DayBusyError, match="is being downloaded by another process"):
            remove_day(found)
        assert files(tmp_path) == before
        with Mosaic(mosaic, EPSG) as there:
            assert there.tile(Tile(0, 0, 0))
    remove_day(found)
    assert files(tmp_path) == set()


def test_a_reader_never_meets_a_mosaic_without_its_data(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    mosaic.with_name(f"{VIIRS}.000000000000.idx").mkdir()  # cannot be removed as a file, and stops the removal
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    with pytest.raises(OSError, match=r"000000000000\.idx"):
        remove_day(found)
    assert sorted(path.suffix for path in mosaic.parent.iterdir()) == [".idx", ".idx", ".pjg"]


def test_a_root_that_is_not_there_is_named(tmp_path: Path, viirs: Layer) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder: name the data root with --output_dir"):
        old_days(tmp_path / "nowhere", [viirs], [EPSG], YOUNG)
    assert old_days(tmp_path, [viirs], [EPSG], YOUNG) == []


def test_tilings_and_boxes_go_with_their_mosaic(tmp_path: Path, viirs: Layer) -> None:
    mosaic = make(tmp_path, viirs, OLD)
    export_tiling(mosaic, "jpg", Tiling(256, 256, 0))
    export_tiling(mosaic, "png", Tiling(128, 128, 0, "discard-incomplete-tiles"), (0.0, 0.0, 90.0, 90.0))
    export_image(mosaic, "tif", bbox=(170.0, -10.0, -170.0, 10.0))
    stranger = mosaic.parent / "tiles" / "256x256_0" / f"{VIIRS}_mine" / "a.jpg"
    stranger.parent.mkdir()
    stranger.write_bytes(b"0")
    (found,) = old_days(tmp_path, [viirs], [EPSG], YOUNG)
    remove_day(found)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [stranger]
    assert not (mosaic.parent / "tiles" / "128x128_0").exists()
