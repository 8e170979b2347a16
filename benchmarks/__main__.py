"""Run benchmarks and write their table: `python -m benchmarks [part ...]`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Row

PARTS = (
    "acquisition",
    "missing",
    "miscolouring",
    "warping",
    "features",
    "crops",
    "crops_loading",
    "models",
    "operations",
    "sizing",
)
RESULTS = Path(__file__).parent / "results" / "latest.json"


def main(parts: list[str]) -> int:
    """Run parts, print a table, write `results/latest.json`; 1 if a target is missed."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        sys.stderr.write(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}\n")
        return 2
    rows: list[Row] = []
    for part in parts or PARTS:
        rows += importlib.import_module(f"benchmarks.{part}").run()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps([row.as_json() for row in rows], indent=2) + "\n", "utf-8")
    table = Table("Measure", "Value", "Unit", "Target", "Met", "Note")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        table.add_row(row.name, f"{row.value:.3g}", row.unit, row.target, met, row.note)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return int(any(row.met is False for row in rows))


sys.exit(main(sys.argv[1:]))
