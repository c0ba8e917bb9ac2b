"""Bodies of the registry: models, versions, aliases, tokens.

Times are RFC 3339 in UTC, lengths bytes or seconds, as their names say.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from periscope.roles import Role
from periscope.wire.base import RequestModel, ResponseModel, Sha256, Tags

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""Names of models, aliases and devices."""
MAX_ZIP_BYTES = 2 << 30
"""No zip is ever taken above this; a registry may be set to less."""
MAX_NOTES = 200
"""Entries at the top of ``metrics`` or ``lineage``."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _require_finite(notes: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(notes, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise ValueError("numbers must be finite, and nesting shallow") from error
    return notes


Notes = Annotated[
    dict[Annotated[str, Field(max_length=200)], Any],
    Field(max_length=MAX_NOTES),
    AfterValidator(_require_finite),
]


class ModelRequest(RequestModel):
    """Make a model, or change what is said of it."""

    description: str | None = Field(None, max_length=2000, description="Left out: stays as it is")
    tags: Tags | None = Field(None, description="Names and values of your own; left out: stay as they are")


class UploadRequest(RequestModel):
    """Begin to upload a model zip."""

    filename: str = Field(min_length=1, max_length=200)
    size_bytes: int = Field(ge=1, le=MAX_ZIP_BYTES)
    sha256: Sha256 | None = Field(None, description="Of the zip; other bytes that arrive are refused")


class FinalizeRequest(RequestModel):
    """Have an uploaded zip checked, and make a version of it."""

    description: str = Field("", max_length=2000)
    metrics: Notes | None = Field(None, description="How good it is, as the training service says")
    lineage: Notes | None = Field(None, description="Where it comes from: job, epoch, dataset")
    tags: Tags = Field(default_factory=dict, description="Names and values of your own")


class AliasRequest(RequestModel):
    """Point an alias to a version."""

    version: int = Field(ge=1)


class TokenRequest(RequestModel):
    """Make a token."""

    role: Role
    name: str = Field(min_length=1, max_length=100)
    device_id: Name | None = Field(None, description="For the role device: whose it is")

    @model_validator(mode="after")
    def _device_has_id(self) -> Self:
        if (self.role == "device") != (self.device_id is not None):
            raise ValueError("device_id belongs to the role device, and only to it")
        return self


class MemberResponse(ResponseModel):
    """One file of a zip."""

    name: str
    sha256: str
    size_bytes: int


class ZipResponse(ResponseModel):
    """A version's zip."""

    sha256: str
    size_bytes: int
    url: str = Field(description="Path on this service; it answers with a redirect to the store")


class VersionResponse(ResponseModel):
    """An immutable version of a model."""

    model: str
    version: int
    zip: ZipResponse
    members: list[MemberResponse]
    labels: list[str]
    width: int
    height: int
    description: str
    metrics: dict[str, Any] | None
    lineage: dict[str, Any] | None
    tags: dict[str, str] = {}
    published_by: str
    created_at: str


class VersionList(ResponseModel):
    """A page of versions, oldest first."""

    items: list[VersionResponse]
    next_page_token: str | None


class AliasChange(ResponseModel):
    """One entry of an alias's history."""

    version: int
    at: str
    by: str


class AliasResponse(ResponseModel):
    """A name that moves from version to version; its ETag is what ``If-Match`` takes."""

    model: str
    alias: str
    version: int
    history: list[AliasChange] = Field(description="Oldest first; the newest hundred")
    created_at: str
    updated_at: str


class AliasList(ResponseModel):
    """A page of a model's aliases, by name."""

    items: list[AliasResponse]
    next_page_token: str | None


class AliasSummary(ResponseModel):
    """Where an alias points."""

    alias: str
    version: int


class ModelResponse(ResponseModel):
    """A model."""

    name: str
    description: str
    tags: dict[str, str] = {}
    latest_version: int | None = Field(description="The highest number; null before the first version")
    aliases: list[AliasSummary]
    created_at: str
    updated_at: str


class ModelList(ResponseModel):
    """A page of models, oldest first."""

    items: list[ModelResponse]
    next_page_token: str | None


class TokenResponse(ResponseModel):
    """A token without its text."""

    id: str
    role: Role
    name: str
    device_id: str | None
    created_at: str


class NewTokenResponse(TokenResponse):
    """A token that was just made; its text is shown here and never again."""

    token: str


class TokenList(ResponseModel):
    """A page of tokens, oldest first."""

    items: list[TokenResponse]
    next_page_token: str | None
