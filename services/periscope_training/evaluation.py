"""The evaluation document: a split through an epoch's network, and how far that is. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from periscope.clock import to_rfc3339
from periscope_training.state_history import changed, entered

KIND = "evaluations"
QUEUED, RUNNING, SUCCEEDED, FAILED = "QUEUED", "RUNNING", "SUCCEEDED", "FAILED"
FINAL_STATES = frozenset({SUCCEEDED, FAILED})

Body = dict[str, Any]


def new_evaluation(
    job_id: str, epoch: Mapping[str, Any], wish: Mapping[str, Any], dataset: Mapping[str, Any], now: datetime
) -> Body:
    """The document of an evaluation that waits.

    ``wish`` has split, decoder and threshold; ``dataset`` is the manifest of the version.
    """
    at = to_rfc3339(now)
    return {
        "job_id": job_id,
        "epoch": epoch["epoch"],
        "step": epoch["step"],
        "dataset": {"id": dataset["dataset_id"], "version": dataset["version"], "name": dataset["name"]},
        "split": wish["split"],
        "decoder": wish["decoder"],
        "threshold": wish["threshold"],
        "state": QUEUED,
        "reason": "",
        "done": 0,
        "total": dataset["splits"].get(wish["split"], {}).get("images"),
        "metrics": None,
        "history": [{"state": QUEUED, "at": at, "reason": ""}],
        "created_at": at,
        "updated_at": at,
    }


def is_final(body: Mapping[str, Any]) -> bool:
    """Whether nothing will happen to the evaluation any more."""
    return body["state"] in FINAL_STATES


def progressed(body: Mapping[str, Any], done: int, now: datetime) -> Body:
    """Enter how many pictures are done."""
    new = changed(body, now)
    if new["state"] != RUNNING:
        entered(new, RUNNING, "", now)
    return {**new, "done": done}


def succeeded(body: Mapping[str, Any], metrics: Mapping[str, Any], done: int, now: datetime) -> Body:
    """Enter the figures."""
    return {**entered(changed(body, now), SUCCEEDED, "", now), "metrics": dict(metrics), "done": done}


def failed(body: Mapping[str, Any], reason: str, now: datetime) -> Body:
    """Enter why there are no figures."""
    return entered(changed(body, now), FAILED, reason, now)
