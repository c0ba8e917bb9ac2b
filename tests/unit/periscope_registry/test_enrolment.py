from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from periscope_registry import enrolment
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

DEVICE = "/v1/devices/sub-1"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    service.publish("buoys", model_zip(0))
    service.put("/v1/models/buoys/aliases/latest", {"version": 1})
    service.put(DEVICE, {"model": "buoys"})
    service.put("/v1/devices/sub-2", {"model": "buoys"})
    return service


def code_for(service: Service, device: str = DEVICE) -> str:
    made = service.post(f"{device}:code", {})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    return str(made.json["code"])


def enrol(service: Service, code: str, device: str = DEVICE) -> TestResponse:
    return service.app.test_client().post(f"{device}:enrol", json={"code": code})


def test_a_code_gives_a_token_that_is_the_devices_own(service: Service) -> None:
    answer = enrol(service, code_for(service))
    bearer = {"Authorization": f"Bearer {answer.json['token']}"}

    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert service.client.get(f"{DEVICE}/desired", headers=bearer).status_code == 200
    assert service.client.get("/v1/devices/sub-2/desired", headers=bearer).status_code == 403


def test_a_code_holds_once_even_if_many_send_it_at_once(service: Service) -> None:
    code = code_for(service)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: enrol(service, code).status_code, range(8)))

    assert sorted(answers) == [201] + [403] * 7


def test_a_code_holds_for_its_device_only(service: Service) -> None:
    code = code_for(service)

    assert enrol(service, code, "/v1/devices/sub-2").status_code == 403
    assert enrol(service, code, "/v1/devices/none").status_code == 403
    assert enrol(service, "wrong").status_code == 403
    assert enrol(service, code).status_code == 201


def test_a_new_code_ends_the_one_before(service: Service) -> None:
    old, new = code_for(service), code_for(service)

    assert (enrol(service, old).status_code, enrol(service, new).status_code) == (403, 201)


def test_a_code_ends_after_a_day(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "VALID", timedelta(seconds=-1))

    assert enrol(service, code_for(service)).status_code == 403


def test_neither_code_nor_token_lies_in_the_store(service: Service) -> None:
    code = code_for(service)
    token = enrol(service, code).json["token"]
    bodies = b"".join(service.store.get(key).body for key in service.store.keys())  # noqa: SIM118 - a method

    assert code.encode() not in bodies
    assert token.encode() not in bodies


def test_only_editors_make_codes(service: Service) -> None:
    assert service.post(f"{DEVICE}:code", {}, role="viewer").status_code == 403
    assert service.post("/v1/devices/none:code", {}).status_code == 404
