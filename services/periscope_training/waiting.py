"""A job that waits for a dataset version that is still being made: how it is written down. No I/O.

Beside the job document stands a small one of the kind below: a look for waiting jobs lists those only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from periscope_training import job_document
from periscope_training.actions import State
from periscope_training.datasets import Ingest
from periscope_training.job_document import Body, Outdated
from periscope_training.state_history import changed, entered

KIND = "dataset-waits"


def new_waiting_job(
    asked: Mapping[str, Any], training: Mapping[str, Any], ingest: Ingest, request_sha256: str, now: datetime
) -> Body:
    """The document of a job whose options are known, and whose classes and size are not."""
    known = {
        "name": asked["name"],
        "dataset": {"id": ingest.dataset_id, "version": 0, "findings": []},
        "network": {},
        "training": training,
        "request_sha256": request_sha256,
    }
    body = job_document.new_job(known, ingest.dataset_name, now, asked)
    reason = waiting_reason(ingest)
    history = [{"state": State.WAITING.value, "at": body["created_at"], "reason": reason}]
    return {
        **body,
        "state": State.WAITING.value,
        "reason": reason,
        "history": history,
        "awaits": asked["dataset_ingest"],
    }


def waiting_reason(ingest: Ingest) -> str:
    """Why the job does not begin, in words."""
    done = "has not begun" if ingest.state == "QUEUED" else f"is at {ingest.progress:.0%}"
    return f"the dataset {ingest.dataset_name!r} is still taken in; that {done}"


def still_waits(body: Mapping[str, Any], reason: str, now: datetime) -> Body:
    """Enter how far the ingest is. Raises Outdated when the job no longer waits."""
    _require_waiting(body)
    new = changed(body, now)
    new["reason"] = new["history"][-1]["reason"] = reason
    return new


def version_came(body: Mapping[str, Any], spec: Mapping[str, Any], dataset_name: str, now: datetime) -> Body:
    """Enter what the version brought; from here on the job is like any other. Raises Outdated."""
    _require_waiting(body)
    new = changed(body, now)
    new["dataset"] = {**spec["dataset"], "name": dataset_name}
    new["network"], new["training"], new["awaits"] = spec["network"], spec["training"], None
    return entered(new, State.QUEUED, "the dataset version is there", now)


def version_never_comes(body: Mapping[str, Any], reason: str, now: datetime) -> Body:
    """Enter that the job cannot begin. Raises Outdated."""
    _require_waiting(body)
    return job_document.finish({**body, "awaits": None}, State.FAILED, reason, now)


def _require_waiting(body: Mapping[str, Any]) -> None:
    if body["state"] != State.WAITING:
        raise Outdated
