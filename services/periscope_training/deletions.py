"""Removes ended jobs with all that is theirs. A removal that stopped in between is finished later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from periscope import keys
from periscope.documents import Document, Documents
from periscope.store import ObjectStore
from periscope_training import evaluation, publication
from periscope_training.job_document import CHECKPOINT_KIND, KIND, NotNow, is_final

log = structlog.get_logger()


def is_leaving(body: Mapping[str, Any]) -> bool:
    """Whether somebody has asked to remove the job: for everybody it is gone."""
    return bool(body.get("leaving"))


class Deletions:
    """What DELETE does, and what finishes it after a fault."""

    def __init__(self, documents: Documents, store: ObjectStore) -> None:
        self._documents = documents
        self._store = store

    def delete(self, job_id: str) -> None:
        """Remove an ended job.

        Raises DocumentMissing, and NotNow for one that has not ended or whose epoch is being published.
        """
        self._require_unused(job_id)

        def leave(body: dict[str, Any]) -> dict[str, Any]:
            if not is_final(body):
                raise NotNow(f"The job is {body['state']}. Cancel it, and delete it once it has ended.")
            return {**body, "leaving": True}

        self._documents.update(KIND, job_id, leave)
        self._finish(job_id)

    def finish_all(self) -> None:
        """Take up removals that were interrupted."""
        for document in self._documents.list(KIND):
            if is_leaving(document.body):
                self._finish(document.id)

    def _require_unused(self, job_id: str) -> None:
        publications = self._of_job(publication.KIND, job_id)
        busy = [document for document in publications if not publication.is_final(document.body)]
        if busy:
            raise NotNow(
                f"An epoch of the job is being published as {busy[0].body['model']!r} "
                f"(publication {busy[0].id}); delete the job when that has ended."
            )

    def _finish(self, job_id: str) -> None:
        """The job document goes last: until then the removal can be found and gone on with."""
        for other in self._of_job(evaluation.KIND, job_id):
            self._documents.delete(evaluation.KIND, other.id)
        for info in list(self._store.list(keys.job_prefix(job_id))):
            self._store.delete(info.key)
        self._documents.delete(CHECKPOINT_KIND, job_id)
        self._documents.delete(KIND, job_id)
        log.info("job_removed", job_id=job_id)

    def _of_job(self, kind: str, job_id: str) -> list[Document]:
        return [item for item in self._documents.list(kind) if item.body["job_id"] == job_id]
