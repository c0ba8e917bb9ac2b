from __future__ import annotations

import pytest

from tests.unit.periscope_registry.service import Service


def test_a_token_is_shown_once_and_opens_what_its_role_may(service: Service) -> None:
    made = service.post("/v1/tokens", {"role": "viewer", "name": "laptop"}, role="admin")
    bearer = {"Authorization": f"Bearer {made.json['token']}"}

    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert service.client.get("/v1/models", headers=bearer).status_code == 200
    assert service.client.get("/v1/tokens", headers=bearer).status_code == 403
    listed = service.get("/v1/tokens", role="admin").json["items"]
    assert [(item["id"], item["name"]) for item in listed] == [(made.json["id"], "laptop")]
    assert made.json["token"] not in str(listed)


def test_the_text_of_a_token_is_nowhere_in_the_store(service: Service) -> None:
    made = service.post(
        "/v1/tokens",
        {"role": "viewer", "name": "laptop"},
        role="admin",
        headers={"Idempotency-Key": "twice"},
    )

    bodies = b"".join(service.store.get(key).body for key in service.store.keys())  # noqa: SIM118 - a method
    assert made.json["token"].encode() not in bodies


def test_a_revoked_token_opens_nothing(service: Service) -> None:
    made = service.post("/v1/tokens", {"role": "editor", "name": "laptop"}, role="admin").json
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert service.client.get("/v1/models", headers=bearer).status_code == 200
    revoked = service.call("DELETE", f"/v1/tokens/{made['id']}", role="admin")

    assert revoked.status_code == 204
    assert service.client.get("/v1/models", headers=bearer).status_code == 401
    assert service.call("DELETE", f"/v1/tokens/{made['id']}", role="admin").status_code == 404


@pytest.mark.parametrize(
    "wish",
    [
        {"role": "device", "name": "robot"},
        {"role": "viewer", "name": "laptop", "device_id": "sub-1"},
        {"role": "king", "name": "x"},
        {"role": "viewer", "name": ""},
    ],
)
def test_a_token_that_makes_no_sense_is_refused(service: Service, wish: dict[str, str]) -> None:
    assert service.post("/v1/tokens", wish, role="admin").status_code == 422


def test_only_an_admin_makes_tokens(service: Service) -> None:
    assert service.post("/v1/tokens", {"role": "admin", "name": "x"}, role="editor").status_code == 403
