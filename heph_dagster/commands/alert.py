"""`heph alert`: whether alerts reach people."""

from __future__ import annotations

import click

from heph_dagster.commands.options import Group


@click.group(cls=Group)
def alert() -> None:
    """Alerts of what goes wrong; docs/alerts.md tells how they are set up."""


@alert.command()
def test() -> None:
    """Send a test through every channel that is set; the exit code is 1 where one fails."""
    import numpy as np

    from heph_dagster.alerts.alert import Alert, ChannelError, Message
    from heph_dagster.gibs.preview import SIZE, jpeg
    from heph_dagster.settings import Settings

    settings = Settings()
    title, text = "a test", "Alerts of heph_dagster reach you here. Nothing is wrong."
    told = Alert("test", "test", "heph_dagster", title, text, "warning", settings.dagster_url)
    picture = np.broadcast_to(np.linspace(0, 255, SIZE[0]).astype(np.uint8)[None, :, None], (SIZE[1], SIZE[0], 3))
    message = Message(title, text, told.severity, told.link, (told,), jpeg(np.ascontiguousarray(picture)))
    failed = 0
    for channel in settings.alert_channels():
        try:
            channel.send(message)
        except ChannelError as error:
            failed += 1
            click.echo(f"{channel.name}: failed, {error}")
        else:
            click.echo(f"{channel.name}: sent")
    raise SystemExit(int(failed > 0))
