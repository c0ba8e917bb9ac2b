"""Where the files of an ingest come from: an uploaded archive, or a folder of the bucket.

Either lists its names, then hands out its files one after another, in one order each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from periscope.store import ObjectInfo, ObjectMissing, ObjectStore
from periscope_dataset.archive import Entry, Guard, Member, list_names, unpack
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.layout import Place
from periscope_dataset.parallel import in_order

FETCHERS = 8
CHUNK_BYTES = 1 << 20

Placed = Callable[[str], Place | None]
Unpacked = Iterator[tuple[Member, Path]]
OnProgress = Callable[[float], None]


class Source(Protocol):
    """Files that may become a version."""

    def identity(self) -> list[Any]:
        """What changes when the files do; it costs little."""

    def prepare(self, folder: Path, on_progress: OnProgress) -> None:
        """Bring what is needed to ``folder``. Raises IngestRefused, StoreUnavailable."""

    def described(self) -> dict[str, Any]:
        """For the version's manifest."""

    def names(self) -> list[str]:
        """All files. Raises IngestRefused."""

    def members(self, folder: Path, placed: Placed) -> Unpacked:
        """All files that ``placed`` has a place for, in ``folder``. Raises IngestRefused."""

    def size_bytes(self) -> int:
        """What there is to read, about."""

    def finish(self) -> None:
        """Give up what is needed no more. Raises IngestRefused when the files changed meanwhile."""


@dataclass
class ArchiveSource:
    """An uploaded archive."""

    store: ObjectStore
    key: str
    filename: str
    packed_bytes: int

    def identity(self) -> list[Any]:
        """An upload is written once."""
        return [self.key, self.packed_bytes]

    def prepare(self, folder: Path, on_progress: OnProgress) -> None:
        """Download the archive."""
        self._archive, digest, done = folder / "archive", hashlib.sha256(), 0
        try:
            with self._archive.open("wb") as file:
                for chunk in self.store.iterate(self.key):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    on_progress(done / max(self.packed_bytes, 1))
        except ObjectMissing as error:
            advice = "upload the archive again"
            raise IngestRefused(Finding("upload_missing", "the store has lost the upload", advice)) from error
        self._sha256 = digest.hexdigest()

    def described(self) -> dict[str, Any]:
        """Its name and hash."""
        return {"filename": self.filename, "sha256": self._sha256, "size_bytes": self.packed_bytes}

    def names(self) -> list[str]:
        """As the archive has them."""
        return list_names(self._archive)

    def members(self, folder: Path, placed: Placed) -> Unpacked:
        """Unpacked one at a time."""
        return unpack(self._archive, folder, placed)

    def size_bytes(self) -> int:
        """Pictures hardly compress."""
        return self.packed_bytes

    def finish(self) -> None:
        """The shards need the room."""
        self._archive.unlink()


class PrefixSource:
    """All objects below a prefix of the bucket."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._found = self._listing()

    def identity(self) -> list[Any]:
        """A hash over names, sizes and ETags."""
        return [self._prefix, _hash_of(self._found)]

    def prepare(self, folder: Path, on_progress: OnProgress) -> None:  # noqa: ARG002 # As the other.
        """Nothing: objects are fetched one by one."""
        if not self._found:
            message = f"nothing is stored below {self._prefix}"
            raise IngestRefused(Finding("layout", message, "copy the data set there first"))

    def described(self) -> dict[str, Any]:
        """The prefix and a hash of its listing."""
        told = {"sha256": _hash_of(self._found), "size_bytes": self.size_bytes(), "files": len(self._found)}
        return {"filename": self._prefix, **told}

    def names(self) -> list[str]:
        """Relative to the prefix."""
        return [entry.name for entry in map(self._entry, self._found) if entry.is_file]

    def members(self, folder: Path, placed: Placed) -> Unpacked:
        """Fetched several at once: each costs a round trip."""
        guard = Guard(self.size_bytes())
        return in_order(self._fetch, self._wanted(guard, folder, placed), FETCHERS, 4 * FETCHERS)

    def size_bytes(self) -> int:
        """Of all objects."""
        return sum(info.size_bytes for info in self._found)

    def finish(self) -> None:
        """What was copied over meanwhile may be half old and half new."""
        if _hash_of(self._listing()) != _hash_of(self._found):
            message = f"what is stored below {self._prefix} changed while it was read"
            raise IngestRefused(Finding("source_changed", message, "ingest again once all is copied"))

    def _listing(self) -> list[ObjectInfo]:
        return list(self._store.list(self._prefix))

    def _entry(self, info: ObjectInfo) -> Entry:
        name = info.key.removeprefix(self._prefix)
        is_folder = name.endswith("/") or not name
        return Entry(name, info.size_bytes, not is_folder, is_folder, partial(_never, name))

    def _wanted(
        self, guard: Guard, folder: Path, placed: Placed
    ) -> Iterator[tuple[ObjectInfo, Member, Path]]:
        for number, info in enumerate(self._found):
            entry = self._entry(info)
            place = None if entry.is_folder else placed(entry.name)
            guard.check(entry, place)
            if place is not None:
                yield info, Member(entry.name, place, info.size_bytes), folder / f"member-{number}"

    def _fetch(self, wanted: tuple[ObjectInfo, Member, Path]) -> tuple[Member, Path]:
        info, member, path = wanted
        if member.place.key is not None:
            try:
                with path.open("wb") as file:
                    for chunk in self._store.iterate(info.key, CHUNK_BYTES):
                        file.write(chunk)
            except ObjectMissing as error:
                message = f"{info.key} was removed while the data set was read"
                finding = Finding("source_changed", message, "ingest again once all is copied", member.path)
                raise IngestRefused(finding) from error
        return member, path


class NoSource:
    """No files: the version is made from another alone."""

    def identity(self) -> list[Any]:
        """Nothing."""
        return []

    def prepare(self, folder: Path, on_progress: OnProgress) -> None:
        """Nothing is needed."""

    def described(self) -> dict[str, Any]:
        """As other sources are, with no bytes."""
        return {"filename": "", "sha256": _hash_of([]), "size_bytes": 0}

    def names(self) -> list[str]:
        """None."""
        return []

    def members(self, folder: Path, placed: Placed) -> Unpacked:  # noqa: ARG002 # As the others.
        """None."""
        return iter(())

    def size_bytes(self) -> int:
        """None."""
        return 0

    def finish(self) -> None:
        """Nothing is to be given up."""


def source_of(store: ObjectStore, told: Mapping[str, Any]) -> Source:
    """The source that an ingest's document tells of."""
    if "prefix" in told:
        return PrefixSource(store, told["prefix"])
    if "key" not in told:
        return NoSource()
    return ArchiveSource(store, told["key"], told["filename"], told["size_bytes"])


def _hash_of(found: list[ObjectInfo]) -> str:
    listed = json.dumps([[info.key, info.etag, info.size_bytes] for info in found])
    return hashlib.sha256(listed.encode()).hexdigest()


def _never(name: str) -> IO[bytes]:
    raise AssertionError(name)
