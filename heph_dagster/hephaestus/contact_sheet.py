"""Crops side by side, as small pictures."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import cv2
import numpy as np

from heph_dagster.hephaestus.drawing import CLASS_COLOURS
from heph_dagster.hephaestus.interferograms import Image
from heph_dagster.hephaestus.stored_crop import StoredCrop

_SIDE, _COLUMNS, _MOST, _GAP = 144, 6, 12, 4


def contact_sheet(crops: Iterable[StoredCrop]) -> Image | None:
    """The first twelve crops, their deformations outlined in the colours of their classes.

    Args:
        crops: The crops.

    Returns:
        RGB, H x W x 3; None if there are no crops.
    """
    tiles = [_tile(crop) for crop in islice(crops, _MOST)]
    if not tiles:
        return None
    rows, columns = -(-len(tiles) // _COLUMNS), min(len(tiles), _COLUMNS)
    step = _SIDE + _GAP
    sheet = np.full((rows * step - _GAP, columns * step - _GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = (step * each for each in divmod(number, _COLUMNS))
        sheet[y : y + _SIDE, x : x + _SIDE] = tile
    return sheet


def _tile(crop: StoredCrop) -> Image:
    image = cv2.resize(crop.picture.rgb(), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    for activity, colour in CLASS_COLOURS.items():
        mask = cv2.resize((crop.mask == activity).astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outlines, -1, colour, 2)
    return np.asarray(image)
