"""Bodies of signed release and root documents; the documents themselves travel as text.

``docs/release-documents.md`` says what stands in them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from periscope.wire.base import RequestModel, ResponseModel

MAX_ROOT_CHARS = 64 << 10
Activation = Literal["now", "on_boot", "manual"]


class SignedRelease(ResponseModel):
    """What one device should run, signed."""

    document: str = Field(description="Canonical JSON, signed as these very bytes")
    signature: str = Field(description="Base64 of the DER signature: ECDSA P-256 over SHA-256")
    key_id: str


class RootSignature(RequestModel):
    """One root key's signature of a root document."""

    key_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(max_length=200)


class SignedRoot(RequestModel):
    """A root document: which keys may sign releases, and which may name their successors."""

    document: str = Field(max_length=MAX_ROOT_CHARS)
    signatures: list[RootSignature] = Field(max_length=20)


class RootResponse(ResponseModel):
    """A root document as it was taken."""

    document: str
    signatures: list[RootSignature]


class ReleaseFile(ResponseModel):
    """What stands beside a zip on a USB stick, as ``FILE.zip.release.json``."""

    release: SignedRelease
    roots: list[RootResponse] = Field(description="Oldest first")
