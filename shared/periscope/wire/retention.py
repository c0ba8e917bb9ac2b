"""Bodies of the registry about versions that go: how long they are kept, and what holds them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel

Action = Literal["keep", "trash", "restore", "delete"]


class RetentionRequest(RequestModel):
    """Which of a model's versions a clean-up leaves alone, besides those in use."""

    keep_newest: int | None = Field(
        None, ge=1, le=10_000, description="At least so many of the newest; null: all versions are kept"
    )
    keep_days: int = Field(0, ge=0, le=36_500, description="And those that are younger")


class RetentionResponse(ResponseModel):
    """A model's retention."""

    keep_newest: int | None
    keep_days: int


class CleanUpRequest(RequestModel):
    """How to clean up."""

    dry_run: bool = Field(True, description="Only tell what would happen")
    grace_hours: int = Field(
        168, ge=1, le=8760, description="How long a version in the trash can be restored before it is deleted"
    )


class VersionFate(ResponseModel):
    """What becomes of one version."""

    model: str
    version: int
    action: Action
    reasons: list[str] = Field(description="Why it is kept or restored; empty: nothing holds it")


class CleanUpResponse(ResponseModel):
    """What was done; with ``dry_run``, what would be. Zips are garbage then, and collected as such."""

    dry_run: bool
    kept: int
    trashed: int
    restored: int
    deleted: int
    versions: list[VersionFate] = Field(description="Of models with a retention, and all in the trash")


class TrashedVersion(ResponseModel):
    """A version in the trash."""

    version: int
    removed_at: str
    created_at: str
    description: str


class TrashList(ResponseModel):
    """A page of a model's trash, by number."""

    items: list[TrashedVersion]
    next_page_token: str | None


class StageEntry(ResponseModel):
    """A time during which an alias pointed to a version."""

    alias: str
    from_at: str
    to_at: str | None = Field(description="Null: it still does")
    by: str


class StageHistory(ResponseModel):
    """Where a version has stood, oldest first, as far as the aliases' histories reach."""

    items: list[StageEntry]
