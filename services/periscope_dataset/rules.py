"""Data sets, uploads, ingests and versions as plain values over the documents; no HTTP here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Conflict, Document, DocumentMissing, Documents
from periscope.ids import is_id, new_id
from periscope.store import ObjectStore
from periscope.uploads import Uploads
from periscope.versions import Versions

DATASETS, INGESTS = "datasets", "ingests"
NOTHING_ELSE: Mapping[str, Any] = {"description": "", "labels": {}, "base": None}
"""A version that is made from nothing but what was sent, and has no description."""
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED")


class UnknownDataset(Exception):
    """No data set has this id."""


class UnknownVersion(Exception):
    """The data set has no such version."""


class UnknownIngest(Exception):
    """The data set has no such ingest."""


class NameTaken(Exception):
    """Another data set has this name; the text tells its id."""


class AlreadyFinalized(Exception):
    """The upload is being ingested with other options."""


class AlreadyEnded(Exception):
    """The ingest cannot be changed any more."""


class Catalogue:
    """All data sets of one store."""

    def __init__(self, store: ObjectStore, documents: Documents) -> None:
        self.uploads = Uploads(store, documents)
        self.versions = Versions(store, DATASETS)
        self._documents = documents

    def create(self, name: str, group: str | None = None) -> Document:
        """A new data set. Raises NameTaken."""
        dataset_id = new_id()
        owner = self._documents.claim_name(DATASETS, name, dataset_id)
        if owner != dataset_id and self._exists(owner):
            raise _name_taken(name, owner)
        now = to_rfc3339(utc_now())
        body = {"name": name, "group": group, "created_at": now, "updated_at": now}
        try:
            # A creator that died after claiming the name left nothing behind it: go on under its id.
            return self._documents.create(DATASETS, body, owner)
        except Conflict as error:
            raise _name_taken(name, owner) from error

    def get(self, dataset_id: str) -> Document:
        """Raises UnknownDataset."""
        if is_id(dataset_id):
            try:
                return self._documents.get(DATASETS, dataset_id)
            except DocumentMissing:
                pass
        raise UnknownDataset(f"there is no data set {dataset_id}")

    def list(self, name: str | None = None, group: str | None = None) -> list[Document]:
        """All data sets, those of a group, or the one of a name; oldest first."""
        if name is None:
            found = self._documents.list(DATASETS)
            return [item for item in found if group in (None, item.body.get("group"))]
        dataset_id = self._documents.id_of_name(DATASETS, name)
        try:
            return [] if dataset_id is None else [self._documents.get(DATASETS, dataset_id)]
        except DocumentMissing:
            return []

    def begin_ingest(
        self,
        dataset_id: str,
        upload_id: str,
        options: Mapping[str, Any],
        notes: Sequence[str] = (),
        making: Mapping[str, Any] = NOTHING_ELSE,
    ) -> Document:
        """Complete the upload and queue its ingest; a second call finds the first's.

        Raises:
            UnknownUpload, IncompleteUpload: see Uploads.
            AlreadyFinalized: an earlier call had other options.
        """
        try:
            return self._begun_ingest(dataset_id, upload_id, options, making)
        except UnknownIngest:
            upload = self.uploads.finish(upload_id, dataset_id)
        source = {"key": upload.key, "filename": upload.filename, "size_bytes": upload.size_bytes}
        try:
            # One upload has one ingest, so both share the id.
            body = new_ingest(dataset_id, source, options, notes, making)
            return self._documents.create(INGESTS, body, upload_id)
        except Conflict:
            return self._begun_ingest(dataset_id, upload_id, options, making)

    def begin_import(
        self,
        dataset_id: str,
        prefix: str,
        options: Mapping[str, Any],
        notes: Sequence[str] = (),
        making: Mapping[str, Any] = NOTHING_ELSE,
    ) -> Document:
        """Queue the ingest of a folder of the bucket."""
        body = new_ingest(dataset_id, {"prefix": prefix}, options, notes, making)
        return self._documents.create(INGESTS, body)

    def begin_removal(
        self, dataset_id: str, options: Mapping[str, Any], making: Mapping[str, Any]
    ) -> Document:
        """Queue the making of a version that lacks pictures of another."""
        return self._documents.create(INGESTS, new_ingest(dataset_id, {}, options, (), making))

    def cancel(self, dataset_id: str, ingest_id: str) -> Document:
        """End an ingest without a version; a second call changes nothing. Raises AlreadyEnded."""
        self.ingest(dataset_id, ingest_id)

        def change(body: dict[str, Any]) -> dict[str, Any]:
            if body["state"] in FINAL_STATES[:2]:
                raise AlreadyEnded(f"the ingest has ended: {body['state']}")
            if body.get("publishing"):
                raise AlreadyEnded("the ingest's version is being published; remove that instead")
            return body | {"state": "CANCELLED", "eta_s": 0.0, "updated_at": to_rfc3339(utc_now())}

        return self._documents.update(INGESTS, ingest_id, change)

    def ingests(self, dataset_id: str) -> Sequence[Document]:
        """All ingests of a data set, oldest first."""
        return [item for item in self._documents.list(INGESTS) if item.body["dataset_id"] == dataset_id]

    def _begun_ingest(
        self, dataset_id: str, upload_id: str, options: Mapping[str, Any], making: Mapping[str, Any]
    ) -> Document:
        document = self.ingest(dataset_id, upload_id)
        if document.body["options"] != dict(options) or document.body.get("making", making) != dict(making):
            raise AlreadyFinalized(
                f"the upload {upload_id} was finalized with other options; upload the archive again for these"
            )
        return document

    def ingest(self, dataset_id: str, ingest_id: str) -> Document:
        """Raises UnknownIngest."""
        if is_id(ingest_id):
            try:
                document = self._documents.get(INGESTS, ingest_id)
            except DocumentMissing:
                document = None
            if document is not None and document.body["dataset_id"] == dataset_id:
                return document
        raise UnknownIngest(f"the data set {dataset_id} has no ingest {ingest_id}")

    def manifest(self, dataset_id: str, version: str) -> dict[str, Any]:
        """A version's manifest, by number or ``latest``. Raises UnknownVersion."""
        number = self.versions.latest(dataset_id) if version == "latest" else int(version)
        manifest = None if number is None else self.versions.get(dataset_id, number)
        if manifest is None:
            raise UnknownVersion(f"the data set {dataset_id} has no version {version}")
        return manifest

    def _exists(self, dataset_id: str) -> bool:
        try:
            self._documents.get(DATASETS, dataset_id)
        except DocumentMissing:
            return False
        return True


def new_ingest(
    dataset_id: str,
    source: Mapping[str, Any],
    options: Mapping[str, Any],
    notes: Sequence[str],
    making: Mapping[str, Any],
) -> dict[str, Any]:
    """The body of a queued ingest."""
    now = to_rfc3339(utc_now())
    return {
        "dataset_id": dataset_id,
        "source": dict(source),
        "notes": list(notes),
        "options": dict(options),
        "making": dict(making),
        "state": "QUEUED",
        "attempts": 0,
        "progress": 0.0,
        "stage": None,
        "eta_s": None,
        "version": None,
        "errors": [],
        "error_count": 0,
        "warnings": [],
        "warning_count": 0,
        "findings": [],
        "created_at": now,
        "updated_at": now,
    }


def is_of_no_more_use(upload: Mapping[str, Any], ingest: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether an upload may go: its ingest has ended, or none was asked for in its time."""
    if upload["owner_kind"] != DATASETS:
        return False
    if ingest is not None:
        return ingest["state"] in FINAL_STATES
    return from_rfc3339(upload["expires_at"]) < now


def _name_taken(name: str, owner: str) -> NameTaken:
    return NameTaken(f"the name {name!r} belongs to the data set {owner}; upload to that one")
