"""Edge warping: borders of the image or of a swath that are bent, or that show a strip twice.

The detector rests on two measures of the grey image, both taken along rows, for the edges that warp run from north to
south:

- *Stretch.* Where pixels are pulled towards an edge, the image loses fine detail along the row but not along the
  column. The measure is the ratio of the two, as second differences, in windows of 5 x 10 degrees. Clouds are drawn
  out too, and everything is near the poles: it counts how far the ratio lies below the median of its row, in units of
  the spread over the whole image.
- *Repetition.* Where a strip is shown twice, a window of 2.25 x 10 degrees equals the one beside it, 2.25 to 7 degrees
  away. The measure is their correlation after everything broader than 0.8 degrees is taken out.

Both ask for more inside the image than at the antimeridian, since there is more of the inside to be wrong about. Where
the swaths end is not used: the pixels do not tell it, and the orbits are not known to a degree.

What has no texture shows no warp: one over clear ocean or even cloud is not found, nor is one that stretches little, or
a strip that is narrower than a window. Repetition is not looked for in images coarser than 1280 x 640 px, where a
window has too few pixels to tell, and few bent borders are found there. The thresholds were set on synthetic days,
whose warps are easier to find at the level at which they were painted than after averaging; no real warped day was at
hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import Label
from heph_dagster.anomalies.sphere import Region, label_regions, measure_regions
from heph_dagster.gibs.raster import JPEG_BLACK, Image

Field = NDArray[np.float32]

METHOD = "stretch-and-repetition"
VERSION = "1"

_HEIGHT = 640  # rows of the world that is looked at: finer images are averaged down to 0.28 degrees a pixel
_LATITUDE_DEG = 60.0  # nearer to the poles every row is stretched
_EDGE_DEG = 6.0
_REGION_SHARE = 0.75  # of the threshold: a region reaches as far as that

_STRETCH_WINDOW_DEG = (5.0, 10.0)
_STRETCH_SPREADS = (7.0, 8.5)  # at the antimeridian, inside
_FLAT = 0.5  # square root of a grey level: differences below it are compression noise

_REPEAT_WINDOW_DEG = (2.25, 10.0)
_REPEAT_LAG_DEG = (2.25, 7.0)
_REPEAT_CORRELATION = (0.57, 0.62)  # at the antimeridian, inside
_DETAIL_DEG = 0.8
_OUTLIER = 20.0  # grey levels: a coast or the rim of a cloud must not outweigh all else in its window
_NOISE = 4.0  # variance in grey levels: correlation of less than that says nothing

_SATURATED = 150  # no natural colour's channels are so far apart: such pixels are miscoloured


@dataclass(frozen=True)
class WarpedEdge:
    """A place where the image is warped.

    Attributes:
        region: Where. Of a repeated strip it holds both: the pixels do not tell which is the copy.
        form: `stretched` or `repeated`.
        at_antimeridian: Whether it lies within 6 degrees of the image's edge; else it is put down to a swath's.
        score: Its measure in units of the threshold, 1 or more.
    """

    region: Region
    form: Literal["stretched", "repeated"]
    at_antimeridian: bool
    score: float


@dataclass(frozen=True)
class Warping:
    """What is warped in a day's image.

    Attributes:
        edges: The warped places, highest score first.
        score: Greatest measure anywhere in units of its threshold; below 1 nothing is warped.
        labels: Label codes of the day.
    """

    edges: tuple[WarpedEdge, ...]
    score: float
    labels: tuple[Label, ...]


def find_warping(image: Image) -> Warping:
    """Find warped edges.

    Args:
        image: Height x width x 3 (RGB) of the whole world (EPSG:4326), black where there are no data. Images finer
            than 1280 x 640 px are averaged down to that; of coarser ones less can be told.

    Raises:
        ValueError: The image is not one of the whole world in colours.
    """
    height, width = image.shape[:2]
    if image.ndim != 3 or image.shape[2] != 3 or width != 2 * height:
        raise ValueError(f"edge warping is looked for in RGB images of the whole world, not of shape {image.shape}")
    if height > _HEIGHT:
        image = cv2.resize(image, (2 * _HEIGHT, _HEIGHT), interpolation=cv2.INTER_AREA)
    grey, usable = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), _usable(image)
    stretched = _stretch(grey, usable) / _thresholds(grey.shape, _STRETCH_SPREADS)
    repeated = _repetition(grey, usable) if height >= _HEIGHT else np.zeros_like(grey)
    edges = [*_edges(stretched, "stretched"), *_edges(repeated, "repeated")]
    edges.sort(key=lambda edge: -edge.score)
    return Warping(
        edges=tuple(edges),
        score=float(max(stretched.max(), repeated.max())),
        labels=(Label.EDGE_WARPED,) if edges else (Label.NORMAL,),
    )


def _usable(image: Image) -> Field:
    """1 for pixels that show the Earth and do not touch what does not (no data, saturated colours), else 0."""
    brightest, darkest = image.max(axis=2), image.min(axis=2)
    seen = (brightest > JPEG_BLACK) & (brightest - darkest < _SATURATED)
    eroded = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REFLECT)
    return np.asarray(eroded, dtype=np.float32)


def _stretch(grey: Field, usable: Field) -> Field:
    """How far fine detail along the row falls short of what is usual, in spreads of the image, H x W."""
    usable = usable.copy()
    usable[[0, -1]] = usable[:, [0, -1]] = 0
    across, along = np.zeros_like(grey), np.zeros_like(grey)
    # Square roots of the differences: a few strong edges do not decide.
    across[:, 1:-1] = np.sqrt(np.abs(grey[:, 2:] + grey[:, :-2] - 2 * grey[:, 1:-1]))
    along[1:-1] = np.sqrt(np.abs(grey[2:] + grey[:-2] - 2 * grey[1:-1]))
    size = _window(grey, _STRETCH_WINDOW_DEG)
    known = cv2.blur(usable, size, borderType=cv2.BORDER_REFLECT)
    weight = np.maximum(known, 0.05)
    across, along = (cv2.blur(each * usable, size, borderType=cv2.BORDER_REFLECT) / weight for each in (across, along))
    valid = known > 0.5
    ratio = np.where(valid, np.log((along + _FLAT) / (across + _FLAT)), np.nan)
    rows = valid.mean(axis=1) > 0.1
    excess = np.zeros_like(grey)
    excess[rows] = np.nan_to_num(ratio[rows] - np.nanmedian(ratio[rows], axis=1, keepdims=True))
    _drop_polar_rows(excess)
    spread = 1.4826 * float(np.median(np.abs(excess[excess != 0]))) if excess.any() else 1.0
    return excess / np.float32(spread)


def _repetition(grey: Field, usable: Field) -> Field:
    """Correlation of each window with one beside it, in units of the threshold, H x W; both have it."""
    degrees = 180 / len(grey)
    size = _window(grey, _REPEAT_WINDOW_DEG)
    broad = _window(grey, (_DETAIL_DEG, _DETAIL_DEG))
    known = np.maximum(cv2.blur(usable, broad), 0.1)
    detail = np.clip((grey - cv2.blur(grey * usable, broad) / known), -_OUTLIER, _OUTLIER) * usable
    thresholds = _thresholds(grey.shape, _REPEAT_CORRELATION)
    best = np.zeros_like(grey)
    first, last = (round(lag / degrees) for lag in _REPEAT_LAG_DEG)
    for lag in range(max(first, size[0] // 2 + 1), last + 1):
        left, right = detail[:, :-lag], detail[:, lag:]
        both = usable[:, :-lag] * usable[:, lag:]
        weight, left_2, right_2, product = (
            cv2.blur(each, size, borderType=cv2.BORDER_CONSTANT)
            for each in (both, left * left * both, right * right * both, left * right)
        )
        power = np.sqrt(np.maximum(left_2 * right_2, 0)) + _NOISE * weight
        correlation = np.where(weight > 0.5, product / np.maximum(power, _NOISE * 0.05), 0)
        _drop_polar_rows(correlation)
        # The strip nearer to the image's edge has the lower threshold, and decides.
        score = correlation / np.minimum(thresholds[:, :-lag], thresholds[:, lag:])
        # A strip and its copy lie side by side: with what is between them they are one place.
        score = np.pad(score, ((0, 0), (0, lag)))
        np.maximum(best, cv2.dilate(score, np.ones((1, lag + 1), np.uint8), anchor=(lag, 0)), out=best)
    return best


def _edges(score: Field, form: Literal["stretched", "repeated"]) -> list[WarpedEdge]:
    """The connected regions of a score that reach the threshold."""
    labels = label_regions((score >= _REGION_SHARE).astype(np.uint8))[1]
    numbers = np.unique(labels[score >= 1]).tolist()
    near = round(_EDGE_DEG / 180 * len(score))
    edges = []
    for number, region in zip(numbers, measure_regions(labels, numbers), strict=True):
        mask = labels == number
        at_edge = bool(((score >= 1) & mask)[:, [*range(near), *range(-near, 0)]].any())
        edges.append(WarpedEdge(region, form, at_edge, float(score[mask].max())))
    return edges


def _window(grey: Field, degrees: tuple[float, float]) -> tuple[int, int]:
    """Odd width and height in px of a window in degrees, 3 px or more."""
    width, height = (max(3, round(size * len(grey) / 180) | 1) for size in degrees)
    return width, height


def _thresholds(shape: tuple[int, ...], values: tuple[float, float]) -> Field:
    """1 x W: the first value within `_EDGE_DEG` of the antimeridian, else the second."""
    near = round(_EDGE_DEG / 180 * shape[0])
    thresholds = np.full((1, shape[1]), values[1], np.float32)
    thresholds[:, :near] = thresholds[:, -near:] = values[0]
    return thresholds


def _drop_polar_rows(field: Field) -> None:
    """Set a field to 0 near the poles, in place."""
    margin = round((90 - _LATITUDE_DEG) / 180 * len(field))
    field[:margin] = field[-margin:] = 0
