"""What gave no mask or crop, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from heph_dagster.tables import read_table, write_table


@dataclass(frozen=True)
class CropReject:
    """A crop that could not be made.

    Attributes:
        unique_id: ID of the annotation.
        index: Number of the deformation; None if all crops of the interferogram are meant.
        reason: Why.
    """

    unique_id: int
    index: int | None
    reason: str


def rejects_to_json(rejects: Iterable[CropReject]) -> bytes:
    """Rejects as a JSON list of objects."""
    return json.dumps([asdict(each) for each in rejects]).encode()


def rejects_from_json(text: bytes) -> tuple[CropReject, ...]:
    """The rejects that `rejects_to_json` wrote."""
    return tuple(CropReject(**each) for each in json.loads(text))


def write_rejects(path: Path, rejects: Iterable[CropReject]) -> None:
    """Write rejects as a table of `unique_id`, `index` and `reason`."""
    import pyarrow as pa

    schema = pa.schema({"unique_id": pa.int32(), "index": pa.int32(), "reason": pa.string()})
    write_table(path, pa.Table.from_pylist([asdict(each) for each in rejects], schema))


def read_rejects(path: Path) -> tuple[CropReject, ...]:
    """The rejects of a table; none where there is no table."""
    return tuple(CropReject(**row) for row in read_table(path).to_pylist()) if path.exists() else ()
