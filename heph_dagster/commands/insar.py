"""`heph insar`: annotations and interferograms of volcanoes."""

from __future__ import annotations

import click

from heph_dagster.commands.insar_download import download_archives
from heph_dagster.commands.insar_import import import_annotations
from heph_dagster.commands.insar_import_crops import import_crops
from heph_dagster.commands.insar_search import search
from heph_dagster.commands.insar_synthesize import synthesize
from heph_dagster.commands.options import Group


@click.group(cls=Group)
def insar() -> None:
    """Interferograms of volcanoes: annotations, crops, pictures."""


insar.add_command(download_archives)
insar.add_command(import_annotations)
insar.add_command(import_crops)
insar.add_command(search)
insar.add_command(synthesize)
