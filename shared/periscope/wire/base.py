"""What all bodies have in common: requests refuse unknown fields, answers may grow."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RequestModel(BaseModel):
    """A body that a client sends. An unknown field is an error, so that a misspelt option is never lost."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class ResponseModel(BaseModel):
    """A body that a service sends. Clients ignore fields that they do not know."""

    model_config = ConfigDict(extra="ignore")


Tags = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=63)], Annotated[str, Field(max_length=200)]],
    Field(max_length=50),
]
"""Names and values of people's own."""


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A digest in hexadecimal digits."""


class PageQuery(RequestModel):
    """How to ask for one page of a list."""

    page_size: int = Field(50, ge=1, le=200, description="Items on a page")
    page_token: str | None = Field(None, max_length=500, description="From the page before")


class ProblemDetails(ResponseModel):
    """Every error, as RFC 9457 ``application/problem+json``."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[dict[str, str]] | None = Field(None, description="One entry a field: pointer and message")
