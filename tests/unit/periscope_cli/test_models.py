"""``periscope models``, ``pull``, ``devices`` and ``tokens``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from periscope import client
from periscope_cli.client import ModelReference
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices, ulid

Periscope = Callable[..., Ran]


def test_pull_fetches_the_version_that_the_alias_names(
    periscope: Periscope, services: FakeServices, tmp_path: Path
) -> None:
    ran = periscope("pull", "m@latest", "-o", tmp_path / "m.zip", "--json")

    assert ran.code == 0
    assert ran.document["version"] == 3
    assert ran.document["sha256"] == services.zip_sha256
    assert (tmp_path / "m.zip").read_bytes() == services.zip


def test_a_broken_download_goes_on_where_it_stopped(
    periscope: Periscope, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CHUNK_BYTES", 10_000)
    services.cut_download_at = 30_000
    ran = periscope("pull", "m:3", "-o", tmp_path / "m.zip")

    starts = [start for method, path, start, _ in services.requests if path == "/blob"]
    assert ran.code == 0
    assert starts == [0, 30_000]
    assert (tmp_path / "m.zip").read_bytes() == services.zip


def test_a_file_with_another_hash_is_never_put_in_place(
    periscope: Periscope, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.zip").write_bytes(b"the model of yesterday")
    monkeypatch.setattr(FakeServices, "zip_sha256", "0" * 64)
    ran = periscope("pull", "m", "-o", tmp_path / "m.zip")

    assert ran.code == 1
    assert (tmp_path / "m.zip").read_bytes() == b"the model of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]


def test_the_file_is_named_after_model_and_version(periscope: Periscope, tmp_path: Path) -> None:
    assert periscope("pull", "m").out == "m-3.zip\n"
    assert (tmp_path / "m-3.zip").exists()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("m", ModelReference("m")),
        ("m@stable", ModelReference("m", alias="stable")),
        ("m:12", ModelReference("m", version=12)),
    ],
)
def test_a_reference_names_model_and_alias_or_version(text: str, meant: ModelReference) -> None:
    assert ModelReference.parse(text) == meant


@pytest.mark.parametrize("text", ["", "M", "m:0", "m:x", "m@", "m@a:1", "../m"])
def test_anything_else_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is no MODEL"):
        ModelReference.parse(text)


def test_a_device_follows_latest_unless_told_otherwise(periscope: Periscope) -> None:
    assert periscope("devices", "set", "sub-1", "--model", "m", "--json").document["alias"] == "latest"
    assert (
        periscope("devices", "set", "sub-1", "--model", "m", "--version", 2, "--json").document["version"]
        == 2
    )


def test_a_new_tokens_text_is_all_that_standard_output_gets(periscope: Periscope) -> None:
    ran = periscope("tokens", "create", "device", "sub-1", "--device", "sub-1")

    assert ran.out == "psc_new\n"


def test_a_revoked_token_is_named(periscope: Periscope) -> None:
    assert periscope("tokens", "revoke", ulid(9), "--json").document == {"id": ulid(9), "revoked": True}


def test_minimums_without_an_alias_to_guard_are_refused(periscope: Periscope) -> None:
    ran = periscope("alias", "gate", "buoys", "--min", "val.digits_map=0.5")

    assert ran.code == 2
    assert "--guard ALIAS" in ran.err
