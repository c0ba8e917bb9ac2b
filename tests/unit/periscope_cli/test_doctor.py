"""What the doctor finds, and what it says to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from periscope_cli.doctor import check_clock
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices

Periscope = Callable[..., Ran]


def statuses(ran: Ran) -> dict[str, str]:
    document = ran.document if ran.code == 0 else ran.document["error"]["details"]
    return {item["check"]: item["status"] for item in document["items"]}


def test_what_is_well_is_said_to_be_well(services: FakeServices, periscope: Periscope) -> None:
    ran = periscope("doctor", "--json")

    assert ran.code == 0, ran.err
    assert statuses(ran) == {
        "dataset service": "ok",
        "training service": "ok",
        "registry service": "ok",
        "clock": "ok",
        "queue": "ok",
        "GPUs": "warning",
        "object store": "ok",
    }


def test_a_wrong_token_is_told_once_for_each_service(services: FakeServices, periscope: Periscope) -> None:
    ran = periscope("doctor", "--token", "wrong", "--json")

    assert ran.code == 1
    assert statuses(ran) == dict.fromkeys(
        ("dataset service", "training service", "registry service"), "error"
    )
    assert "periscope login" in ran.err


def test_one_service_that_is_away_hides_nothing_of_the_others(
    services: FakeServices, periscope: Periscope
) -> None:
    ran = periscope("doctor", "--registry-url", "http://127.0.0.1:9", "--json")

    assert ran.code == 1
    assert statuses(ran)["registry service"] == "error"
    assert statuses(ran)["queue"] == "ok"
    assert "object store" not in statuses(ran)


def test_an_address_that_nobody_gave_is_an_error_of_its_own(
    services: FakeServices, periscope: Periscope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERISCOPE_TRAINING_URL")
    ran = periscope("doctor", "--json")

    assert statuses(ran)["training service"] == "error"
    assert "PERISCOPE_TRAINING_URL" in ran.err


def test_a_store_that_is_out_of_reach_is_found_from_here(
    services: FakeServices, periscope: Periscope
) -> None:
    services.zip_location = "http://127.0.0.1:9/blob"
    ran = periscope("doctor", "--json")

    assert statuses(ran)["object store"] == "error"
    assert "S3_PUBLIC_ENDPOINT" in ran.err


def test_jobs_that_wait_are_told_with_their_reason(services: FakeServices, periscope: Periscope) -> None:
    services.add_job(1, "first", {"state": "PENDING", "reason": "no node has a free GPU"})
    ran = periscope("doctor")

    assert "first" in ran.err
    assert "no node has a free GPU" in ran.err


@pytest.mark.parametrize(("skew_s", "status"), [(0, "ok"), (3600, "error"), (-3600, "error")])
def test_a_clock_that_is_wrong_is_found(skew_s: float, status: str) -> None:
    headers = {"Date": formatdate(time.time() - skew_s, usegmt=True)}
    client = SimpleNamespace(call=lambda *_, **__: SimpleNamespace(headers=headers))
    session: Any = SimpleNamespace(dataset=client)

    assert check_clock(session, "dataset").status == status
