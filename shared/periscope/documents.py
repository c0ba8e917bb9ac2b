"""JSON documents in the object store, changed by conditional writes only.

Each body carries a random ``write_id``. When a write's answer says no or is lost, the writer reads back:
finding its own ``write_id`` means that the write took effect.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from periscope import keys
from periscope.ids import new_id
from periscope.store import ObjectMissing, ObjectStore, PreconditionFailed, StoredObject, StoreUnavailable

UPDATE_ATTEMPTS = 12
CLAIM_ATTEMPTS = 3
BACKOFF_S = 0.02
READERS = 8
PARALLEL_FROM = 16
MAX_KNOWN_NAMES = 100_000

Body = dict[str, Any]


class DocumentMissing(Exception):
    """No document has this id."""


class Conflict(Exception):
    """The document exists already, or was changed by another since it was read."""


@dataclass(frozen=True)
class Document:
    """A document as it was read or written."""

    kind: str
    id: str
    body: Body
    etag: str


class Documents:
    """All documents of one store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._cache: dict[str, Document] = {}
        self._cache_lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._writes: Counter[str] = Counter()

    def create(self, kind: str, body: Body, document_id: str | None = None) -> Document:
        """Claim an id and write the first body; a fresh id where none is given.

        Raises:
            Conflict: the id is taken.
            StoreUnavailable: the store does not say whether the write took effect.
        """
        document_id = document_id or new_id()
        marked = body | {"write_id": _write_id()}
        with self._counted(kind):
            etag = claim(self._store, keys.document(kind, document_id), marked)
        return Document(kind, document_id, marked, etag)

    def get(self, kind: str, document_id: str) -> Document:
        """Read a document. Raises DocumentMissing."""
        try:
            stored = self._store.get(keys.document(kind, document_id))
        except ObjectMissing as error:
            raise DocumentMissing(f"there is no {kind} document {document_id}") from error
        return Document(kind, document_id, json.loads(stored.body), stored.etag)

    def replace(self, document: Document, body: Body) -> Document:
        """Write a new body over the one that was read.

        Raises:
            Conflict: another has changed or removed it since.
            StoreUnavailable: the store does not say whether the write took effect.
        """
        key = keys.document(document.kind, document.id)
        marked = body | {"write_id": _write_id()}
        with self._counted(document.kind):
            etag = self._put(key, marked, document.etag)
        return Document(document.kind, document.id, marked, etag)

    def _put(self, key: str, marked: Body, expected_etag: str) -> str:
        try:
            return self._store.put_if_match(key, encode(marked), expected_etag)
        except (PreconditionFailed, StoreUnavailable) as error:
            found = _read_back(self._store, key)
            if found is not None and found.etag == expected_etag and isinstance(error, StoreUnavailable):
                raise  # Nothing has happened yet, and still may.
            if found is None or not _holds(found, marked):
                raise Conflict(f"{key} was changed by another") from error
            return found.etag

    def update(self, kind: str, document_id: str, change: Callable[[Body], Body]) -> Document:
        """Read, change and write until no other writer comes between.

        ``change`` gets a copy of the body and may raise to leave the document as it is. When the answer
        to a write is lost and another writer comes right behind it, the change may be made twice.

        Raises:
            DocumentMissing: there is nothing to change.
            Conflict: others kept changing it.
            StoreUnavailable: the store does not say whether the write took effect.
        """
        for attempt in range(UPDATE_ATTEMPTS):
            document = self.get(kind, document_id)
            try:
                return self.replace(document, change(_copy(document.body)))
            except Conflict:
                # Spread the writers out: all of them read the same state just now.
                time.sleep(BACKOFF_S * (1 << min(attempt, 5)) * (0.5 + secrets.randbelow(100) / 100))
        raise Conflict(f"{keys.document(kind, document_id)} kept changing")

    def writes(self, kind: str) -> int:
        """How many writes of a kind have ended here: what was read before the last one may be old."""
        return self._writes[kind]

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        try:
            yield
        finally:  # A write that failed may have taken effect.
            self._writes[kind] += 1

    def matching(self, kind: str, fits: Callable[[Body], bool]) -> list[Document]:
        """The documents of a kind whose body fits, oldest first; the others are not copied.

        ``fits`` must leave the body as it is.
        """
        prefix = keys.documents_prefix(kind)
        etags = {info.key: info.etag for info in self._store.list(prefix)}
        with self._cache_lock:
            cached = {key: self._cache.get(key) for key in etags}
        changed = [key for key, document in cached.items() if document is None or document.etag != etags[key]]
        fresh = self._read_all(kind, [key.removeprefix(prefix) for key in changed])
        with self._cache_lock:
            self._cache.update(fresh)
            for key in [key for key in self._cache if key.startswith(prefix) and key not in etags]:
                del self._cache[key]
        found = {**cached, **dict.fromkeys(changed), **fresh}
        return [
            Document(kind, document.id, _copy(document.body), document.etag)
            for document in found.values()
            # None was removed between the listing and now.
            if document is not None and fits(document.body)
        ]

    def list(self, kind: str) -> list[Document]:
        """All documents of a kind, oldest first; only changed ones are read again."""
        return self.matching(kind, lambda _: True)

    def _read_all(self, kind: str, document_ids: Sequence[str]) -> dict[str, Document]:
        def read(document_id: str) -> Document | None:
            try:
                return self.get(kind, document_id)
            except DocumentMissing:
                return None

        if len(document_ids) < PARALLEL_FROM:
            documents = [read(document_id) for document_id in document_ids]
        else:
            # A service that has just started reads them all.
            with ThreadPoolExecutor(READERS) as pool:
                documents = list(pool.map(read, document_ids))
        return {keys.document(kind, document.id): document for document in documents if document is not None}

    def written_before(self, kind: str, moment: datetime) -> Iterator[str]:
        """Ids of the documents whose last write is older than ``moment``, by the store's clock."""
        prefix = keys.documents_prefix(kind)
        for info in self._store.list(prefix):
            if info.modified_at < moment:
                yield info.key.removeprefix(prefix)

    def delete(self, kind: str, document_id: str) -> None:
        """Remove a document; an absent one is no error."""
        with self._counted(kind):
            self._store.delete(keys.document(kind, document_id))

    def claim_name(self, kind: str, name: str, document_id: str) -> str:
        """Make ``name`` belong to a document unless it belongs to one; return the owner's id."""
        key = keys.name_claim(kind, name)
        body = {"name": name, "id": document_id, "write_id": _write_id()}
        try:
            claim(self._store, key, body)
        except Conflict:
            return self.id_of_name(kind, name) or document_id
        return self._remember_name(key, document_id)

    def id_of_name(self, kind: str, name: str) -> str | None:
        """The id that owns a name, or None."""
        key = keys.name_claim(kind, name)
        if key in self._names:
            return self._names[key]
        try:
            stored = self._store.get(key)
        except ObjectMissing:
            return None
        return self._remember_name(key, str(json.loads(stored.body)["id"]))

    def _remember_name(self, key: str, document_id: str) -> str:
        """A claim is for good, so it is read once."""
        if len(self._names) >= MAX_KNOWN_NAMES:
            self._names.clear()
        self._names[key] = document_id
        return document_id


def claim(store: ObjectStore, key: str, body: Body) -> str:
    """Write a body that carries a ``write_id`` under a free key; return its ETag.

    Raises:
        Conflict: another writer has the key.
        StoreUnavailable: the store does not say whether the write took effect.
    """
    for _ in range(CLAIM_ATTEMPTS):
        try:
            return store.put_if_absent(key, encode(body))
        except (PreconditionFailed, StoreUnavailable) as error:
            found = _read_back(store, key)
            if found is None and isinstance(error, StoreUnavailable):
                raise
            if found is not None and _holds(found, body):
                return found.etag
            if found is not None:
                raise Conflict(f"{key} is taken") from error
            # Refused although nothing is there: a store answers 409 so while writers race. Ask again.
    raise StoreUnavailable(f"{key} is free, and the store refuses it all the same")


def encode(body: Body) -> bytes:
    """A body's bytes: sorted keys, so that equal bodies are equal bytes."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _read_back(store: ObjectStore, key: str) -> StoredObject | None:
    try:
        return store.get(key)
    except ObjectMissing:
        return None


def _holds(stored: StoredObject, body: Body) -> bool:
    return bool(json.loads(stored.body).get("write_id") == body["write_id"])


def _copy(body: Body) -> Body:
    copied: Body = json.loads(encode(body))
    return copied


def _write_id() -> str:
    return secrets.token_hex(8)
