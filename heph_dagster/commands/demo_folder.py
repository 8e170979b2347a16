"""The data folder of a demonstration: emptied, and told which layers and days it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from heph_dagster.files import replacing

if TYPE_CHECKING:
    from heph_dagster.gibs.catalogue import Catalogue
    from heph_dagster.settings import Settings

ARCHIVE = "archive"
_MADE_BY = "# Made by `heph demo`"


def clear(root: Path) -> None:
    """Remove what an earlier demonstration made.

    Raises:
        ValueError: The folder holds something else.
    """
    import shutil

    from heph_dagster.commands.demo_insar import FOLDER
    from heph_dagster.gibs.synthetic.archive import EPSG
    from heph_dagster.settings import CATALOGUE_FILE, MLFLOW_STORE

    if not root.exists() or not any(root.iterdir()):
        return
    layers = root / CATALOGUE_FILE
    if not layers.is_file() or not layers.read_text("utf-8").startswith(_MADE_BY):
        raise ValueError(f"{root} holds something that is no demonstration; choose another folder with --root")
    for name in (ARCHIVE, str(EPSG), FOLDER, "dagster", "mlruns", "checkpoints"):
        if (root / name).exists():
            shutil.rmtree(root / name)
    (root / MLFLOW_STORE).unlink(missing_ok=True)


def limit_days(root: Path, names: Sequence[str], first: date, last: date) -> Catalogue:
    """A catalogue of the data folder in which layers have the days of the archive, and so their assets, too."""
    from heph_dagster.gibs.catalogue import load_catalogue
    from heph_dagster.settings import CATALOGUE_FILE

    rows = []
    for name in names:
        days = {"first_day": first, "last_day": last}
        row = load_catalogue()[name].model_copy(update=days).model_dump(mode="json", exclude_none=True)
        rows.append("[[layer]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items()))
    with replacing(root / CATALOGUE_FILE) as part:
        part.write_text(f"{_MADE_BY}: the layers of its archive, and their days.\n" + "\n".join(rows), "utf-8")
    return load_catalogue(root / CATALOGUE_FILE)


def configure(root: Path, names: Sequence[str], level: int, url: str | None = None) -> Settings:
    """Settings of the data folder: a local server in place of GIBS, where there is one."""
    from heph_dagster.settings import SETTINGS_FILE, Settings

    text = "" if url is None else f"gibs_url = {json.dumps(url)}\n"
    text += f"level = {level}\nlayers = {json.dumps(list(names))}\n"
    with replacing(root / SETTINGS_FILE) as part:
        part.write_text(f"{_MADE_BY}: synthetic days, from the local server.\n{text}", "utf-8")
    return Settings(data_dir=root, work_dir=root)
