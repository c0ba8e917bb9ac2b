"""Bodies about what is removed for good."""

from __future__ import annotations

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel


class GarbageRequest(RequestModel):
    """How to collect."""

    dry_run: bool = Field(True, description="Only tell what would be removed")
    grace_hours: int | None = Field(
        None, ge=6, le=8760, description="How long blobs without a name are kept; default: the service's"
    )


class GarbageResponse(ResponseModel):
    """What was found and done; dataset versions, models, jobs and all others name blobs."""

    dry_run: bool
    blobs: int
    named: int
    waiting: int = Field(description="Named by nothing, and not yet for the grace period")
    waiting_bytes: int
    removed: int = Field(description="With dry_run: that would be removed now")
    removed_bytes: int
    examples: list[str] = Field(description="Hashes of the first ones")
