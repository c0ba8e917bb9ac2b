"""``periscope digits import``: an old DIGITS job as a recipe and a registered model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from detectnet.bundle import write_bundle
from periscope_cli.command import examples, session_of
from periscope_cli.digits_archive import NotDigits, read_digits
from periscope_cli.digits_import import ImportedJob, import_digits
from periscope_cli.failures import FAILED, USAGE, CommandFailed
from periscope_cli.parsing import count, names, typed
from periscope_cli.session import Session

digits = typer.Typer(no_args_is_help=True, help="Bring what you have from NVIDIA DIGITS.")


@digits.callback()
def digits_callback() -> None:
    """Bring what you have from NVIDIA DIGITS."""


@digits.command(
    "import",
    epilog=examples(
        "periscope digits import 20170504-190602-879f_epoch_100.0.tar.gz --classes buoy,gate --model buoys",
        "periscope digits import /var/lib/digits/jobs/20170504-190602-879f --classes buoy,gate",
        "periscope train again --dataset dive-12 --config 20170504-190602-879f.recipe.yaml",
    ),
)
def import_command(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="DIR|ARCHIVE", help="A job's folder, or a download of it.")],
    classes: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="In coverage order: DIGITS's custom classes without dontcare."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Register the snapshot as a version of this model.")
    ] = None,
    snapshot: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=typed(count), help="The snapshot of this iteration; default: the newest."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", parser=typed(count), help="How long it trained, where no file tells."),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the recipe goes; default: NAME.recipe.yaml.")
    ] = None,
) -> None:
    """Write the job's options as a recipe for `train --config`, and register its network."""
    session = session_of(ctx)
    listed = typed(names)(classes) if classes else []
    try:
        job = import_digits(read_digits(path, snapshot), listed, epochs)
    except NotDigits as error:
        raise CommandFailed(f"{path}: {error}", FAILED) from error
    if model is not None and not job.members:
        raise CommandFailed(f"{path}: {job.remarks[-1]}; leave --model out to get the recipe", FAILED)
    for remark in job.remarks:
        session.console.note(f"note: {remark}")
    target = recipe or Path(f"{path.name.split('.')[0]}.recipe.yaml")
    if target.exists():
        raise CommandFailed(f"{target} exists already; give another name by --recipe", USAGE)
    # The model first: a registry that is away leaves nothing behind, and the same call may be made again.
    version = None if model is None else _register(session, model, path, job)
    _write_recipe(target, path, job)
    document: dict[str, Any] = {
        "recipe": job.recipe,
        "file": str(target),
        "remarks": list(job.remarks),
        "version": version,
    }
    text = str(target)
    if model is not None:
        text += f"\n{model} version {version}"
    session.console.result(document, text)


def _write_recipe(target: Path, source: Path, job: ImportedJob) -> None:
    head = [f"# The options of the DIGITS job {source.name}.", *(f"# {remark}" for remark in job.remarks)]
    try:
        target.write_text("\n".join(head) + "\n" + yaml.safe_dump(job.recipe, sort_keys=False))
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error}", USAGE) from error


def _register(session: Session, model: str, source: Path, job: ImportedJob) -> int:
    with tempfile.TemporaryDirectory(prefix="periscope-") as folder:
        path = Path(folder) / f"{source.name.split('.')[0]}.zip"
        write_bundle(path, job.members)
        progress = session.progress()
        try:
            version = session.api.models.publish_zip(
                model,
                path,
                f"imported from the DIGITS job {source.name}",
                progress.bytes_done("upload"),
                lineage=job.lineage,
                tags={"from": "digits"},
            )
        finally:
            progress.end()
    return version.version
