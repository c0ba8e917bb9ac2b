"""Takes queued ingests one after another, while this replica holds the lease; any can be begun anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Body, Document, Documents
from periscope.lease import Lease
from periscope.store import ObjectStore
from periscope.uploads import KIND as UPLOADS
from periscope.uploads import Uploads
from periscope.versions import Versions
from periscope_dataset.findings import Finding, Findings, IngestRefused
from periscope_dataset.holding import HeldLease, LeaseLost
from periscope_dataset.ingest import Bench, Source, make_version
from periscope_dataset.rules import DATASETS, FINAL_STATES, INGESTS, is_of_no_more_use

IDLE_S = 2.0
LEASE = "dataset-ingests"
REPORT_EVERY_S = 1.0
SWEEP_EVERY_S = 600.0
MAX_ATTEMPTS = 8
"""An ingest that ends its worker this often is given up, lest it end it for ever."""

log = structlog.get_logger()


class Stopped(Exception):
    """The service ends; the ingest begins anew after the next start."""


class AlreadyEnded(Exception):
    """Another replica has ended the ingest."""


class AlreadyPublished(Exception):
    """Another replica, or this one before it died, has published the ingest's version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version}")
        self.version = version


class IngestWorker:
    """The body of the background loop."""

    def __init__(
        self, store: ObjectStore, documents: Documents, work_dir: Path, holder: str, lease_ttl_s: float
    ) -> None:
        self._store = store
        self._documents = documents
        self._versions = Versions(store, DATASETS)
        self._uploads = Uploads(store, documents)
        self._scratch = work_dir / "ingest"
        self._lease = Lease(documents, LEASE, holder, lease_ttl_s)
        self._lease_ttl_s = lease_ttl_s
        self._stopping = threading.Event()
        self._swept_at = float("-inf")

    def stop(self) -> None:
        """Leave the ingest at hand at the next occasion."""
        self._stopping.set()

    def step(self) -> float:
        """Ingest what waits longest; return seconds until the next look."""
        waiting = [item for item in self._documents.list(INGESTS) if item.body["state"] not in FINAL_STATES]
        if not waiting:
            self._sweep_now_and_then()
            return IDLE_S
        held = HeldLease.take(self._lease, self._lease_ttl_s)
        if held is None:
            return self._lease_ttl_s / 3
        # One that keeps failing comes last, so that it holds up no other.
        chosen = min(waiting, key=lambda document: (document.body["attempts"], document.id))
        with held:
            try:
                self._ingest(chosen.id, held)
            except (Stopped, AlreadyEnded, LeaseLost) as reason:
                log.info("ingest_left", ingest_id=chosen.id, reason=repr(reason))
                return IDLE_S
        return 0.0

    def _ingest(self, ingest_id: str, held: HeldLease) -> None:
        document = self._change(
            ingest_id, lambda body: {"state": "RUNNING", "attempts": body["attempts"] + 1}
        )
        log.info("ingest_begins", ingest_id=ingest_id, attempt=document.body["attempts"])
        findings, version = Findings(), None
        try:
            if document.body["attempts"] > MAX_ATTEMPTS:
                findings.error(_given_up())
            else:
                version = self._version_of(document, findings, held)
        except IngestRefused as refused:
            findings.error(refused.finding)
        self._end(document, version, findings)

    def _version_of(self, document: Document, findings: Findings, held: HeldLease) -> int | None:
        """Make and publish the version, or find the one that was published before; None with errors."""
        dataset_id, report = document.body["dataset_id"], _Reporter(self, document.id, held)
        try:
            self._require_unpublished(document)
            bench = Bench(self._store, self._scratch, report)
            source = Source(**document.body["source"])
            content = make_version(bench, source, document.body["options"], findings)
            if content is None:
                return None
            held.require()
            described = {
                "dataset_id": dataset_id,
                "name": self._documents.get(DATASETS, dataset_id).body["name"],
                "ingest_id": document.id,
                "created_at": to_rfc3339(utc_now()),
                **content,
            }

            def manifest(_: int) -> Body:
                # Asked for each number anew: whoever else publishes this ingest claims one before.
                self._require_unpublished(document)
                return described

            return self._versions.publish(dataset_id, manifest)[0]
        except AlreadyPublished as published:
            return published.version

    def _require_unpublished(self, document: Document) -> None:
        for manifest in self._versions.list(document.body["dataset_id"]):
            if manifest["ingest_id"] == document.id:
                raise AlreadyPublished(manifest["version"])

    def _end(self, document: Document, version: int | None, findings: Findings) -> None:
        state = "FAILED" if version is None else "SUCCEEDED"
        ended = {"state": state, "progress": 1.0, "version": version, **findings.as_dict()}
        self._change(document.id, lambda _: ended)
        # The shards hold all that counts; a failed archive is sent anew after mending.
        self._uploads.discard(document.id)
        log.info("ingest_ended", ingest_id=document.id, state=state, errors=findings.error_count)

    def _change(self, ingest_id: str, changed: Callable[[Body], Body]) -> Document:
        """Merge ``changed(body)`` into an ingest that has not ended. Raises AlreadyEnded."""

        def change(body: Body) -> Body:
            if body["state"] in FINAL_STATES:
                raise AlreadyEnded(body["state"])
            return body | changed(body) | {"updated_at": to_rfc3339(utc_now())}

        return self._documents.update(INGESTS, ingest_id, change)

    def _sweep_now_and_then(self) -> None:
        """Remove uploads that nobody will use: a worker died before it could, or a client went away."""
        if time.monotonic() - self._swept_at < SWEEP_EVERY_S:
            return
        self._swept_at = time.monotonic()
        ingests = {document.id: document.body for document in self._documents.list(INGESTS)}
        for upload in self._documents.list(UPLOADS):
            if is_of_no_more_use(upload.body, ingests.get(upload.id), utc_now()):
                log.info("upload_discarded", upload_id=upload.id)
                self._uploads.discard(upload.id)

    def tell(self, ingest_id: str, progress: float) -> None:
        """Write the progress down. Raises AlreadyEnded."""
        self._change(ingest_id, lambda _: {"progress": round(progress, 3)})

    def require_running(self) -> None:
        """Raises Stopped when the service ends."""
        if self._stopping.is_set():
            raise Stopped("the service ends")


class _Reporter:
    """Writes the progress now and then, and ends an ingest that may not go on."""

    def __init__(self, worker: IngestWorker, ingest_id: str, held: HeldLease) -> None:
        self._worker = worker
        self._ingest_id = ingest_id
        self._held = held
        self._told_at = time.monotonic()

    def __call__(self, progress: float) -> None:
        self._worker.require_running()
        self._held.require()
        now = time.monotonic()
        if now - self._told_at >= REPORT_EVERY_S:
            self._told_at = now
            self._worker.tell(self._ingest_id, progress)


def _given_up() -> Finding:
    message = f"the archive could not be ingested in {MAX_ATTEMPTS} attempts; the service's log tells why"
    return Finding("given_up", message, "ask who runs the service, then upload the archive again")
