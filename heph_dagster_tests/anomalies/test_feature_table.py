"""Features of the days on disk as one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from heph_dagster.anomalies.feature_table import FeaturesError, features_path, read_features, update_features
from heph_dagster.anomalies.features import SIZE, feature_vector
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.gibs.preview import thumbnail
from heph_dagster_tests import conftest
from heph_dagster_tests.anomalies.painting import DAYS, MAGENTA, cut_off, painted, store
from heph_dagster_tests.conftest import EPSG, TERRA
from heph_dagster_tests.gibs.downloading import fetch

LENGTH = 64 * 32 * 9 + 360


@pytest.fixture
def root(tmp_path: Path, viirs: Layer, terra: Layer) -> Path:
    """Two days of a layer, and one of another."""
    for day in DAYS[:2]:
        store(tmp_path, viirs, day, painted(day))
    store(tmp_path, terra, DAYS[2], painted(DAYS[2]))
    return tmp_path


def test_days_become_rows(root: Path, viirs: Layer) -> None:
    update = update_features(root, viirs, EPSG)
    assert (update.days, update.added, update.failed) == (2, DAYS[:2], {})
    path = features_path(root, EPSG, viirs)
    days, values = read_features(path)
    assert (days, values.shape, values.dtype) == (DAYS[:2], (2, LENGTH), np.float32)
    for day, row in zip(days, values, strict=True):
        expected = feature_vector(thumbnail(mosaic_path(root, EPSG, day, viirs), SIZE))
        np.testing.assert_array_equal(row, expected.astype(np.float32))
    assert not np.array_equal(values[0], values[1])
    frame = pd.read_parquet(path)
    assert (frame["day"].to_list(), list(frame.columns)) == (DAYS[:2], ["day", "sha256", "vector"])
    np.testing.assert_array_equal(np.stack(frame["vector"].to_list()), values)
    metadata = pq.read_schema(path / "2024-03.parquet").metadata
    assert {name.decode(): value.decode() for name, value in metadata.items()} == {
        "version": "2", "features_version": "1", "variant": "dalal-triggs", "width": "512", "height": "256",
        "hue_bins": "360",
    }  # fmt: skip


def test_only_new_and_changed_days_are_computed(root: Path, viirs: Layer) -> None:
    update_features(root, viirs, EPSG)
    path = features_path(root, EPSG, viirs)
    _, first = read_features(path)
    march, written = path / "2024-03.parquet", (path / "2024-03.parquet").stat().st_ino
    assert (update_features(root, viirs, EPSG).added, march.stat().st_ino) == ([], written)
    earlier = DAYS[0] - timedelta(days=3)
    store(root, viirs, earlier, painted(earlier))
    assert (update_features(root, viirs, EPSG).added, march.stat().st_ino) == ([earlier], written)
    store(root, viirs, DAYS[1], painted(DAYS[1], MAGENTA))
    seen = []
    update = update_features(root, viirs, EPSG, on_day=seen.append)
    assert (update.days, update.added, seen) == (3, [DAYS[1]], [DAYS[1]])
    assert sorted(file.name for file in path.iterdir()) == ["2024-02.parquet", "2024-03.parquet"]
    days, values = read_features(path)
    assert days == [earlier, *DAYS[:2]]
    np.testing.assert_array_equal(values[1], first[0])
    assert not np.array_equal(values[2], first[1])


def test_other_settings_make_all_anew(root: Path, viirs: Layer) -> None:
    update_features(root, viirs, EPSG)
    update = update_features(root, viirs, EPSG, variant="gibs-ml", hue_bins=10)
    assert (update.days, update.added) == (2, DAYS[:2])
    _, values = read_features(features_path(root, EPSG, viirs))
    expected = feature_vector(thumbnail(mosaic_path(root, EPSG, DAYS[0], viirs), SIZE), "gibs-ml", 10)
    np.testing.assert_array_equal(values[0], expected.astype(np.float32))
    assert update_features(root, viirs, EPSG).added == DAYS[:2]


def test_other_settings_leave_nothing_of_the_old(root: Path, viirs: Layer) -> None:
    earlier = DAYS[0] - timedelta(days=3)
    store(root, viirs, earlier, painted(earlier))
    update_features(root, viirs, EPSG)
    mosaic_path(root, EPSG, earlier, viirs).unlink()
    assert update_features(root, viirs, EPSG, hue_bins=10).days == 2
    assert read_features(features_path(root, EPSG, viirs))[0] == DAYS[:2]


def test_runs_at_once_lose_no_day_and_do_none_twice(root: Path, viirs: Layer) -> None:
    days = [DAYS[0] + timedelta(days=20 * number) for number in range(1, 6)]
    for day in days:
        store(root, viirs, day, painted(day))
    with ThreadPoolExecutor(4) as pool:
        updates = list(pool.map(lambda _: update_features(root, viirs, EPSG), range(4)))
    assert sorted(day for update in updates for day in update.added) == [*DAYS[:2], *days]
    assert read_features(features_path(root, EPSG, viirs))[0] == [*DAYS[:2], *days]


def test_features_outlive_their_imagery(root: Path, viirs: Layer) -> None:
    update_features(root, viirs, EPSG)
    mosaic_path(root, EPSG, DAYS[0], viirs).unlink()
    assert (update_features(root, viirs, EPSG).days, read_features(features_path(root, EPSG, viirs))[0]) == (
        2,
        DAYS[:2],
    )


def test_a_day_that_became_unreadable_loses_its_features(root: Path, viirs: Layer) -> None:
    update_features(root, viirs, EPSG)
    mosaic_path(root, EPSG, DAYS[1], viirs).write_text("no mosaic", "utf-8")
    update = update_features(root, viirs, EPSG)
    assert (update.days, update.added, list(update.failed)) == (1, [], [DAYS[1]])
    assert isinstance(update.failed[DAYS[1]], MosaicError)
    assert read_features(features_path(root, EPSG, viirs))[0] == DAYS[:1]
    mosaic_path(root, EPSG, DAYS[0], viirs).write_text("no mosaic", "utf-8")
    assert update_features(root, viirs, EPSG).days == 0
    assert list(features_path(root, EPSG, viirs).iterdir()) == []


def test_unusable_days_have_no_features_and_do_not_stop_the_others(root: Path, viirs: Layer, gibs_url: str) -> None:
    store(root, viirs, DAYS[2], np.zeros((320, 640, 3), np.uint8))
    store(root, viirs, DAYS[3], np.full((320, 640, 3), 255, np.uint8))
    cut_off(store(root, viirs, DAYS[4], painted(DAYS[4])))
    (box,) = fetch(gibs_url, viirs, root, conftest.DAYS[0], bbox=(0, 0, 10, 10))
    update = update_features(root, viirs, EPSG)
    assert update.added == DAYS[:2]
    assert {day: str(error) for day, error in update.failed.items()} == {
        box.day: "the image is 512 x 512 px; features are made of images of the whole world, twice as wide as high and "
        "at least 256 px high",
        DAYS[2]: "100.0% of the image are without data",
        DAYS[3]: "all of the image is of one colour",
        DAYS[4]: f"{mosaic_path(root, EPSG, DAYS[4], viirs)}: 1 of 2 tiles are not what they were; heph verify --mend "
        "downloads again what is damaged",
    }
    assert read_features(features_path(root, EPSG, viirs))[0] == DAYS[:2]


def test_without_days_there_is_no_table(tmp_path: Path, viirs: Layer) -> None:
    assert update_features(tmp_path, viirs, EPSG).days == 0
    with pytest.raises(FileNotFoundError, match=r"features has no features: materialize the layer's features"):
        read_features(features_path(tmp_path, EPSG, viirs))


def test_what_is_wrong_is_said(root: Path, viirs: Layer) -> None:
    with pytest.raises(ValueError, match=r"^a hue histogram has 1 bin at least, not 0$"):
        update_features(root, viirs, EPSG, hue_bins=0)
    folder = features_path(root, EPSG, viirs)
    update_features(root, viirs, EPSG)
    path = folder / "2024-03.parquet"
    table = pq.read_table(path)
    pq.write_table(
        table.replace_schema_metadata(table.schema.metadata | {b"hue_bins": b"9"}), folder / "2024-04.parquet"
    )
    with pytest.raises(FeaturesError, match="was made with several settings: materialize the layer's features again"):
        read_features(folder)
    (folder / "2024-04.parquet").unlink()
    pq.write_table(table.replace_schema_metadata({"version": "0"}), path)
    with pytest.raises(FeaturesError, match="is of another version of this program: materialize"):
        read_features(folder)
    path.write_bytes(b"PAR1")
    message = r"2024-03\.parquet is damaged: .*; delete it to make the features of its days on disk anew"
    for use in (lambda: update_features(root, viirs, EPSG), lambda: read_features(folder)):
        with pytest.raises(FeaturesError, match=message):
            use()


def test_another_layer_has_its_own_table(root: Path, terra: Layer) -> None:
    assert update_features(root, terra, EPSG).added == [DAYS[2]]
    assert features_path(root, EPSG, terra).name == f"{TERRA}.features"
