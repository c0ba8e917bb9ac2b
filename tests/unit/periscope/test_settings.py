"""Settings, ids and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.ids import is_id, new_id
from periscope.settings import S3Settings, SettingsError, whole_number

ENVIRON = {
    "S3_ENDPOINT": "http://store:8333",
    "S3_BUCKET": "periscope",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "s",
}


def test_the_store_is_found_by_its_environment() -> None:
    settings = S3Settings.from_environ(ENVIRON | {"S3_PUBLIC_ENDPOINT": "https://s3.example"})

    assert settings.public_endpoint == "https://s3.example"
    assert settings.region == "us-east-1"
    assert S3Settings.from_environ(ENVIRON).public_endpoint == "http://store:8333"


@pytest.mark.parametrize("name", ENVIRON)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        S3Settings.from_environ({key: value for key, value in ENVIRON.items() if key != name})
    with pytest.raises(SettingsError, match=name):
        S3Settings.from_environ(ENVIRON | {name: ""})


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5"])
def test_a_number_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="PORT"):
        whole_number({"PORT": text}, "PORT", 1)


def test_a_number_has_a_default() -> None:
    assert whole_number({}, "PORT", 7) == 7
    assert whole_number({"PORT": "12"}, "PORT", 7) == 12


def test_ids_are_told_from_paths() -> None:
    assert is_id(new_id())
    for text in ("", "../x", new_id().lower(), new_id() + "\n", "8" * 26, "I" * 26):
        assert not is_id(text)


def test_a_time_survives_being_written() -> None:
    moment = utc_now()

    assert from_rfc3339(to_rfc3339(moment)) == moment


def test_times_are_written_in_utc_and_sort_as_text() -> None:
    berlin = timezone(timedelta(hours=2))
    early = datetime(2026, 5, 4, 12, 20, 30, tzinfo=berlin)

    assert to_rfc3339(early) == "2026-05-04T10:20:30.000000Z"
    assert to_rfc3339(early) < to_rfc3339(datetime(2026, 5, 4, 10, 20, 30, 1, tzinfo=UTC))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        from_rfc3339("2026-05-04T10:20:30")
