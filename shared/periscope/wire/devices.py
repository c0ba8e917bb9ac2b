"""Bodies of the registry: devices, what each should have, and what it tells.

Times are RFC 3339 in UTC, lengths bytes or seconds, as their names say.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from periscope.wire.base import RequestModel, ResponseModel, Sha256
from periscope.wire.models import MemberResponse, Name, ZipResponse
from periscope.wire.releases import Activation, SignedRelease

MAX_REPORTS = 50
"""Reports in one request."""


class DeviceRequest(RequestModel):
    """What a device should have: what an alias points to, or one version for good."""

    model: Name | None = Field(None, description="Left out: what its group, or the whole fleet, should have")
    alias: Name | None = Field(None, description="Default: latest, where no version is given")
    version: int | None = Field(None, ge=1)
    group: Name | None = Field(None, description="The group that it belongs to")
    activation: Activation = Field("now", description="For a wish of its own")

    @model_validator(mode="after")
    def _choose_one(self) -> Self:
        if self.alias is not None and self.version is not None:
            raise ValueError("give an alias or a version, not both")
        if self.model is None and (self.alias is not None or self.version is not None):
            raise ValueError("an alias or a version needs a model")
        if self.model is not None and self.alias is None and self.version is None:
            self.alias = "latest"
        return self


class Report(RequestModel):
    """One thing that happened on a device."""

    id: str = Field(pattern=r"^[0-9a-zA-Z-]{8,64}$", description="Sent again, it counts once")
    sequence: int = Field(ge=1, lt=1 << 53)
    at: str = Field(max_length=40, description="By the device's clock, which may be wrong")
    state: str = Field(pattern=r"^[a-z_]{1,40}$", description="active, failed, rolled_back, damaged")
    reason: str | None = Field(None, pattern=r"^[a-z_]{1,40}$", description="Why it failed, in a word")
    model: str | None = Field(None, max_length=200)
    version: int | None = Field(None, ge=1)
    zip_sha256: Sha256 | None = None
    detail: str = Field("", max_length=1000)
    agent_version: str = Field("", max_length=40)


class Inventory(RequestModel):
    """What a device is."""

    # A newer agent may tell more; that is no reason to lose its reports.
    model_config = ConfigDict(extra="ignore")

    jetpack: str | None = Field(None, max_length=40)
    tensorrt: str | None = Field(None, max_length=40)
    module: str | None = Field(None, max_length=100)
    free_bytes: int | None = Field(None, ge=0, lt=1 << 60)
    python: str | None = Field(None, max_length=40)
    agent_version: str | None = Field(None, max_length=40)
    group: str | None = Field(None, max_length=63)


class ReportsRequest(RequestModel):
    """What a device tells since it last had a network."""

    reports: list[Report] = Field(max_length=MAX_REPORTS)
    inventory: Inventory | None = None


class DeviceResponse(ResponseModel):
    """A device, what it should have and what it last said."""

    device: str
    model: str
    alias: str | None
    version: int | None
    created_at: str
    updated_at: str
    last_contact_at: str | None = Field(description="When its token was last used here, to about a minute")
    last_report: dict[str, Any] | None
    activation: str = "now"
    group: str | None = None
    follows_group: bool = Field(False, description="Whether the wish is the group's")
    inventory: dict[str, Any] | None = Field(None, description="What it last told of itself")


class DeviceList(ResponseModel):
    """A page of devices, oldest first."""

    items: list[DeviceResponse]
    next_page_token: str | None


class DesiredResponse(ResponseModel):
    """What a device should have; its agent compares the ETag."""

    device: str
    model: str
    version: int
    zip: ZipResponse
    members: list[MemberResponse]
    poll_interval_s: int
    release: SignedRelease | None = Field(None, description="Null while the registry has no release key")
    root_version: int = Field(0, description="The newest root document; 0 where there is none")


class ReportList(ResponseModel):
    """A page of a device's reports, in the order they came; the newest hundred are kept."""

    items: list[dict[str, Any]]
    next_page_token: str | None


class ReportsAccepted(ResponseModel):
    """How many reports were new."""

    accepted: int
