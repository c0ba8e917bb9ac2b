"""``periscope keys`` and ``periscope pull --for-device``: files only, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope.roots import RootRefused, check_root
from periscope.signing import PrivateKey
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices

Periscope = Callable[..., Ran]


@pytest.fixture
def folder(periscope: Periscope, tmp_path: Path) -> Path:
    assert periscope("keys", "init", tmp_path / "k", "--root-keys", "2", "--threshold", "2").code == 0
    return tmp_path / "k"


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def test_init_makes_keys_for_their_owner_only_and_a_sound_root(folder: Path, services: FakeServices) -> None:
    root = check_root(read(folder / "root-1.json"), None)
    release = PrivateKey.from_pem((folder / "release-key.pem").read_bytes())

    assert (root["version"], root["threshold"], len(root["root_keys"])) == (1, 2, 2)
    assert [key["key_id"] for key in root["release_keys"]] == [release.key_id]
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.pem")} == {0o600}
    assert services.requests == []


def test_init_overwrites_nothing(periscope: Periscope, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = periscope("keys", "init", folder)

    assert again.code != 0
    assert "exists already" in again.err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_threshold_above_the_keys_leaves_no_key_behind(periscope: Periscope, tmp_path: Path) -> None:
    ran = periscope("keys", "init", tmp_path / "k", "--threshold", "2")

    assert ran.code != 0
    assert "threshold" in ran.err
    assert list((tmp_path / "k").iterdir()) == []


def test_a_rotated_root_counts_once_enough_keys_have_signed(periscope: Periscope, folder: Path) -> None:
    first = read(folder / "root-1.json")
    rotated = periscope("keys", "rotate", folder / "root-1.json", "--key", folder / "root-key-1.pem")
    assert rotated.code == 0, rotated.err
    assert "sign-root" in rotated.err
    with pytest.raises(RootRefused):
        check_root(read(folder / "root-2.json"), first)
    periscope("keys", "sign-root", folder / "root-2.json", "--key", folder / "root-key-2.pem")
    second = check_root(read(folder / "root-2.json"), first)

    assert second["version"] == 2
    assert len(second["release_keys"]) == 2, "the old release key signs on until it is revoked"


def test_root_keys_are_replaced_and_a_stolen_release_key_revoked(periscope: Periscope, folder: Path) -> None:
    keys = [folder / f"root-key-{number}.pem" for number in (1, 2)]
    ran = periscope(
        "keys", "rotate", folder / "root-1.json", "--key", keys[0], "--key", keys[1], "--revoke",
        "--new-root-key", folder / "fresh.pem", "--threshold", "1",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    second = check_root(read(folder / "root-2.json"), read(folder / "root-1.json"))

    fresh = PrivateKey.from_pem((folder / "release-key-2.pem").read_bytes())
    assert [key["key_id"] for key in second["release_keys"]] == [fresh.key_id]
    assert [key["key_id"] for key in second["root_keys"]] == [
        PrivateKey.from_pem((folder / "fresh.pem").read_bytes()).key_id
    ]


def test_root_keys_may_have_a_passphrase(
    periscope: Periscope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERISCOPE_KEY_PASSPHRASE", "deep water")
    periscope("keys", "init", tmp_path / "k")
    sign = ("keys", "sign-root", tmp_path / "k" / "root-1.json", "--key", tmp_path / "k" / "root-key-1.pem")
    right = periscope(*sign)
    monkeypatch.delenv("PERISCOPE_KEY_PASSPHRASE")
    wrong = periscope(*sign)

    assert b"ENCRYPTED" in (tmp_path / "k" / "root-key-1.pem").read_bytes()
    assert b"ENCRYPTED" not in (tmp_path / "k" / "release-key.pem").read_bytes()
    assert (right.code, wrong.code == 0) == (0, False)
    assert "PERISCOPE_KEY_PASSPHRASE" in wrong.err


def test_what_is_no_root_or_no_key_is_named(periscope: Periscope, folder: Path) -> None:
    (folder / "odd.json").write_text("[]")
    odd_root = periscope("keys", "sign-root", folder / "odd.json", "--key", folder / "root-key-1.pem")
    odd_key = periscope("keys", "sign-root", folder / "root-1.json", "--key", folder / "odd.json")

    assert (odd_root.code, odd_key.code) == (1, 1)
    assert "odd.json is no root document" in odd_root.err
    assert "odd.json" in odd_key.err


def test_pull_for_a_device_writes_what_belongs_on_its_stick(
    periscope: Periscope, services: FakeServices, tmp_path: Path
) -> None:
    ran = periscope("pull", "m@latest", "--for-device", "sub-1", "-o", tmp_path / "m.zip")

    assert ran.code == 0, ran.err
    assert (tmp_path / "m.zip").read_bytes() == services.zip
    assert read(tmp_path / "m.zip.release.json") == services.release_for("sub-1")


def test_pull_for_a_device_refuses_a_zip_that_is_not_its_own(
    periscope: Periscope, services: FakeServices, tmp_path: Path
) -> None:
    services.released_sha256 = "0" * 64
    ran = periscope("pull", "m@latest", "--for-device", "sub-1", "-o", tmp_path / "m.zip")

    assert ran.code == 1
    assert "sub-1 should have m version 3" in ran.err
    assert list(tmp_path.glob("m.zip*")) == []
