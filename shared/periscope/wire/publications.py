"""Bodies of the training service: publications, the way of one epoch into the registry."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.jobs import StateChange

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of models and aliases, as the registry takes them."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class PublishRequest(RequestModel):
    """Publish one epoch as a new version of a model."""

    model: Name
    aliases: list[Name] = Field(default=["latest"], max_length=10)


class ParityResponse(ResponseModel):
    """How far the exported networks are from PyTorch: largest differences, null where one is no number."""

    images: int
    coverage: float | None = Field(description="OpenCV on the Caffe pair; at most 1e-4")
    boxes_px: float | None = Field(description="OpenCV on the Caffe pair; at most 0.01")
    onnx_coverage: float | None = Field(description="onnxruntime on grid.onnx; at most 1e-4")
    onnx_boxes_px: float | None = Field(description="onnxruntime on grid.onnx; at most 0.01")
    ssd_scores: float | None = Field(None, description="onnxruntime on model_trt*.onnx; at most 1e-4")
    ssd_boxes_px: float | None = Field(None, description="onnxruntime on model_trt*.onnx; at most 0.01")


class PublicationResponse(ResponseModel):
    """The way of one epoch into the registry."""

    id: str
    job_id: str
    epoch: float
    step: int
    model: str
    aliases: list[str]
    state: str
    reason: str
    parity: ParityResponse | None
    warnings: list[str]
    version: int | None = Field(description="The model's version, once it is known")
    zip: dict[str, Any] | None
    history: list[StateChange]
    created_at: str
    updated_at: str


class PublicationList(ResponseModel):
    """A page of publications, oldest first."""

    items: list[PublicationResponse]
    next_page_token: str | None
