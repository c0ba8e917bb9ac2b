"""Bodies of trying a network: predictions of one picture, its layers, evaluations of a split.

Boxes are x1, y1, x2, y2 in pixels of the picture as it was sent.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.jobs import StateChange

DecoderName = Literal["digits", "jetson-caffe", "jetson-onnx"]
Threshold = Annotated[float, Field(ge=0, le=1)]


class PictureQuery(RequestModel):
    """Which picture: the body, or one of a dataset where there is no body."""

    dataset: str | None = Field(None, max_length=100, description="Id or name; default: the job's own")
    dataset_version: int | None = Field(None, ge=1, description="Default: the job's own, else the newest")
    split: Literal["train", "val"] = "val"
    image: str | None = Field(None, max_length=500, description="Key of the dataset's picture")


class PredictQuery(PictureQuery):
    """How to look at the picture."""

    decoder: DecoderName = Field("digits", description="Whose rules make boxes of the grids")
    threshold: Threshold | None = Field(
        None, description="Coverage that a cell needs; default 0.6 for digits, 0.5 for a Jetson"
    )
    resize: bool = Field(True, description="false keeps the picture's own size, filled up to whole cells")
    labels: list[Annotated[str, Field(max_length=100)]] = Field(
        default=[], max_length=256, description="Only these classes"
    )
    view: Literal["boxes", "overlay", "coverage"] = Field(
        "boxes", description="boxes: JSON; overlay: the picture with boxes, PNG; coverage: a heat map, PNG"
    )


class LayersQuery(PictureQuery):
    """Which layer to show."""

    layer: str | None = Field(None, max_length=100, description="This one as PNG; default: statistics of all")
    kind: Literal["activation", "weights", "bias"] = "activation"


class BoxResponse(ResponseModel):
    """One object that was found."""

    label: str
    class_index: int
    confidence: float = Field(
        description="digits: natural logarithm of the cells that voted; on a Jetson: coverage, 0-1"
    )
    xyxy: list[float]


class PredictionResponse(ResponseModel):
    """What an epoch's network finds in a picture."""

    job_id: str
    epoch: float
    decoder: DecoderName
    threshold: float
    image: dict[str, int] = Field(description="Width and height in pixels")
    network: dict[str, int] = Field(description="Width and height of the input that was used")
    max_coverage: dict[str, float] = Field(description="By class: the surest cell, 0-1, boxes or not")
    boxes: list[BoxResponse]


class LayersResponse(ResponseModel):
    """Every layer for one picture, in the network's order."""

    job_id: str
    epoch: float
    parameters: int = Field(description="Of the whole network")
    layers: list[dict[str, Any]]


class EvaluationRequest(RequestModel):
    """A whole split through an epoch's network."""

    dataset: str | None = Field(None, max_length=100, description="Id or name; default: the job's own")
    dataset_version: int | None = Field(None, ge=1, description="Default: the job's own, else the newest")
    split: Literal["train", "val"] = "val"
    decoder: DecoderName = "digits"
    threshold: Threshold | None = None


class EvaluationResponse(ResponseModel):
    """An evaluation and how far it is."""

    id: str
    job_id: str
    epoch: float
    dataset: dict[str, Any]
    split: str
    decoder: DecoderName
    threshold: float
    state: str
    reason: str
    done: int = Field(description="Pictures")
    total: int | None
    metrics: dict[str, Any] | None = Field(description="Precision, recall and maps by class, at IoU 0.7")
    history: list[StateChange]
    created_at: str
    updated_at: str


class EvaluationList(ResponseModel):
    """A page of evaluations, oldest first."""

    items: list[EvaluationResponse]
    next_page_token: str | None
