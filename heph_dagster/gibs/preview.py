"""Small pictures of days, for people who look at a list of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from heph_dagster.gibs.raster import Image, read_palette, read_pixels

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
    pixels = read_pixels(path, size)
    if pixels.ndim == 2:
        palette = read_palette(path)
        table = np.array(palette or [(grey, grey, grey, 255) for grey in range(256)], np.uint8)
        pixels = table[pixels]
    if pixels.shape[2] == 4:
        pixels = np.where(pixels[..., 3:] > 0, pixels, 0)
    return np.ascontiguousarray(pixels[..., :3])


def jpeg(picture: Image) -> bytes:
    """An RGB picture as a JPEG file of a few kilobytes."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)[1].tobytes()
