from __future__ import annotations

import json
from typing import Any

import pytest

from periscope.roots import RootRefused, add_signature, check_root, make_root, read_root
from periscope.signing import PrivateKey, canonical

OLD = [PrivateKey.new() for _ in range(3)]
NEW = [PrivateKey.new() for _ in range(2)]
RELEASE = PrivateKey.new()


def root(version: int, threshold: int, keys: list[PrivateKey], *signers: PrivateKey) -> dict[str, Any]:
    made = make_root(version, threshold, [key.public_pem for key in keys], [RELEASE.public_pem])
    for signer in signers:
        made = add_signature(made, signer)
    return made


FIRST = root(1, 2, OLD, OLD[0], OLD[1])


def test_a_first_root_needs_its_own_threshold() -> None:
    assert check_root(FIRST, None)["version"] == 1
    with pytest.raises(RootRefused, match="1 of its own"):
        check_root(root(1, 2, OLD, OLD[0]), None)


def test_a_successor_is_signed_by_old_and_new_keys() -> None:
    assert check_root(root(2, 1, NEW, NEW[0], OLD[0], OLD[2]), FIRST)["version"] == 2
    with pytest.raises(RootRefused, match="0 of its own"):
        check_root(root(2, 1, NEW, OLD[0], OLD[2]), FIRST)
    with pytest.raises(RootRefused, match="1 of root 1's"):
        check_root(root(2, 1, NEW, NEW[0], OLD[0]), FIRST)


def test_one_key_that_signs_twice_counts_once() -> None:
    once = root(2, 1, NEW, NEW[0], OLD[0])
    twice = {**once, "signatures": [*once["signatures"], once["signatures"][-1]]}

    with pytest.raises(RootRefused, match="1 of root 1's"):
        check_root(twice, FIRST)


def test_a_key_listed_twice_does_not_lower_the_threshold() -> None:
    with pytest.raises(RootRefused, match="threshold"):
        root(1, 2, [OLD[0], OLD[0]])


@pytest.mark.parametrize("version", [1, 3])
def test_roots_come_one_by_one(version: int) -> None:
    with pytest.raises(RootRefused, match="after root 1 comes 2"):
        check_root(root(version, 1, NEW, NEW[0], OLD[0], OLD[1]), FIRST)


def test_a_signature_under_another_keys_name_is_none() -> None:
    signed = root(1, 2, OLD, OLD[0], RELEASE)
    signed["signatures"][1]["key_id"] = OLD[1].key_id

    with pytest.raises(RootRefused):
        check_root(signed, None)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other/1"},
        {"version": 0},
        {"version": True},
        {"threshold": 0},
        {"threshold": 4},
        {"threshold": "1"},
        {"release_keys": []},
        {"root_keys": [{"key_id": "0" * 64, "pem": OLD[0].public_pem}]},
        {"root_keys": [{"key_id": "0" * 64, "pem": "no key"}]},
        {"root_keys": None},
    ],
)
def test_a_malformed_root_is_refused(change: dict[str, Any]) -> None:
    body = json.loads(FIRST["document"]) | change

    with pytest.raises(RootRefused):
        read_root({"document": canonical(body), "signatures": []})


def test_a_root_that_is_not_canonical_is_refused() -> None:
    with pytest.raises(RootRefused, match="canonical"):
        read_root({"document": FIRST["document"] + " ", "signatures": []})
