"""Reads the files that a training has committed with an epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detectnet.bundle import GRID_ONNX
from periscope import keys
from periscope.documents import Documents
from periscope.store import ObjectMissing, ObjectStore
from periscope_training.curves import find_epoch
from periscope_training.job_document import CHECKPOINT_KIND

MAX_FILE_BYTES = 1 << 30


class EpochFileGone(LookupError):
    """A file of the epoch is not in the store as it was committed."""


@dataclass(frozen=True)
class CommittedEpoch:
    """One epoch of a job and what its network is for."""

    job_id: str
    spec: Mapping[str, Any]
    entry: Mapping[str, Any]
    """The checkpoint document's entry: number, step, files, metrics."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the network's input, in pixels."""
        return self.spec["network"]["width"], self.spec["network"]["height"]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the network's order."""
        return list(self.spec["network"]["classes"])

    @property
    def grid_sha256(self) -> str:
        """What tells this network from all others. Raises EpochFileGone."""
        return str(self.file(GRID_ONNX)["sha256"])

    def file(self, name: str) -> Mapping[str, Any]:
        """Key, SHA-256 and size of a file. Raises EpochFileGone."""
        try:
            described: Mapping[str, Any] = self.entry["files"][name]
        except KeyError as error:
            raise EpochFileGone(f"The epoch has no file {name}.") from error
        return described


class EpochFiles:
    """All epochs of all jobs."""

    def __init__(self, documents: Documents, store: ObjectStore) -> None:
        self._documents = documents
        self._store = store

    def find(self, job_id: str, which: str) -> CommittedEpoch:
        """The epoch by number, ``best`` or ``latest``. Raises DocumentMissing and curves.NoSuchEpoch."""
        entry = find_epoch(self._documents.get(CHECKPOINT_KIND, job_id).body["epochs"], which)
        spec = json.loads(self._store.get(keys.job_spec(job_id)).body)
        return CommittedEpoch(job_id, spec, entry)

    def read(self, epoch: CommittedEpoch, name: str) -> bytes:
        """A file's bytes, proved to be those that were committed. Raises EpochFileGone."""
        return read_committed(self._store, name, epoch.file(name))


def read_committed(store: ObjectStore, name: str, described: Mapping[str, Any]) -> bytes:
    """A committed file's bytes, by its ``key``, ``sha256`` and ``size_bytes``. Raises EpochFileGone."""
    if described["size_bytes"] > MAX_FILE_BYTES:
        raise EpochFileGone(
            f"{name} has {described['size_bytes']} bytes; at most {MAX_FILE_BYTES} are taken."
        )
    try:
        content = store.get(described["key"]).body
    except ObjectMissing as error:
        raise EpochFileGone(f"{name} of the epoch is not in the store any more.") from error
    if hashlib.sha256(content).hexdigest() != described["sha256"]:
        raise EpochFileGone(f"{name} in the store is not the file that was committed (SHA-256 differs).")
    return content
