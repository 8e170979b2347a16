"""Crops: the predecessor's way, an image decoded four times for each of them, and ours."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Row, ratio_row
from heph_dagster.hephaestus.annotation import Annotation
from heph_dagster.hephaestus.annotation_utils import save_crops
from heph_dagster.hephaestus.annotations import read_annotations
from heph_dagster.hephaestus.interferograms import Layout
from heph_dagster.hephaestus.synthetic.archive import write_archive, write_records
from heph_dagster.hephaestus.synthetic.invention import invent
from heph_dagster.hephaestus.synthetic.scene import scenes

ANNOTATIONS = 150
SEED = 5
RUNS = 5
SIZE = 224


def _masks(annotation: Annotation, path: Path) -> list[NDArray[np.float64]]:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    masks = []
    for each in annotation.deformations:
        mask = np.zeros(image.shape)
        cv2.fillPoly(mask, [each.polygon.astype(int)], int(each.activity))
        masks.append(mask)
    return masks


def _around(annotation: Annotation, path: Path, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A crop in the predecessor's way: masks of all deformations three times, each from the image decoded anew."""
    masks, bounds, mask = _masks(annotation, path), _masks(annotation, path)[index], _masks(annotation, path)[index]
    rows, columns = bounds.nonzero()
    height, width = mask.shape
    y, x = (
        int(np.clip(axis.min() - (SIZE - np.ptp(axis)) // 2, 0, max(end - SIZE, 0)))
        for axis, end in ((rows, height), (columns, width))
    )
    for number, other in enumerate(masks):
        if number != index:
            mask = mask + other
    image = cv2.imread(str(path))
    return image[y : y + SIZE, x : x + SIZE], mask[y : y + SIZE, x : x + SIZE]


def _predecessor(folder: Path, raw: Path, out: Path) -> None:
    """All crops, one file after the other, as OpenCV writes PNG unless told otherwise."""
    for kind in range(7):
        (out / "labeled" / str(kind)).mkdir(parents=True)
        (out / "masks" / str(kind)).mkdir(parents=True)
    (out / "cls_labels").mkdir()
    for annotation in read_annotations(folder).annotations:
        dates = raw / annotation.frame / "interferograms" / annotation.dates
        path, label = Layout.LICSAR.paths(dates)[0], {"frameID": annotation.frame, "Deformation": [0]}
        if annotation.deformations:
            for index, each in enumerate(annotation.deformations):
                image, mask = _around(annotation, path, index)
                name, kind = f"{annotation.unique_id}_{index}", int(each.activity)
                cv2.imwrite(str(out / "labeled" / str(kind) / f"{name}.png"), image)
                cv2.imwrite(str(out / "masks" / str(kind) / f"{name}.png"), mask)
                (out / "cls_labels" / f"{name}.json").write_text(json.dumps(label))
            continue
        image = cv2.imread(str(path))
        count = 0
        for y in range(0, image.shape[0] - SIZE + 1, SIZE):
            for x in range(0, image.shape[1] - SIZE + 1, SIZE):
                name = f"{annotation.unique_id}_{count}"
                cv2.imwrite(str(out / "labeled" / "0" / f"{name}.png"), image[y : y + SIZE, x : x + SIZE])
                (out / "cls_labels" / f"{name}.json").write_text(json.dumps(label))
                count += 1


def run() -> list[Row]:
    """CPU time of `save_crops` for annotations with and without deformation, against the predecessor's way."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        invented = invent(15 * ANNOTATIONS, SEED)
        still = [each for each in invented if not each.deformations]
        deformed = [each for each in invented if each.deformations]
        half = ANNOTATIONS // 2
        parts = {
            "as many deformed as not": half,
            "deformed only": ANNOTATIONS,
            "one in ten deformed": ANNOTATIONS // 10,
        }
        write_archive(root, [*deformed[:ANNOTATIONS], *still[:ANNOTATIONS]], scenes(invented, SEED), workers=2)
        for name, count in parts.items():
            chosen = [*deformed[:count], *still[: ANNOTATIONS - count]]
            part = root / name
            write_records(part, chosen)
            rows.append(_compare(name, part / "annotations", root / "raw", part))
    return rows


def _compare(name: str, annotations: Path, raw: Path, out: Path) -> Row:
    other, ours, crops = [], [], 0
    for number in range(RUNS + 1):
        theirs, mine = out / f"other{number}", out / f"ours{number}"
        started = time.process_time()
        _predecessor(annotations, raw, theirs)
        between = time.process_time()
        save_crops(annotations, mine / "labeled", mine / "masks", raw)
        ended = time.process_time()
        counts = [sum(1 for _ in (each / "cls_labels").iterdir()) for each in (theirs, mine)]
        if counts[0] != counts[1]:
            raise RuntimeError(f"the predecessor's way gives {counts[0]} crops, ours {counts[1]}")
        crops = counts[1]
        if number:  # the first does not count
            other.append(between - started)
            ours.append(ended - between)
    note = f"CPU time, {ANNOTATIONS} synthetic annotations, {crops} crops, as files"
    return ratio_row(f"crops, {name}: predecessor / ours", other, ours, 3.0, note)
