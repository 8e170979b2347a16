"""What several commands have in common: options, the type of a day, and errors that are one line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from heph_dagster.errors import HephError


class Group(click.Group):
    """Commands whose expected errors are one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for.

        Raises:
            ClickException: It raised a HephError, ValueError or OSError.
        """
        try:
            return super().invoke(ctx)
        except (HephError, ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error


class _Day(click.ParamType[date]):
    """A UTC day: YYYY-MM-DD or `Today`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        from heph_dagster.gibs.periods import parse_day

        if str(value).lower() == "today":
            return datetime.now(UTC).date()
        try:
            return parse_day(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


DAY = _Day()

layer_name = click.argument("layer_name", metavar="LAYER")
epsg = click.option("--epsg", default=4326, show_default=True, help="Projection.")
named_epsg = click.option(
    "--epsg", default=4326, show_default=True, help="4326 (geographic), 3413 (arctic) or 3031 (antarctic)."
)
first_day = click.option("--start", type=DAY, required=True, help="First day.")
last_day = click.option("--end", type=DAY, help="Last day, included.  [default: the first day]")
bbox = click.option(
    "--bbox",
    nargs=4,
    type=float,
    help="West, south, east and north in degrees; west greater than east crosses the antimeridian.",
)
output_dir = click.option(
    "--output_dir", "--output-dir", type=click.Path(path_type=Path), help="Data root.  [default: the setting data_dir]"
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
