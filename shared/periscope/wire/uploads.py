"""Answers about uploads, of data sets and of models alike. Sizes are bytes, times RFC 3339 in UTC."""

from __future__ import annotations

from pydantic import Field

from periscope.wire.base import ResponseModel


class UploadPart(ResponseModel):
    """One piece of the file and where to PUT it."""

    number: int
    url: str
    size_bytes: int


class ReceivedPart(ResponseModel):
    """One piece that has arrived."""

    number: int
    size_bytes: int
    etag: str = Field(description="Of most stores, the MD5 of the piece")


class OpenUpload(ResponseModel):
    """An upload that was begun and not finished."""

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str | None = Field(None, description="As it was announced")
    created_at: str
    expires_at: str


class OpenUploadList(ResponseModel):
    """One page of unfinished uploads, oldest first."""

    items: list[OpenUpload]
    next_page_token: str | None = None


class UploadResponse(ResponseModel):
    """Where to put the parts of a file: one PUT each, then ``:finalize``."""

    upload_id: str
    filename: str
    size_bytes: int
    sha256: str | None = Field(None, description="As it was announced")
    part_size_bytes: int
    created_at: str
    expires_at: str
    parts: list[UploadPart]
    received: list[ReceivedPart] = Field(default=[], description="What has arrived; send the rest")
