"""Takes queued ingests, several at once and each under a lease of its own; any replica can go on with any."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from periscope import keys
from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Body, Document, Documents
from periscope.lease import KIND as LEASES
from periscope.lease import Lease
from periscope.store import ObjectStore
from periscope.uploads import KIND as UPLOADS
from periscope.uploads import Uploads
from periscope.versions import Versions
from periscope_dataset.basing import Base, base_missing
from periscope_dataset.checking import MAX_DECODING_BYTES
from periscope_dataset.findings import Finding, Findings, IngestRefused
from periscope_dataset.holding import HeldLease, LeaseLost
from periscope_dataset.ingest import Bench, make_version
from periscope_dataset.journal import Journal, forget
from periscope_dataset.parallel import MemoryBudget
from periscope_dataset.reporting import Reporter, Stopped
from periscope_dataset.rules import (
    DATASETS,
    FINAL_STATES,
    INGESTS,
    NOTHING_ELSE,
    AlreadyEnded,
    is_of_no_more_use,
)
from periscope_dataset.shards import SHARD_BYTES
from periscope_dataset.sources import source_of

IDLE_S = 2.0
SWEEP_EVERY_S = 600.0
SCRATCH = "ingest-"
MAX_ATTEMPTS = 8
"""An ingest that ends its worker this often without getting on is given up, lest it end it for ever."""

log = structlog.get_logger()


class AlreadyPublished(Exception):
    """Another replica, or this one before it died, has published the ingest's version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"version {version}")
        self.version = version


class IngestWorker:
    """The body of the background loops; several threads may step at once."""

    def __init__(
        self,
        store: ObjectStore,
        documents: Documents,
        work_dir: Path,
        holder: str,
        lease_ttl_s: float,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self._store = store
        self._documents = documents
        self._versions = Versions(store, DATASETS)
        self._uploads = Uploads(store, documents)
        self._work_dir = work_dir
        self._holder = holder
        self._lease_ttl_s = lease_ttl_s
        self._shard_bytes = shard_bytes
        self._budget = MemoryBudget(MAX_DECODING_BYTES)
        self._stopping = threading.Event()
        self._swept_at = float("-inf")
        self._mine: set[str] = set()
        """Ingests that threads of this process are at: its leases keep only other processes off."""
        self._lock = threading.Lock()

    def stop(self) -> None:
        """Leave the ingests at hand at the next occasion."""
        self._stopping.set()

    def step(self) -> float:
        """Ingest what waits longest and nobody is at; return seconds until the next look."""
        waiting = [item for item in self._documents.list(INGESTS) if item.body["state"] not in FINAL_STATES]
        # One that keeps failing comes last, so that it holds up no other.
        for document in sorted(waiting, key=lambda document: (document.body["attempts"], document.id)):
            with self._lock:
                if document.id in self._mine:
                    continue
                self._mine.add(document.id)
            try:
                if self._taken(document.id):
                    return 0.0
                if self._stopping.is_set():
                    break
            finally:
                with self._lock:
                    self._mine.discard(document.id)
        if not waiting:
            self._sweep_now_and_then()
        return self._lease_ttl_s / 3 if waiting else IDLE_S

    def _taken(self, ingest_id: str) -> bool:
        """Do an ingest, unless another process is at it; tell whether it was done to its end."""
        lease = Lease(self._documents, ingest_id, self._holder, self._lease_ttl_s)
        held = HeldLease.take(lease, self._lease_ttl_s)
        if held is None:
            return False
        with held:
            try:
                self._ingest(ingest_id, held)
            except (Stopped, AlreadyEnded, LeaseLost) as reason:
                log.info("ingest_left", ingest_id=ingest_id, reason=repr(reason))
                if not isinstance(reason, AlreadyEnded):
                    return False
                self._clear(ingest_id)
        self._documents.delete(LEASES, ingest_id)
        return True

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
        dataset_id, told = document.body["dataset_id"], document.body
        try:
            self._require_unpublished(document)
            # Queued by an older service, it may not know all options.
            options = {"unlabelled": False, **told["options"]}
            source = source_of(self._store, told["source"])
            base = self._base_of(document)
            facts = [source.identity(), options, *([] if base is None else [told["making"]["base"]])]
            journal = Journal(self._store, document.id, *facts)
            report = Reporter(self._tell(document.id), self._stopping, held, journal)
            scratch = self._work_dir / f"{SCRATCH}{document.id}"
            bench = Bench(self._store, scratch, report, journal, self._budget, self._shard_bytes, base)
            content = make_version(bench, source, options, findings)
            if content is None:
                return None
            # From here on a wish to cancel comes too late.
            self._change(document.id, lambda _: {"publishing": True})
            held.require()
            described = {
                "dataset_id": dataset_id,
                "name": self._documents.get(DATASETS, dataset_id).body["name"],
                "ingest_id": document.id,
                "created_at": to_rfc3339(utc_now()),
                "notes": told.get("notes", []),
                "description": told.get("making", NOTHING_ELSE)["description"],
                "labels": told.get("making", NOTHING_ELSE)["labels"],
                "lineage": None if base is None else base.lineage(),
                **content,
            }

            def manifest(_: int) -> Body:
                # Asked for each number anew: whoever else publishes this ingest claims one before.
                self._require_unpublished(document)
                return described

            return self._versions.publish(dataset_id, manifest)[0]
        except AlreadyPublished as published:
            return published.version

    def _base_of(self, document: Document) -> Base | None:
        """The version that the new one is made from. Raises IngestRefused."""
        told = document.body.get("making", NOTHING_ELSE)["base"]
        if told is None:
            return None
        manifest = self._versions.get(document.body["dataset_id"], told["version"])
        if manifest is None:
            raise base_missing(told["version"])
        removed = frozenset((split, key) for split, key in told.get("removed", ()))
        return Base(self._store, manifest, told["mode"], removed)

    def _require_unpublished(self, document: Document) -> None:
        for manifest in self._versions.list(document.body["dataset_id"]):
            if manifest.get("ingest_id") == document.id:
                raise AlreadyPublished(manifest["version"])

    def _end(self, document: Document, version: int | None, findings: Findings) -> None:
        state = "FAILED" if version is None else "SUCCEEDED"
        ended = {"state": state, "progress": 1.0, "eta_s": 0.0, "version": version, **findings.as_dict()}
        self._change(document.id, lambda _: ended)
        self._clear(document.id)
        log.info("ingest_ended", ingest_id=document.id, state=state, errors=findings.error_count)

    def _clear(self, ingest_id: str) -> None:
        """The shards hold all that counts; a failed archive is sent anew after mending."""
        self._uploads.discard(ingest_id)
        forget(self._store, ingest_id)

    def _tell(self, ingest_id: str) -> Callable[[Body], None]:
        def tell(told: Body) -> None:
            self._change(ingest_id, lambda _: told)

        return tell

    def _change(self, ingest_id: str, changed: Callable[[Body], Body]) -> Document:
        """Merge ``changed(body)`` into an ingest that has not ended. Raises AlreadyEnded."""

        def change(body: Body) -> Body:
            if body["state"] in FINAL_STATES:
                raise AlreadyEnded(f"the ingest has ended: {body['state']}")
            return body | changed(body) | {"updated_at": to_rfc3339(utc_now())}

        return self._documents.update(INGESTS, ingest_id, change)

    def _sweep_now_and_then(self) -> None:
        """Remove what nobody will use: a worker died before it could, or a client went away."""
        with self._lock:
            if time.monotonic() - self._swept_at < SWEEP_EVERY_S:
                return
            self._swept_at = time.monotonic()
        ingests = {document.id: document.body for document in self._documents.list(INGESTS)}
        for upload in self._documents.list(UPLOADS):
            if is_of_no_more_use(upload.body, ingests.get(upload.id), utc_now()):
                log.info("upload_discarded", upload_id=upload.id)
                self._clear(upload.id)
        under_way = {ingest_id for ingest_id, body in ingests.items() if body["state"] not in FINAL_STATES}
        for folder in self._work_dir.glob(f"{SCRATCH}*"):
            if folder.name.removeprefix(SCRATCH) not in under_way:
                shutil.rmtree(folder, ignore_errors=True)
        left = {info.key.removeprefix(keys.INGESTS).split("/")[0] for info in self._store.list(keys.INGESTS)}
        for ingest_id in left - under_way:
            forget(self._store, ingest_id)
        for lease in self._documents.list(LEASES):
            if lease.id in ingests and lease.id not in under_way:
                self._documents.delete(LEASES, lease.id)


def _given_up() -> Finding:
    message = f"the archive could not be ingested in {MAX_ATTEMPTS} attempts; the service's log tells why"
    return Finding("given_up", message, "ask who runs the service, then upload the archive again")
