"""Copies of the bucket in a folder, and the way back.

A folder holds ``objects/<aa>/<sha256>``, the bodies under their hashes, and ``snapshots/<time>.json``,
which say what lay under which key. A snapshot appears whole or not at all, and no later one touches what it
names. Equal bodies are kept once, and an object whose ETag the snapshot before knows is not read again.

What names others (documents, manifests) is copied first and brought back last: whatever a copied manifest
names was there before it and is copied after it, and nobody ever sees a manifest without its blobs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from periscope import keys
from periscope.clock import to_rfc3339, utc_now
from periscope.store import ObjectInfo, ObjectMissing, ObjectStore

CHUNK_BYTES = 1 << 20


class BackupUnusable(Exception):
    """The folder holds no whole copy, or a body in it is damaged; the text says which."""


class BucketTaken(Exception):
    """The bucket holds what the copy does not: nothing was overwritten."""


@dataclass(frozen=True)
class Entry:
    """One object of a snapshot."""

    sha256: str
    size_bytes: int
    etag: str
    """As the store that was copied gave it."""


Snapshot = dict[str, Entry]
"""By key."""


@dataclass(frozen=True)
class Done:
    """What a run did."""

    objects: int
    size_bytes: int
    moved_bytes: int
    """Without what was there already."""


class Backup:
    """One folder of copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, store: ObjectStore) -> Done:
        """Make another snapshot of a bucket, which may be in use.

        Raises:
            BackupUnusable: a blob of the bucket is not what its key says, or another run is at work.
            StoreUnavailable: the store is away; no snapshot has appeared.
        """
        with self._held():
            return self._save(store)

    def restore(self, store: ObjectStore) -> Done:
        """Bring the newest snapshot into a bucket that is empty, or that a former run has begun to fill.

        Raises:
            BackupUnusable: there is no snapshot, or a body is damaged.
            BucketTaken: the bucket holds anything else. Nothing was changed.
        """
        snapshot = self.load()
        present = {info.key: info for info in store.list("") if not keys.is_passing(info.key)}
        self._refuse_others(store, snapshot, present)
        moved_bytes = 0
        for key in sorted(snapshot.keys() - present.keys(), key=lambda key: (keys.refers(key), key)):
            entry = snapshot[key]
            self._check(key, entry)
            kind = "application/json" if keys.refers(key) else "application/octet-stream"
            store.put_file(key, self._path(entry.sha256), content_type=kind)
            moved_bytes += entry.size_bytes
        return _done(snapshot, moved_bytes)

    def verify(self) -> Done:
        """Read every body of the newest snapshot again. Raises BackupUnusable."""
        snapshot = self.load()
        for key, entry in snapshot.items():
            self._check(key, entry)
        return _done(snapshot, 0)

    def load(self) -> Snapshot:
        """The newest snapshot. Raises BackupUnusable where there is none."""
        names = self._names()
        if not names:
            raise BackupUnusable(f"{self._folder} holds no snapshot")
        told = json.loads((self._folder / "snapshots" / names[-1]).read_text())
        return {key: Entry(**entry) for key, entry in told["objects"].items()}

    def _save(self, store: ObjectStore) -> Done:
        known = self.load() if self._names() else {}
        snapshot: Snapshot = {}
        moved_bytes = 0
        for info in _in_order_of_copying(store):
            before = known.get(info.key)
            if before is not None and before.etag == info.etag and self._path(before.sha256).exists():
                snapshot[info.key] = before
                continue
            try:
                snapshot[info.key] = self._copy(store, info)
            except ObjectMissing:
                continue  # Removed since it was listed.
            moved_bytes += snapshot[info.key].size_bytes
        self._publish(snapshot)
        return _done(snapshot, moved_bytes)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Be the one run that writes in the folder; ended by the kernel if this process is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BackupUnusable(f"another run is at work in {self._folder}") from error
            yield

    def _names(self) -> list[str]:
        return sorted(path.name for path in (self._folder / "snapshots").glob("*.json"))

    def _path(self, sha256: str) -> Path:
        return self._folder / "objects" / sha256[:2] / sha256

    def _copy(self, store: ObjectStore, info: ObjectInfo) -> Entry:
        draft = self._folder / "objects" / "draft"
        draft.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            sha256, size_bytes = _hashed(_written(store.iterate(info.key, CHUNK_BYTES), file))
            file.flush()
            os.fsync(file.fileno())
        if info.key.startswith(keys.BLOBS) and info.key != keys.blob(sha256):
            raise BackupUnusable(f"{info.key} is damaged in the bucket: its hash is {sha256}")
        path = self._path(sha256)
        path.parent.mkdir(exist_ok=True)
        draft.replace(path)
        return Entry(sha256, size_bytes, info.etag)

    def _publish(self, snapshot: Snapshot) -> None:
        now = to_rfc3339(utc_now())
        path = self._folder / "snapshots" / f"{now.replace(':', '')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".new")
        with draft.open("w") as file:
            json.dump({"made_at": now, "objects": {key: asdict(e) for key, e in snapshot.items()}}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _check(self, key: str, entry: Entry) -> None:
        try:
            with self._path(entry.sha256).open("rb") as file:
                found, _ = _hashed(iter(lambda: file.read(CHUNK_BYTES), b""))
        except FileNotFoundError as error:
            raise BackupUnusable(f"the body of {key} is missing: {self._path(entry.sha256)}") from error
        if found != entry.sha256:
            raise BackupUnusable(f"the body of {key} is damaged: {self._path(entry.sha256)}")

    def _refuse_others(self, store: ObjectStore, snapshot: Snapshot, present: dict[str, ObjectInfo]) -> None:
        for key, info in present.items():
            entry = snapshot.get(key)
            if entry is None or entry.size_bytes != info.size_bytes:
                raise BucketTaken(f"the bucket holds {key}, which the copy does not: restore to an empty one")
            if _hashed(store.iterate(key, CHUNK_BYTES))[0] != entry.sha256:
                raise BucketTaken(f"the bucket holds another {key} than the copy: restore to an empty one")


def _in_order_of_copying(store: ObjectStore) -> Iterator[ObjectInfo]:
    """What refers to others first, all of it, and the rest by a listing made after that."""
    for comes_first in (True, False):
        for info in store.list(""):
            if keys.refers(info.key) == comes_first and not keys.is_passing(info.key):
                yield info


def _written(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _hashed(chunks: Iterable[bytes]) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


def _done(snapshot: Snapshot, moved_bytes: int) -> Done:
    return Done(len(snapshot), sum(entry.size_bytes for entry in snapshot.values()), moved_bytes)
