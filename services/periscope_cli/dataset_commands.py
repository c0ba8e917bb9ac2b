"""``periscope dataset``: push, list, show, lint, diff, export, remove."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from periscope_cli.command import examples, session_of
from periscope_cli.console import size_text, table
from periscope_cli.dataset_texts import dataset_text, diff_text, lint_text
from periscope_cli.failures import USAGE, CommandFailed
from periscope_cli.parsing import Size, count, names, size, typed
from periscope_cli.pushing import push, push_options

dataset = typer.Typer(no_args_is_help=True, help="Push, check, show and export datasets.")

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Name or id.")]
Version = Annotated[
    int | None, typer.Option("--version", metavar="N", parser=typed(count), help="Default: the newest.")
]


class GroupBy(StrEnum):
    """What a division into train and val keeps together."""

    PICTURE = "picture"
    FOLDER = "folder"
    SEQUENCE = "sequence"


class Format(StrEnum):
    """Whose folders and labels an export has."""

    KITTI = "kitti"
    COCO = "coco"
    YOLO = "yolo"
    VOC = "voc"


@dataset.command(
    "push",
    epilog=examples(
        "periscope dataset push dive-12 ~/dive-12",
        "periscope dataset push dive-12 export.zip --val-ratio 0.2 --group-by folder",
    ),
)
def push_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Made when it does not exist.")],
    path: Annotated[
        Path,
        typer.Argument(metavar="DIR|ARCHIVE", help="KITTI, or a COCO, YOLO or Pascal VOC export as it is."),
    ],
    val_ratio: Annotated[
        float | None,
        typer.Option(metavar="X", help="Without validation: the share of pictures to take, 0-1."),
    ] = None,
    group_by: Annotated[
        GroupBy,
        typer.Option(help="What --val-ratio keeps together: with folder, the frames of one dive."),
    ] = GroupBy.PICTURE,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Plain pictures: they become a test set.")
    ] = False,
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="In this order; default: all types in the labels."),
    ] = None,
    resize: Annotated[
        Size | None,
        typer.Option(
            metavar="WxH", parser=typed(size), help="Squash pictures to this size when they are read."
        ),
    ] = None,
    pad: Annotated[
        Size | None,
        typer.Option(metavar="WxH", parser=typed(size), help="Pad pictures with black to this size."),
    ] = None,
    val_min_box_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=typed(count), help="Smaller boxes do not count in validation (pixels)."
        ),
    ] = None,
) -> None:
    """Upload a folder or archive as a new version; an upload that broke off is gone on with."""
    session = session_of(ctx)
    listed = typed(names)(classes) if classes else None
    options = push_options(listed, resize, pad, val_min_box_size)
    if unlabelled:
        options["unlabelled"] = True
    if val_ratio is not None:
        options |= {"val_ratio": val_ratio, "group_by": group_by.value}
    pushed = push(session, name, path, options)
    session.console.result(pushed, f"{name} version {pushed['version']}")


@dataset.command("list")
def list_command(ctx: typer.Context) -> None:
    """All datasets."""
    session = session_of(ctx)
    items = [item.model_dump(mode="json") for item in session.api.datasets.list()]
    rows = [(item["name"], item["latest_version"], item["created_at"], item["id"]) for item in items]
    session.console.result({"items": items}, table(("NAME", "LATEST", "CREATED", "ID"), rows))


@dataset.command("show")
def show_command(ctx: typer.Context, dataset: Dataset, version: Version = None) -> None:
    """One dataset and its versions."""
    session = session_of(ctx)
    found = session.api.datasets.get(dataset)
    versions = list(session.api.datasets.versions(found.id))
    manifest = session.api.datasets.manifest(found.id, version) if versions else None
    told = found.model_dump(mode="json")
    document = {"dataset": told, "versions": versions, "manifest": manifest}
    session.console.result(document, dataset_text(told, versions, manifest))


@dataset.command("lint")
def lint_command(ctx: typer.Context, dataset: Dataset, version: Version = None) -> None:
    """What is wrong with a version, or odd, and what to do about it."""
    session = session_of(ctx)
    found = session.api.datasets.get(dataset)
    manifest = session.api.datasets.manifest(found.id, version)
    findings = manifest.get("findings", [])
    document = {
        "dataset": found.model_dump(mode="json"),
        "version": manifest["version"],
        "findings": findings,
    }
    session.console.result(document, lint_text(findings))


@dataset.command("diff")
def diff_command(
    ctx: typer.Context,
    dataset: Dataset,
    base: Annotated[int, typer.Argument(metavar="FROM", parser=typed(count), help="Number of a version.")],
    version: Annotated[int, typer.Argument(metavar="TO", parser=typed(count), help="Number of a version.")],
) -> None:
    """What changed between two versions, picture by picture."""
    session = session_of(ctx)
    found = session.api.datasets.get(dataset)
    summary = session.api.datasets.changes(found.id, base, version).model_dump(mode="json")
    items = [item.model_dump(mode="json") for item in session.api.datasets.diff(found.id, base, version)]
    document: dict[str, Any] = {
        "dataset": found.model_dump(mode="json"),
        **summary,
        "items": items,
        "next_page_token": None,
    }
    session.console.result(document, diff_text(items))


@dataset.command("export", epilog=examples("periscope dataset export dive-12 --format coco -o dive-12.zip"))
def export_command(
    ctx: typer.Context,
    dataset: Dataset,
    version: Version = None,
    form: Annotated[Format, typer.Option("--format", help="Whose folders and labels.")] = Format.KITTI,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Default: DATASET-vN-FORMAT.zip.")
    ] = None,
) -> None:
    """Download a version as a zip."""
    session = session_of(ctx)
    found = session.api.datasets.get(dataset)
    number = session.api.datasets.manifest(found.id, version)["version"]
    target = output or Path(f"{found.name}-v{number}-{form.value}.zip")
    progress = session.progress()
    try:
        session.api.datasets.export(found.id, target, form.value, number, progress.bytes_done("export"))
        progress.show("export", 1.0, size_text(target.stat().st_size), milestone=True)
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error}", USAGE) from error
    finally:
        progress.end()
    document = {"dataset": found.model_dump(mode="json"), "version": number, "file": str(target)}
    session.console.result(document, str(target))


@dataset.command("remove")
def remove_command(
    ctx: typer.Context,
    dataset: Dataset,
    version: Annotated[int, typer.Argument(metavar="N", parser=typed(count), help="Number of the version.")],
) -> None:
    """Take a version away; refused with the list of jobs that use it."""
    session = session_of(ctx)
    session.api.datasets.delete_version(dataset, version)
    session.console.result(
        {"dataset": dataset, "removed": version}, f"{dataset} version {version} is removed"
    )
