"""Bodies of what is done with jobs: change, clone, sweep, many at once, and a look at what a job would be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.jobs import Group, JobRequest, JobResponse, JobSummary, Labels, Notes
from periscope.wire.training_options import Positive

MAX_SWEEP = 20
"""Learning rates, and batch sizes, of one sweep."""


class JobChange(RequestModel):
    """What may be changed of a job at any time; what is left out stays."""

    name: str | None = Field(None, min_length=1, max_length=100)
    group: Group | None = None
    notes: Notes | None = None
    labels: Labels | None = None


class CloneRequest(RequestModel):
    """A new job like another, with some of the request's fields replaced."""

    overrides: dict[str, Any] = Field(
        default={}, description="Fields of a job request; null takes a field out", max_length=64
    )


class Difference(ResponseModel):
    """One resolved setting in which two jobs differ."""

    field: str
    before: Any
    after: Any


class CloneResponse(ResponseModel):
    """The new job, and in which settings it differs from the old one."""

    job: JobResponse
    differences: list[Difference]


class SweepRequest(RequestModel):
    """One job for each learning rate and batch size, as DIGITS made them of comma-separated lists."""

    job: JobRequest
    learning_rates: list[Positive] = Field(default=[], max_length=MAX_SWEEP)
    batch_sizes: list[Annotated[int, Field(ge=1, le=4096)]] = Field(default=[], max_length=MAX_SWEEP)


class BatchRequest(RequestModel):
    """One thing for many jobs."""

    ids: list[Annotated[str, Field(max_length=26)]] = Field(min_length=1, max_length=200)
    action: Literal["cancel", "pause", "resume", "delete", "regroup"]
    group: Group | None = Field(None, description="With regroup")


class BatchItem(ResponseModel):
    """What came of it for one job."""

    id: str
    done: bool
    detail: str


class BatchResponse(ResponseModel):
    """One entry for each id, in their order."""

    items: list[BatchItem]


class PlanResponse(ResponseModel):
    """What a job would be; nothing was made."""

    spec: dict[str, Any] = Field(description="Every option resolved, as the training program gets it")
    steps: dict[str, int] = Field(description="Steps in all, an epoch, between validations and curve points")
    memory: dict[str, int] = Field(description="Estimated bytes: device, host")
    manifest: dict[str, Any] | None = Field(description="The Kubernetes Job, where jobs run on Kubernetes")
    warnings: list[str] = Field([], description="What to think about before these options are used")


class SweepResponse(ResponseModel):
    """The jobs of a sweep, in the order of learning rates, then batch sizes."""

    jobs: list[JobSummary]
