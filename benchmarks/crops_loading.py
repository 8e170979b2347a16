"""Crops for training: written and loaded as shards, as a tar of PNG files, and as PNG files one by one."""

from __future__ import annotations

import io
import random
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from benchmarks.measure import Row, pairs, ratio_row
from heph_dagster.hephaestus.loader import CropDataset
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.stored_crop import StoredCrop
from heph_dagster.png import Picture

SEED = 500_000
CROPS, SHARD_CROPS, SIZE = 4096, 1024, 224
DIFFERENT = 512
"""Crops that are really different; the rest are copies."""
BATCH, WORKERS = 64, 2
_BUFFER = 512


def _colours() -> NDArray[np.uint8]:
    """A colour per phase: all hues in turn."""
    hues = np.stack([np.arange(256) * 180 // 256, np.full(256, 255), np.full(256, 255)], axis=-1)
    return cv2.cvtColor(hues[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0]


def _picture(rng: np.random.Generator) -> Picture:
    """Wrapped phase of a point source and a turbulent atmosphere with noise, as numbers of a palette."""
    wavenumber = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    wavenumber[0, 0] = 1

    def field(power: float) -> NDArray[np.float64]:
        values = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * wavenumber**power, s=(SIZE, SIZE))
        return (values - values.mean()) / values.std()

    y, x = np.mgrid[:SIZE, :SIZE]
    depth, (left, top) = rng.uniform(15, 60), rng.uniform(SIZE / 5, SIZE * 4 / 5, 2)
    source = rng.uniform(0, 30) * depth**3 / ((x - left) ** 2 + (y - top) ** 2 + depth**2) ** 1.5
    noise = np.clip(field(-1.8) * 0.2 + 0.3, 0, 1) * 0.5 * rng.standard_normal((SIZE, SIZE))
    phase = field(-2) * rng.uniform(2, 6) + source + noise
    return Picture((phase / (2 * np.pi) % 1 * 256).astype(np.uint8), _colours())


def _encode(picture: Picture) -> bytes:
    """The predecessor's way: it reads interferograms as colours, and writes crops with OpenCV."""
    return cv2.imencode(".png", cv2.cvtColor(picture.rgb(), cv2.COLOR_RGB2BGR))[1].tobytes()


def _decode(data: bytes) -> torch.Tensor:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return torch.from_numpy(image).permute(2, 0, 1)


class _Files(Dataset[torch.Tensor]):
    """The predecessor's way: a PNG file for each crop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return CROPS

    def __getitem__(self, number: int) -> torch.Tensor:
        return _decode((self.folder / f"{number}.png").read_bytes())


class _Tars(IterableDataset[torch.Tensor]):
    """Tars of PNG files, in shuffled order, crops shuffled through a buffer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        shuffling = random.Random(SEED)  # noqa: S311 - guards nothing
        paths = sorted(self.folder.iterdir())
        shuffling.shuffle(paths)
        held: list[bytes] = []
        for path in paths[worker.id :: worker.num_workers]:
            with tarfile.open(path) as archive:
                for member in archive:
                    held.append(archive.extractfile(member).read())
                    if len(held) > _BUFFER:
                        place = shuffling.randrange(len(held))
                        held[place], held[-1] = held[-1], held[place]
                        yield _decode(held.pop())
        shuffling.shuffle(held)
        yield from map(_decode, held)


def _write_files(folder: Path, pictures: list[Picture]) -> None:
    folder.mkdir()
    for number in range(CROPS):
        (folder / f"{number}.png").write_bytes(_encode(pictures[number % DIFFERENT]))


def _write_tars(folder: Path, pictures: list[Picture]) -> None:
    folder.mkdir()
    for start in range(0, CROPS, SHARD_CROPS):
        with tarfile.open(folder / f"{start:05d}.tar", "w") as archive:
            for number in range(start, start + SHARD_CROPS):
                data = _encode(pictures[number % DIFFERENT])
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def _write_shards(folder: Path, pictures: list[Picture]) -> None:
    mask, days = np.zeros((SIZE, SIZE), np.uint8), (date(2018, 11, 28), date(2018, 12, 4))
    crops = (
        StoredCrop(f"{number}", number, 0, "124D_05291_081406", *days, 0, 0, pictures[number % DIFFERENT], mask)
        for number in range(CROPS)
    )
    write_shards(folder, crops, shard_crops=SHARD_CROPS)


def _load(dataset: Dataset[Any], **options: Any) -> None:
    loaded = 0
    for batch in DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, **options):
        loaded += len(batch["image"] if isinstance(batch, dict) else batch)
    if loaded != CROPS:
        raise RuntimeError(f"{loaded} of {CROPS} crops were loaded")


def _cpu_ms(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) / CROPS * 1e3


def run() -> list[Row]:
    """All measures of crops on disk; files are in the cache of the system."""
    rng = np.random.default_rng(SEED)
    pictures = [_picture(rng) for _ in range(DIFFERENT)]
    coloured = [Picture(each.rgb()) for each in pictures]
    with tempfile.TemporaryDirectory() as place:
        files, tars, shards, rgb = (Path(place) / name for name in ("files", "tars", "shards", "rgb"))
        rows = [
            _written("PNG files", files, partial(_write_files, files, pictures)),
            _written("tars of PNG", tars, partial(_write_tars, tars, pictures)),
            _written("shards", shards, partial(_write_shards, shards, pictures)),
            _written("shards of colours, as published crops give", rgb, partial(_write_shards, rgb, coloured)),
        ]
        load = {
            "PNG files one by one": partial(_load, _Files(files), shuffle=True),
            "tars of PNG": partial(_load, _Tars(tars)),
            "shards of colours": partial(_load, CropDataset([rgb], seed=SEED)),
        }
        ours = partial(_load, CropDataset([shards], seed=SEED))
        times = {name: pairs(theirs, ours) for name, theirs in load.items()}
    note = f"{CROPS} crops in batches of {BATCH}, {WORKERS} workers; shards give masks and labels as well"
    for name, least in (("PNG files one by one", 1), ("tars of PNG", 1), ("shards of colours", None)):
        rows.append(ratio_row(f"loading crops: {name} / shards", *times[name], least, note))
    best = {name: min(theirs) for name, (theirs, _) in times.items()}
    best["shards"] = min(min(own) for _, own in times.values())
    return rows + [
        Row(f"loading {name}", CROPS / seconds, "images/s", "", None, "best") for name, seconds in best.items()
    ]


def _written(name: str, folder: Path, write: Callable[[], None]) -> Row:
    spent = _cpu_ms(write)
    size = sum(path.stat().st_size for path in folder.iterdir()) / CROPS
    note = f"{size / 1e3:.1f} kB a crop; {SIZE} px, synthetic"
    return Row(f"writing {name}, CPU time a crop", spent, "ms", "", None, note)
