"""Bodies of what a job may ask for: the options' schema, learning rates beforehand, GPUs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.training_options import InputSize, Positive, RatePolicy


class RateRequest(RequestModel):
    """A learning-rate policy, and the rates to begin with."""

    learning_rates: list[Positive] = Field(min_length=1, max_length=20)
    lr_policy: RatePolicy


class RateQuery(RequestModel):
    """In which form."""

    view: Literal["json", "png"] = "json"


class RateCurve(ResponseModel):
    """One learning rate over a training."""

    learning_rate: float
    values: list[float] = Field(description="At 0, 1, ... 100 percent of training")


class RateResponse(ResponseModel):
    """One curve for each rate."""

    curves: list[RateCurve]


class SchemaResponse(ResponseModel):
    """The JSON schema of a job request, and every recipe's values."""

    options: dict[str, Any]
    recipes: dict[str, Any]


class NetworkRequest(RequestModel):
    """A network to look at."""

    network: str = Field(max_length=500_000, description="A DetectNet prototxt, as text")
    input: InputSize | None = Field(None, description="Where the prototxt names no size")


class LayerDescription(ResponseModel):
    """One layer, in the network's order."""

    name: str
    type: str = Field(description="Caffe's")
    shape: list[int] = Field(description="Of its output: 1, channels, height, width")
    parameters: int


class NetworkResponse(ResponseModel):
    """What a network is made of."""

    input: list[int] = Field(description="1, 3, height, width")
    classes: int
    convolutions: int
    parameters: int
    outputs: dict[str, list[int]]
    options: dict[str, Any] = Field(description="What a job of this network would take from it")
    layers: list[LayerDescription]


class Gpu(ResponseModel):
    """One GPU as it is now."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    memory_used_bytes: int
    utilisation_ratio: float | None = Field(description="0-1")
    temperature_celsius: float | None


class GpuList(ResponseModel):
    """Where jobs run."""

    launcher: str = Field(description="process or kubernetes")
    max_concurrent_jobs: int
    running: int
    gpus_per_job: int = Field(description="0 trains on the CPU")
    gpus: list[Gpu] = Field(description="Of this machine; of a cluster its own tools tell")
