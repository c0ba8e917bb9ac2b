"""Lists page by page: a cursor is the last item's key, so that new items never shift a page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeVar

from periscope.web.problems import BadRequest

Item = TypeVar("Item")


def page(
    items: Sequence[Item], page_size: int, page_token: str | None, key: Callable[[Item], str]
) -> tuple[list[Item], str | None]:
    """One page of ``items`` (sorted by ``key``) after the cursor, and the next cursor or None.

    Raises:
        BadRequest: the cursor is not one of ours.
    """
    after = None if page_token is None else decode_cursor(page_token)
    rest = [item for item in items if after is None or key(item) > after]
    chosen = rest[:page_size]
    more = len(rest) > len(chosen)
    return chosen, encode_cursor(key(chosen[-1])) if more and chosen else None


def encode_cursor(key: str) -> str:
    """The cursor behind an item, for lists that are too long to be gone through."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def decode_cursor(token: str) -> str:
    """The key that a cursor stands for. Raises BadRequest."""
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError as error:
        raise BadRequest(
            "this page_token was not given by this service; leave it out to begin anew"
        ) from error
