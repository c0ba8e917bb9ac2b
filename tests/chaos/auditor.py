"""Says which promises are broken, by the bucket, what was acknowledged, and what lies on the robot.

It shares no code with the services but the names of the keys: it reads raw objects and believes nobody.
To be asked when the load has ended and everything has had time to come to rest.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from periscope import keys
from periscope.store import ObjectMissing, ObjectStore

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
ENDING_KINDS = ("ingests", "jobs", "publications")

Body = Mapping[str, Any]


@dataclass
class Journal:
    """What services said had been done; the load writes it, one entry for each acknowledged write."""

    documents: list[tuple[str, str]] = field(default_factory=list)
    """Kind and id of what was created."""

    dataset_versions: list[tuple[str, int]] = field(default_factory=list)
    """Id of the data set, number."""

    model_versions: list[tuple[str, int, str]] = field(default_factory=list)
    """Name of the model, number, SHA-256 of the zip."""

    alias_moves: list[tuple[str, str, int]] = field(default_factory=list)
    """Name of the model, alias, number."""

    devices: list[str] = field(default_factory=list)
    """Names of robots that were let in."""

    def __len__(self) -> int:
        versions = len(self.dataset_versions) + len(self.model_versions)
        return len(self.documents) + versions + len(self.alias_moves) + len(self.devices)


def audit(
    store: ObjectStore, journal: Journal, robots: Sequence[Path], trainer: int | None = None
) -> list[str]:
    """Every broken promise in words; none if all were kept.

    ``robots`` are the agents' model folders, ``trainer`` is a training program that still runs.
    """
    if torn := list(_torn(store)):
        # What the others would read in it means nothing.
        return torn
    return [
        *_lost_writes(store, journal),
        *_lost_moves(store, journal),
        *_lost_devices(store, journal),
        *_still_running(trainer),
        *_half_made_versions(store),
        *_gaps(store),
        *_unended(store),
        *_orphans(store),
        *_broken_checkpoints(store),
        *(broken for robot in robots for broken in _broken_robot(store, robot)),
    ]


def unnamed_blobs(store: ObjectStore) -> int:
    """How many blobs no version names: remains of what was broken off, which the clean-up takes after its grace."""
    named = {blob["sha256"] for _, manifest in _manifests(store, "datasets") for blob in _blobs(manifest)}
    named |= {manifest["zip"]["sha256"] for _, manifest in _manifests(store, "models")}
    stored = {info.key.rpartition("/")[2] for info in store.list("blobs/")}
    return len(stored - named)


def _torn(store: ObjectStore) -> Iterator[str]:
    for prefix in ("documents/", "names/", "versions/"):
        for info in store.list(prefix):
            try:
                json.loads(store.get(info.key).body)
            except ValueError:
                yield f"{info.key} is no JSON"


def _lost_writes(store: ObjectStore, journal: Journal) -> Iterator[str]:
    for kind, document_id in journal.documents:
        if store.head(keys.document(kind, document_id)) is None:
            yield f"the document {kind}/{document_id} was acknowledged and is gone"
    for dataset_id, number in journal.dataset_versions:
        if store.head(keys.version("datasets", dataset_id, number)) is None:
            yield f"version {number} of data set {dataset_id} was acknowledged and is gone"
    for name, number, sha256 in journal.model_versions:
        claim = _json(store, keys.name_claim("models", name))
        manifest = None if claim is None else _json(store, keys.version("models", claim["id"], number))
        if manifest is None:
            yield f"version {number} of model {name} was acknowledged and is gone"
        elif manifest["zip"]["sha256"] != sha256:
            yield f"version {number} of model {name} has another zip than was acknowledged"


def _lost_moves(store: ObjectStore, journal: Journal) -> Iterator[str]:
    for name, alias, number in journal.alias_moves:
        model = _json(store, keys.name_claim("models", name))
        claim = model and _json(store, keys.name_claim("aliases", f"{model['id']}/{alias}"))
        document = claim and _json(store, keys.document("aliases", claim["id"]))
        if number not in {entry["version"] for entry in (document or {"history": []})["history"]}:
            yield f"that {alias} of model {name} moved to version {number} was acknowledged and is forgotten"


def _lost_devices(store: ObjectStore, journal: Journal) -> Iterator[str]:
    for device in journal.devices:
        claim = _json(store, keys.name_claim("devices", device))
        if claim is None or store.head(keys.document("devices", claim["id"])) is None:
            yield f"the device {device} was let in and is gone"


def _still_running(trainer: int | None) -> Iterator[str]:
    if trainer is not None:
        yield f"the trainer {trainer} lives on though no job runs"


def _half_made_versions(store: ObjectStore) -> Iterator[str]:
    for key, manifest in _manifests(store, "datasets"):
        if not manifest["splits"]:
            yield f"{key} has no splits"
        for blob in _blobs(manifest):
            yield from _damage(store, key, blob)
    for key, manifest in _manifests(store, "models"):
        yield from _damage(store, key, manifest["zip"])


def _blobs(manifest: Body) -> Iterator[Body]:
    for split in manifest["splits"].values():
        yield from split["shards"]
        yield split["index"]
        if "boxes_table" in split:
            yield split["boxes_table"]


def _damage(store: ObjectStore, what: str, blob: Body) -> Iterator[str]:
    try:
        content = b"".join(store.iterate(keys.blob(blob["sha256"])))
    except ObjectMissing:
        yield f"{what} names the blob {blob['sha256'][:12]}, which is not there"
        return
    if len(content) != blob["size_bytes"] or hashlib.sha256(content).hexdigest() != blob["sha256"]:
        yield f"{what} names the blob {blob['sha256'][:12]}, whose content is another"


def _gaps(store: ObjectStore) -> Iterator[str]:
    owners: dict[str, list[int]] = {}
    for kind in ("datasets", "models"):
        for key, _ in _manifests(store, kind):
            owner, number = key.rsplit("/", 1)
            owners.setdefault(owner, []).append(int(number))
    for owner, numbers in owners.items():
        _, kind, owner_id = owner.split("/")
        removed = {
            int(info.key.rpartition("/")[2])
            for info in store.list(keys.removed_versions_prefix(kind, owner_id))
        }
        numbers = sorted({*numbers, *removed})
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            yield f"the versions of {owner} are {sorted(numbers)}, with a gap"


def _unended(store: ObjectStore) -> Iterator[str]:
    for kind in ENDING_KINDS:
        for key, document in _documents(store, kind):
            if document["state"] not in FINAL:
                yield f"{key} never ended: it is {document['state']}"


def _orphans(store: ObjectStore) -> Iterator[str]:
    """What lies there for somebody who is no more: files of a job without its document, notes of an ended ingest."""
    jobs = {info.key.split("/")[1] for info in store.list(keys.JOBS)}
    for job_id in sorted(jobs):
        if store.head(keys.document("jobs", job_id)) is None:
            yield f"{keys.job_prefix(job_id)} holds files, and there is no such job"
    ingests = {info.key.split("/")[1] for info in store.list(keys.INGESTS)}
    for ingest_id in sorted(ingests):
        document = _json(store, keys.document("ingests", ingest_id))
        if document is None or document["state"] in FINAL:
            yield f"{keys.ingest_prefix(ingest_id)} holds notes, and that ingest is over"


def _broken_checkpoints(store: ObjectStore) -> Iterator[str]:
    for key, checkpoint in _documents(store, "checkpoints"):
        steps = [epoch["step"] for epoch in checkpoint["epochs"]]
        if steps != sorted(set(steps)):
            yield f"{key} lists its epochs twice or out of order: steps {steps}"
        for epoch in checkpoint["epochs"]:
            if not epoch["files"]:
                yield f"{key} lists step {epoch['step']} without a file"
            for name, file in epoch["files"].items():
                stored = store.head(file["key"])
                if stored is None:
                    yield f"{key} names {name} of step {epoch['step']}, which is not there"
                elif stored.size_bytes != file["size_bytes"]:
                    yield f"{key} names {name} of step {epoch['step']}, of which {stored.size_bytes} bytes are there"


def _broken_robot(store: ObjectStore, root: Path) -> Iterator[str]:
    """A robot that has a model has a whole one, equal to the zip of its version."""
    current = root / "current"
    if not current.is_symlink():
        if current.exists():
            yield f"the robot's {current} is no link"
        return
    release = current.resolve()
    sha256_start = release.name.rpartition("-")[2]
    zips = [
        manifest["zip"]["sha256"]
        for _, manifest in _manifests(store, "models")
        if manifest["zip"]["sha256"].startswith(sha256_start)
    ]
    if not release.is_dir() or len(zips) != 1:
        yield f"the robot's model {release.name} is no registered version"
        return
    content = b"".join(store.iterate(keys.blob(zips[0])))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.namelist():
            path = release / member
            if not path.is_file() or path.read_bytes() != archive.read(member):
                yield f"the robot's model {release.name} has a damaged or missing {member}"


def _documents(store: ObjectStore, kind: str) -> Iterator[tuple[str, Any]]:
    for info in store.list(keys.documents_prefix(kind)):
        yield info.key, _json(store, info.key)


def _manifests(store: ObjectStore, kind: str) -> Iterator[tuple[str, Any]]:
    for info in store.list(f"versions/{kind}/"):
        yield info.key, _json(store, info.key)


def _json(store: ObjectStore, key: str) -> Any:
    try:
        return json.loads(store.get(key).body)
    except ObjectMissing:
        return None
