"""From an upload to a version: read back, check, store under its hash, claim the next number.

A killed publisher leaves nothing visible: blob first, then one conditional write of the whole manifest.
Asked again, for the same upload or with the same zip, the answer is the version made before.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from detectnet.bundle import BundleError, BundleReport, check_bundle
from detectnet.bundle_members import require
from detectnet.jetson_check import check_for_jetson
from periscope.blobs import BlobRef, put_blob_file
from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.store import ObjectMissing, ObjectStore
from periscope.uploads import FinishedUpload, UnknownUpload, Uploads
from periscope.versions import Versions
from periscope_registry.catalogue import Manifests
from periscope_registry.rules import Body, Busy, VersionNotes, ZipRefused, make_manifest

RECEIPTS = "receipts"
"""What became of each upload, so that a question asked twice is answered the same."""
MAX_CHECKS = 2
"""Zips checked at a time: each is a file on the scratch disk and keeps a processor busy."""
STRIPES = 64
"""Requests for one upload wait for each other; uploads share this many locks."""
TURN_WAIT_S = 45.0
"""How long a publisher waits for each lock; both waits together stay below the server's time-out."""


class _PublishedBefore(Exception):
    """A version with this very zip was found while claiming a number."""

    def __init__(self, manifest: Body) -> None:
        super().__init__()
        self.manifest = manifest


class Publisher:
    """Makes versions of uploads."""

    def __init__(
        self,
        store: ObjectStore,
        documents: Documents,
        versions: Versions,
        manifests: Manifests,
        scratch: Path,
    ) -> None:
        self._store = store
        self._documents = documents
        self._uploads = Uploads(store, documents)
        self._versions = versions
        self._manifests = manifests
        self._scratch = scratch
        self._turns = threading.BoundedSemaphore(MAX_CHECKS)
        self._stripes = [threading.Lock() for _ in range(STRIPES)]

    def begin(self, model: Document, filename: str, size_bytes: int, sha256: str | None = None) -> Body:
        """An upload with the addresses of its parts."""
        return self._uploads.create("models", model.id, filename, size_bytes, sha256)

    def open_uploads(self, model: Document) -> list[Document]:
        """Those that may be gone on with, oldest first."""
        return self._uploads.open_of(model.id)

    def upload(self, model: Document, upload_id: str) -> Body:
        """An upload with fresh URLs and what has arrived. Raises UnknownUpload."""
        return self._uploads.get(upload_id, model.id)

    def publish(self, model: Document, upload_id: str, notes: VersionNotes) -> tuple[Body, bool]:
        """The version of an upload, and whether it is new.

        Raises:
            ZipRefused: the zip is not one that a robot can load; the upload is gone.
            UnknownUpload, IncompleteUpload: see Uploads.finish.
            Busy: too many zips are being checked.
        """
        with _held(self._stripes[hash(upload_id) % STRIPES]):
            settled = self._settled(model, upload_id)
            if settled is not None:
                return settled, False
            try:
                with _held(self._turns):
                    manifest, is_new = self._make_version(model, upload_id, notes)
            except (UnknownUpload, DocumentMissing, ObjectMissing) as error:
                # Another replica may have been faster with the same upload.
                settled = self._settled(model, upload_id)
                if settled is None:
                    raise UnknownUpload(f"there is no upload {upload_id} here; begin a new one") from error
                return settled, False
            self._settle(upload_id, {"model_id": model.id, "version": manifest["version"], "reasons": None})
            return manifest, is_new

    def _make_version(self, model: Document, upload_id: str, notes: VersionNotes) -> tuple[Body, bool]:
        finished = self._uploads.finish(upload_id, model.id)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="registry-") as folder:
            path = Path(folder) / "model.zip"
            sha256 = fetch(self._store, finished, path)
            if finished.sha256 not in (None, sha256):
                self._refuse(model, upload_id, [_other_bytes(finished.sha256, sha256)])
            known = self._manifests.find_zip(model.id, sha256)
            if known is not None:
                return known, False
            report = self._check(model, upload_id, path)
            blob = put_blob_file(self._store, path, content_type="application/zip")
        return self._claim(model, blob, report, notes)

    def _check(self, model: Document, upload_id: str, path: Path) -> BundleReport:
        try:
            report = check_bundle(path)
            flavours = check_for_jetson(path, report)
            require([f"{one.name}: {reason}" for one in flavours for reason in one.reasons])
        except BundleError as error:
            self._refuse(model, upload_id, error.reasons)
        return report

    def _refuse(self, model: Document, upload_id: str, reasons: list[str]) -> NoReturn:
        self._settle(upload_id, {"model_id": model.id, "version": None, "reasons": reasons})
        raise ZipRefused(reasons)

    def _claim(
        self, model: Document, blob: BlobRef, report: BundleReport, notes: VersionNotes
    ) -> tuple[Body, bool]:
        at = to_rfc3339(utc_now())

        def manifest_of(number: int) -> Body:
            # To claim a number all lower ones must be taken, and versions never change: so looking at those
            # below each number tried is enough for one zip never to become two versions.
            known = self._manifests.find_zip(model.id, blob.sha256)
            if known is not None:
                raise _PublishedBefore(known)
            return make_manifest(model.id, model.body["name"], number, blob, report, notes, at)

        try:
            return self._versions.publish(model.id, manifest_of)[1], True
        except _PublishedBefore as found:
            return found.manifest, False

    def _settled(self, model: Document, upload_id: str) -> Body | None:
        """What was made of an upload before, or None. Raises ZipRefused, UnknownUpload."""
        try:
            body = self._documents.get(RECEIPTS, upload_id).body
        except DocumentMissing:
            return None
        if body["model_id"] != model.id:
            raise UnknownUpload(f"there is no upload {upload_id} of this model; begin a new one")
        self._uploads.discard(upload_id)  # Who settled it may have died before.
        if body["version"] is None:
            raise ZipRefused(body["reasons"])
        return self._manifests.get(model.id, body["version"])

    def _settle(self, upload_id: str, body: Body) -> None:
        """Keep what became of an upload, then remove the upload."""
        try:
            self._documents.create(RECEIPTS, {**body, "created_at": to_rfc3339(utc_now())}, upload_id)
        except Conflict:
            return  # Another request for the same upload was faster, and removes it.
        self._uploads.discard(upload_id)


def _other_bytes(announced: str | None, arrived: str) -> str:
    return (
        f"the bytes that arrived have the SHA-256 {arrived}, the announced ones {announced}: "
        "the file changed while it was sent, or on the way; send it again"
    )


@contextmanager
def _held(lock: threading.Lock | threading.BoundedSemaphore) -> Iterator[None]:
    """Wait for a lock, but not for ever. Raises Busy."""
    if not lock.acquire(timeout=TURN_WAIT_S):
        raise Busy("many zips are being checked; finalize again in a moment")
    try:
        yield
    finally:
        lock.release()


def fetch(store: ObjectStore, finished: FinishedUpload, path: Path) -> str:
    """Write an upload to a file and return its SHA-256; memory stays small. Raises ObjectMissing."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in store.iterate(finished.key):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
