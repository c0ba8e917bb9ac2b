"""The job document: how a job is written down, and each change that is made to it.

Every change takes a body and returns a new one, ready for :meth:`periscope.documents.Documents.update`. A
change that no longer fits, because another writer was first, raises Outdated and leaves the document alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from periscope.clock import to_rfc3339
from periscope_training.actions import FINAL_STATES, State
from periscope_training.error_report import ErrorReport
from periscope_training.launcher import Handle
from periscope_training.lifecycle import CANCEL, PAUSE, Attempt, Job, Stop, Verdict
from periscope_training.state_history import changed, entered

KIND = "jobs"
CHECKPOINT_KIND = "checkpoints"

Body = dict[str, Any]


class Outdated(Exception):
    """The document has moved on: read it again and decide anew."""


class NotNow(Exception):
    """The job is not in a state for what was asked; the message says what would do."""


def new_job(
    spec: Mapping[str, Any], dataset_name: str, now: datetime, request: Mapping[str, Any] | None = None
) -> Body:
    """The document of a job that waits for its first attempt.

    ``request`` is what was asked for, in JSON; it is kept so that the job can be cloned.
    """
    asked = dict(request or {})
    at = to_rfc3339(now)
    return {
        "name": spec["name"],
        "group": asked.get("group") or "",
        "notes": asked.get("notes") or "",
        "labels": dict(asked.get("labels") or {}),
        "limits": dict(asked.get("limits") or {}),
        "request": copy.deepcopy(asked),
        "dataset": {**spec["dataset"], "name": dataset_name},
        "network": copy.deepcopy(spec["network"]),
        "training": copy.deepcopy(spec["training"]),
        "request_sha256": spec["request_sha256"],
        "desired": "run",
        "state": State.QUEUED.value,
        "reason": "",
        "error": None,
        "history": [{"state": State.QUEUED.value, "at": at, "reason": ""}],
        "attempts": [],
        "retry_at": None,
        "created_at": at,
        "updated_at": at,
        "ended_at": None,
    }


def new_checkpoint(job_id: str) -> Body:
    """The checkpoint document of a job that has committed nothing."""
    return {"job_id": job_id, "attempt": 0, "latest": None, "epochs": [], "complete": False}


def job_of(body: Mapping[str, Any]) -> Job:
    """The part of the document that decides."""
    return Job(
        state=State(body["state"]),
        stop=_stop_of(body),
        attempts=tuple(_attempt_of(entry) for entry in body["attempts"]),
        retry_at=None if body["retry_at"] is None else datetime.fromisoformat(body["retry_at"]),
        reason=body["reason"],
        running_since=_running_since(body),
    )


def _stop_of(body: Mapping[str, Any]) -> Stop | None:
    if body["desired"] == "stopped":
        return Stop(State(body["stop"]["state"]), body["stop"]["reason"])
    return {"cancelled": CANCEL, "paused": PAUSE}.get(body["desired"])


def _running_since(body: Mapping[str, Any]) -> datetime | None:
    """After a preemption the attempt begins to run once more; the history has the last time."""
    entries = [entry for entry in body["history"] if entry["state"] == State.RUNNING.value]
    return datetime.fromisoformat(entries[-1]["at"]) if entries else None


def _attempt_of(entry: Mapping[str, Any]) -> Attempt:
    return Attempt(
        entry["number"],
        entry["launcher"],
        entry["ended_at"] is not None,
        entry["counted"],
        entry.get("preemptions", 0),
        entry.get("stalled", False),
    )


def is_final(body: Mapping[str, Any]) -> bool:
    """Whether nothing will happen to the job any more."""
    return State(body["state"]) in FINAL_STATES


def ask_cancel(body: Mapping[str, Any], now: datetime) -> Body:
    """Enter that the job is to be cancelled; an ended job stays as it is."""
    new = changed(body, now)
    if not is_final(body):
        new["desired"] = "cancelled"
    return new


def ask_pause(body: Mapping[str, Any], now: datetime) -> Body:
    """Enter that the job is to checkpoint and wait. Raises NotNow when it has ended or shall end."""
    if is_final(body) or body["desired"] not in ("run", "paused"):
        raise NotNow("The job has ended, or is about to; there is nothing to pause.")
    return {**changed(body, now), "desired": "paused"}


def ask_resume(body: Mapping[str, Any], now: datetime) -> Body:
    """Enter that a paused job is to go on. Raises NotNow when it is not paused."""
    if is_final(body) or body["desired"] != "paused":
        raise NotNow(
            "Only a paused job can be resumed. Of one that has ended, :clone makes a new job, which may "
            "begin with an epoch of this one as pretrained model."
        )
    new = {**changed(body, now), "desired": "run"}
    if new["state"] == State.PAUSED.value:
        state = State.WAITING if new.get("awaits") else State.QUEUED
        return _entered({**new, "retry_at": None}, state, "resumed", now)
    return new


def ask_stop(body: Mapping[str, Any], stop: Stop, now: datetime) -> Body:
    """Enter that a limit is reached. Raises Outdated when someone has asked for another end."""
    if is_final(body) or body["desired"] != "run":
        raise Outdated
    wish = {"state": stop.state.value, "reason": stop.reason}
    return {**changed(body, now), "desired": "stopped", "stop": wish}


def open_attempt(body: Mapping[str, Any], number: int, now: datetime) -> Body:
    """Enter a new attempt. Raises Outdated when one is open or the job has ended."""
    job = job_of(body)
    if job.open_attempt is not None or job.state in FINAL_STATES or not job.wanted:
        raise Outdated
    new = changed(body, now)
    new["attempts"].append(
        {
            "number": number,
            "created_at": to_rfc3339(now),
            "started_at": None,
            "ended_at": None,
            "launcher": None,
            "exit_code": None,
            "reason": "",
            "counted": False,
            "preemptions": 0,
            "stalled": False,
        }
    )
    new["retry_at"] = None
    return _entered(new, State.STARTING, f"attempt {number}", now)


def record_handle(body: Mapping[str, Any], number: int, handle: Handle, now: datetime) -> Body:
    """Enter how the attempt's run is found again. Raises Outdated when it has another handle or has ended."""
    new, entry = _open_entry(body, number, now)
    if entry["launcher"] is not None:
        raise Outdated
    entry["launcher"] = dict(handle)
    return new


def mark_pending(body: Mapping[str, Any], number: int, reason: str, now: datetime) -> Body:
    """Enter why the attempt waits for a place. Raises Outdated when it has ended."""
    new, _ = _open_entry(body, number, now)
    if new["state"] == State.PENDING.value:
        # The scheduler's counts change all the time; the history tells the last of them.
        new["reason"] = new["history"][-1]["reason"] = reason
        return new
    return _entered(new, State.PENDING, reason, now)


def record_preemptions(body: Mapping[str, Any], number: int, count: int, now: datetime) -> Body:
    """Enter how often the attempt was started again. Raises Outdated when it has ended."""
    new, entry = _open_entry(body, number, now)
    entry["preemptions"] = max(count, entry.get("preemptions", 0))
    return new


def mark_stalled(body: Mapping[str, Any], number: int, now: datetime) -> Body:
    """Enter that the attempt is stopped for its silence. Raises Outdated when it has ended."""
    new, entry = _open_entry(body, number, now)
    entry["stalled"] = True
    new["reason"] = f"attempt {number} gave no sign of life for too long and is stopped"
    return new


def mark_running(body: Mapping[str, Any], number: int, now: datetime) -> Body:
    """Enter that the attempt runs. Raises Outdated when it has ended."""
    new, entry = _open_entry(body, number, now)
    entry["started_at"] = entry["started_at"] or to_rfc3339(now)
    return _entered(new, State.RUNNING, f"attempt {number}", now)


def close_attempt(
    body: Mapping[str, Any],
    number: int,
    verdict: Verdict,
    *,
    exit_code: int | None,
    report: ErrorReport | None,
    now: datetime,
) -> Body:
    """Enter how the attempt ended and what follows. Raises Outdated when it is closed already."""
    new, entry = _open_entry(body, number, now)
    entry.update(
        ended_at=to_rfc3339(now), exit_code=exit_code, reason=verdict.attempt_reason, counted=verdict.counted
    )
    new["retry_at"] = None if verdict.retry_at is None else to_rfc3339(verdict.retry_at)
    new["error"] = asdict(report) if verdict.state is State.FAILED and report is not None else None
    return _entered(new, verdict.state, verdict.reason, now)


def finish(body: Mapping[str, Any], state: State, reason: str, now: datetime) -> Body:
    """Enter a final state. Raises Outdated when an attempt is open or the job has ended."""
    job = job_of(body)
    if job.open_attempt is not None or job.state in FINAL_STATES:
        raise Outdated
    return _entered(changed(body, now), state, reason, now)


def _open_entry(body: Mapping[str, Any], number: int, now: datetime) -> tuple[Body, dict[str, Any]]:
    attempt = job_of(body).open_attempt
    if attempt is None or attempt.number != number:
        raise Outdated
    new = changed(body, now)
    return new, new["attempts"][-1]


def _entered(new: Body, state: State, reason: str, now: datetime) -> Body:
    entered(new, state, reason, now)
    if state in FINAL_STATES:
        new["ended_at"] = to_rfc3339(now)
    return new
