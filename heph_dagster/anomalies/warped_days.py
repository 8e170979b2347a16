"""The days of a layer judged for edge warping, on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from heph_dagster.anomalies.labels import PALETTE, Label, UnusableImageError
from heph_dagster.anomalies.usable import check_world
from heph_dagster.anomalies.warping import LEAST_ROWS, METHOD, MOST_ROWS, VERSION, WarpedEdge, Warping, find_warping
from heph_dagster.files import replacing
from heph_dagster.gibs.archive import mosaic_path
from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.class_raster import write_class_raster
from heph_dagster.gibs.raster import over_black, raster_size, read_palette
from heph_dagster.gibs.reduced import read_reduced
from heph_dagster.gibs.verify import check_sound


@dataclass(frozen=True)
class WarpingFiles:
    """A judged day on disk.

    Attributes:
        day: The day.
        warping: What is warped; None where the image cannot be judged.
        verdict: The labels in words, `unusable`, or `too coarse`.
        reason: Why it cannot be judged, else empty.
        mosaic: Its mosaic.
        mask: Where it is warped, roughly; None where it is not.
        report: Its figures.
    """

    day: date
    warping: Warping | None
    verdict: str
    reason: str
    mosaic: Path
    mask: Path | None
    report: Path

    @property
    def labels(self) -> tuple[Label, ...]:
        """Label codes of the day; none where it could not be judged."""
        return () if self.warping is None else self.warping.labels


def label_warping(root: Path, layer: Layer, epsg: int, day: date) -> WarpingFiles:
    """Judge a downloaded day, and write the figures (`.edge_warping.json`) and, where it is warped, the mask (`.tif`).

    Args:
        root: Data root.
        layer: The layer.
        epsg: Projection; only EPSG:4326 can be judged.
        day: The day, whose mosaic is on disk.

    Raises:
        ValueError: The projection is not geographic.
        FileNotFoundError: The day is not on disk.
        MosaicError: The mosaic is damaged, or cannot be read.
        RasterError: GDAL cannot read it.
    """
    if epsg != 4326:
        raise ValueError(f"edge warping can be told in EPSG:4326, not in EPSG:{epsg}")
    mosaic = mosaic_path(root, epsg, day, layer)
    check_sound(mosaic, epsg)
    warping, verdict, reason = _judge(mosaic)
    mask = mosaic.with_suffix(".edge_warping.tif")
    if warping is not None and warping.edges:
        with replacing(mask) as part:
            write_class_raster(part, warping.classes, PALETTE, like=mosaic)
    else:
        mask.unlink(missing_ok=True)
    report = mosaic.with_suffix(".edge_warping.json")
    files = WarpingFiles(day, warping, verdict, reason, mosaic, mask if mask.exists() else None, report)
    with replacing(report) as part:
        part.write_text(json.dumps(_figures(files, layer), indent=2) + "\n", "utf-8")
    return files


def _judge(mosaic: Path) -> tuple[Warping | None, str, str]:
    """What is warped if that can be told, the verdict, and why it cannot be told."""
    width, height = raster_size(mosaic)
    if height < LEAST_ROWS:
        # Such a day is none the worse for the other methods: it is not called unusable.
        reason = f"the image is {width} x {height} px; edge warping is looked for from {LEAST_ROWS} rows on"
        return None, "too coarse", reason
    size = (2 * MOST_ROWS, MOST_ROWS) if height > MOST_ROWS else (width, height)
    try:
        check_world(mosaic, LEAST_ROWS, "edge warping is looked for on")
        warping = find_warping(over_black(read_reduced(mosaic, size), read_palette(mosaic)))
    except UnusableImageError as error:
        return None, "unusable", str(error)
    return warping, ", ".join(label.words for label in warping.labels), ""


def _figures(files: WarpingFiles, layer: Layer) -> dict[str, object]:
    warping = files.warping
    return {
        "layer": layer.identifier,
        "day": files.day.isoformat(),
        "method": METHOD,
        "version": VERSION,
        "labels": [int(label) for label in files.labels],
        "verdict": files.verdict,
        "reason": files.reason,
        "score": None if warping is None else warping.score,
        "edges": None if warping is None else [_edge(edge) for edge in warping.edges],
    }


def _edge(edge: WarpedEdge) -> dict[str, object]:
    return {
        **asdict(edge.region),
        "form": edge.form,
        "at_antimeridian": edge.at_antimeridian,
        "score": edge.score,
    }
