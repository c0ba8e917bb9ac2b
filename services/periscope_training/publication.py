"""The publication document: the way of one epoch into the registry, and what is next on it. No I/O.

Each step leaves a trace in the document before the next one begins, so a publisher that is killed anywhere
goes on from there. The upload's id is written down before the registry is asked to make a version of it, and
the registry makes one version of one upload, however often it is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from periscope.clock import to_rfc3339
from periscope_training.state_history import changed, entered

KIND = "publications"
MAX_TRIES = 12
"""Times that a publication is taken up again after the registry or the store did not answer."""
MAX_BACKOFF_S = 300.0

Body = dict[str, Any]


class State(StrEnum):
    """States of a publication; the last two are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED})


@dataclass(frozen=True)
class Wait:
    """Nothing to do before ``seconds`` have passed; None: ever."""

    seconds: float | None


@dataclass(frozen=True)
class Build:
    """Prove that the exported networks compute what PyTorch did, and make the zip."""


@dataclass(frozen=True)
class Offer:
    """Find the version that has this zip already, or upload the zip."""


@dataclass(frozen=True)
class Finalize:
    """Have the registry make a version of the upload."""

    upload_id: str


@dataclass(frozen=True)
class SetAliases:
    """Point the aliases to the version; then all is done."""

    version: int


Step = Wait | Build | Offer | Finalize | SetAliases


def new_publication(
    job_id: str, epoch: Mapping[str, Any], model: str, aliases: Sequence[str], now: datetime
) -> Body:
    """The document of a publication that waits; ``epoch`` is the checkpoint document's entry."""
    at = to_rfc3339(now)
    return {
        "job_id": job_id,
        "epoch": epoch["epoch"],
        "step": epoch["step"],
        "files": copy.deepcopy(epoch["files"]),
        "metrics": copy.deepcopy(epoch["metrics"]),
        "model": model,
        "aliases": list(dict.fromkeys(aliases)),
        "state": State.QUEUED.value,
        "reason": "",
        "history": [{"state": State.QUEUED.value, "at": at, "reason": ""}],
        "parity": None,
        "warnings": [],
        "zip": None,
        "upload_id": None,
        "version": None,
        "tries": 0,
        "retry_at": None,
        "created_at": at,
        "updated_at": at,
    }


def is_final(body: Mapping[str, Any]) -> bool:
    """Whether nothing will happen to the publication any more."""
    return State(body["state"]) in FINAL_STATES


def next_step(body: Mapping[str, Any], now: datetime) -> Step:
    """The one thing to do now."""
    if is_final(body):
        return Wait(None)
    if body["retry_at"] is not None:
        wait_s = (datetime.fromisoformat(body["retry_at"]) - now).total_seconds()
        if wait_s > 0:
            return Wait(wait_s)
    if body["version"] is not None:
        return SetAliases(body["version"])
    if body["upload_id"] is not None:
        return Finalize(body["upload_id"])
    return Offer() if body["zip"] is not None else Build()


def built(
    body: Mapping[str, Any],
    parity: Mapping[str, float],
    zip_file: Mapping[str, Any],
    warnings: Sequence[str],
    now: datetime,
) -> Body:
    """Enter the proof and the zip's ``sha256`` and ``size_bytes``."""
    new = _running(body, now)
    return {**new, "parity": dict(parity), "zip": dict(zip_file), "warnings": list(warnings)}


def uploaded(body: Mapping[str, Any], upload_id: str, now: datetime) -> Body:
    """Enter the upload, before the registry makes a version of it."""
    return {**_running(body, now), "upload_id": upload_id}


def upload_lost(body: Mapping[str, Any], now: datetime) -> Body:
    """Enter that the registry knows the upload no more: look for its version, then upload again."""
    return {**_running(body, now), "upload_id": None}


def registered(body: Mapping[str, Any], version: int, now: datetime) -> Body:
    """Enter the version that has the zip."""
    return {**_running(body, now), "version": version}


def succeeded(body: Mapping[str, Any], now: datetime) -> Body:
    """Enter that version and aliases are in place."""
    return entered(changed(body, now), State.SUCCEEDED, "", now)


def failed(body: Mapping[str, Any], reason: str, now: datetime, **more: Any) -> Body:
    """Enter why the epoch cannot be published; ``more`` replaces fields of the document."""
    return entered({**changed(body, now), **more}, State.FAILED, reason, now)


def postponed(body: Mapping[str, Any], reason: str, backoff_s: float, now: datetime) -> Body:
    """Enter that someone did not answer; after MAX_TRIES times the publication has failed."""
    tries = body["tries"] + 1
    if tries > MAX_TRIES:
        return failed(body, f"Given up after {tries} tries. Last: {reason}", now, tries=tries)
    wait_s = min(backoff_s * 2.0 ** (tries - 1), MAX_BACKOFF_S)
    retry_at = to_rfc3339(now + timedelta(seconds=wait_s))
    return {**_running(body, now), "tries": tries, "retry_at": retry_at, "reason": reason}


def _running(body: Mapping[str, Any], now: datetime) -> Body:
    new = changed(body, now)
    if new["state"] != State.RUNNING:
        new = entered(new, State.RUNNING, "", now)
    return {**new, "retry_at": None, "reason": ""}
