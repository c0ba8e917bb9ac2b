"""What the registry decides, on plain values: manifests, alias moves, wishes of devices, byte ranges.

Failures, cut by what the caller can do::

    RegistryError
    ├── Unknown        nothing has this name or number
    ├── Unfit          the request names what does not exist or does not fit; ``pointer`` says where
    ├── ZipRefused     the zip is not one that a robot can load; ``reasons`` says everything
    ├── NoReleaseKey   this registry signs nothing
    ├── IllegalMove    what is asked for does not fit the present state
    ├── Changed        it is no longer what the caller had read: read again, then decide
    ├── NotYours       a device asks for what is not its own
    ├── Busy           too many at once: try again
    └── OutOfRange     the byte range lies behind the end of the zip
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectnet.bundle import BundleReport
from periscope.blobs import BlobRef

Body = dict[str, Any]

MAX_HISTORY = 100
"""Entries of an alias's history that are kept."""
MAX_KEPT_REPORTS = 100
"""Reports of a device that are kept."""
_BYTE_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class RegistryError(Exception):
    """Base of every failure that a caller can do something about."""


class Unknown(RegistryError):
    """Nothing has this name or number."""


class Unfit(RegistryError):
    """A field of the request names what does not exist."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class ZipRefused(RegistryError):
    """The zip is not one that a robot can load."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = list(reasons)


class NoReleaseKey(RegistryError):
    """This registry signs nothing."""


class IllegalMove(RegistryError):
    """What is asked for does not fit the present state."""


class Changed(RegistryError):
    """Another has changed it since it was read, or it exists already."""


class NotYours(RegistryError):
    """A device asked for what belongs to another."""


class Busy(RegistryError):
    """Too many at once; the same request may succeed soon."""


class OutOfRange(RegistryError):
    """The byte range lies behind the end."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the zip has {size_bytes} bytes; ask for a range within them")
        self.size_bytes = size_bytes


@dataclass(frozen=True)
class VersionNotes:
    """What a publisher says of a version."""

    description: str
    metrics: Body | None
    lineage: Body | None
    published_by: str
    tags: Body = field(default_factory=dict)


def make_manifest(
    model_id: str, model: str, number: int, blob: BlobRef, report: BundleReport, notes: VersionNotes, at: str
) -> Body:
    """All that is known of a version, for good."""
    return {
        "model_id": model_id,
        "model": model,
        "version": number,
        "zip": {"sha256": blob.sha256, "size_bytes": blob.size_bytes, "url": zip_path(model, number)},
        "members": [
            {"name": member.name, "sha256": member.sha256, "size_bytes": member.size_bytes}
            for member in report.members
        ],
        "flavours": flavours_of(report.description),
        "labels": list(report.labels),
        "width": report.width,
        "height": report.height,
        "description": notes.description,
        "metrics": notes.metrics,
        "lineage": notes.lineage,
        "tags": notes.tags,
        "published_by": notes.published_by,
        "created_at": at,
    }


def flavours_of(description: Mapping[str, Any]) -> Body:
    """From ``model.json``: for which TensorRT versions each flavour is, ``{"caffe": {"below": "10"}}``."""
    told = description.get("flavours")
    if not isinstance(told, dict):
        return {}
    ranges = {name: each.get("tensorrt") for name, each in told.items() if isinstance(each, dict)}
    return {name: found for name, found in ranges.items() if isinstance(found, dict)}


def choose_flavour(flavours: Mapping[str, Mapping[str, str]], tensorrt: str | None) -> str | None:
    """The flavour that a TensorRT can load, the Caffe one first; None where nothing is known or fits."""
    if tensorrt is None:
        return None
    here = version_numbers(tensorrt)
    fitting = [
        name
        for name, told in flavours.items()
        if version_numbers(told.get("from", "0")) <= here
        and ("below" not in told or here < version_numbers(told["below"]))
    ]
    return next((name for name in ("caffe", "trt8", "trt10") if name in fitting), None)


def version_numbers(text: str) -> tuple[int, ...]:
    """``8.5.2.2-1+cuda11`` as (8, 5, 2, 2), so that versions compare."""
    return tuple(int(part) for part in re.match(r"[\d.]*", text, re.ASCII)[0].split(".") if part)  # type: ignore[index]


def zip_path(model: str, number: int) -> str:
    """Where this service answers with a version's zip."""
    return f"/v1/models/{model}/versions/{number}/zip"


def zip_etag(manifest: Mapping[str, Any]) -> str:
    """The strong ETag of a zip, without quotes: a real hash, unlike a store's own."""
    return f"sha256:{manifest['zip']['sha256']}"


def move_alias(body: Body, version: int, by: str, at: str) -> Body:
    """The alias at another version, the move noted; no change when it is there already."""
    if body["version"] == version:
        return body
    history = [*body["history"], {"version": version, "at": at, "by": by}]
    return body | {"version": version, "history": history[-MAX_HISTORY:], "updated_at": at}


def desired_document(device: str, manifest: Mapping[str, Any], poll_interval_s: int) -> Body:
    """What a device is told that it should have. Released agents read it: fields are only ever added."""
    return {
        "device": device,
        "model": manifest["model"],
        "version": manifest["version"],
        "zip": manifest["zip"],
        "members": manifest["members"],
        "poll_interval_s": poll_interval_s,
    }


def content_etag(document: Mapping[str, Any]) -> str:
    """An ETag of a document's content, without quotes: equal content has equal ETags on every replica."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def add_reports(kept: Sequence[Body], arrived: Sequence[Body], at: str) -> tuple[list[Body], list[Body]]:
    """Reports with new ones added, and the new ones; one that was sent twice counts once."""
    known = {report["id"] for report in kept}
    new = []
    for report in arrived:
        if report["id"] not in known:
            known.add(report["id"])
            new.append({**report, "received_at": at})
    return [*kept, *new][-MAX_KEPT_REPORTS:], new


def byte_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First and last byte that a ``Range`` header asks for, or None for the whole.

    Several ranges, other units and malformed ones are answered with the whole, as RFC 9110 allows.

    Raises:
        OutOfRange: it begins behind the end.
    """
    match = _BYTE_RANGE.fullmatch((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0:
            raise OutOfRange(size_bytes)
        return max(0, size_bytes - int(last)), size_bytes - 1
    start, end = int(first), int(last) if last else size_bytes - 1
    if last and end < start:
        return None
    if start >= size_bytes:
        raise OutOfRange(size_bytes)
    return start, min(end, size_bytes - 1)
