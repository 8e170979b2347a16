"""Adopted days in a real Dagster instance."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.defs.adoption import mark_adopted
from heph_dagster.defs.partitions import dynamic_name
from heph_dagster.defs.runs import run_range
from heph_dagster.gibs.adopt import Adopted, ImageDay, adopt_images
from heph_dagster.gibs.archive import encode, write_day
from heph_dagster.gibs.catalogue import Catalogue
from heph_dagster.gibs.mrf import MosaicError
from heph_dagster.settings import ActiveLayer, Settings
from heph_dagster_tests.conftest import DAYS, EPSG, NDVI, TERRA, VIIRS, earth

DAY = DAYS[0]
IMAGE = f"gibs/{VIIRS}/image"


@pytest.fixture
def adopt(tmp_path: Path, catalogue: Catalogue):
    """Adopts the same image for some days of a layer."""
    source = tmp_path / "day.png"
    source.write_bytes(encode(earth(DAY, 0), "png"))

    def act(*days: date, layer: str = VIIRS, epsg: int = EPSG, replace: bool = False) -> list[Adopted]:
        images = [ImageDay(source, catalogue[layer], epsg, day) for day in days]
        results = adopt_images(tmp_path / "data", images, replace=replace)
        assert all(isinstance(result, Adopted) for result in results)
        return [result for result in results if isinstance(result, Adopted)]

    return act


@pytest.fixture
def active(catalogue: Catalogue) -> list[ActiveLayer]:
    return [ActiveLayer(catalogue[VIIRS], EPSG), ActiveLayer(catalogue[NDVI], EPSG)]


def materializations(instance: dg.DagsterInstance, layer: str = VIIRS) -> list[dg.AssetMaterialization]:
    key = dg.AssetKey(["gibs", layer, "image"])
    events = instance.fetch_materializations(key, limit=100).records
    return [event.asset_materialization for event in events if event.asset_materialization is not None]


def test_an_adopted_day_says_where_it_comes_from(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer], tmp_path: Path
) -> None:
    marks = mark_adopted(instance, active, adopt(*DAYS))
    assert marks.marked == {IMAGE: DAYS}
    assert (marks.without_partition, marks.inactive) == ({}, {})
    events = materializations(instance)
    assert {event.partition for event in events} == {day.isoformat() for day in DAYS}
    metadata = {name: value.value for name, value in events[0].metadata.items()}
    assert metadata["outcome"] == "adopted"
    assert metadata["source"] == (tmp_path / "day.png").as_uri()
    assert (metadata["level"], metadata["width"], metadata["height"]) == (0, "640", "320")
    assert len(str(metadata["sha256"])) == 64
    assert Path(str(metadata["path"])) == tmp_path / "data" / "4326" / str(events[0].partition) / f"{VIIRS}.mrf"
    assert str(metadata["preview"]).startswith("![preview](data:image/jpeg;base64,")


def test_nothing_is_marked_twice(instance: dg.DagsterInstance, adopt, active: list[ActiveLayer]) -> None:
    mark_adopted(instance, active, adopt(DAY))
    assert mark_adopted(instance, active, adopt(DAY)).marked == {}
    assert len(materializations(instance)) == 1
    assert mark_adopted(instance, active, adopt(DAY, replace=True)).marked == {IMAGE: [DAY]}
    assert len(materializations(instance)) == 2


def test_an_adoption_that_was_stopped_is_made_up_for(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer]
) -> None:
    adopt(DAY)
    assert mark_adopted(instance, active, adopt(DAY, DAYS[1])).marked == {IMAGE: DAYS[:2]}


def test_a_kept_day_that_was_not_imported_is_not_marked(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer], tmp_path: Path, catalogue: Catalogue
) -> None:
    path = write_day(tmp_path / "data", catalogue[VIIRS], EPSG, DAY, earth(DAY, 0))
    assert mark_adopted(instance, active, adopt(DAY)).marked == {}
    path.write_text("<broken", "utf-8")
    with pytest.raises(MosaicError, match=f"{VIIRS}.mrf is not an MRF"):
        mark_adopted(instance, active, adopt(DAY))


def test_days_without_partitions_are_named(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer], catalogue: Catalogue
) -> None:
    first = catalogue[VIIRS].first_day
    days = [first - timedelta(days=1), first, date(2999, 1, 1)]
    marks = mark_adopted(instance, active, adopt(*days))
    assert marks.marked == {IMAGE: [first]}
    assert marks.without_partition == {IMAGE: [days[0], days[2]]}


def test_days_of_a_layer_that_is_not_daily_need_their_partition(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer], catalogue: Catalogue
) -> None:
    days = [date(2020, 9, 13), date(2020, 9, 14)]
    instance.add_dynamic_partitions(dynamic_name(catalogue[NDVI]), ["2020-09-13"])
    marks = mark_adopted(instance, active, adopt(*days, layer=NDVI))
    assert marks.marked == {f"gibs/{NDVI}/image": days[:1]}
    assert marks.without_partition == {f"gibs/{NDVI}/image": days[1:]}


def test_layers_without_assets_are_named(instance: dg.DagsterInstance, adopt, active: list[ActiveLayer]) -> None:
    marks = mark_adopted(instance, active, adopt(DAY, layer=TERRA))
    assert (marks.marked, marks.inactive) == ({}, {f"gibs/{TERRA}/image": [DAY]})
    assert materializations(instance, TERRA) == []


def test_masks_are_made_of_adopted_days_and_a_run_replaces_them(
    instance: dg.DagsterInstance, adopt, active: list[ActiveLayer], tmp_path: Path, gibs_url: str
) -> None:
    settings = Settings(data_dir=tmp_path / "data", gibs_url=gibs_url, level=0, layers=(VIIRS,))
    mark_adopted(instance, active, adopt(DAY))
    definitions = build_definitions(settings)
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["gibs", VIIRS, "missing_data"])],
        partition_key=DAY.isoformat(),
    )
    assert result.success
    report = run_range(definitions, settings, instance, settings.active_layer(VIIRS), DAY, DAY)
    assert report.done["image"] == [DAY]
    newest = {name: value.value for name, value in materializations(instance)[0].metadata.items()}
    assert (newest["outcome"], newest["verified_by"]) == ("new", "header")
