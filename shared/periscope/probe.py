"""The start-up probe: a store that breaks its promise on conditional writes is refused, saying why."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from periscope import keys
from periscope.store import ObjectStore, PreconditionFailed

WRITERS = 16


class StoreNotTrusted(Exception):
    """The store lets two conditional writes win, so versions and jobs would be lost on it."""


def prove_conditional_writes(store: ObjectStore) -> None:
    """Race conditional writes on scratch objects; return when each race had exactly one winner.

    Raises:
        StoreNotTrusted: the store does not keep the promise.
        StoreUnavailable: it does not answer.
    """
    key = keys.probe(secrets.token_hex(12))
    try:
        _prove_one_creator(store, key)
        _prove_one_replacer(store, key)
        _prove_match_needs_object(store, keys.probe(secrets.token_hex(12)))
    finally:
        store.delete(key)


def _prove_one_creator(store: ObjectStore, key: str) -> None:
    def create(writer: int) -> bool:
        try:
            store.put_if_absent(key, str(writer).encode())
        except PreconditionFailed:
            return False
        return True

    _require_one_winner("If-None-Match: * on a free key", create)


def _prove_one_replacer(store: ObjectStore, key: str) -> None:
    etag = store.get(key).etag

    def replace(writer: int) -> bool:
        try:
            store.put_if_match(key, f"replaced by {writer}".encode(), etag)
        except PreconditionFailed:
            return False
        return True

    _require_one_winner("If-Match on one ETag", replace)


def _prove_match_needs_object(store: ObjectStore, key: str) -> None:
    try:
        store.put_if_match(key, b"", "0" * 32)
    except PreconditionFailed:
        return
    store.delete(key)
    raise StoreNotTrusted("the store accepted a write with If-Match on a key that holds nothing")


def _require_one_winner(race: str, write: Callable[[int], bool]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        winners = sum(pool.map(write, range(WRITERS)))
    if winners != 1:
        raise StoreNotTrusted(
            f"{winners} of {WRITERS} writers that raced with {race} were told that they won; "
            "use a store that implements S3 conditional writes (for SeaweedFS: one S3 gateway)"
        )
