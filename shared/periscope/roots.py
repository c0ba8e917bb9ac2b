"""Root documents: which keys may sign releases, and which may name their successors.

Root n+1 counts when ``threshold`` distinct root keys of root n and as many of its own signed its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from periscope.signing import KeyUnusable, PrivateKey, canonical, key_id, verifies

FORMAT = "periscope-root/1"
SignedRoot = Mapping[str, Any]
"""``{"document": text, "signatures": [{"key_id", "signature"}]}``."""


class RootRefused(Exception):
    """A root document is malformed, or too few of the right keys signed it."""


def make_root(
    version: int, threshold: int, root_pems: Sequence[str], release_pems: Sequence[str]
) -> dict[str, Any]:
    """A root document that nobody has signed yet. Raises RootRefused, KeyUnusable."""
    body = {
        "format": FORMAT,
        "version": version,
        "threshold": threshold,
        "root_keys": [{"key_id": key_id(pem), "pem": pem} for pem in root_pems],
        "release_keys": [{"key_id": key_id(pem), "pem": pem} for pem in release_pems],
    }
    signed = {"document": canonical(body), "signatures": []}
    read_root(signed)
    return signed


def add_signature(signed: SignedRoot, key: PrivateKey) -> dict[str, Any]:
    """The root with one key's signature more, or anew."""
    others = [each for each in signed["signatures"] if each["key_id"] != key.key_id]
    made = {"key_id": key.key_id, "signature": key.sign(signed["document"])}
    return {"document": signed["document"], "signatures": [*others, made]}


def read_root(signed: SignedRoot) -> dict[str, Any]:
    """The parsed document, its form checked but no signature. Raises RootRefused."""
    try:
        body: dict[str, Any] = json.loads(signed["document"])
        is_whole = canonical(body) == signed["document"] and body["format"] == FORMAT
        is_whole = is_whole and type(body["version"]) is int and body["version"] >= 1
        if not is_whole or type(body["threshold"]) is not int or not body["release_keys"]:
            raise RootRefused(f"this is no {FORMAT} document in canonical JSON with a release key")
        for key in [*body["root_keys"], *body["release_keys"]]:
            if key_id(key["pem"]) != key["key_id"]:
                raise RootRefused(f"the key_id {key['key_id']!r} is not that of its key")
    except (KeyError, TypeError, ValueError, KeyUnusable, RecursionError) as error:
        raise RootRefused(f"the root document is malformed: {error}") from error
    distinct = {key["key_id"] for key in body["root_keys"]}
    if not 1 <= body["threshold"] <= len(distinct):
        raise RootRefused(f"the threshold {body['threshold']} is not within the {len(distinct)} root keys")
    return body


def check_root(signed: SignedRoot, previous: SignedRoot | None) -> dict[str, Any]:
    """The document of a root that may follow ``previous``, or be the first. Raises RootRefused."""
    body = read_root(signed)
    _require_signed(signed, body, "its own")
    if previous is None:
        return body
    before = read_root(previous)
    if body["version"] != before["version"] + 1:
        raise RootRefused(f"after root {before['version']} comes {before['version'] + 1}")
    _require_signed(signed, before, f"root {before['version']}'s")
    return body


def _require_signed(signed: SignedRoot, body: Mapping[str, Any], whose: str) -> None:
    pems = {key["key_id"]: key["pem"] for key in body["root_keys"]}
    good = {
        each["key_id"]
        for each in signed["signatures"]
        if each["key_id"] in pems and verifies(pems[each["key_id"]], signed["document"], each["signature"])
    }
    if len(good) < body["threshold"]:
        raise RootRefused(f"{len(good)} of {whose} root keys signed it, and {body['threshold']} must")
