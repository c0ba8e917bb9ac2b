"""From an uploaded archive to a version's content: check every file, write shards, describe them.

Everything is made anew from the archive when a worker dies, and comes out the same, so nothing is half-made.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from detectnet.classes import ClassMap
from periscope.blobs import BlobRef, put_blob, put_blob_file
from periscope.store import ObjectStore
from periscope_dataset import checking
from periscope_dataset.archive import SPLITS, Member, Place, open_archive
from periscope_dataset.checking import CheckedImage, SplitFiles
from periscope_dataset.findings import Finding, Findings, IngestRefused
from periscope_dataset.shards import IndexEntry, index_lines, write_shards

CHECKERS = 2
CHUNK_MEMBERS = 32
DOWNLOADED, CHECKED = 0.1, 0.8
"""Shares of the progress at which a stage ends."""

Options = Mapping[str, Any]
Report = Callable[[float], None]
"""Takes the progress, 0-1; may raise to stop the ingest."""


@dataclass(frozen=True)
class Source:
    """The archive as it was uploaded."""

    key: str
    filename: str
    size_bytes: int


def make_version(
    store: ObjectStore, source: Source, options: Options, scratch: Path, findings: Findings, report: Report
) -> dict[str, Any] | None:
    """The content of a version's manifest, its blobs stored; None when ``findings`` has errors.

    Raises:
        IngestRefused: the archive as a whole cannot be taken.
        StoreUnavailable: the store went away; try again.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        archive, sha256 = _download(store, source, scratch, report)
        splits = _check_members(archive, options, scratch, findings, report)
        checking.join_splits(splits, findings)
        classes = checking.class_map(options["classes"], splits, findings)
        if classes is not None:
            checking.require_boxes(splits, classes, findings)
        if findings.error_count or classes is None:
            return None
        return _store_version(store, source, sha256, options, splits, classes, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(store: ObjectStore, source: Source, scratch: Path, report: Report) -> tuple[Path, str]:
    path, digest, done = scratch / "archive", hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in store.iterate(source.key):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            report(DOWNLOADED * done / max(source.size_bytes, 1))
    return path, digest.hexdigest()


def _check_members(
    archive: Path, options: Options, scratch: Path, findings: Findings, report: Report
) -> dict[str, SplitFiles]:
    """Check all pictures and labels, a few at a time; memory holds the labels only."""
    splits = {name: SplitFiles() for name in SPLITS}
    seen: dict[Place, str] = {}
    pad = (options["pad"]["width"], options["pad"]["height"]) if options["pad"] else None
    total, done = max(archive.stat().st_size, 1), 0
    with open_archive(archive) as members, ThreadPoolExecutor(CHECKERS) as pool:
        saved = _saved(members, scratch)
        while chunk := list(itertools.islice(saved, CHUNK_MEMBERS)):
            fresh = [item for item in chunk if not _note_duplicate(seen, item[0], findings)]
            for (member, _), result in zip(
                fresh, pool.map(lambda item: _check(item[0], item[1], pad), fresh), strict=True
            ):
                _enter(splits[member.place.split], member, result, findings)
            done += sum(member.size_bytes for member, _ in chunk)
            report(DOWNLOADED + (CHECKED - DOWNLOADED) * min(done / total, 1))
    if not seen:
        raise IngestRefused(
            Finding(
                "layout",
                "the archive has no folders train/images and train/labels",
                "pack train/images, train/labels, val/images and val/labels, in any parent folder",
            )
        )
    return splits


def _saved(members: Iterator[tuple[Member, IO[bytes]]], scratch: Path) -> Iterator[tuple[Member, Path]]:
    """Write members to local disk under numbers: their own names never become paths."""
    for number, (member, content) in enumerate(members):
        path = scratch / f"member-{number}"
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
        yield member, path


def _note_duplicate(seen: dict[Place, str], member: Member, findings: Findings) -> bool:
    finding = checking.find_duplicates(seen, member.place, member.path)
    if finding is not None:
        findings.error(finding)
    return finding is not None


def _check(member: Member, path: Path, pad: tuple[int, int] | None) -> Any:
    if member.place.kind == "images":
        return checking.check_image(member.path, path, pad)
    content = path.read_bytes()
    path.unlink()
    return checking.check_label(member.path, content)


def _enter(files: SplitFiles, member: Member, result: Any, findings: Findings) -> None:
    is_image = member.place.kind == "images"
    if isinstance(result, Finding):
        findings.error(result)
        (files.bad_images if is_image else files.bad_labels).add(member.place.key)
    elif isinstance(result, CheckedImage):
        files.images[member.place.key] = result
    else:
        files.labels[member.place.key] = result


def _store_version(
    store: ObjectStore,
    source: Source,
    sha256: str,
    options: Options,
    splits: dict[str, SplitFiles],
    classes: ClassMap,
    scratch: Path,
) -> dict[str, Any]:
    sizes = Counter(
        (image.width, image.height) for files in splits.values() for image in files.images.values()
    )
    return {
        "source": {"filename": source.filename, "sha256": sha256, "size_bytes": source.size_bytes},
        "options": dict(options),
        "classes": list(classes.names),
        "splits": {name: _store_split(store, name, splits[name], scratch) for name in SPLITS},
        "image_sizes": [
            {"width": width, "height": height, "images": count}
            for (width, height), count in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        ],
        "statistics": {
            "boxes_per_class": {name: checking.boxes_per_class(splits[name], classes) for name in SPLITS}
        },
    }


def _store_split(store: ObjectStore, name: str, files: SplitFiles, scratch: Path) -> dict[str, Any]:
    pictures = checking.pictures_of(files)
    entries: list[IndexEntry] = []
    shards = []
    for shard in write_shards(pictures, scratch, name, entries):
        ref = put_blob_file(store, shard.path, content_type="application/x-tar")
        shard.path.unlink()
        shards.append({**_described(ref), "images": shard.images})
    index = put_blob(store, index_lines(entries), content_type="application/x-ndjson")
    return {
        "images": len(pictures),
        "boxes": sum(picture.boxes for picture in pictures),
        "shards": shards,
        "index": _described(index),
    }


def _described(ref: BlobRef) -> dict[str, Any]:
    return asdict(ref)
