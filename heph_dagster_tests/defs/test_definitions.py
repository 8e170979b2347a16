"""The code location as Dagster loads it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from heph_dagster.definitions import build_definitions
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import NDVI, NO_DATA, TERRA, VIIRS

HEPHAESTUS = {
    *(f"hephaestus/{name}" for name in ("annotations", "interferograms", "masks", "crops", "split", "predictions")),
    *(
        f"hephaestus/models/{name}"
        for name in ("classifier", "linear_evaluation", "unet", "deeplabv3plus", "segformer", "moco")
    ),
}


def learners(layer: str) -> set[str]:
    names = ("linear_svm", "softmax", "random_forest", "two_layer_network", "nearest_neighbours", "cnn", "densenet121")
    days = {f"gibs/{layer}/models/{task}/{name}" for task in ("missing_data", "miscoloration") for name in names}
    return days | {f"gibs/{layer}/models/pixels/{name}" for name in ("pixel_forest", "pixel_cnn")}


def keys(definitions: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}


def spec(definitions: dg.Definitions, *path: str) -> dg.AssetSpec:
    return next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey(list(path)))


def test_the_code_location_is_loadable() -> None:
    from heph_dagster.definitions import defs

    dg.Definitions.validate_loadable(defs)
    assert keys(build_definitions(Settings())) == {
        *HEPHAESTUS,
        *learners(VIIRS),
        *learners(TERRA),
        f"gibs/{VIIRS}/image",
        f"gibs/{VIIRS}/missing_data",
        f"gibs/{VIIRS}/hue_climatology",
        f"gibs/{VIIRS}/miscoloration",
        f"gibs/{VIIRS}/edge_warping",
        f"gibs/{VIIRS}/labels",
        f"gibs/{VIIRS}/split",
        f"gibs/{VIIRS}/features",
        f"gibs/{VIIRS}/predictions",
        f"gibs/{TERRA}/image",
        f"gibs/{TERRA}/missing_data",
        f"gibs/{TERRA}/hue_climatology",
        f"gibs/{TERRA}/miscoloration",
        f"gibs/{TERRA}/edge_warping",
        f"gibs/{TERRA}/labels",
        f"gibs/{TERRA}/split",
        f"gibs/{TERRA}/features",
        f"gibs/{TERRA}/predictions",
        f"gibs/{NO_DATA}/image",
    }


def test_every_layer_makes_assets() -> None:
    names = tuple(Settings().catalogue())
    definitions = build_definitions(Settings(layers=names))
    dg.Definitions.validate_loadable(definitions)
    assert len([key for key in keys(definitions) if key.endswith("/image")]) == 24
    assert "gibs/VIIRS_SNPP_CorrectedReflectance_BandsM11-I2-I1/missing_data" in keys(definitions)
    assert len([key for key in keys(definitions) if key.endswith("/labels")]) == len(
        [key for key in keys(definitions) if key.endswith("/missing_data")]
    )


def test_partitions_begin_with_the_layer() -> None:
    definitions = build_definitions(Settings(layers=(VIIRS, TERRA, NO_DATA, NDVI)))
    viirs = spec(definitions, "gibs", VIIRS, "missing_data").partitions_def
    assert isinstance(viirs, dg.DailyPartitionsDefinition)
    assert viirs.get_first_partition_key() == "2015-11-24"
    assert viirs.timezone == "UTC"
    assert isinstance(spec(definitions, "gibs", NDVI, "image").partitions_def, dg.DynamicPartitionsDefinition)


def test_a_layer_that_ended_has_no_later_partitions(tmp_path: Path) -> None:
    row = 'identifier = "Ended"\ntitle = "E"\nformat = "png"\ntile_matrix_set = "1km"\nkind = "science_parameter"\n'
    days = "first_day = 2020-01-01\nlast_day = 2020-01-31\nprojections = [4326]\n"
    (tmp_path / "layers.toml").write_text(f"[[layer]]\n{row}{days}", "utf-8")
    definitions = build_definitions(Settings(data_dir=tmp_path, layers=("Ended",)))
    partitions = spec(definitions, "gibs", "Ended", "image").partitions_def
    assert partitions is not None
    assert partitions.get_last_partition_key() == date(2020, 1, 31).isoformat()


@pytest.mark.parametrize(
    ("layers", "upstream"), [((TERRA, NO_DATA), {TERRA, NO_DATA}), ((TERRA,), {TERRA}), ((VIIRS,), {VIIRS})]
)
def test_masks_depend_on_the_no_data_layer_where_it_is_active(layers: tuple[str, ...], upstream: set[str]) -> None:
    mask = spec(build_definitions(Settings(layers=layers)), "gibs", layers[0], "missing_data")
    assert {dep.asset_key for dep in mask.deps} == {dg.AssetKey(["gibs", name, "image"]) for name in upstream}


def test_other_projections_stand_in_the_key() -> None:
    definitions = build_definitions(Settings(layers=(f"epsg3031/{VIIRS}", VIIRS)))
    assert keys(definitions) == {
        *HEPHAESTUS,
        *learners(VIIRS),
        f"gibs/epsg3031/{VIIRS}/image",
        f"gibs/{VIIRS}/image",
        f"gibs/{VIIRS}/missing_data",
        f"gibs/{VIIRS}/hue_climatology",
        f"gibs/{VIIRS}/miscoloration",
        f"gibs/{VIIRS}/edge_warping",
        f"gibs/{VIIRS}/labels",
        f"gibs/{VIIRS}/split",
        f"gibs/{VIIRS}/features",
        f"gibs/{VIIRS}/predictions",
    }
    polar, world = (spec(definitions, "gibs", *place, VIIRS, "image").description for place in (("epsg3031",), ()))
    assert polar == f"{world} Its days are not judged: there are no masks in EPSG:3031 yet."


def test_loading_imports_nothing_heavy() -> None:
    heavy = ["torch", "lightning", "timm", "mlflow", "osgeo", "astropy", "sklearn", "pandas", "pyarrow", "matplotlib"]
    code = f"import sys, heph_dagster.definitions; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "[]"
    assert result.stderr == ""


def test_the_library_rooms_know_nothing_of_dagster() -> None:
    modules = (
        "alerts.outbox",
        "alerts.mail",
        "alerts.webhook",
        "anomalies.missing",
        "gibs.client",
        "gibs.server",
        "gibs.synthetic.archive",
    )
    imports = ", ".join(f"heph_dagster.{module}" for module in modules)
    code = f"import sys, {imports}; print('dagster' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
