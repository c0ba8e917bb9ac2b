"""From a folder or archive on this machine to a version of a data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from periscope.wire.datasets import IngestResponse
from periscope_cli.client.datasets import INGEST_ENDS
from periscope_cli.dataset_texts import ingest_errors, ingest_warnings, lint_text
from periscope_cli.errors import Ended
from periscope_cli.failures import FAILED, SAME_AGAIN, USAGE, CommandFailed, interruptible
from periscope_cli.packing import NotKitti, find_export, find_kitti, is_archive, pack
from periscope_cli.session import Session

Document = dict[str, Any]


def push_options(
    classes: list[str] | None,
    resize: tuple[int, int] | None,
    pad: tuple[int, int] | None,
    val_min_box_size: int | None,
) -> Document:
    """The options of an ingest; what was not given is left to the service."""
    options: Document = {}
    if classes:
        options["classes"] = classes
    for name, size in (("resize", resize), ("pad", pad)):
        if size is not None:
            options[name] = {"width": size[0], "height": size[1]}
    if val_min_box_size is not None:
        options["val_min_box_size"] = val_min_box_size
    return options


def push(session: Session, name: str, path: Path, options: Document) -> Document:
    """Upload, wait for the ingest, and return the dataset, version and ingest.

    Raises:
        CommandFailed: the path cannot be pushed, or the ingest found errors (all are printed).
    """
    datasets = session.api.datasets
    with tempfile.TemporaryDirectory(prefix="periscope-") as scratch:
        any_folder = "val_ratio" in options or "unlabelled" in options
        archive = _archive_of(session, path, Path(scratch), any_folder=any_folder)
        dataset = datasets.ensure(name)
        progress = session.progress()
        try:
            with interruptible(SAME_AGAIN):
                begun = datasets.send(dataset.id, archive, options, progress.bytes_done("upload"))
        finally:
            progress.end()
    ingest = _wait_for_ingest(session, begun).model_dump(mode="json")
    if ingest["warnings"]:
        session.console.note(ingest_warnings(ingest))
    if ingest["findings"]:
        session.console.note(lint_text(ingest["findings"]))
    return {"dataset": dataset.model_dump(mode="json"), "version": ingest["version"], "ingest": ingest}


def _archive_of(session: Session, path: Path, scratch: Path, *, any_folder: bool) -> Path:
    if path.is_file() and is_archive(path):
        return path
    if not path.is_dir():
        raise CommandFailed(f"{path} is neither a folder nor a .zip, .tar, .tar.gz or .tgz file", USAGE)
    folder = find_export(path, any_folder=any_folder)
    try:
        folder = folder or find_kitti(path)
    except NotKitti as error:
        raise CommandFailed(str(error), USAGE) from error
    if folder.ignored:
        session.console.note(f"not pushed: {', '.join(folder.ignored)} (only train, val and test are)")
    archive = scratch / f"{path.resolve().name}.tar"
    progress = session.progress()

    def show(done: int, total: int) -> None:
        progress.show("pack  ", done / total, f"{done} of {total} files", milestone=done == total)

    pack(folder, archive, show)
    progress.end()
    return archive


def _wait_for_ingest(session: Session, begun: IngestResponse) -> IngestResponse:
    progress = session.progress()

    def show(ingest: IngestResponse) -> None:
        if ingest.state == "SUCCEEDED":
            progress.show("ingest", 1.0, f"version {ingest.version}", milestone=True)
        elif ingest.state not in INGEST_ENDS:
            progress.show("ingest", ingest.progress, _how_far(ingest))

    goes_on = (
        f"the archive is whole on the server, and its ingest goes on.\n"
        f"  see what becomes of it: periscope dataset show {begun.dataset_id}"
    )
    try:
        with interruptible(goes_on):
            return session.api.datasets.wait(begun, show, session.console.note)
    except Ended as error:
        ended = error.answer.model_dump(mode="json")
        text = str(error) if ended["state"] == "CANCELLED" else ingest_errors(ended)
        raise CommandFailed(text, FAILED, ended) from error
    finally:
        progress.end()


def _how_far(ingest: IngestResponse) -> str:
    """The stage, and the time that is left as far as the service knows it."""
    told = str(ingest.stage or ingest.state.lower())
    return told if ingest.eta_s is None else f"{told}, {ingest.eta_s:.0f} s to go"
