"""Edge warping: borders of the image or of a swath that are bent, or that show a strip twice.

The detector rests on two measures of the grey image, both taken along rows, for the edges that warp run from north to
south:

- *Stretch.* Where pixels are pulled towards an edge, the image loses fine detail along the row but not along the
  column. The measure is how much smaller second differences are along the row, averaged over windows of 5 x 10 degrees.
  Clouds are drawn out too, near the poles more than elsewhere: it counts how far a window lies above the median of its
  latitude, in units of the spread there, and above its neighbours 6 degrees to the west and to the east, since a bend
  is narrow.
- *Repetition.* Where a strip is shown twice, a window of 2.25 x 10 degrees equals the one beside it, 2.25 to 7 degrees
  away. The measure is their correlation after everything broader than 0.8 degrees is taken out, as far as it exceeds
  that at distances a degree less and more: drawn-out clouds are alike over a range of distances.

Both ask for more inside the image than at the antimeridian, since there is more of the inside to be wrong about. Where
the swaths end is not used: the pixels do not tell it, and the orbits are not known to a degree.

What has no texture shows no warp: one over clear ocean or even cloud is not found, nor is one that stretches little, or
a strip that is narrower than a window. Images coarser than 1280 x 640 px are not judged: a window has too few pixels.
The thresholds were set on synthetic days; no real warped day was at hand. Real days have less fine texture: of bends
painted into one, few are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from heph_dagster.anomalies.labels import Label, PixelClass, UnusableImageError
from heph_dagster.anomalies.sphere import Region, label_regions, measure_regions
from heph_dagster.gibs.raster import JPEG_BLACK, Image, brightest

Field = NDArray[np.float32]

METHOD = "stretch-and-repetition"
VERSION = "2"

LEAST_ROWS = 640
"""Rows of the coarsest image that is judged; repetition is looked for in as many."""
MOST_ROWS = 1280
"""Rows that are looked at: finer images are averaged down to that."""

_CELLS = 320  # rows of the world in which windows are compared, 0.56 degrees each
_LATITUDE_DEG = 60.0  # nearer to the poles every row is stretched
_EDGE_DEG = 6.0
_REGION_SHARE = 0.75  # of the threshold: a region reaches as far as that
_SMOOTH_DEG = 10.0  # of latitude: the usual spread changes slowly

_STRETCH_WINDOW_DEG = (5.0, 10.0)
_STRETCH_SPREADS = (5.5, 7.5)  # at the antimeridian, inside
_BESIDE_DEG = 6.0
_DIFFERENCES_PX = 5  # second differences are summed over so many pixels each way before they are compared
_FLAT = 2.0  # grey levels: differences below it are compression noise
_LEAST_SPREAD = 0.01
_LEAST_KNOWN = 0.4  # of a window
_LEAST_TEXTURE = 0.02  # of the image

_REPEAT_WINDOW_DEG = (2.25, 10.0)
_REPEAT_LAG_DEG = (2.25, 7.0)
_REPEAT_CORRELATION = (0.55, 0.57)  # at the antimeridian, inside
_OFF_DEG = 1.125  # a strip equals its copy at one distance, drawn-out clouds also at others
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
        classes: 320 x 640 `PixelClass` values of the world: where the regions are.
    """

    edges: tuple[WarpedEdge, ...]
    score: float
    classes: NDArray[np.uint8]

    @property
    def labels(self) -> tuple[Label, ...]:
        """Label codes of the day."""
        return (Label.EDGE_WARPED,) if self.edges else (Label.NORMAL,)


def find_warping(image: Image) -> Warping:
    """Find warped edges.

    Args:
        image: Height x width x 3 (RGB) of the whole world (EPSG:4326), black where there are no data. Images finer
            than 2560 x 1280 px are averaged down to that.

    Raises:
        UnusableImageError: The image is not one of the whole world in colours, too coarse, or without any texture.
    """
    height, width = image.shape[:2]
    if image.ndim != 3 or image.shape[2] != 3 or width != 2 * height:
        raise UnusableImageError(
            f"edge warping is looked for in RGB images of the whole world, not of shape {image.shape}"
        )
    if height < LEAST_ROWS:
        raise UnusableImageError(
            f"an image of {width} x {height} px is too coarse: edge warping is looked for from "
            f"{2 * LEAST_ROWS} x {LEAST_ROWS} px on, level 1"
        )
    image = _shrunk(image, MOST_ROWS)
    stretched = _stretch(image) / _thresholds(_CELLS, _STRETCH_SPREADS)
    repeated = _repetition(_shrunk(image, LEAST_ROWS))
    edges = [*_edges(stretched, "stretched"), *_edges(repeated, "repeated")]
    return Warping(
        edges=tuple(sorted((edge for edge, _ in edges), key=lambda edge: -edge.score)),
        score=float(max(stretched.max(), repeated.max())),
        classes=np.bitwise_or.reduce([mask for _, mask in edges] or [np.zeros(stretched.shape, np.uint8)]),
    )


def _shrunk(image: Image, rows: int) -> Image:
    """The image averaged down to so many rows, or as it is where it has no more."""
    if len(image) <= rows:
        return image
    return np.asarray(cv2.resize(image, (2 * rows, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _usable(image: Image) -> NDArray[np.uint8]:
    """1 for pixels that show the Earth and do not touch what does not (no data, saturated colours), else 0."""
    lightest = brightest(image)
    darkest = np.minimum(np.minimum(image[..., 0], image[..., 1]), image[..., 2])
    seen = (lightest > JPEG_BLACK) & (lightest - darkest < _SATURATED)
    return np.asarray(cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REFLECT))


def _cells(field: Field) -> Field:
    """Means of a field of the world in cells."""
    return np.asarray(cv2.resize(field, (2 * _CELLS, _CELLS), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _stretch(image: Image) -> Field:
    """How far fine detail along the row falls short of what is usual there and beside it, in spreads, by cells."""
    grey, usable = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), _usable(image)
    usable[[0, -1]] = usable[:, [0, -1]] = 0
    across, along = (_differences(grey, usable, *order) for order in ((2, 0), (0, 2)))
    texture = np.count_nonzero((across > 0) & (usable > 0)) / grey.size
    if texture < _LEAST_TEXTURE:
        raise UnusableImageError(f"{1 - texture:.1%} of the image are without data or without any texture")
    drawn_out = (along - across) / (along + across + np.float32(_FLAT * _DIFFERENCES_PX**2)) * usable
    window = _window(_CELLS, _STRETCH_WINDOW_DEG)
    fields = (usable.astype(np.float32), drawn_out.astype(np.float32))
    known, drawn_out = (cv2.blur(_cells(each), window, borderType=cv2.BORDER_CONSTANT) for each in fields)
    valid = known > _LEAST_KNOWN
    _drop_polar_rows(valid)
    return _above_neighbours(_above_usual(drawn_out / np.maximum(known, _LEAST_KNOWN), valid))


def _differences(grey: Image, usable: NDArray[np.uint8], dx: int, dy: int) -> Field:
    """Sums of the magnitudes of second differences along an axis, H x W."""
    sizes = cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, dx, dy, ksize=1)) * usable
    window = (_DIFFERENCES_PX, _DIFFERENCES_PX)
    return np.asarray(cv2.boxFilter(sizes, cv2.CV_16U, window, normalize=False), dtype=np.float32)


def _above_usual(field: Field, valid: NDArray[np.bool_]) -> Field:
    """How far a field lies above the median of its latitude, in units of the spread there; 0 where it is not valid."""
    excess, spread = np.zeros_like(field), np.zeros((len(field), 1), np.float32)
    rows = valid.mean(axis=1) > 0.1
    known = np.where(valid[rows], field[rows], np.nan)
    known -= np.nanmedian(known, axis=1, keepdims=True)
    excess[rows] = np.nan_to_num(known)
    spread[rows] = 1.4826 * np.nanmedian(np.abs(known), axis=1, keepdims=True)
    smooth = _window(len(field), (0.0, _SMOOTH_DEG))[1]
    weight = cv2.blur(rows.astype(np.float32)[:, None], (1, smooth))
    spread = cv2.blur(spread, (1, smooth)) / np.maximum(weight, np.float32(1 / smooth))
    return excess / np.maximum(spread.reshape(-1, 1), np.float32(_LEAST_SPREAD))


def _above_neighbours(field: Field) -> Field:
    """How far a field lies above its values to the west and to the east, where these are above 0."""
    beside = round(_BESIDE_DEG / 180 * len(field))
    padded = np.pad(field, ((0, 0), (beside, beside)))
    return field - np.maximum(np.maximum(padded[:, : -2 * beside], padded[:, 2 * beside :]), 0)


def _repetition(image: Image) -> Field:
    """How much better each window equals one beside it than at other distances, in units of the threshold, by cells."""
    rows = len(image)
    usable = _usable(image).astype(np.float32)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    broad = _window(rows, (_DETAIL_DEG, _DETAIL_DEG))
    known = np.maximum(cv2.blur(usable, broad), 0.1)
    detail = np.clip(grey - cv2.blur(grey * usable, broad) / known, -_OUTLIER, _OUTLIER) * usable
    # What is nearer to the poles than a window reaches need not be computed.
    polar = round((90 - _LATITUDE_DEG - _REPEAT_WINDOW_DEG[1] / 2) / 180 * _CELLS)
    detail, usable = detail[2 * polar : -2 * polar], usable[2 * polar : -2 * polar]
    first, last = (round(lag / 180 * rows) for lag in _REPEAT_LAG_DEG)
    off = round(_OFF_DEG / 180 * rows)
    correlations = {lag: _correlation(detail, usable, lag) for lag in range(first - off, last + off + 1)}
    thresholds = _thresholds(rows, _REPEAT_CORRELATION)
    best = np.zeros((_CELLS, 2 * rows), np.float32)
    for lag in range(first, last + 1):
        peak = correlations[lag] - np.maximum(correlations[lag - off], correlations[lag + off]).clip(0)
        # The strip nearer to the image's edge has the lower threshold, and decides.
        peak[:, :-lag] /= np.minimum(thresholds[:, :-lag], thresholds[:, lag:])
        # A strip and its copy lie side by side: with what is between them they are one place.
        peak = cv2.dilate(peak, np.ones((1, lag + 1), np.uint8), anchor=(lag, 0))
        np.maximum(best[polar:-polar], peak, out=best[polar:-polar])
    _drop_polar_rows(best)
    return np.maximum(best[:, ::2], best[:, 1::2])


def _correlation(detail: Field, usable: Field, lag: int) -> Field:
    """Correlation of each window with the one `lag` px to its east, H x W of fields of 2H x W."""
    left, right = slice(None, -lag), slice(lag, None)
    strips = (
        usable[:, left] * usable[:, right],
        detail[:, left] ** 2 * usable[:, right],
        detail[:, right] ** 2 * usable[:, left],
        detail[:, left] * detail[:, right],
    )
    size = _window(LEAST_ROWS, _REPEAT_WINDOW_DEG)[0], _window(_CELLS, _REPEAT_WINDOW_DEG)[1]
    weight, left_2, right_2, product = (
        cv2.blur((each[::2] + each[1::2]) / 2, size, borderType=cv2.BORDER_CONSTANT) for each in strips
    )
    power = np.sqrt(np.maximum(left_2 * right_2, 0)) + _NOISE * weight
    correlation = product / np.maximum(power, _NOISE * 0.05) * (weight > 0.5)
    return np.pad(correlation, ((0, 0), (0, lag)))


def _edges(score: Field, form: Literal["stretched", "repeated"]) -> list[tuple[WarpedEdge, NDArray[np.uint8]]]:
    """The connected regions of a score that reach the threshold, and the pixel classes of each."""
    labels = label_regions((score >= _REGION_SHARE).astype(np.uint8))[1]
    numbers = np.unique(labels[score >= 1]).tolist()
    near = round(_EDGE_DEG / 180 * len(score))
    edges = []
    for number, region in zip(numbers, measure_regions(labels, numbers), strict=True):
        mask = labels == number
        at_edge = bool(((score >= 1) & mask)[:, [*range(near), *range(-near, 0)]].any())
        edge = WarpedEdge(region, form, at_edge, float(score[mask].max()))
        edges.append((edge, mask * np.uint8(PixelClass.WARPED)))
    return edges


def _window(rows: int, degrees: tuple[float, float]) -> tuple[int, int]:
    """Odd width and height of a window in degrees, in a grid of so many rows, 3 or more."""
    width, height = (max(3, round(size * rows / 180) | 1) for size in degrees)
    return width, height


def _thresholds(rows: int, values: tuple[float, float]) -> Field:
    """1 x W of a grid of so many rows: the first value within `_EDGE_DEG` of the antimeridian, else the second."""
    near = round(_EDGE_DEG / 180 * rows)
    thresholds = np.full((1, 2 * rows), values[1], np.float32)
    thresholds[:, :near] = thresholds[:, -near:] = values[0]
    return thresholds


def _drop_polar_rows(field: NDArray[Any]) -> None:
    """Set a field to 0 near the poles, in place."""
    margin = round((90 - _LATITUDE_DEG) / 180 * len(field))
    field[:margin] = field[-margin:] = 0
