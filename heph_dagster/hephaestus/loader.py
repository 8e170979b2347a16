"""Crops for training: a torch dataset over shards."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from heph_dagster.hephaestus.crops import LABELS
from heph_dagster.hephaestus.shards import PIXELS, ShardsError, crop_size, read_group, read_manifest

POOL_GROUPS = 16
"""Row groups whose crops are mixed with each other."""


class Sharing(StrEnum):
    """How workers and processes share crops."""

    ONCE = "once"
    """Each crop comes once, whatever the number of workers and processes, which may get different numbers."""
    EVEN = "even"
    """All get as many crops as the one that has most, by starting again; so processes have equal numbers of batches."""
    ALL = "all"
    """Workers share the crops, but each process gets all of them."""


class CropDataset(IterableDataset[dict[str, Any]]):
    """Crops of shards, each once per epoch whatever the number of workers and processes.

    Row groups are drawn in an order of the epoch's own and dealt to the workers of a `DataLoader` and the processes of
    `torch.distributed`; crops of 16 groups at a time (512 crops, 0.1 GB in each worker at 224 px) are shuffled. The
    order is the same for the same seed, epoch and number of workers. Processes may get different numbers of crops,
    unless they share them evenly.

    An item has the `name`, the `labels` (int8, see `heph_dagster.hephaestus.crops.LABELS`; a phase that nobody told is
    -1), and of what was asked for the `image` (uint8, 3 x S x S, RGB), the `mask` (uint8, S x S, classes 0 to 6) and
    the `coherence` (uint8, S x S). Pixels stay uint8 because a batch of float32 is four times as large: turn them into
    floats on the device. torch's own way to make batches will do: `DataLoader(dataset, batch_size=64, num_workers=2)`.

    Attributes:
        count: Number of crops, of all workers and processes together.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        names: Collection[str] | None = None,
        *,
        seed: int | None = None,
        epoch: int = 0,
        columns: Sequence[str] = ("image", "mask"),
        copies: Mapping[str, float] | None = None,
        sharing: Sharing = Sharing.ONCE,
        fill: bool = False,
    ) -> None:
        """Choose crops.

        Args:
            folders: Folders of shards, one per frame.
            names: Crops of these names, which may be a part of a split; all by default.
            seed: Of the order; None keeps that of the folders, for evaluation.
            epoch: Of the order too; set it before each epoch.
            columns: What to read, of `image`, `mask` and `coherence`.
            copies: How often each crop comes per epoch, by name; of a number with a fraction, this is the chance of one
                more. Once each by default.
            sharing: Of the crops among workers and processes.
            fill: Whether a missing coherence is 0 instead of an error.

        Raises:
            ShardsError: There is no manifest in a folder, or crops are of different sizes.
            ValueError: There are no folders, a column is unknown, there is no crop of a name, two have one name, or a
                coherence is missing.
        """
        if not folders:
            raise ValueError("there are no folders to take crops from")
        if unknown := [name for name in columns if name not in PIXELS]:
            raise ValueError(f"crops have no {', '.join(unknown)}: columns are {', '.join(PIXELS)}")
        manifests = [read_manifest(folder) for folder in folders]
        sizes = {size for each in manifests if (size := crop_size(each))}
        if len(sizes) > 1:
            raise ShardsError(f"crops are of different sizes: {', '.join(map(str, sorted(sizes)))} px")
        self._size = max(sizes, default=0)
        rows = pa.concat_tables([_located(*each) for each in zip(folders, manifests, strict=True)])
        if names is not None:
            rows = rows.filter(pc.is_in(rows["name"], pa.array(list(names), pa.string())))
            _check_names(rows, set(names))
        if len(rows) != pc.count_distinct(rows["name"]).as_py():
            raise ValueError("two crops have the same name: give each folder once")
        lacking = rows.filter(pc.invert(rows["coherence"]))["name"]
        if "coherence" in columns and len(lacking) and not fill:
            raise ValueError(f"{len(lacking)} crops have no coherence, first {lacking[0]}: leave it or them out")
        self.count = len(rows)
        self._columns = columns
        self._names = rows["name"].combine_chunks()
        self._labels = np.stack([rows[name].to_numpy() for name in LABELS], axis=1).astype(np.int8)
        self._rows = rows["row"].to_numpy()
        self._lacking = pc.invert(rows["coherence"]).to_numpy(zero_copy_only=False)
        self._groups = _runs(rows)
        self._copies = None if copies is None else np.array([copies[name] for name in self._names.to_pylist()])
        self._sharing = sharing
        self._seed = seed
        # Workers that outlive an epoch see it change.
        self._epoch = torch.tensor(epoch)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch whose order the next pass has."""
        return int(self._epoch)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The crops of this worker."""
        reader, readers = _reader(dealt=self._sharing is not Sharing.ALL)
        times = self._times()
        order = np.arange(len(self._groups))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self.epoch]).permutation(order)
        if self._sharing is not Sharing.EVEN:
            yield from self._pass(order[reader::readers], times, reader)
            return
        crops = [sum(int(times[slice(*self._groups[n][2:])].sum()) for n in order[e::readers]) for e in range(readers)]
        reader = reader if crops[reader] else int(np.argmax(crops))
        passes = (self._pass(order[reader::readers], times, reader) for _ in repeat(None))
        yield from islice(chain.from_iterable(passes), max(crops))

    def _times(self) -> NDArray[np.int64]:
        """How often each crop comes in this epoch."""
        if self._copies is None:
            return np.ones(self.count, np.int64)
        chance = np.random.default_rng([self._seed or 0, self.epoch, 0]).random(self.count)
        return np.floor(self._copies + chance).astype(np.int64)

    def _pass(self, mine: NDArray[np.int64], times: NDArray[np.int64], reader: int) -> Iterator[dict[str, Any]]:
        """The crops of some row groups."""
        for start in range(0, len(mine), POOL_GROUPS):
            pool = [self._groups[number] for number in mine[start : start + POOL_GROUPS]]
            places = [
                (group, crop)
                for group, (_, _, first, end) in enumerate(pool)
                for crop in np.repeat(np.arange(first, end), times[first:end]).tolist()
            ]
            pixels = [read_group(path, number, self._columns, self._size) for path, number, _, _ in pool]
            if self._seed is not None:
                shuffling = np.random.default_rng([self._seed, self.epoch, reader, start])
                places = [places[number] for number in shuffling.permutation(len(places))]
            for group, crop in places:
                yield self._item(pixels[group], crop)

    def _item(self, pixels: dict[str, Any], crop: int) -> dict[str, Any]:
        row = self._rows[crop]
        item = {
            name: torch.from_numpy(each[row].rgb() if name == "image" else each[row].copy())
            for name, each in pixels.items()
        }
        if "coherence" in item and self._lacking[crop]:
            item["coherence"].zero_()
        return {"name": self._names[crop].as_py(), "labels": torch.from_numpy(self._labels[crop]), **item}


def _reader(*, dealt: bool) -> tuple[int, int]:
    """Number of this worker among those of all processes, or of its own alone, and how many there are."""
    worker = get_worker_info()
    number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
    if not (dealt and distributed.is_available() and distributed.is_initialized()):
        return number, workers
    return distributed.get_rank() * workers + number, distributed.get_world_size() * workers


def _located(folder: Path, manifest: pa.Table) -> pa.Table:
    """The columns that a dataset needs, with the paths of shards, and -1 for no phase."""
    table = manifest.select(["name", "coherence", "shard", "group", "row", *LABELS]).replace_schema_metadata()
    table = table.set_column(table.schema.get_field_index("phase"), "phase", pc.fill_null(table["phase"], -1))
    paths = pc.binary_join_element_wise(str(folder), table["shard"], "/")
    return table.set_column(table.schema.get_field_index("shard"), "shard", paths)


def _check_names(rows: pa.Table, names: set[str]) -> None:
    if unknown := sorted(names - set(rows["name"].to_pylist())):
        raise ValueError(f"{len(unknown)} names have no crop, first {', '.join(unknown[:5])}")


def _runs(rows: pa.Table) -> list[tuple[Path, int, int, int]]:
    """Shard, row group, first crop and the crop after the last, of crops that are read at once."""
    shards, groups = rows["shard"].combine_chunks().dictionary_encode(), rows["group"].to_numpy()
    codes = shards.indices.to_numpy()
    starts = np.flatnonzero((np.diff(codes, prepend=-1) != 0) | (np.diff(groups, prepend=-1) != 0)).tolist()
    paths = [Path(path) for path in shards.dictionary.to_pylist()]
    ends = [*starts[1:], len(rows)][: len(starts)]
    return [(paths[codes[first]], int(groups[first]), first, end) for first, end in zip(starts, ends, strict=True)]
