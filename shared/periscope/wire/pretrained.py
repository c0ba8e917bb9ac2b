"""Bodies of pretrained models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class PretrainedRequest(RequestModel):
    """Weights under a name: of an epoch of a job, or of a version of a registered model."""

    name: ModelName
    job_id: str | None = Field(None, max_length=26)
    epoch: str = Field("best", max_length=20, description="best, latest or the epoch's number")
    model: ModelName | None = Field(None, description="In place of job_id: a model of the registry")
    version: int | None = Field(None, ge=1)


class PretrainedQuery(RequestModel):
    """The name of what is uploaded."""

    name: ModelName


class PretrainedResponse(ResponseModel):
    """Weights that a job may begin with."""

    id: str
    name: str
    format: str = Field(description="caffemodel or torchvision")
    layers: int = Field(description="Layers of DetectNet that it names; -1 is not known before a job runs")
    sha256: str
    size_bytes: int
    source: dict[str, Any]
    created_at: str


class PretrainedList(ResponseModel):
    """A page of pretrained models, oldest first."""

    items: list[PretrainedResponse]
    next_page_token: str | None
