"""`heph insar download`: the archives of Hephaestus."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.settings import Settings

_ARCHIVES = ("annotations", "raw", "crops")
_NEXT = {
    "annotations": "heph insar import {path}",
    "crops": "heph insar import-crops {path}",
}


@click.command("download")
@click.argument("what", type=click.Choice((*_ARCHIVES, "all")))
@options.as_json
def download_archives(what: str, *, as_json: bool) -> None:
    """Download archives of Hephaestus.

    These are the annotations, the raw interferograms and the published crops. A download that was stopped goes on. A
    file that lies in hephaestus/downloads of the data folder under its name is taken as it is. Raw interferograms are
    unpacked; the other archives are read as they are.
    """
    from heph_dagster.settings import Settings

    settings = Settings()
    done = {name: _have(settings, name) for name in (_ARCHIVES if what == "all" else (what,))}
    if as_json:
        click.echo(json.dumps(done, default=str, indent=2))
        return
    for name, row in done.items():
        origin = f"from {row['url']}" if row["url"] else "put there by hand"
        click.echo(f"{name}: {row['path']}, {row['bytes'] / 1e6:.1f} MB, SHA-256 {row['sha256']}, {origin}")
        if "raw" in row:
            click.echo(f"{name}: {row['written']} files written to {row['raw']}, {row['kept']} were there")
        if row.get("left_out"):
            click.echo(f"{name}: {len(row['left_out'])} files belong to no frame, first {row['left_out'][0]!r}")
        if name in _NEXT:
            click.echo(f"next: {_NEXT[name].format(path=row['path'])}")


def _have(settings: Settings, name: str) -> dict[str, Any]:
    from heph_dagster.commands.progress import measuring
    from heph_dagster.hephaestus.downloads import Archive, fetch
    from heph_dagster.hephaestus.unpacking import unpack_raw

    archive = Archive(getattr(settings, f"insar_{name}_url"), getattr(settings, f"insar_{name}_sha256"))
    with measuring(f"Downloading {name}") as note:
        download = fetch(archive, settings.insar_archives / "downloads", settings.access, note)
    row = asdict(download)
    if name == "raw":
        with measuring("Unpacking raw") as note:
            row |= {"raw": settings.insar_raw_dir} | asdict(unpack_raw(download.path, settings.insar_raw_dir, note))
    return row
