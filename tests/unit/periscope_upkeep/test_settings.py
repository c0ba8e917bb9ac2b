"""What the bootstrap reads: refused by name before anything is made."""

from __future__ import annotations

import json

import pytest

from periscope.settings import SettingsError
from periscope_upkeep.__main__ import BAD_SETTINGS, main
from periscope_upkeep.settings import BootstrapSettings

STORE = {
    "S3_ENDPOINT": "http://store:9000", "S3_BUCKET": "periscope",
    "AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root-secret",
}  # fmt: skip
USERS = {
    "PERISCOPE_MAKE_USERS": "minio",
    "SERVICES_ACCESS_KEY_ID": "services", "SERVICES_SECRET_ACCESS_KEY": "services-secret",
    "TRAINER_ACCESS_KEY_ID": "trainer", "TRAINER_SECRET_ACCESS_KEY": "trainer-secret",
}  # fmt: skip


def test_users_are_made_only_where_they_are_asked_for() -> None:
    without, with_users = BootstrapSettings.from_environ(STORE), BootstrapSettings.from_environ(STORE | USERS)

    assert (without.services, without.trainer) == (None, None)
    assert with_users.services is not None
    assert with_users.services.access_key_id == "services"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PERISCOPE_MAKE_USERS": "aws"}, "PERISCOPE_MAKE_USERS"),
        ({"TRAINER_ACCESS_KEY_ID": ""}, "TRAINER_ACCESS_KEY_ID is missing"),
        ({"TRAINER_SECRET_ACCESS_KEY": "short"}, "8 letters"),
        ({"TRAINER_ACCESS_KEY_ID": "services"}, "three different"),
        ({"SERVICES_ACCESS_KEY_ID": "root"}, "three different"),
    ],
)
def test_a_bad_wish_is_refused_by_its_name(change: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        BootstrapSettings.from_environ(STORE | USERS | change)


def test_the_command_ends_with_the_exit_code_of_bad_settings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("S3_ENDPOINT", raising=False)

    assert main(["bootstrap"]) == BAD_SETTINGS
    assert "S3_ENDPOINT is missing" in capsys.readouterr().err


def test_the_identities_of_a_seaweedfs_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (STORE | USERS).items():
        monkeypatch.setenv(name, value)

    assert main(["identities"]) == 0
    services, trainer = json.loads(capsys.readouterr().out)["identities"]
    assert services["credentials"] == [{"accessKey": "services", "secretKey": "services-secret"}]
    assert "Admin" in services["actions"]
    assert all(":periscope/" in action for action in trainer["actions"])
