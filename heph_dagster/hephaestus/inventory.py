"""What a raw archive has of a frame: a row for each pair of radar images, annotated or not.

The table stands at `interferograms/{frame}.parquet`. Its files are looked at without being decoded: size and kind by
their headers, damage by their checksums. Whatever is wrong is told in the row and stops nothing.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal, TypeAlias

from heph_dagster.hephaestus.frames import Frame
from heph_dagster.hephaestus.interferograms import (
    ImagePaths,
    Layout,
    images_by_layout,
    interferogram_folder,
    parse_dates,
)
from heph_dagster.png import PngError, check_png
from heph_dagster.pools import stopping_pool
from heph_dagster.tables import read_table, write_table

_Kind: TypeAlias = Literal["interferogram", "coherence"]
_MIXED = "mixed"
_NOT_ON_DISK = "not on disk"


@dataclass(frozen=True, kw_only=True)
class ImageFile:
    """A file of an interferogram or of a coherence map, None for what is not known of one that is unreadable.

    Attributes:
        path: Relative to the root of the archive, with `/`.
        bytes: Its size.
        width: Columns.
        height: Rows.
        channels: Samples a pixel: 1 grey or palette, 2 grey and alpha, 3 RGB, 4 RGBA.
        depth: Bits a sample.
        colour: `grey`, `rgb`, `palette`, `grey+alpha` or `rgba`.
    """

    path: str
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    depth: int | None = None
    colour: str | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in px."""
        return None if self.width is None or self.height is None else (self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A pair of radar images on disk, or annotated.

    Attributes:
        frame: ID of the frame.
        dates: Name of the folder, `20181128_20181204`.
        primary: UTC day of the first radar image; None where the folder is named otherwise.
        secondary: UTC day of the second.
        baseline_days: Days from the first to the second.
        unique_id: ID of the annotation, the lowest where there are several; None where there is none.
        layout: `licsar`, `plain` or `mixed`, see `heph_dagster.hephaestus.interferograms`; None without images.
        interferogram: None where it is missing.
        coherence: None where it is missing.
        problems: What is wrong, each a kind and, after a colon, what it is about:
            - `not on disk`: there is an annotation and no folder;
            - `not a folder`, `unreadable folder`, `not two days`, `days not in order`, `days are equal`: no pair;
            - `missing interferogram`, `unreadable interferogram`, `grey interferogram`: the last has no colours;
            - `missing coherence`, `unreadable coherence`;
            - `unusual size`: most interferograms of the frame have another;
            - `sizes differ`: of the interferogram and its coherence;
            - `two layouts`: the folder has a file by both names, and the one by the LiCSAR name is taken;
            - `several annotations`.
    """

    frame: str
    dates: str
    primary: date | None = None
    secondary: date | None = None
    baseline_days: int | None = None
    unique_id: int | None = None
    layout: str | None = None
    interferogram: ImageFile | None = None
    coherence: ImageFile | None = None
    problems: tuple[str, ...] = field(default=())

    @property
    def on_disk(self) -> bool:
        """Whether there is a folder; else there is only an annotation."""
        return _NOT_ON_DISK not in self.problems


def take_inventory(raw: Path, frame: str, annotated: Mapping[str, Sequence[int]]) -> list[Pair]:
    """Look at all that an archive has of a frame.

    Hidden files are left out.

    Args:
        raw: Root of the archive.
        frame: ID of the frame.
        annotated: IDs of the annotations of the frame by `dates`, as `annotated_pairs` tells them.

    Returns:
        The pairs on disk and those that are annotated only, by `dates`.

    Raises:
        ValueError: It is no frame ID.
        OSError: The folder of the frame cannot be read.
    """
    folder = interferogram_folder(raw, frame)
    on_disk = sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    with stopping_pool() as pool:
        pairs = list(pool.map(lambda path: _look_at(raw, frame, path), on_disk))
    names = {path.name for path in on_disk}
    pairs += [_named(frame, dates, (_NOT_ON_DISK,)) for dates in annotated if dates not in names]
    usual = _usual_size(pairs)
    return sorted(
        (_judged(pair, usual, sorted(annotated.get(pair.dates, ()))) for pair in pairs), key=lambda pair: pair.dates
    )


def annotated_pairs(folder: Path, frame: str) -> dict[str, list[int]]:
    """IDs of the annotations of a frame.

    Args:
        folder: Where the tables of annotations stand; without them, nothing is annotated.
        frame: ID of the frame.

    Returns:
        IDs by `dates`, as folders are named.
    """
    path = folder / "annotations.parquet"
    found: dict[str, list[int]] = defaultdict(list)
    if path.exists():
        for row in read_table(path, ["unique_id", "frame", "primary", "secondary"]).to_pylist():
            if row["frame"] == frame:
                found[f"{row['primary']:%Y%m%d}_{row['secondary']:%Y%m%d}"].append(row["unique_id"])
    return dict(found)


def inventory_path(folder: Path, frame: str) -> Path:
    """Where the inventory of a frame stands in the folder of InSAR data.

    Raises:
        ValueError: It is no frame ID.
    """
    return folder / "interferograms" / f"{Frame(frame).id}.parquet"


def write_inventory(path: Path, pairs: Iterable[Pair]) -> None:
    """Write the table of an inventory: a row for each pair, `interferogram` and `coherence` as structures."""
    import pyarrow as pa

    image = pa.struct(
        {
            "path": pa.string(), "bytes": pa.int64(), "width": pa.int32(), "height": pa.int32(),
            "channels": pa.int8(), "depth": pa.int8(), "colour": pa.string(),
        }
    )  # fmt: skip
    schema = pa.schema(
        {
            "frame": pa.string(), "dates": pa.string(), "primary": pa.date32(), "secondary": pa.date32(),
            "baseline_days": pa.int32(), "unique_id": pa.int32(), "layout": pa.string(), "on_disk": pa.bool_(),
            "interferogram": image, "coherence": image, "problems": pa.list_(pa.string()),
        }
    )  # fmt: skip
    write_table(path, pa.Table.from_pylist([asdict(pair) | {"on_disk": pair.on_disk} for pair in pairs], schema))


def read_inventory(path: Path) -> list[Pair]:
    """The pairs of a table that `write_inventory` wrote.

    Raises:
        FileNotFoundError: There is none.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: materialize the frame's interferograms first")
    pairs = []
    for row in read_table(path).drop_columns("on_disk").to_pylist():
        images = {name: row[name] and ImageFile(**row[name]) for name in ("interferogram", "coherence")}
        pairs.append(Pair(**row | images | {"problems": tuple(row["problems"])}))
    return pairs


def count_problems(pairs: Iterable[Pair]) -> dict[str, int]:
    """How many pairs have each kind of problem, by kind."""
    kinds = Counter(kind for pair in pairs for kind in {problem.partition(":")[0] for problem in pair.problems})
    return dict(sorted(kinds.items()))


def _named(frame: str, dates: str, problems: tuple[str, ...]) -> Pair:
    try:
        primary, secondary = parse_dates(dates)
    except ValueError:
        return Pair(frame=frame, dates=dates, problems=(*problems, "not two days: it should be YYYYMMDD_YYYYMMDD"))
    days = (secondary - primary).days
    if days <= 0:
        problems += (f"days not in order: the second is {-days} days before the first" if days else "days are equal",)
    return Pair(frame=frame, dates=dates, primary=primary, secondary=secondary, baseline_days=days, problems=problems)


def _look_at(raw: Path, frame: str, folder: Path) -> Pair:
    pair = _named(frame, _text(folder.name), ())
    try:
        if not folder.is_dir():
            return replace(pair, problems=(*pair.problems, "not a folder"))
        found = images_by_layout(folder)
    except OSError as error:
        return replace(pair, problems=(*pair.problems, f"unreadable folder: {error.strerror}"))
    first, interferogram, problems = _look_for("interferogram", raw, found)
    second, coherence, more = _look_for("coherence", raw, found)
    layouts = sorted({str(each) for each in (first, second) if each is not None})
    return replace(
        pair,
        layout=_MIXED if len(layouts) > 1 else next(iter(layouts), None),
        interferogram=interferogram,
        coherence=coherence,
        problems=(*pair.problems, *problems, *more),
    )


def _look_for(
    kind: _Kind, raw: Path, found: Mapping[Layout, ImagePaths]
) -> tuple[Layout | None, ImageFile | None, list[str]]:
    paths = [(layout, path) for layout, images in found.items() if (path := getattr(images, kind)) is not None]
    if not paths:
        return None, None, [f"missing {kind}"]
    (layout, path), *others = paths
    image, problems = _look_into(path, _text(path.relative_to(raw).as_posix()), kind)
    return layout, image, [f"two layouts: {each.name} is not read, but {path.name}" for _, each in others] + problems


def _look_into(path: Path, name: str, kind: _Kind) -> tuple[ImageFile, list[str]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        return ImageFile(path=name), [f"unreadable {kind}: {error.strerror}"]
    try:
        header = check_png(data)
    except PngError as error:
        return ImageFile(path=name, bytes=len(data)), [f"unreadable {kind}: {error}"]
    image = ImageFile(
        path=name, bytes=len(data), width=header.width, height=header.height,
        channels=header.channels, depth=header.depth, colour=header.colour,
    )  # fmt: skip
    if kind == "interferogram" and header.grey:
        return image, [f"grey interferogram: colour type {header.colour}, {header.depth} bits"]
    return image, []


def _text(name: str) -> str:
    """A name as a table can hold it: bytes that are no UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def _usual_size(pairs: Iterable[Pair]) -> tuple[int, int] | None:
    """The most common width and height of interferograms, the larger of several."""
    counts = Counter(size for pair in pairs if pair.interferogram and (size := pair.interferogram.size))
    return max(counts, key=lambda size: (counts[size], size), default=None)


def _judged(pair: Pair, usual: tuple[int, int] | None, unique_ids: Sequence[int]) -> Pair:
    """A pair with its annotations, and with what is told by comparing."""
    problems = list(pair.problems)
    size = pair.interferogram and pair.interferogram.size
    other = pair.coherence and pair.coherence.size
    if size and usual and size != usual:
        problems.append(f"unusual size: {_px(size)} instead of {_px(usual)}")
    if size and other and size != other:
        problems.append(f"sizes differ: {_px(size)}, and the coherence {_px(other)}")
    if len(unique_ids) > 1:
        problems.append(f"several annotations: {', '.join(map(str, unique_ids))}")
    return replace(pair, unique_id=unique_ids[0] if unique_ids else None, problems=tuple(problems))


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} px"
