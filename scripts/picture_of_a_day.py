"""Draw a day of the demonstration and its mask side by side: docs/day.jpg, as the README shows it."""

from pathlib import Path

import numpy as np

from heph_dagster.anomalies.missing_files import overlay
from heph_dagster.gibs.preview import jpeg, thumbnail
from heph_dagster.gibs.raster import read_pixels

MOSAIC = Path("data/demo/4326/2024-04-08/MODIS_Terra_CorrectedReflectance_TrueColor.mrf")

day = thumbnail(MOSAIC, (640, 320))
masked = overlay(day, read_pixels(MOSAIC.with_suffix(".missing_data.tif")))
gutter = np.full((len(day), 8, 3), 255, np.uint8)
Path("docs/day.jpg").write_bytes(jpeg(np.hstack([day, gutter, masked])))
