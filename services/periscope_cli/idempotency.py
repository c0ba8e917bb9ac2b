"""Keys that make a POST safe to send twice, so that a lost answer costs nothing."""

from __future__ import annotations

import secrets


def keyed(key: str | None = None) -> dict[str, str]:
    """The header; a fresh key unless the caller has one to repeat an earlier request."""
    return {"Idempotency-Key": key or secrets.token_hex(16)}
