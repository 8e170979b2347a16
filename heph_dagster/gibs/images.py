"""The images that a download writes beside each mosaic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heph_dagster.gibs.catalogue import Layer
from heph_dagster.gibs.export import check_image, export_image, export_tiles, image_is_current, tiles_are_current
from heph_dagster.gibs.grid import TILE_SIZE, Resolution, Window

# Of 512 x 512 px as they are written here; an estimate for the disk, no more.
_BYTES = {"jpg": 80_000, "png": 400_000, "tif": 400_000}
_BYTES_OF_A_PALETTE = 20_000


@dataclass(frozen=True, kw_only=True)
class DayImages:
    """What is written of a day.

    Attributes:
        layer: The layer.
        window: What the mosaic holds.
        kind: Format of the image beside the mosaic: `jpg`, `png` or `tif`; `mrf` for none.
        size: Width and height in px of an image of the whole world; the mosaic's own by default.
        tiling: The row of gibs-ml's table by which the world is cut into tiles, too; none by default.
    """

    layer: Layer
    window: Window
    kind: str
    size: tuple[int, int] | None = None
    tiling: Resolution | None = None

    @property
    def tile_kind(self) -> str:
        """Format of the tiles: the image's where tiles can have it, else the layer's."""
        return self.kind if self.kind in {"jpg", "png"} else self.layer.format

    def check(self) -> None:
        """Make sure that the formats can hold the images.

        Raises:
            RasterError: One can not.
        """
        transparent = self.layer.band_count == 4
        if self.kind != "mrf":
            check_image(self.layer.identifier, self.kind, self.size or self.window.size, transparent=transparent)
        if self.tiling is not None:
            check_image(self.layer.identifier, self.tile_kind, (TILE_SIZE, TILE_SIZE), transparent=transparent)

    @property
    def bytes(self) -> int:
        """About how much room a day takes."""
        sizes = {} if self.kind == "mrf" else {self.kind: self.size or self.window.size}
        images = [*sizes.items()] + ([] if self.tiling is None else [(self.tile_kind, self.tiling.size)])
        flat = self.layer.format == "png"
        return sum(
            width * height * (_BYTES_OF_A_PALETTE if flat and kind != "jpg" else _BYTES[kind]) // TILE_SIZE**2
            for kind, (width, height) in images
        )

    def write(self, mosaic: Path) -> None:
        """Write those that are not there, or older than their mosaic, or of another size.

        Raises:
            RasterError: The mosaic cannot be read or cut so.
            StorageError: The disk is full or fails.
        """
        if self.kind != "mrf" and not image_is_current(mosaic, self.kind, self.size):
            export_image(mosaic, self.kind, self.size)
        if self.tiling is not None and not tiles_are_current(mosaic, self.tile_kind, self.tiling):
            export_tiles(mosaic, self.tile_kind, self.tiling)
