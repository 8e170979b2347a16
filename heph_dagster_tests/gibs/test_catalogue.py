"""The layer catalogue."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from heph_dagster.gibs.catalogue import Catalogue, UnknownLayerError, load_catalogue

GIBS_ML = {
    "MODIS_Terra_CorrectedReflectance_TrueColor": ("jpg", "250m", date(2003, 1, 1)),
    "MODIS_Terra_CorrectedReflectance_Bands367": ("jpg", "250m", date(2003, 1, 1)),
    "MODIS_Terra_CorrectedReflectance_Bands721": ("jpg", "250m", date(2003, 1, 1)),
    "MODIS_Aqua_CorrectedReflectance_TrueColor": ("jpg", "250m", date(2003, 1, 1)),
    "MODIS_Aqua_CorrectedReflectance_Bands721": ("jpg", "250m", date(2003, 1, 1)),
    "MODIS_Terra_Data_No_Data": ("png", "250m", date(2003, 1, 1)),
    "MODIS_Aqua_Data_No_Data": ("png", "250m", date(2003, 1, 1)),
    "VIIRS_SNPP_CorrectedReflectance_TrueColor": ("jpg", "250m", date(2015, 11, 24)),
    "VIIRS_SNPP_CorrectedReflectance_BandsM11-I2-I1": ("jpg", "250m", date(2015, 11, 24)),
    "VIIRS_SNPP_CorrectedReflectance_BandsM3-I3-M11": ("jpg", "250m", date(2015, 11, 24)),
    "VIIRS_SNPP_Brightness_Temp_BandI5_Day": ("png", "250m", date(2017, 9, 17)),
    "VIIRS_SNPP_DayNightBand_ENCC": ("png", "500m", date(2016, 11, 30)),
    "VIIRS_SNPP_Fires_375m_Day": ("png", "1km", date(2015, 11, 25)),
    "VIIRS_SNPP_Fires_375m_Night": ("png", "1km", date(2015, 11, 25)),
    "MODIS_Fires_All": ("png", "1km", date(2012, 5, 8)),
    "MODIS_Terra_Land_Surface_Temp_Day": ("png", "1km", date(2003, 1, 1)),
    "MODIS_Terra_Chlorophyll_A": ("png", "1km", date(2013, 7, 2)),
    "MODIS_Terra_NDVI_8Day": ("png", "250m", date(2016, 7, 30)),
}
ROW = """
[[layer]]
identifier = "My_Layer"
title = "My Layer"
format = "png"
tile_matrix_set = "2km"
first_day = 2020-01-01
projections = [4326, 3413]
kind = "science_parameter"
"""


def test_all_layers_of_gibs_ml_are_there(catalogue: Catalogue) -> None:
    rows = {name: (layer.format, layer.tile_matrix_set, layer.first_day) for name, layer in catalogue.items()}
    assert {name: rows[name] for name in GIBS_ML} == GIBS_ML
    assert {name: rows[name] for name in set(rows) - set(GIBS_ML)} == {
        "VIIRS_NOAA20_CorrectedReflectance_TrueColor": ("jpg", "250m", date(2018, 1, 5)),
        "VIIRS_NOAA21_CorrectedReflectance_TrueColor": ("jpg", "250m", date(2024, 1, 17)),
        "VIIRS_SNPP_Thermal_Anomalies_375m_Day": ("png", "500m", date(2015, 11, 25)),
        "VIIRS_SNPP_Thermal_Anomalies_375m_Night": ("png", "500m", date(2015, 11, 25)),
        "VIIRS_SNPP_Thermal_Anomalies_375m_All": ("png", "500m", date(2015, 11, 25)),
        "MODIS_Combined_Thermal_Anomalies_All": ("png", "1km", date(2012, 5, 8)),
    }


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("VIIRS_SNPP_CorrectedReflectance_BandsM11_I2_I1", "VIIRS_SNPP_CorrectedReflectance_BandsM11-I2-I1"),
        ("VIIRS_SNPP_Fires_375m", "VIIRS_SNPP_Thermal_Anomalies_375m_All"),
        ("modis_terra_ndvi_8day", "MODIS_Terra_NDVI_8Day"),
    ],
)
def test_other_spellings_and_aliases_are_known(catalogue: Catalogue, name: str, identifier: str) -> None:
    assert catalogue[name].identifier == identifier
    assert name in catalogue


def test_an_unknown_name_names_the_nearest(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownLayerError, match=r"'MODIS_Terra_NDVI'; nearest matches: .*MODIS_Terra_NDVI_8Day"):
        catalogue["MODIS_Terra_NDVI"]
    assert "MODIS_Terra_NDVI" not in catalogue


def test_users_add_and_replace_rows(tmp_path: Path) -> None:
    extra = tmp_path / "layers.toml"
    extra.write_text(ROW + ROW.replace("My_Layer", "MODIS_Fires_All"), "utf-8")
    mine = load_catalogue(extra)
    assert mine["My-Layer"].matrix_set(4326) == "2km"
    assert mine["My-Layer"].matrix_set(3413) == "1km"
    assert mine["My-Layer"].finest_level(3413) == 3
    assert mine["MODIS_Fires_All"].kind == "science_parameter"
    assert len(mine) == 25


def test_layers_that_go_on_under_another_name_are_told_from_it(catalogue: Catalogue) -> None:
    continued = {layer.identifier: layer.successor for layer in catalogue.values() if layer.successor}
    assert continued == {
        "VIIRS_SNPP_Fires_375m_Day": "VIIRS_SNPP_Thermal_Anomalies_375m_Day",
        "VIIRS_SNPP_Fires_375m_Night": "VIIRS_SNPP_Thermal_Anomalies_375m_Night",
        "MODIS_Fires_All": "MODIS_Combined_Thermal_Anomalies_All",
    }
    for old, new in continued.items():
        assert (catalogue[old].identifier, catalogue[new].identifier) == (old, new)
        assert catalogue[old].continuation == f"; GIBS continues {old} as {new}"
        assert catalogue[new].continuation == ""


def test_kinds_tell_what_can_be_asked(catalogue: Catalogue) -> None:
    assert not catalogue["MODIS_Fires_All"].tiled
    assert not catalogue["MODIS_Terra_NDVI_8Day"].daily
    assert all(layer.no_data_layer is None or layer.no_data_layer in catalogue for layer in catalogue.values())
    with pytest.raises(ValueError, match="MODIS_Fires_All is not available in EPSG:3031, only in EPSG:4326"):
        catalogue["MODIS_Fires_All"].grid(3031)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"2km"', '"3km"', r"layers.toml, layer 'My_Layer', row: .*no tile matrix set '3km'"),
        ('"png"', '"gif"', "layer 'My_Layer', format: Input should be 'jpg' or 'png'"),
        ("My_Layer", "../My_Layer", "identifier: String should match pattern"),
        ("2020-01-01", "2020-01-01\nlast_day = 2019-01-01", "last_day lies before first_day"),
        (
            'kind = "science_parameter"',
            'kind = "science_parameter"\nchecks = ["missing_data"]',
            "needs the satellite",
        ),
        ('kind = "science_parameter"', 'kind = "science_parameter"\nperiod = "P1W"', "'P1W' is not a step"),
        ("[[layer]]", "[[layer", "layers.toml is not valid TOML"),
    ],
)
def test_wrong_rows_name_file_layer_and_field(tmp_path: Path, old: str, new: str, message: str) -> None:
    extra = tmp_path / "layers.toml"
    extra.write_text(ROW.replace(old, new), "utf-8")
    with pytest.raises(ValueError, match=message):
        load_catalogue(extra)
