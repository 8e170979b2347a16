"""`heph`: the library from a shell."""

from __future__ import annotations

import click

from heph_dagster import __version__
from heph_dagster.commands.adopt import adopt
from heph_dagster.commands.alert import alert
from heph_dagster.commands.archive import archive, serve
from heph_dagster.commands.backfill import backfill
from heph_dagster.commands.check import check
from heph_dagster.commands.copied import on_data
from heph_dagster.commands.demo import demo
from heph_dagster.commands.demo_training import demo_models
from heph_dagster.commands.dev import dev
from heph_dagster.commands.download import download
from heph_dagster.commands.export import export
from heph_dagster.commands.insar import insar
from heph_dagster.commands.label import label, labels
from heph_dagster.commands.layers import days, layers
from heph_dagster.commands.options import Group
from heph_dagster.commands.prune import prune
from heph_dagster.commands.run import run
from heph_dagster.commands.segment import segment
from heph_dagster.commands.train import train
from heph_dagster.commands.verify import verify


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="heph")
def main() -> None:
    """Satellite imagery days: fetched, checked, labelled."""


for command in (alert, archive, backfill, days, demo, demo_models, dev, layers, run, serve):
    main.add_command(command)
for command in (adopt, check, download, export, insar, label, labels, prune, segment, train, verify):
    main.add_command(on_data(command))

if __name__ == "__main__":
    main()
