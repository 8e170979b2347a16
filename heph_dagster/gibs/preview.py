"""Small pictures of days, for people who look at a list of them."""

from __future__ import annotations

from pathlib import Path

import cv2

from heph_dagster.gibs.raster import Image, over_black, read_palette
from heph_dagster.gibs.reduced import read_reduced

SIZE = (384, 192)
_JPEG_QUALITY = 75


def thumbnail(path: Path, size: tuple[int, int] = SIZE) -> Image:
    """A mosaic, shrunk.

    Args:
        path: The mosaic.
        size: Width and height in px.

    Returns:
        Height x width x 3, RGB; transparent pixels are black.
    """
    return over_black(read_reduced(path, size), read_palette(path))


def jpeg(picture: Image) -> bytes:
    """An RGB picture as a JPEG file of a few kilobytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()
