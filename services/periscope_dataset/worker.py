"""Takes queued ingests one after another, while this replica holds the lease; any can be begun anew."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import structlog

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Document, Documents
from periscope.lease import Lease
from periscope.store import ObjectStore
from periscope.versions import Versions
from periscope_dataset.findings import Findings, IngestRefused
from periscope_dataset.ingest import Source, make_version
from periscope_dataset.rules import DATASETS, FINAL_STATES, INGESTS

IDLE_S = 2.0
LEASE = "dataset-ingests"
REPORT_EVERY_S = 1.0

log = structlog.get_logger()


class LeaseLost(Exception):
    """Another replica has taken over; it begins the ingest anew."""


class IngestWorker:
    """The body of the background loop."""

    def __init__(self, store: ObjectStore, documents: Documents, work_dir: Path, lease_ttl_s: float) -> None:
        self._store = store
        self._documents = documents
        self._versions = Versions(store, DATASETS)
        self._work_dir = work_dir
        self._lease = Lease(documents, LEASE, secrets.token_hex(8), lease_ttl_s)
        self._renew_every_s = lease_ttl_s / 3

    def step(self) -> float:
        """Ingest what waits; return seconds until the next look."""
        waiting = [item for item in self._documents.list(INGESTS) if item.body["state"] not in FINAL_STATES]
        if not waiting:
            return IDLE_S
        if not self._lease.acquire():
            return self._renew_every_s
        for document in waiting:
            self._ingest(document)
        return 0.0

    def _ingest(self, document: Document) -> None:
        body, findings = document.body, Findings()
        log.info("ingest_begins", ingest_id=document.id, dataset_id=body["dataset_id"])
        report = _Reporter(self._documents, self._lease, document.id, self._renew_every_s)
        try:
            version = self._published_version(document)
            if version is None:
                content = make_version(
                    self._store, Source(**body["source"]), body["options"],
                    self._work_dir / "ingest", findings, report,
                )  # fmt: skip
                report.require_lease()
                version = None if content is None else self._publish(document, content)
        except IngestRefused as refused:
            findings.error(refused.finding)
            version = None
        self._end(document, version, findings)

    def _published_version(self, document: Document) -> int | None:
        """The version that a worker published before it died, if one did."""
        for manifest in self._versions.list(document.body["dataset_id"]):
            if manifest["ingest_id"] == document.id:
                return int(manifest["version"])
        return None

    def _publish(self, document: Document, content: dict[str, Any]) -> int:
        dataset = self._documents.get(DATASETS, document.body["dataset_id"])
        described = {
            "dataset_id": dataset.id,
            "name": dataset.body["name"],
            "ingest_id": document.id,
            "created_at": to_rfc3339(utc_now()),
        }
        number, _ = self._versions.publish(dataset.id, lambda _: {**described, **content})
        return number

    def _end(self, document: Document, version: int | None, findings: Findings) -> None:
        state = "FAILED" if version is None else "SUCCEEDED"
        ended = {"state": state, "progress": 1.0, "version": version, "updated_at": to_rfc3339(utc_now())}
        self._documents.update(INGESTS, document.id, lambda body: body | ended | findings.as_dict())
        # The shards hold all that counts; a failed archive is sent anew after mending.
        self._store.delete(document.body["source"]["key"])
        log.info("ingest_ended", ingest_id=document.id, state=state, errors=findings.error_count)


class _Reporter:
    """Writes the progress now and then, and keeps the lease."""

    def __init__(self, documents: Documents, lease: Lease, ingest_id: str, renew_every_s: float) -> None:
        self._documents = documents
        self._lease = lease
        self._ingest_id = ingest_id
        self._renew_every_s = renew_every_s
        self._renewed_at = time.monotonic()
        self._reported_at = float("-inf")

    def __call__(self, progress: float) -> None:
        now = time.monotonic()
        if now - self._renewed_at >= self._renew_every_s:
            self.require_lease()
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            changed = {
                "state": "RUNNING",
                "progress": round(progress, 3),
                "updated_at": to_rfc3339(utc_now()),
            }
            self._documents.update(INGESTS, self._ingest_id, lambda body: body | changed)

    def require_lease(self) -> None:
        """Raises LeaseLost when another replica works on it now."""
        if not self._lease.acquire():
            raise LeaseLost(self._ingest_id)
        self._renewed_at = time.monotonic()
