"""`heph insar search`: captions by their words."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from heph_dagster.commands import options


@click.command()
@click.argument("words", nargs=-1)
@click.option("--frame", help="Only of this frame.")
@click.option("--label", help="Only of interferograms that show this: Deformation, Earthquake or Non_Deformation.")
@options.as_json
def search(words: tuple[str, ...], frame: str | None, label: str | None, *, as_json: bool) -> None:
    """Search the captions of annotations: all words must occur.

    A word may be the beginning of one, and words in quotes are a phrase: heph insar search "mogi type" intens
    """
    from heph_dagster.hephaestus.annotation import Label
    from heph_dagster.hephaestus.captions import search_captions
    from heph_dagster.hephaestus.frames import Frame
    from heph_dagster.settings import Settings

    if frame is not None:
        Frame(frame)
    labels = {str(each).lower(): each for each in Label}
    if label is not None and label.lower() not in labels:
        raise ValueError(f"no interferogram shows {label!r}; there are {', '.join(Label)}")
    shown = None if label is None else labels[label.lower()]
    found = search_captions(Settings().insar_dir, words, frame, shown)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], default=str, indent=2))
        return
    for each in found:
        pair, shows = f"{each.primary:%Y%m%d}_{each.secondary:%Y%m%d}", "+".join(each.label)
        click.echo(f"{each.unique_id:>6}  {each.frame}  {pair}  {shows:<22}  {' '.join(each.caption.split())}")
    if not found:
        raise click.ClickException("no caption matches")
