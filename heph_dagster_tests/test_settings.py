"""Settings: variables over the file over defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from heph_dagster.gibs.catalogue import UnknownLayerError
from heph_dagster.settings import Settings
from heph_dagster_tests.conftest import TERRA, VIIRS


def write(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "heph.toml").write_text(text, "utf-8")
    return root


def test_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEPH_DATA_DIR")
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.data_dir == Path("data")
    assert settings.gibs_url == "https://gibs.earthdata.nasa.gov"
    assert (settings.level, settings.connections, settings.endpoint) == (2, 10, "best")
    assert settings.dagster_home == tmp_path / "data" / "dagster"


def test_the_environment_wins_over_the_file_of_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path, f'level = 3\nconnections = 5\nlayers = ["{TERRA}"]\n')
    monkeypatch.setenv("HEPH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HEPH_CONNECTIONS", "7")
    settings = Settings()
    assert (settings.level, settings.connections, settings.layers) == (3, 7, (TERRA,))
    assert Settings(level=4).level == 4


def test_active_layers_come_as_a_list_and_in_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEPH_LAYERS", f"{VIIRS}, epsg3413/{VIIRS.replace('SNPP', 'snpp')}")
    active = Settings().active_layers()
    assert [(each.layer.identifier, each.epsg) for each in active] == [(VIIRS, 4326), (VIIRS, 3413)]
    assert Settings().active_layer(VIIRS, 3413) == active[1]
    with pytest.raises(ValueError, match=f"{TERRA} in EPSG:4326 is not active; add it to HEPH_LAYERS"):
        Settings().active_layer(TERRA)


def test_a_slash_at_the_end_of_the_address_does_no_harm() -> None:
    assert Settings(gibs_url="http://127.0.0.1:8765/").gibs_url == "http://127.0.0.1:8765"


def test_layers_of_the_data_folder_can_be_active(tmp_path: Path) -> None:
    row = 'identifier = "Mine"\ntitle = "Mine"\nformat = "png"\ntile_matrix_set = "1km"\nfirst_day = 2020-01-01\n'
    write(tmp_path, 'layers = ["Mine"]\n')
    (tmp_path / "layers.toml").write_text(
        f'[[layer]]\n{row}projections = [4326]\nkind = "science_parameter"\n', "utf-8"
    )
    assert [each.layer.title for each in Settings(data_dir=tmp_path).active_layers()] == ["Mine"]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"layers": ["Nope"]}, UnknownLayerError, "unknown layer 'Nope'"),
        ({"layers": [f"polar/{VIIRS}"]}, ValueError, "should read <layer> or epsg<code>/<layer>"),
        ({"layers": [f"epsg3857/{VIIRS}"]}, ValueError, "is not available in EPSG:3857"),
        ({"connections": 501}, ValidationError, "less than or equal to 500"),
        ({"gibs_url": "gibs.earthdata.nasa.gov"}, ValidationError, "gibs_url"),
        ({"leval": 2}, ValidationError, "leval\n.*Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_named(values: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Settings(**values).active_layers()


def test_a_wrong_line_in_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="levels\n"):
        Settings(data_dir=write(tmp_path, "levels = 2\n"))


@pytest.mark.parametrize("name", ["gibs_url", "proxy", "insar_raw_url", "dagster_url"])
def test_passwords_in_addresses_are_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}\n.*those of a proxy go into HTTPS_PROXY") as caught:
        Settings(**{name: "http://me:hush@127.0.0.1:8765"})
    assert "hush" not in str(caught.value)


def test_a_password_of_mlflow_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:hush@127.0.0.1/mlflow")
    with pytest.raises(ValueError, match="that of a server goes into MLFLOW_TRACKING_PASSWORD") as caught:
        _ = Settings().mlflow_uri
    assert "hush" not in str(caught.value)
