"""The truth of synthetic days as hand labels and hand masks: what somebody would say who sees everything."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np

from heph_dagster.anomalies.hand_labels import label_days
from heph_dagster.anomalies.hand_masks import hand_mask_path, write_hand_mask
from heph_dagster.anomalies.labels import Label, PixelClass
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.periods import parse_day
from heph_dagster.gibs.raster import read_pixels
from heph_dagster.gibs.synthetic.archive import truth_paths
from heph_dagster.gibs.synthetic.measure import POLAR_NIGHT, SWATH_GAP

ORIGIN = "synthetic truth"
_CLASSES = {Label.MISSING_UNEXPECTED: PixelClass.MISSING, Label.MISCOLOURED: PixelClass.MISCOLOURED}


def take_truth(root: Path, layer: Layer, epsg: int) -> list[date]:
    """Store the truth of a layer's synthetic days as hand labels and hand masks, in place of earlier ones.

    Missing data and wrong colours are classes of the mask. Warped places are valid in it, and so is the moon's shadow,
    its black core too, as polar night is: nothing is lost there.

    Args:
        root: Data root, or archive.
        layer: The layer.
        epsg: Projection.

    Returns:
        The days that have a truth, in order.

    Raises:
        FileNotFoundError: No day has one.
        RasterError: A truth raster is damaged.
        ValueError: The records of a truth are damaged.
        HandLabelsError: The file of hand labels cannot be read.
    """
    labels: dict[date, list[Label]] = {}
    for records in sorted((root / str(epsg)).glob(f"*/{layer.identifier}.truth.json")):
        day = parse_day(records.parent.name)
        raster, _ = truth_paths(records.with_suffix("").with_suffix(".mrf"))
        try:
            codes = {anomaly["id"]: Label(anomaly["code"]) for anomaly in json.loads(records.read_text("utf-8"))}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{records} is damaged ({error!r}): synthesize the day again") from error
        classes = np.full(256, PixelClass.VALID, np.uint8)
        classes[[SWATH_GAP, POLAR_NIGHT]] = PixelClass.NOT_OBSERVED
        for number, code in codes.items():
            classes[number] = _CLASSES.get(code, PixelClass.VALID)
        write_hand_mask(hand_mask_path(root, epsg, layer, day), classes[read_pixels(raster)])
        labels[day] = sorted(set(codes.values())) or [Label.NORMAL]
    if not labels:
        raise FileNotFoundError(
            f"{root} has no synthetic days of {layer.identifier}: heph archive synthesize makes some"
        )
    label_days(root, layer, epsg, labels, ORIGIN)
    return list(labels)
