"""Ids of documents: ULIDs, which sort by the time they were made."""

from __future__ import annotations

import re

from ulid import ULID

_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def new_id() -> str:
    """A fresh ULID of 26 characters."""
    return str(ULID())


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of an id, which makes it safe in a key."""
    return _ID.fullmatch(text) is not None
