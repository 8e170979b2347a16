"""`heph verify`: are the days on disk what was downloaded?"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.gibs.verify import CheckedDay


@click.command()
@click.option("--layer", "names", multiple=True, help="Layers to check.  [default: all]")
@click.option(
    "--mend",
    is_flag=True,
    help="Download damaged tiles again, and remove what replaced days left behind, and killed writers a day ago.",
)
@options.output_dir
@options.as_json
def verify(names: tuple[str, ...], output_dir: Path | None, *, mend: bool, as_json: bool) -> None:
    """Compare all days on disk, tile by tile, with what was downloaded."""
    from heph_dagster.commands.progress import counting
    from heph_dagster.gibs.publish import superseded_files
    from heph_dagster.gibs.verify import abandoned_files, check_days, mend_days, stored_days
    from heph_dagster.settings import Settings

    settings = Settings()
    root, catalogue = output_dir or settings.root, settings.catalogue()
    wanted = {catalogue[name].identifier for name in names}
    days = [each for each in stored_days(root) if not wanted or each.layer in wanted]
    if not days:
        raise ValueError(f"{root} has no days to check; --output_dir names another folder")
    with counting("Checking", len(days)) as advance:
        checked = check_days(days, lambda _: advance())
    if mend:
        bad = [each for each in checked if not each.sound]
        mended = {each.stored: each for each in mend_days(settings.client, catalogue, root, bad)}
        checked = [mended.get(each.stored, each) for each in checked]
    # After the mending, which may publish again what a crash left.
    left = [file for each in checked for file in superseded_files(each.stored.path, remove=mend)]
    abandoned = abandoned_files(root, datetime.now(UTC) - timedelta(days=1))
    for file in abandoned if mend else ():
        file.unlink(missing_ok=True)
    if as_json:
        click.echo(json.dumps([_row(each) for each in checked], default=str, indent=2))
    else:
        _report(checked, mend=mend)
    for count, whose in ((len(left), "replaced days"), (len(abandoned), "writers that were killed")):
        if count:
            what = "were removed" if mend else "are there; --mend removes them"
            click.echo(f"{count} files that {whose} left behind {what}", err=as_json)
    raise SystemExit(int(not all(each.sound for each in checked)))


def _row(checked: CheckedDay) -> dict[str, Any]:
    stored = checked.stored
    return {
        "layer": stored.layer, "epsg": stored.epsg, "day": stored.day, "path": stored.path, "sound": checked.sound,
        "compared_with": checked.compared_with, "tiles": checked.tiles, "bytes": checked.bytes,
        "damaged": [tile._asdict() for tile in checked.damaged], "unreadable": checked.unreadable,
        "mended": checked.mended, "error": checked.error,
    }  # fmt: skip


def _report(checked: list[CheckedDay], *, mend: bool) -> None:
    size = sum(each.bytes for each in checked) / 1e6
    click.echo(f"{len(checked)} days, {sum(each.tiles for each in checked)} tiles, {size:.1f} MB")
    decoded = sum(each.compared_with == "decoder" for each in checked)
    if decoded:
        click.echo(f"{decoded} of the days were not downloaded: their tiles were decoded, there is no digest of them")
    for each in checked:
        if not each.damaged and not each.unreadable:
            continue
        what = each.unreadable or f"{len(each.damaged)} of {each.tiles} tiles are not what they were"
        if mend:
            what += "; mended" if each.mended else f"; could not be mended: {each.error}"
        click.echo(f"{each.stored.epsg} {each.stored.day} {each.stored.layer}: {what}", err=True)
    if not mend and not all(each.sound for each in checked):
        click.echo("heph verify --mend downloads again what is damaged", err=True)
