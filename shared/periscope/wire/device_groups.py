"""Bodies of the registry: groups of devices, rollouts, enrolment."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from periscope.wire.base import RequestModel, ResponseModel
from periscope.wire.models import Name
from periscope.wire.releases import Activation


class GroupRequest(RequestModel):
    """What the devices of a group should have, all at once."""

    model: Name
    alias: Name | None = Field(None, description="Default: latest, where no version is given")
    version: int | None = Field(None, ge=1)
    activation: Activation = "now"

    @model_validator(mode="after")
    def _choose_one(self) -> Self:
        if self.alias is not None and self.version is not None:
            raise ValueError("give an alias or a version, not both")
        if self.alias is None and self.version is None:
            self.alias = "latest"
        return self


class Stage(RequestModel):
    """One stage: the named devices, and of all devices at least this many percent."""

    devices: list[Name] = Field(default_factory=list, max_length=100, description="Canaries by name")
    percent: float = Field(0, ge=0, le=100)

    @model_validator(mode="after")
    def _has_somebody(self) -> Self:
        if not self.devices and self.percent == 0:
            raise ValueError("name devices or give a percentage")
        return self


class RolloutRequest(RequestModel):
    """Move a group to a version, stage by stage."""

    version: int = Field(ge=1)
    stages: list[Stage] = Field(min_length=1, max_length=10, description="The last must be 100 percent")
    min_confirmed_ratio: float = Field(1.0, gt=0, le=1, description="Share that lets the next stage begin")
    max_failed_ratio: float = Field(0.0, ge=0, lt=1, description="A larger share pauses the rollout")
    activation: Activation = "now"

    @model_validator(mode="after")
    def _ends_with_all(self) -> Self:
        if self.stages[-1].percent != 100:
            raise ValueError("the last stage must be 100 percent")
        return self


class RolloutResponse(ResponseModel):
    """How far a rollout has come."""

    id: str
    version: int
    state: str = Field(description="RUNNING, PAUSED, SUCCEEDED, ABORTED or ROLLED_BACK")
    reason: str
    stage: int = Field(description="From 0")
    stages: list[dict[str, Any]]
    chosen: list[str] = Field(description="Devices that should have the version already")
    min_confirmed_ratio: float
    max_failed_ratio: float
    activation: str
    started_at: str


class GroupResponse(ResponseModel):
    """A group, its wish and its newest rollout."""

    group: str
    model: str
    alias: str | None
    version: int | None
    activation: str
    rollout: RolloutResponse | None
    created_at: str
    updated_at: str


class GroupList(ResponseModel):
    """A page of groups, oldest first."""

    items: list[GroupResponse]
    next_page_token: str | None


class EnrolmentCode(ResponseModel):
    """A one-time code; it is shown here and never again."""

    code: str
    expires_at: str


class EnrolRequest(RequestModel):
    """Turn a code into a token."""

    code: str = Field(min_length=1, max_length=100)


class EnrolledResponse(ResponseModel):
    """The device's own token; it is shown here and never again."""

    token: str
