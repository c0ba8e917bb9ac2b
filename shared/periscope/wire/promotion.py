"""Bodies of the registry about what may be promoted, and of how versions compare."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.models import Name


class GateDataset(RequestModel):
    """A version of a dataset."""

    id: str = Field(max_length=100)
    version: int = Field(ge=1)


class GateRequest(RequestModel):
    """What must hold of a version before an alias is pointed to it."""

    aliases: list[Name] = Field(
        max_length=100, description="The aliases that are guarded; none: the gate is open"
    )
    minimums: dict[str, float] = Field(
        default_factory=dict,
        max_length=100,
        description="By dotted names: {val.classes.buoy.digits_map: 0.6}",
    )
    dataset: GateDataset | None = Field(
        None, description="The figures must have been measured on this version"
    )
    parity: bool = Field(True, description="Its exports must have been proved equal to the trained network")


class GateResponse(ResponseModel):
    """A model's gate."""

    aliases: list[str]
    minimums: dict[str, float]
    dataset: GateDataset | None
    parity: bool


class MetricComparison(ResponseModel):
    """One figure of two versions."""

    name: str
    base: float | None
    head: float | None
    change: float | None


class MemberChanges(ResponseModel):
    """Files of two zips, by name."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class ComparisonResponse(ResponseModel):
    """How a version differs from another one of its model."""

    base: int
    head: int
    metrics: list[MetricComparison]
    members: MemberChanges
    changed: dict[str, dict[str, Any]] = Field(description="What else is told of them and differs")
