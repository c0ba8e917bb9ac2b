"""``periscope dataset``: push a folder or archive, list datasets, show one."""

from __future__ import annotations

import re
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from periscope.client import ServiceProblem
from periscope_cli.connection import Session, pages
from periscope_cli.console import size_text, table
from periscope_cli.failures import FAILED, USAGE, CommandFailed, not_found
from periscope_cli.idempotency import keyed
from periscope_cli.packing import NotKitti, find_export, find_kitti, is_archive, pack
from periscope_cli.polling import poll

INGEST_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")
CONFLICT = 409
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")

Document = dict[str, Any]


def run_push(session: Session, arguments: Namespace) -> None:
    """``periscope dataset push``."""
    options = push_options(arguments.classes, arguments.resize, arguments.pad, arguments.val_min_box_size)
    if arguments.unlabelled:
        options["unlabelled"] = True
    if arguments.val_ratio is not None:
        options |= {"val_ratio": arguments.val_ratio, "group_by": arguments.group_by}
    pushed = push(session, arguments.name, arguments.path, options)
    session.console.result(pushed, f"{arguments.name} version {pushed['version']}")


def run_list(session: Session, _: Namespace) -> None:
    """``periscope dataset list``."""
    items = list(pages(session.dataset, "/v1/datasets"))
    rows = [(item["name"], item.get("latest_version"), item["created_at"], item["id"]) for item in items]
    session.console.result({"items": items}, table(("NAME", "LATEST", "CREATED", "ID"), rows))


def run_show(session: Session, arguments: Namespace) -> None:
    """``periscope dataset show``."""
    dataset = find_dataset(session, arguments.dataset)
    versions = list(pages(session.dataset, f"/v1/datasets/{dataset['id']}/versions"))
    manifest = None
    if versions:
        path = f"/v1/datasets/{dataset['id']}/versions/{arguments.version or 'latest'}"
        manifest = session.dataset.get(path)
    document = {"dataset": dataset, "versions": versions, "manifest": manifest}
    session.console.result(document, _shown(dataset, versions, manifest))


def run_export(session: Session, arguments: Namespace) -> None:
    """``periscope dataset export``."""
    dataset = find_dataset(session, arguments.dataset)
    base = f"/v1/datasets/{dataset['id']}/versions"
    version = session.dataset.get(f"{base}/{arguments.version or 'latest'}")["version"]
    name = f"{dataset['name']}-v{version}-{arguments.format}.zip"
    target: Path = arguments.output or Path(name)
    progress = session.progress()
    try:
        session.dataset.download(
            f"{base}/{version}/export?format={arguments.format}", target, None, progress.bytes_done("export")
        )
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error}", USAGE) from error
    finally:
        progress.end()
    session.console.result({"dataset": dataset, "version": version, "file": str(target)}, str(target))


def find_dataset(session: Session, reference: str) -> Document:
    """The dataset with this id or name. Raises CommandFailed where there is none."""
    if ULID.fullmatch(reference):
        found: Document = session.dataset.get(f"/v1/datasets/{reference}")
        return found
    items: list[Document] = session.dataset.get("/v1/datasets", params={"name": reference})["items"]
    if not items:
        raise not_found(f"there is no dataset {reference!r}; `periscope dataset list` shows what there is")
    return items[0]


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
    with tempfile.TemporaryDirectory(prefix="periscope-") as scratch:
        archive = _archive_of(
            session, path, Path(scratch), any_folder="val_ratio" in options or "unlabelled" in options
        )
        dataset = _ensure_dataset(session, name)
        progress = session.progress()
        upload = session.dataset.upload_file(
            f"/v1/datasets/{dataset['id']}/uploads", archive, progress.bytes_done("upload")
        )
        progress.end()
    finalize = f"/v1/datasets/{dataset['id']}/uploads/{upload['upload_id']}:finalize"
    answer = session.dataset.call("POST", finalize, json={"options": options}, headers=keyed())
    ingest = _wait_for_ingest(session, urlsplit(answer.headers["Location"]).path)
    if ingest.get("warnings"):
        session.console.note(_ingest_warnings(ingest))
    if ingest.get("findings"):
        session.console.note(lint_text(ingest["findings"]))
    return {"dataset": dataset, "version": ingest["version"], "ingest": ingest}


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


def _ensure_dataset(session: Session, name: str) -> Document:
    try:
        made: Document = session.dataset.post("/v1/datasets", json={"name": name}, headers=keyed())
    except ServiceProblem as error:
        if error.status != CONFLICT:
            raise
        return find_dataset(session, name)
    return made


def _wait_for_ingest(session: Session, path: str) -> Document:
    progress = session.progress()

    def show(ingest: Document) -> None:
        if ingest["state"] == "SUCCEEDED":
            progress.show("ingest", 1.0, f"version {ingest['version']}", milestone=True)
        elif ingest["state"] not in INGEST_ENDS:
            progress.show("ingest", ingest["progress"], _how_far(ingest))

    ingest = poll(session.dataset, path, INGEST_ENDS, show, session.console)
    progress.end()
    if ingest["state"] == "CANCELLED":
        raise CommandFailed("the ingest was cancelled; nothing was stored", FAILED, ingest)
    if ingest["state"] == "FAILED":
        raise CommandFailed(_ingest_errors(ingest), FAILED, ingest)
    return ingest


def _how_far(ingest: Document) -> str:
    """The stage, and the time that is left as far as the service knows it."""
    told = str(ingest.get("stage") or ingest["state"].lower())
    left_s = ingest.get("eta_s")
    return told if left_s is None else f"{told}, {left_s:.0f} s to go"


def _ingest_errors(ingest: Document) -> str:
    errors = ingest.get("errors") or []
    count = ingest.get("error_count") or len(errors)
    return "\n".join(
        [f"the archive was refused; nothing was stored. {count} error(s):", *_findings(errors, count)]
    )


def _ingest_warnings(ingest: Document) -> str:
    warnings = ingest.get("warnings") or []
    count = ingest.get("warning_count") or len(warnings)
    return "\n".join([f"{count} warning(s):", *_findings(warnings, count)])


def lint_text(found: list[Document]) -> str:
    """What the lint says of the data set as a whole; errors keep training jobs from the version."""
    lines = [f"lint of the dataset, {len(found)} finding(s):"]
    for finding in found:
        lines += [
            f"  {finding['severity']} {finding['code']}: {finding['message']}",
            f"      {finding['why']} {finding['advice']}",
        ]
    if any(finding["severity"] == "error" for finding in found):
        lines.append("training is refused until these errors are mended, or named by --allow-finding")
    return "\n".join(lines)


def _findings(found: list[Document], count: int) -> list[str]:
    """One line each with its place, and one with its advice; the service sends the first ones only."""
    lines = []
    for entry in found:
        place = ":".join(str(part) for part in (entry.get("file"), entry.get("line")) if part is not None)
        lines.append(f"  {place or 'archive'}: {entry.get('message', '')}")
        if entry.get("advice"):
            lines.append(f"      {entry['advice']}")
    return lines + ([f"  and {count - len(found)} more"] if count > len(found) else [])


def _shown(dataset: Document, versions: list[Document], manifest: Document | None) -> str:
    lines = [f"{dataset['name']}  ({dataset['id']}, created {dataset['created_at']})"]
    if manifest is None:
        return "\n".join([*lines, "no version yet"])
    lines.append(f"{len(versions)} version(s); version {manifest['version']} of {manifest['created_at']}:")
    source = manifest["source"]
    lines.append(f"  source   {source['filename']}, {size_text(source['size_bytes'])}")
    lines.append(f"  classes  {', '.join(manifest['classes'])}")
    for split, told in manifest["splits"].items():
        lines.append(f"  {split:<7}  {told['images']} images, {told['boxes']} boxes")
    sizes = [f"{size['width']}x{size['height']} ({size['images']})" for size in manifest["image_sizes"][:5]]
    lines.append(f"  sizes    {', '.join(sizes)}")
    return "\n".join(lines)
