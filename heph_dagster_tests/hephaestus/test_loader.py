"""Crops as batches for training."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from heph_dagster.hephaestus.crops import LABELS
from heph_dagster.hephaestus.frame_crops import make_frame_crops
from heph_dagster.hephaestus.loader import CropDataset, Sharing
from heph_dagster.hephaestus.shard_writer import write_shards
from heph_dagster.hephaestus.shards import PIXELS, ShardsError, read_crops
from heph_dagster.hephaestus.splitting import make_splits
from heph_dagster_tests.hephaestus.archives import ETNA, REUNION, make_archive
from heph_dagster_tests.hephaestus.making_crops import SIZE, make_crop, write_frame

CROPS = 600
README = Path(__file__).parents[2] / "README.md"
_RANK = """
import sys
from pathlib import Path
from torch import distributed
from torch.utils.data import DataLoader
from heph_dagster.hephaestus.loader import CropDataset

distributed.init_process_group("gloo", f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
loader = DataLoader(CropDataset([Path(sys.argv[3])], seed=1), batch_size=64, num_workers=2)
print(*(name for batch in loader for name in batch["name"]))
"""


def test_the_snippet_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_archive(tmp_path / "data" / "hephaestus")
    for frame in (ETNA, REUNION):
        make_frame_crops(root, root / "raw", frame, size=64)
    make_splits(root, test_frames=[REUNION])
    snippets = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (snippet,) = (each for each in snippets if "CropDataset" in each)
    found: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(snippet, found)  # noqa: S102 - it is ours
    assert found["loader"].dataset.count == len(found["names"]) == 15


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("crops")
    return [write_frame(root / "a", CROPS - 50), write_frame(root / "b", 50, unique_id=8, phase=None)]


def names(dataset: Iterable[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in dataset]


def batched(dataset: CropDataset, workers: int, **options: Any) -> list[str]:
    loader = DataLoader(dataset, batch_size=64, num_workers=workers, **options)
    return [name for batch in loader for name in batch["name"]]


def test_items_are_the_crops_and_their_labels(folders: list[Path]) -> None:
    crops = {each.name: each for folder in folders for each in read_crops(folder)}
    for item in CropDataset(folders, columns=PIXELS):
        crop = crops[item["name"]]
        assert np.array_equal(item["image"].numpy().transpose(1, 2, 0), crop.image)
        assert np.array_equal(item["mask"].numpy(), crop.mask)
        assert np.array_equal(item["coherence"].numpy(), crop.coherence)
        shown = [] if crop.intensity is None else [crop.intensity]
        expected = {"deformation": int(bool(crop.activities)), "phase": -1 if crop.phase is None else crop.phase}
        expected |= {each.name.lower(): 1 for each in (*crop.activities, *shown)}
        assert item["labels"].tolist() == [expected.get(name, 0) for name in LABELS]


def test_batches_are_tensors_of_bytes(folders: list[Path]) -> None:
    batch = next(iter(DataLoader(CropDataset(folders, seed=0), batch_size=64)))
    assert {name: (each.shape, each.dtype) for name, each in batch.items() if name != "name"} == {
        "image": ((64, 3, SIZE, SIZE), torch.uint8),
        "mask": ((64, SIZE, SIZE), torch.uint8),
        "labels": ((64, 11), torch.int8),
    }


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than there may be cores
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_crop_comes_once_on_any_number_of_workers(folders: list[Path], workers: int) -> None:
    dataset = CropDataset(folders, seed=5)
    found = batched(dataset, workers)
    assert dataset.count == len(found) == CROPS
    assert set(found) == set(names(CropDataset(folders)))
    assert batched(CropDataset(folders, seed=5), workers) == found


@pytest.mark.slow
def test_processes_share_the_crops(folders: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-c", _RANK, str(tmp_path / "store")]
    running = [
        subprocess.Popen([*command, str(rank), str(folders[0])], stdout=subprocess.PIPE, text=True) for rank in (0, 1)
    ]
    found = [process.communicate(timeout=60)[0].split() for process in running]
    assert all(found)
    assert sorted(found[0] + found[1]) == sorted(names(CropDataset(folders[:1])))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2, 3])
def test_workers_that_share_evenly_get_as_many_crops_each(folders: list[Path], workers: int) -> None:
    dataset = CropDataset(folders, seed=5, columns=[], sharing=Sharing.EVEN)
    loader = DataLoader(dataset, batch_size=1, num_workers=workers)
    found = [name for batch in loader for name in batch["name"]]
    assert set(found) == set(names(CropDataset(folders, columns=[])))
    # 600 crops in 20 row groups: with 3 workers, the first two have 7 of at most 32.
    assert len(found) % max(workers, 1) == 0
    assert CROPS <= len(found) <= CROPS + 3 * 64


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_without_a_row_group_repeat_those_of_another(folders: list[Path]) -> None:
    dataset = CropDataset(folders[:1], ["7_0", "7_1"], seed=0, columns=[], sharing=Sharing.EVEN)
    found = [name for batch in DataLoader(dataset, batch_size=1, num_workers=2) for name in batch["name"]]
    assert Counter(found) == {"7_0": 2, "7_1": 2}


def test_crops_come_as_often_as_they_are_asked_for(folders: list[Path]) -> None:
    wanted = {f"7_{number}": (3.0, 0.25)[number > 9] for number in range(300)}
    counts = []
    for epoch in (0, 1):
        dataset = CropDataset(folders[:1], list(wanted), seed=1, epoch=epoch, columns=[], copies=wanted)
        counts.append(Counter(names(dataset)))
        assert all(counts[-1][f"7_{number}"] == 3 for number in range(10))
        rare = [name for name in counts[-1] if wanted[name] < 1]
        assert 45 <= len(rare) <= 100  # 290 / 4, give or take four standard deviations
        assert all(counts[-1][name] == 1 for name in rare)
    assert counts[0] != counts[1]
    again = CropDataset(folders[:1], list(wanted), seed=1, epoch=1, columns=[], copies=wanted)
    assert Counter(names(again)) == counts[1]


def test_missing_coherence_is_nothing_where_that_is_asked_for(tmp_path: Path) -> None:
    write_shards(tmp_path, [make_crop("9_0"), make_crop("9_1", coherence=False)])
    there, lacking = CropDataset([tmp_path], columns=["coherence"], fill=True)
    assert there["coherence"].any()
    assert not lacking["coherence"].any()


def test_order_depends_on_seed_and_epoch(folders: list[Path]) -> None:
    orders = [names(CropDataset(folders, seed=seed, epoch=epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    # Neighbours on disk do not stay together, and both folders are among the first batch.
    numbers = [int(name.split("_")[1]) for name in orders[0]]
    assert sum(b == a + 1 for a, b in pairwise(numbers)) < CROPS / 20
    assert len({name.split("_")[0] for name in orders[0][:64]}) == 2


def test_without_seed_crops_come_as_they_are_stored(folders: list[Path]) -> None:
    stored = [each.name for folder in folders for each in read_crops(folder)]
    assert names(CropDataset(folders)) == stored


def test_workers_that_stay_see_the_next_epoch(folders: list[Path]) -> None:
    dataset = CropDataset(folders, seed=0)
    loader = DataLoader(dataset, batch_size=64, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in (0, 1, 0):
        dataset.epoch = epoch
        orders.append([name for batch in loader for name in batch["name"]])
    assert orders[0] == orders[2] != orders[1]


def test_only_what_is_asked_for_is_read(folders: list[Path]) -> None:
    assert set(next(iter(CropDataset(folders, columns=["coherence"])))) == {"name", "labels", "coherence"}


def test_a_part_of_the_crops(folders: list[Path]) -> None:
    part = {"7_3", "7_300", "7_549", "8_49"}
    dataset = CropDataset(folders, part, seed=0)
    assert (dataset.count, set(names(dataset))) == (4, part)
    assert names(CropDataset(folders, [], seed=0, columns=PIXELS)) == []


def test_what_does_not_fit_together_is_refused(folders: list[Path], tmp_path: Path) -> None:
    write_shards(tmp_path / "large", [make_crop("9_0", size=SIZE + 1)])
    write_shards(tmp_path / "bare", [make_crop("9_0"), make_crop("9_1", coherence=False)])
    with pytest.raises(ShardsError, match="crops are of different sizes: 6, 7 px"):
        CropDataset([*folders, tmp_path / "large"])
    with pytest.raises(ValueError, match="1 crops have no coherence, first 9_1"):
        CropDataset([tmp_path / "bare"], columns=["coherence"])
    with pytest.raises(ValueError, match="crops have no masks: columns are image, mask, coherence"):
        CropDataset(folders, columns=["masks"])
    with pytest.raises(ValueError, match="2 names have no crop, first 7_900, 9_0"):
        CropDataset(folders, ["7_900", "9_0", "7_1"])
    with pytest.raises(ValueError, match="two crops have the same name"):
        CropDataset([folders[0], folders[0]])
    with pytest.raises(ValueError, match="there are no folders"):
        CropDataset([])
