from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

DEVICE = "/v1/devices/sub-1"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path, poll_interval_s=17)
    for seed in range(3):
        service.publish("buoys", model_zip(seed))
    service.put("/v1/models/buoys/aliases/latest", {"version": 2})
    return service


def ask(service: Service, device: str = "sub-1", **options: Any) -> TestResponse:
    return service.get(f"/v1/devices/{device}/desired", role="device", device_id="sub-1", **options)


def report(number: int, state: str = "active") -> dict[str, Any]:
    return {"id": f"report-{number:04d}", "sequence": number, "at": "1970-01-01T00:00:09Z", "state": state}


def test_a_device_follows_an_alias(service: Service) -> None:
    assert service.put(DEVICE, {"model": "buoys", "alias": "latest"}).status_code == 201
    first = ask(service).json
    service.put("/v1/models/buoys/aliases/latest", {"version": 3})

    assert (first["device"], first["model"], first["version"]) == ("sub-1", "buoys", 2)
    assert first["poll_interval_s"] == 17
    assert ask(service).json["version"] == 3


def test_a_device_is_told_zip_and_members(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys", "version": 1})
    desired = ask(service).json
    version = service.get("/v1/models/buoys/versions/1").json

    assert desired["zip"] == version["zip"]
    assert desired["members"] == version["members"]


def test_an_unchanged_wish_is_not_sent_again(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})
    etag = ask(service).headers["ETag"]
    unchanged = ask(service, headers={"If-None-Match": etag})
    service.put("/v1/models/buoys/aliases/latest", {"version": 3})

    assert (unchanged.status_code, unchanged.data) == (304, b"")
    assert ask(service, headers={"If-None-Match": etag}).status_code == 200


def test_what_the_wish_is_made_of_does_not_change_its_etag(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys", "alias": "latest"})
    etag = ask(service).headers["ETag"]
    service.put(DEVICE, {"model": "buoys", "version": 2})

    assert ask(service, headers={"If-None-Match": etag}).status_code == 304


def test_a_device_asks_for_itself_only(service: Service) -> None:
    service.put("/v1/devices/sub-2", {"model": "buoys"})

    assert ask(service, "sub-2").status_code == 403
    assert (
        service.post(
            "/v1/devices/sub-2/reports", {"reports": []}, role="device", device_id="sub-1"
        ).status_code
        == 403
    )


def test_people_may_look_at_what_a_device_should_have(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})

    assert service.get(f"{DEVICE}/desired", role="viewer").json["version"] == 2
    assert service.get(DEVICE).json["last_contact_at"] is None


def test_a_device_that_is_not_registered_is_told_so(service: Service) -> None:
    answer = ask(service)

    assert answer.status_code == 404
    assert "PUT /v1/devices/sub-1" in answer.json["detail"]


def test_an_alias_that_is_not_there_yet_is_told_and_may_come_later(service: Service) -> None:
    assert service.put(DEVICE, {"model": "buoys", "alias": "stable"}).status_code == 201
    assert ask(service).status_code == 404
    service.put("/v1/models/buoys/aliases/stable", {"version": 1})

    assert ask(service).json["version"] == 1


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"model": "none"}, "/model"),
        ({"model": "buoys", "version": 9}, "/version"),
        ({"model": "buoys", "version": 1, "alias": "latest"}, ""),
        ({}, "/model"),
        ({"model": "buoys", "channel": "x"}, "/channel"),
    ],
)
def test_a_wish_that_does_not_fit_is_refused(service: Service, wish: dict[str, Any], pointer: str) -> None:
    answer = service.put(DEVICE, wish)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer
    assert service.get("/v1/devices").json["items"] == []


def test_a_wish_can_be_changed_by_compare_and_set(service: Service) -> None:
    etag = service.put(DEVICE, {"model": "buoys"}).headers["ETag"]
    moved = service.put(DEVICE, {"model": "buoys", "version": 1}, headers={"If-Match": etag})
    late = service.put(DEVICE, {"model": "buoys", "version": 3}, headers={"If-Match": etag})

    assert (moved.status_code, late.status_code) == (200, 412)
    assert service.get(DEVICE).json["version"] == 1


def test_contact_is_seen(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})
    ask(service)

    assert service.get(DEVICE).json["last_contact_at"] is not None


def test_asking_often_writes_seldom(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})
    ask(service)
    before = dict(service.store.calls)
    for _ in range(20):
        ask(service)

    for call in ("put", "put_if_absent", "put_if_match"):
        assert service.store.calls.get(call) == before.get(call)


def test_reports_are_kept_once_each_in_the_order_they_came(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})
    own: dict[str, Any] = {"role": "device", "device_id": "sub-1"}
    first = service.post(f"{DEVICE}/reports", {"reports": [report(1), report(2, "failed")]}, **own)
    again = service.post(f"{DEVICE}/reports", {"reports": [report(2, "failed"), report(3)]}, **own)

    assert (first.json, again.json) == ({"accepted": 2}, {"accepted": 1})
    page = service.get(f"{DEVICE}/reports?page_size=2").json
    rest = service.get(f"{DEVICE}/reports?page_size=2&page_token={page['next_page_token']}").json
    assert [item["sequence"] for item in page["items"] + rest["items"]] == [1, 2, 3]
    assert service.get(DEVICE).json["last_report"]["sequence"] == 3
    assert service.get("/v1/devices").json["items"][0]["last_report"]["sequence"] == 3


def test_a_report_of_nonsense_is_refused(service: Service) -> None:
    service.put(DEVICE, {"model": "buoys"})
    own: dict[str, Any] = {"role": "device", "device_id": "sub-1"}
    for wrong in (
        {"state": "A b"},
        {"id": "x"},
        {"zip_sha256": "zz"},
        {"unknown": 1},
        {"detail": "x" * 2000},
    ):
        answer = service.post(f"{DEVICE}/reports", {"reports": [{**report(1), **wrong}]}, **own)
        assert answer.status_code == 422
    many = {"reports": [report(number) for number in range(1, 60)]}

    assert service.post(f"{DEVICE}/reports", many, **own).status_code == 422


def test_devices_are_listed_page_by_page(service: Service) -> None:
    for number in range(3):
        service.put(f"/v1/devices/d{number}", {"model": "buoys"})
    first = service.get("/v1/devices?page_size=2").json
    second = service.get(f"/v1/devices?page_size=2&page_token={first['next_page_token']}").json

    assert [item["device"] for item in first["items"] + second["items"]] == ["d0", "d1", "d2"]
