"""Uploads of big files: the client puts parts straight into the store, the service completes and judges."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from periscope import keys
from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Document, DocumentMissing, Documents
from periscope.ids import is_id, new_id
from periscope.store import InvalidUpload, ObjectStore

KIND = "uploads"
EXPIRES_S = 24 * 3600
MIN_PART_BYTES = 16 << 20
MAX_PARTS = 1000
MAX_SIZE_BYTES = 1 << 40


class UnknownUpload(Exception):
    """The upload does not exist, belongs to another, or was discarded."""


class IncompleteUpload(Exception):
    """Parts are missing or have the wrong size: send them, then finish again."""


@dataclass(frozen=True)
class FinishedUpload:
    """A whole file that a client has put into the store."""

    upload_id: str
    key: str
    filename: str
    size_bytes: int
    sha256: str | None
    """What was announced; nobody has compared it."""
    etag: str


class Uploads:
    """All uploads of one store."""

    def __init__(self, store: ObjectStore, documents: Documents) -> None:
        self._store = store
        self._documents = documents

    def create(
        self, owner_kind: str, owner_id: str, filename: str, size_bytes: int, sha256: str | None = None
    ) -> dict[str, Any]:
        """Begin an upload; the answer holds a presigned URL for each part."""
        upload_id = new_id()
        key = keys.upload(upload_id)
        part_size = part_size_bytes(size_bytes)
        store_upload_id = self._store.create_upload(key)
        now = utc_now()
        body = {
            "owner_kind": owner_kind,
            "owner_id": owner_id,
            "filename": filename,
            "size_bytes": size_bytes,
            "sha256": sha256,
            "part_size_bytes": part_size,
            "store_upload_id": store_upload_id,
            "etag": None,
            "created_at": to_rfc3339(now),
            "expires_at": to_rfc3339(now + timedelta(seconds=EXPIRES_S)),
        }
        return self._answer(self._documents.create(KIND, body, upload_id))

    def get(self, upload_id: str, owner_id: str) -> dict[str, Any]:
        """The upload with fresh URLs and what has arrived, to go on with it. Raises UnknownUpload."""
        document = self._load(upload_id, owner_id)
        try:
            parts = self._store.list_parts(keys.upload(upload_id), document.body["store_upload_id"])
        except InvalidUpload:
            parts = []  # It is whole, and perhaps nobody has asked for its ingest yet.
        return self._answer(document) | {"received": [asdict(part) for part in parts]}

    def open_of(self, owner_id: str) -> list[Document]:
        """Uploads of one owner that were begun and may still be gone on with, oldest first."""
        now = utc_now()
        return [
            document
            for document in self._documents.list(KIND)
            if document.body["owner_id"] == owner_id
            and document.body["etag"] is None
            and from_rfc3339(document.body["expires_at"]) > now
        ]

    def finish(self, upload_id: str, owner_id: str) -> FinishedUpload:
        """Complete the upload in the store; a second call answers the same.

        Raises:
            UnknownUpload: there is no such upload of this owner.
            IncompleteUpload: parts are missing or of the wrong size; the text names them.
        """
        document = self._load(upload_id, owner_id)
        body = document.body
        etag = body["etag"] or self._complete(upload_id, body)
        if body["etag"] is None:
            self._documents.update(KIND, upload_id, lambda latest: latest | {"etag": etag})
        return FinishedUpload(
            upload_id,
            keys.upload(upload_id),
            body["filename"],
            body["size_bytes"],
            body.get("sha256"),
            etag,
        )

    def discard(self, upload_id: str) -> None:
        """Remove an upload and what was sent; an unknown one is no error."""
        try:
            document = self._documents.get(KIND, upload_id)
        except DocumentMissing:
            return
        self._store.abort_upload(keys.upload(upload_id), document.body["store_upload_id"])
        self._store.delete(keys.upload(upload_id))
        self._documents.delete(KIND, upload_id)

    def expired(self) -> list[str]:
        """Ids of uploads that were never finished in their time."""
        now = utc_now()
        return [
            document.id
            for document in self._documents.list(KIND)
            if document.body["etag"] is None and from_rfc3339(document.body["expires_at"]) < now
        ]

    def _load(self, upload_id: str, owner_id: str) -> Document:
        unknown = UnknownUpload(f"there is no upload {upload_id} here; begin a new one")
        if not is_id(upload_id):
            raise unknown
        try:
            document = self._documents.get(KIND, upload_id)
        except DocumentMissing as error:
            raise unknown from error
        if document.body["owner_id"] != owner_id:
            raise unknown
        return document

    def _complete(self, upload_id: str, body: dict[str, Any]) -> str:
        key = keys.upload(upload_id)
        try:
            parts = self._store.list_parts(key, body["store_upload_id"])
        except InvalidUpload as error:
            if (etag := self._completed_etag(key, body)) is not None:
                return etag
            raise UnknownUpload(f"upload {upload_id} is not known to the store; begin a new one") from error
        wanted = {part["number"]: part["size_bytes"] for part in plan_parts(body["size_bytes"])}
        wrong = sorted(wanted.items() - {(part.number, part.size_bytes) for part in parts})
        if wrong:
            named = ", ".join(str(number) for number, _ in wrong[:10])
            raise IncompleteUpload(
                f"{len(wrong)} of {len(wanted)} parts are missing or of wrong size (part {named}): send them"
            )
        try:
            return self._store.complete_upload(
                key, body["store_upload_id"], [part for part in parts if part.number in wanted]
            )
        except InvalidUpload as error:
            if (etag := self._completed_etag(key, body)) is not None:
                return etag
            raise IncompleteUpload(f"the store refused the parts: {error}; send them again") from error

    def _completed_etag(self, key: str, body: dict[str, Any]) -> str | None:
        """The ETag where an earlier finish, whose answer was lost, has completed the upload already."""
        info = self._store.head(key)
        return info.etag if info is not None and info.size_bytes == body["size_bytes"] else None

    def _answer(self, document: Document) -> dict[str, Any]:
        key = keys.upload(document.id)
        body = document.body
        shown = {
            name: body[name]
            for name in ("filename", "size_bytes", "part_size_bytes", "created_at", "expires_at")
        }
        parts = [
            part | {"url": self._store.presign_part(key, body["store_upload_id"], part["number"], EXPIRES_S)}
            for part in plan_parts(body["size_bytes"])
        ]
        return {"upload_id": document.id, **shown, "sha256": body.get("sha256"), "parts": parts}


def part_size_bytes(size_bytes: int) -> int:
    """Parts of at least 16 MiB, and at most 1,000 of them."""
    return max(MIN_PART_BYTES, math.ceil(size_bytes / MAX_PARTS))


def plan_parts(size_bytes: int) -> list[dict[str, Any]]:
    """Number (from 1) and size of each part; an empty file has one empty part."""
    part_size = part_size_bytes(size_bytes)
    starts = range(0, max(size_bytes, 1), part_size)
    return [
        {"number": number, "size_bytes": min(part_size, size_bytes - start)}
        for number, start in enumerate(starts, start=1)
    ]
