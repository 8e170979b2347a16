"""`heph insar`: annotations and interferograms of volcanoes."""

from __future__ import annotations

import click

from heph_dagster.commands.insar_download import download_archives
from heph_dagster.commands.insar_import import import_annotations
from heph_dagster.commands.insar_import_crops import import_crops
from heph_dagster.commands.insar_make import crops, inventory, masks, split
from heph_dagster.commands.insar_search import search
from heph_dagster.commands.insar_show import show
from heph_dagster.commands.insar_synthesize import synthesize
from heph_dagster.commands.options import Group


@click.group(cls=Group)
def insar() -> None:
    """Interferograms of volcanoes: annotations, crops, pictures."""


for command in (
    crops, download_archives, import_annotations, import_crops, inventory, masks, search, show, split, synthesize,
):  # fmt: skip
    insar.add_command(command)
