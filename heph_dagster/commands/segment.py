"""`heph segment`: an image in groups of pixels that are alike."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heph_dagster.commands import options

if TYPE_CHECKING:
    from heph_dagster.anomalies.segmentation import Segmentation
    from heph_dagster.gibs.raster import Image

_OWN = {"kmeans": ("num_clusters", "seed"), "meanshift": ("bandwidth",)}


@click.command()
@click.argument("source", metavar="IMAGE|LAYER")
@click.argument("day", metavar="[DATE]", type=options.DAY, required=False)
@click.option("--method", type=click.Choice(list(_OWN)), default="kmeans", show_default=True)
@click.option("--num_clusters", "--num-clusters", type=int, help="Clusters of k-means, 1 to 256.  [default: 8]")
@click.option("--seed", type=click.IntRange(0), help="Of k-means' first centres.  [default: 0]")
@click.option("--bandwidth", type=float, help="Radius of mean shift, of features from 0 to 1.  [default: 0.3]")
@click.option(
    "--width",
    type=click.IntRange(1),
    default=2560,
    show_default=True,
    help="Width in px that a wider image is averaged to.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The picture, a .png; the clusters' numbers go beside it.  [default: <image>.<method>.png beside the image]",
)
@options.epsg
@options.output_dir
@options.as_json
def segment(
    source: str,
    day: date | None,
    method: str,
    width: int,
    out: Path | None,
    epsg: int,
    output_dir: Path | None,
    *,
    as_json: bool,
    **own: float | None,
) -> None:
    """Segment an IMAGE, or the DATE of a LAYER on disk, by place and colour of its pixels.

    Writes a picture in which each pixel has the mean colour of its cluster, and the clusters' numbers as a GeoTIFF.
    """
    from heph_dagster.anomalies.segmentation import write_segmentation
    from heph_dagster.gibs.preview import thumbnail
    from heph_dagster.gibs.raster import raster_size

    given = {name: value for name, value in own.items() if value is not None}
    if others := sorted(set(given) - set(_OWN[method])):
        raise click.UsageError(f"{method} does not take {', '.join(f'--{name}' for name in others)}")
    path = _image(source) if day is None else _mosaic(source, day, epsg, output_dir)
    picture = out or path.with_name(f"{path.stem}.{method}.png")
    if picture.suffix.lower() != ".png":
        raise click.BadParameter(f"{picture} should end in .png", param_hint="--out")
    if same := [each for each in (picture, picture.with_suffix(".tif")) if each.absolute() == path.absolute()]:
        raise click.BadParameter(f"{same[0]} is the image itself: give another --out", param_hint="--out")
    full = raster_size(path)
    size = full if full[0] <= width else (width, max(1, round(full[1] * width / full[0])))
    result = _segmented(thumbnail(path, size), method, given)
    labels = write_segmentation(picture, result, like=path)
    clusters = result.figures()
    if as_json:
        report = {
            "image": str(path), "method": method, **given, "size": size, "fitted_size": result.fitted,
            "clusters": clusters, "picture": str(picture), "labels": str(labels),
        }  # fmt: skip
        click.echo(json.dumps(report, indent=2))
        return
    for number, cluster in enumerate(clusters):
        red, green, blue = cluster["colour"]
        click.echo(f"{number:>3}  {cluster['share']:>6.1%}  rgb({red}, {green}, {blue})")
    sizes = ("{} x {} px".format(*each) for each in (size, result.fitted))
    click.echo("{}: {} clusters of {}, found at {}; numbers in {}".format(picture, len(result.colours), *sizes, labels))


def _image(name: str) -> Path:
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(f"{name} is not there: name an image, or a layer and the day of it")
    return path


def _mosaic(name: str, day: date, epsg: int, output_dir: Path | None) -> Path:
    from heph_dagster.gibs.archive import mosaic_path
    from heph_dagster.gibs.verify import check_sound
    from heph_dagster.settings import Settings

    settings = Settings()
    layer = settings.catalogue()[name]
    layer.grid(epsg)
    path = mosaic_path(output_dir or settings.root, epsg, day, layer)
    check_sound(path, epsg)
    return path


def _segmented(image: Image, method: str, given: dict[str, float]) -> Segmentation:
    from heph_dagster.anomalies.segmentation import kmeans_segmentation, meanshift_segmentation

    if method == "kmeans":
        return kmeans_segmentation(image, **{name: int(value) for name, value in given.items()})
    return meanshift_segmentation(image, **given)
