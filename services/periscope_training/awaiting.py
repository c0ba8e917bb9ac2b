"""Looks after jobs that wait for a dataset version: queues them when it has come, fails them when none comes.

It asks another service, so it has a thread of its own: a dataset service that does not answer holds up no
other job. Each look begins anew from the documents, so it may be killed at any point.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from periscope.documents import Document, DocumentMissing, Documents
from periscope.store import StoreUnavailable
from periscope_training import job_document, waiting
from periscope_training.actions import State
from periscope_training.datasets import DatasetMissing, Datasets, DatasetsUnavailable
from periscope_training.job_document import Outdated, is_final
from periscope_training.rules import UnusableRequest, require_usable
from periscope_training.submit import Submissions

LONGEST_REQUEST = timedelta(hours=1)
"""A request that makes a job has ended after so long, one way or the other."""

log = structlog.get_logger()


class DatasetWaits:
    """The body of the waiting loop; who calls it holds the leadership."""

    def __init__(
        self,
        documents: Documents,
        datasets: Datasets,
        submissions: Submissions,
        now: Callable[[], datetime],
        wake: Callable[[], None],
    ) -> None:
        self._documents = documents
        self._datasets = datasets
        self._submissions = submissions
        self._now = now
        self._wake = wake

    def advance_all(self, still_leads: Callable[[], bool]) -> None:
        """Look at every waiting job once."""
        for note in self._documents.list(waiting.KIND):
            if not still_leads():
                return
            try:
                self._advance(note)
            except (DatasetsUnavailable, StoreUnavailable) as error:
                log.warning("dataset_wait_interrupted", job_id=note.id, error=str(error))
                return

    def _advance(self, note: Document) -> None:
        try:
            job = self._documents.get(job_document.KIND, note.id)
        except DocumentMissing:
            # Not made yet; or it never was, or is deleted.
            if self._now() - datetime.fromisoformat(note.body["created_at"]) > LONGEST_REQUEST:
                self._documents.delete(waiting.KIND, note.id)
            return
        if job.body["state"] == State.WAITING:
            self._advance_job(job, note)
        elif is_final(job.body) or not job.body.get("awaits"):
            self._documents.delete(waiting.KIND, note.id)

    def _advance_job(self, job: Document, note: Document) -> None:
        try:
            ingest = require_usable(self._datasets.ingest(note.body["dataset"], note.body["ingest"]))
            if ingest.version is None:
                self._tell(job, waiting.waiting_reason(ingest))
                return
            self._submissions.begin_waiting_job(job)
        except (UnusableRequest, DatasetMissing) as error:
            reason = str(error)
            self._change(job, lambda body: waiting.version_never_comes(body, reason, self._now()))
        except Outdated:
            return  # Cancelled or paused meanwhile: the next look sees that.
        self._documents.delete(waiting.KIND, note.id)
        self._wake()

    def _tell(self, job: Document, reason: str) -> None:
        if job.body["reason"] != reason:
            self._change(job, lambda body: waiting.still_waits(body, reason, self._now()))

    def _change(self, job: Document, change: Callable[[job_document.Body], job_document.Body]) -> None:
        try:
            self._documents.update(job_document.KIND, job.id, change)
        except (Outdated, DocumentMissing):
            log.info("job_no_longer_waits", job_id=job.id)
