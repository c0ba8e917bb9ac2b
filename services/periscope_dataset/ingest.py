"""From an uploaded archive to a version's content: check every file, write shards, describe them.

Everything is made anew from the archive when a worker dies, and comes out the same, so nothing is half-made.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from detectnet.classes import ClassMap
from periscope.blobs import put_blob, put_blob_file
from periscope.store import ObjectMissing, ObjectStore
from periscope_dataset.archive import list_names, unpack
from periscope_dataset.boxes import pack_table
from periscope_dataset.checking import Rules, Verdict
from periscope_dataset.findings import Finding, Findings, IngestRefused
from periscope_dataset.foreign import Loaded, foreign_place, is_foreign, load_foreign
from periscope_dataset.grid import Judged, judged
from periscope_dataset.layout import SPLITS
from periscope_dataset.lint import Lint
from periscope_dataset.shards import SHARD_BYTES, IndexEntry, index_lines, write_shards
from periscope_dataset.splits import Content, image_sizes_of, pictures_of, statistics_of

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


@dataclass(frozen=True)
class Bench:
    """Where the work is done."""

    store: ObjectStore
    scratch: Path
    """A folder that is made, and removed in the end."""
    report: Report
    shard_bytes: int = SHARD_BYTES


def make_version(bench: Bench, source: Source, options: Options, findings: Findings) -> dict[str, Any] | None:
    """The content of a version's manifest, its blobs stored; None when ``findings`` has errors.

    Raises:
        IngestRefused: the archive as a whole cannot be taken.
        StoreUnavailable: the store went away; try again.
    """
    shutil.rmtree(bench.scratch, ignore_errors=True)
    bench.scratch.mkdir(parents=True)
    try:
        archive, sha256 = _download(bench, source)
        content = Content(_rules(options), findings)
        _check_members(bench, archive, content, options)
        classes = content.finish()
        if classes is None:
            return None
        described: dict[str, Any] = {
            "source": {"filename": source.filename, "sha256": sha256, "size_bytes": source.size_bytes},
            "options": dict(options),
        }
        judged_splits = {name: judged(files, classes) for name, files in content.splits.items()}
        Lint(classes, described["options"], findings, judged_splits).run(lambda: bench.report(CHECKED))
        described["findings"] = findings.report()
        return described | _store_content(bench, judged_splits, classes)
    finally:
        shutil.rmtree(bench.scratch, ignore_errors=True)


def _rules(options: Options) -> Rules:
    pad, names = options["pad"], options["classes"]
    return Rules(
        classes=ClassMap(names) if names else None,
        pad=(pad["width"], pad["height"]) if pad else None,
        val_min_box_size=options["val_min_box_size"],
    )


def _download(bench: Bench, source: Source) -> tuple[Path, str]:
    path, digest, done = bench.scratch / "archive", hashlib.sha256(), 0
    try:
        with path.open("wb") as file:
            for chunk in bench.store.iterate(source.key):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                bench.report(DOWNLOADED * done / max(source.size_bytes, 1))
    except ObjectMissing as error:
        advice = "upload the archive again"
        raise IngestRefused(Finding("upload_missing", "the store has lost the upload", advice)) from error
    return path, digest.hexdigest()


def _loaded(bench: Bench, archive: Path, options: Options) -> Iterator[Loaded]:
    if is_foreign(list_names(archive), options["val_ratio"]):
        unpacked = unpack(archive, bench.scratch, foreign_place)
        yield from load_foreign(unpacked, bench.scratch, options)
        return
    for member, file in unpack(archive, bench.scratch):
        yield Loaded(member, file)


def _verdict(content: Content, item: Loaded) -> Verdict:
    if item.file is None:
        return Verdict(None, [] if item.finding is None else [item.finding])
    return content.check(item.member.path, item.member.place, item.file)


def _check_members(bench: Bench, archive: Path, content: Content, options: Options) -> None:
    """Check all pictures and labels, a few at a time."""
    total, done = max(archive.stat().st_size, 1), 0
    loaded = _loaded(bench, archive, options)
    # Not a ThreadPoolExecutor: that one refuses work, as if it were wrong, once the process is told to end.
    with ThreadPool(CHECKERS) as pool:
        while chunk := list(itertools.islice(loaded, CHUNK_MEMBERS)):
            accepted = [item for item in chunk if content.accepts(item.member.path, item.member.place)]
            for item, verdict in zip(accepted, pool.map(partial(_verdict, content), accepted), strict=True):
                content.enter(item.member.place, verdict)
            done += sum(item.member.size_bytes for item in chunk)
            bench.report(DOWNLOADED + (CHECKED - DOWNLOADED) * min(done / total, 1))
    archive.unlink()  # The shards need the room.


def _store_content(bench: Bench, splits: dict[str, Judged], classes: ClassMap) -> dict[str, Any]:
    files = {name: split.files for name, split in splits.items()}
    return {
        "classes": list(classes.names),
        "splits": {name: _store_split(bench, name, splits[name]) for name in SPLITS},
        "image_sizes": image_sizes_of(files),
        "statistics": statistics_of(files, classes),
    }


def _store_split(bench: Bench, name: str, split: Judged) -> dict[str, Any]:
    pictures = pictures_of(split.files)
    entries: list[IndexEntry] = []
    shards = []
    for shard in write_shards(pictures, bench.scratch, name, entries, bench.shard_bytes):
        ref = put_blob_file(bench.store, shard.path, content_type="application/x-tar")
        shard.path.unlink()
        shards.append({**asdict(ref), "images": shard.images})
        bench.report(
            CHECKED + (1 - CHECKED) * (SPLITS.index(name) + len(entries) / len(pictures)) / len(SPLITS)
        )
    index = put_blob(bench.store, index_lines(entries), content_type="application/x-ndjson")
    table = put_blob(bench.store, pack_table(split.table), content_type="application/octet-stream")
    return {
        "images": len(pictures),
        "boxes": sum(picture.boxes for picture in pictures),
        "shards": shards,
        "index": asdict(index),
        "boxes_table": asdict(table),
    }
