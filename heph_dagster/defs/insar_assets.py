"""The assets of Hephaestus: annotations, and by frame interferograms, masks and crops; splits of the crops."""

# No `from __future__ import annotations`: Dagster reads the types of an asset function as they are.
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from heph_dagster.defs import parts
from heph_dagster.defs.automation import follow_all, follow_frames
from heph_dagster.defs.insar_partitions import FRAMES, add_frames
from heph_dagster.defs.reports import in_own_words, picture, plot, work_through
from heph_dagster.defs.resources import Insar
from heph_dagster.hephaestus import annotations as annotation_tables
from heph_dagster.hephaestus import frame_crops, frame_masks, inventory, splits
from heph_dagster.hephaestus.annotation import Activity, Annotation
from heph_dagster.hephaestus.contact_sheet import contact_sheet
from heph_dagster.hephaestus.crops import CROP_SIZE
from heph_dagster.hephaestus.frames import NAMES_FILE, known_frames, read_volcanoes
from heph_dagster.hephaestus.published_split import PUBLISHED_FILE
from heph_dagster.hephaestus.splitting import make_splits
from heph_dagster.hephaestus.timelines import draw_distribution, draw_frame

GROUP = "hephaestus"
_MOST_LINES = 100


class CropsConfig(dg.Config):
    """How crops are made."""

    seed: int = Field(default=0, ge=0, description="Another seed places crops elsewhere.")
    size: int = Field(default=CROP_SIZE, ge=1, description="Columns and rows of a crop.")


class SplitConfig(dg.Config):
    """How crops are split."""

    seed: int = Field(default=0, ge=0, description="Another seed takes other frames for validation.")
    test_frames: list[str] = Field(
        default=list(splits.TEST_FRAMES), description="Frames that test, in the split by frames."
    )


def insar_key(name: str) -> dg.AssetKey:
    """Key of an asset of Hephaestus."""
    return dg.AssetKey([GROUP, name])


def table(columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> dg.MarkdownMetadataValue:
    """Rows as a table in the UI; of many, the first."""
    if not rows:
        return dg.MetadataValue.md("none")
    lines = [columns, ("---",) * len(columns), *rows[:_MOST_LINES]]
    text = "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)
    return dg.MetadataValue.md(text + (f"\n\nand {len(rows) - _MOST_LINES} more" if len(rows) > _MOST_LINES else ""))


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


@dg.asset(
    key=insar_key("annotations"),
    group_name=GROUP,
    kinds={"parquet"},
    code_version=annotation_tables.SCHEMA_VERSION,
    description="What annotators said of interferograms, checked: tables of annotations and deformations, of repairs "
    "and of rejects with their reasons.",
)
def annotations(context: dg.AssetExecutionContext, insar: Insar) -> dg.MaterializeResult[None]:
    """Read the annotation files."""
    with in_own_words():
        read = annotation_tables.read_annotations(insar.annotations)
    with insar.open(*parts.of_frames([])) as data:
        annotation_tables.write_annotations(data.folder, read)
        place = data.place(data.folder)
    add_frames(context.instance, insar)
    volcanoes = read_volcanoes(Path(insar.archives) / NAMES_FILE)
    kinds = [each.activity for annotation in read.annotations for each in annotation.deformations]
    return dg.MaterializeResult(
        metadata={
            **read.counts(),
            "frames": len({each.frame for each in read.annotations}),
            **{each.word.lower(): kinds.count(each) for each in Activity},
            "over_time": plot(draw_distribution(read.annotations, volcanoes)),
            "first_repairs": table(
                ("file", "field", "was", "now", "reason"),
                [(name, each.field, each.was, each.now, each.reason) for name, each in read.repairs],
            ),
            "first_rejects": table(("file", "reason"), [(each.source, each.reason) for each in read.rejects]),
            "source": dg.MetadataValue.path(str(insar.annotations)),
            "path": place,
        },
        data_version=dg.DataVersion(read.digest),
    )


def work_through_frames(
    context: dg.AssetExecutionContext, insar: Insar, work: Callable[[Insar, str], Mapping[str, Any]]
) -> None:
    """Do the frames of a run one after the other, each on all cores, and record them with their regions."""

    def with_region(data: Insar, frame: str) -> dict[str, Any]:
        metadata = work(data, frame)
        context.log.info(f"{frame}: done")
        return {"region": known_frames().get(frame, "unknown"), **metadata}

    work_through(context, insar.open(*parts.of_frames(context.partition_keys)), with_region, "frames", at_once=1)


def _annotations_of(data: Insar, frame: str) -> list[Annotation]:
    """The annotations of a frame; none where none have been imported."""
    if not (data.folder / "annotations.parquet").exists():
        return []
    return annotation_tables.load_annotations(data.folder, [frame])


@dg.asset(
    key=insar_key("interferograms"),
    partitions_def=FRAMES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[insar_key("annotations")],
    group_name=GROUP,
    kinds={"parquet"},
    code_version="1",
    description="All pairs of radar images that the raw archive has of a frame, annotated or not: days, baselines, "
    "sizes of the images, and what is wrong with them.",
)
def interferograms(context: dg.AssetExecutionContext, insar: Insar) -> None:
    """Take the inventory of frames."""

    def take(data: Insar, frame: str) -> dict[str, Any]:
        pairs = inventory.take_inventory(data.raw, frame, inventory.annotated_pairs(data.folder, frame))
        path = inventory.inventory_path(data.folder, frame)
        inventory.write_inventory(path, pairs)
        on_disk = [each for each in pairs if each.on_disk]
        return {
            "on_disk": len(on_disk),
            "annotated": sum(each.unique_id is not None for each in on_disk),
            "annotated_not_on_disk": len(pairs) - len(on_disk),
            "problems": table(("problem", "pairs"), list(inventory.count_problems(pairs).items())),
            "over_time": plot(draw_frame(_annotations_of(data, frame), pairs)),
            "path": data.place(path),
        }

    work_through_frames(context, insar, take)


@dg.asset(
    key=insar_key("masks"),
    partitions_def=FRAMES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[insar_key("annotations"), insar_key("interferograms")],
    automation_condition=follow_frames(insar_key("annotations"), insar_key("interferograms")),
    group_name=GROUP,
    kinds={"opencv"},
    code_version="1",
    description="Classes of the pixels of each interferogram with deformations, as PNG, and where each deformation is.",
)
def masks(context: dg.AssetExecutionContext, insar: Insar) -> None:
    """Paint the masks of frames."""

    def paint(data: Insar, frame: str) -> dict[str, Any]:
        made = frame_masks.make_frame_masks(data.folder, data.raw, frame)
        return {
            "masks": len({row.file for row in made.rows}),
            "deformations": len(made.rows),
            **{each.word.lower(): sum(row.activity == each for row in made.rows) for each in Activity},
            "rejects": len(made.rejects),
            "first_rejects": table(("annotation", "reason"), [(each.unique_id, each.reason) for each in made.rejects]),
            "path": data.place(data.folder / "masks" / frame),
        }

    work_through_frames(context, insar, paint)


@dg.asset(
    key=insar_key("crops"),
    partitions_def=FRAMES,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[insar_key("annotations"), insar_key("interferograms")],
    automation_condition=follow_frames(insar_key("annotations"), insar_key("interferograms")),
    group_name=GROUP,
    kinds={"parquet", "opencv"},
    code_version=frame_crops.VERSION,
    description="Crops around the deformations of a frame, tiles of its other interferograms, with coherence, masks "
    "and labels, as shards for training.",
)
def crops(context: dg.AssetExecutionContext, config: CropsConfig, insar: Insar) -> None:
    """Make the crops of frames."""

    def make(data: Insar, frame: str) -> dict[str, Any]:
        made = frame_crops.make_frame_crops(data.folder, data.raw, frame, seed=config.seed, size=config.size)
        sheet = contact_sheet(frame_crops.deformed_crops(data.folder, frame))
        return {
            "crops": len(made.manifest),
            **{name.lower(): count for name, count in made.classes().items()},
            "with_warning": made.warnings,
            "rejects": len(made.rejects),
            "first_rejects": table(
                ("annotation", "deformation", "reason"),
                [(each.unique_id, each.index, each.reason) for each in made.rejects],
            ),
            **({} if sheet is None else {"first_deformed": picture(sheet)}),
            **config.model_dump(),
            "path": data.place(frame_crops.crops_folder(data.folder, frame)),
        }

    work_through_frames(context, insar, make)


@dg.asset(
    key=insar_key("split"),
    deps=[insar_key("crops")],
    automation_condition=follow_all(insar_key("crops")),
    group_name=GROUP,
    kinds={"parquet"},
    code_version="1",
    description="Which crops train, validate and test: by whole frames, by time, and as published where that file is.",
)
def split(context: dg.AssetExecutionContext, config: SplitConfig, insar: Insar) -> dg.MaterializeResult[None]:
    """Split the crops of all frames."""
    with insar.open(*parts.of_insar()) as data, in_own_words():
        made = make_splits(data.folder, config.seed, config.test_frames, Path(insar.archives) / PUBLISHED_FILE)
        place = data.place(data.folder / "splits")
    for name, each in made.items():
        if empty := each.empty_parts():
            context.log.warning(f"{name} has no crops to {' or '.join(empty)}")
    rows = [
        (name, part, each.counts()[f"{part}/0"], each.counts()[f"{part}/1"])
        for name, each in made.items()
        for part in splits.Part
    ]
    return dg.MaterializeResult(
        metadata={
            "crops": table(("split", "part", "not deformed", "deformed"), rows),
            **{f"missing_{name}": len(each.missing) for name, each in made.items()},
            **config.model_dump(),
            "path": place,
        }
    )


INSAR_ASSETS = [annotations, interferograms, masks, crops, split]
