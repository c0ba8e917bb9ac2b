"""Turns documents into the bodies that clients read. No decisions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from detectnet.means import NOT_FOR_ROBOTS, WARNING
from detectnet.memory import training_memory
from detectnet.plan import make_plan
from periscope.documents import Document
from periscope.wire.job_changes import PlanResponse
from periscope.wire.jobs import EpochResponse, JobProgress, JobResponse, JobSummary
from periscope.wire.publications import PublicationResponse
from periscope_training.actions import State
from periscope_training.curves import best_epoch, find_epoch, progress_ratio, remaining_s


def job_summary(document: Document, queue_position: int | None = None) -> JobSummary:
    """A job as it stands in a list."""
    return JobSummary.model_validate({"id": document.id, **document.body, "queue_position": queue_position})


def plan_response(spec: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> PlanResponse:
    """What a job would be."""
    size, training, images = spec["network"], spec["training"], spec["dataset"]["images"]
    plan = make_plan(images["train"], training)
    steps = {
        "total": plan.max_step,
        "epoch": plan.steps_per_epoch,
        "between_validations": plan.validation_interval,
        "between_points": plan.display_interval,
    }
    memory = training_memory(size["width"], size["height"], len(size["classes"]), training, images)
    return PlanResponse.model_validate(
        {
            "spec": spec,
            "steps": steps,
            "memory": memory,
            "manifest": manifest,
            "warnings": option_warnings(training),
        }
    )


def option_warnings(training: Mapping[str, Any]) -> list[str]:
    """What to think about before these options are trained with."""
    kind = training.get("subtract_mean", "none")
    told = [] if kind == "none" else [WARNING.format(kind=kind)]
    return told + ([NOT_FOR_ROBOTS] if kind == "image" else [])


def job_response(
    document: Document,
    epochs: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any] | None,
    now: datetime,
    queue_position: int | None = None,
) -> JobResponse:
    """A job with its newest progress record and its newest and best epochs."""
    described = epoch_responses(epochs)
    return JobResponse.model_validate(
        {
            "id": document.id,
            **document.body,
            "queue_position": queue_position,
            "progress": None if record is None else _progress(document.body, record, now),
            "warnings": option_warnings(document.body["training"]),
            "latest_epoch": described[-1] if described else None,
            "best_epoch": next((epoch for epoch in described if epoch.best), None),
        }
    )


def epoch_responses(epochs: Sequence[Mapping[str, Any]]) -> list[EpochResponse]:
    """The committed epochs, the best one marked."""
    best = best_epoch(epochs)
    return [EpochResponse.model_validate({**epoch, "best": epoch is best}) for epoch in epochs]


def epoch_response(epochs: Sequence[Mapping[str, Any]], which: str) -> EpochResponse:
    """One epoch by number, ``best`` or ``latest``. Raises NoSuchEpoch."""
    found = find_epoch(epochs, which)
    return EpochResponse.model_validate({**found, "best": found is best_epoch(epochs)})


def publication_response(document: Document) -> PublicationResponse:
    """A publication."""
    return PublicationResponse.model_validate({"id": document.id, **document.body})


def _progress(job: Mapping[str, Any], record: Mapping[str, Any], now: datetime) -> JobProgress:
    running = job["state"] == State.RUNNING
    succeeded = job["state"] == State.SUCCEEDED
    ratio = 1.0 if succeeded else progress_ratio(record["step"], record["max_step"])
    eta_s = remaining_s(record, now) if running else None
    return JobProgress.model_validate({**record, "ratio": ratio, "eta_s": eta_s})
