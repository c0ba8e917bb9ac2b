"""Which jobs a list shows, and where a job stands in the queue. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from periscope.documents import Document
from periscope_training.actions import State


def fits(body: Mapping[str, Any], wanted: Mapping[str, str | None], labels: Sequence[str]) -> bool:
    """Whether a job has the wanted state, name, group and dataset (None: any), and all labels key=value."""
    dataset = wanted.get("dataset")
    if dataset is not None and dataset not in (body["dataset"]["id"], body["dataset"]["name"]):
        return False
    plain = {name: value for name, value in wanted.items() if name != "dataset" and value is not None}
    if any(body.get(name, "") != value for name, value in plain.items()):
        return False
    own = {f"{key}={value}" for key, value in body.get("labels", {}).items()}
    return own.issuperset(labels)


def queue_positions(jobs: Sequence[Document]) -> dict[str, int]:
    """From job id to place in the queue, 1 is next. Jobs are given oldest first, which is their order."""
    waiting = [job.id for job in jobs if job.body["state"] == State.QUEUED and job.body["desired"] == "run"]
    return {job_id: place for place, job_id in enumerate(waiting, start=1)}
