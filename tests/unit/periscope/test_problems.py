"""Every failure is a problem document that says what to do and gives nothing away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.periscope.things import bearer

CASES: dict[str, tuple[int, Callable[[FlaskClient], Any]]] = {
    "no such route": (404, lambda client: client.get("/v1/nothing")),
    "wrong method": (405, lambda client: client.patch("/v1/things", headers=bearer())),
    "too large": (413, lambda client: client.post("/v1/things", data=b"x" * (2 << 20), headers=bearer(), content_type="application/json")),
    "wrong type": (415, lambda client: client.post("/v1/things", data=b"name=x", headers=bearer(), content_type="text/plain")),
    "broken JSON": (400, lambda client: client.post("/v1/things", data=b"{", headers=bearer(), content_type="application/json")),
    "endless JSON": (400, lambda client: client.post("/v1/things", data=b"[" * 100_000, headers=bearer(), content_type="application/json")),
    "no number": (400, lambda client: client.post("/v1/things", data=b'{"name": "a", "size": NaN}', headers=bearer(), content_type="application/json")),
    "too large a number": (400, lambda client: client.post("/v1/things", data=b'{"name": "a", "size": 1e999}', headers=bearer(), content_type="application/json")),
    "no Unicode": (400, lambda client: client.post("/v1/things", data=b'{"name": "\xff"}', headers=bearer(), content_type="application/json")),
    "half a character": (422, lambda client: client.post("/v1/things", data=b'{"name": "\\ud800"}', headers=bearer(), content_type="application/json")),
    "a list": (422, lambda client: client.post("/v1/things", json=[], headers=bearer())),
    "wrong picture": (415, lambda client: client.put("/v1/picture", data=b"x", headers=bearer(), content_type="image/gif")),
    "unknown field": (422, lambda client: client.post("/v1/things", json={"name": "a", "nmae": 1}, headers=bearer())),
    "bad value": (422, lambda client: client.post("/v1/things", json={"name": "a", "size": 0}, headers=bearer())),
    "no body": (422, lambda client: client.post("/v1/things", headers=bearer())),
    "no token": (401, lambda client: client.get("/v1/things")),
    "bad token": (401, lambda client: client.get("/v1/things", headers=bearer("nonsense"))),
    "a crash": (500, lambda client: client.get("/v1/broken")),
    "an own error": (404, lambda client: client.get("/v1/mapped")),
    "no store": (503, lambda client: client.get("/v1/away")),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_every_error_is_a_problem_document(client: FlaskClient, what: str) -> None:
    status, call = CASES[what]

    answer = call(client)

    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    document = answer.get_json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == answer.headers["X-Request-Id"]


def test_a_crash_tells_nothing_of_itself(client: FlaskClient) -> None:
    assert "secret" not in client.get("/v1/broken").get_data(as_text=True)
    assert "internal" not in client.get("/v1/away").get_data(as_text=True)


def test_a_wrong_field_is_pointed_at(client: FlaskClient) -> None:
    answer = client.post("/v1/things", json={"size": 0, "nmae": "a"}, headers=bearer())

    pointers = {error["pointer"] for error in answer.get_json()["errors"]}
    assert pointers == {"/name", "/size", "/nmae"}


def test_what_must_wait_says_how_long(client: FlaskClient) -> None:
    assert int(client.get("/v1/away").headers["Retry-After"]) > 0


def test_a_field_with_a_slash_is_pointed_at_by_the_rules(client: FlaskClient) -> None:
    answer = client.post("/v1/things", json={"name": "a", "x/y~z": 1}, headers=bearer())

    assert answer.get_json()["errors"][0]["pointer"] == "/x~1y~0z"


def test_a_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.patch("/v1/things", headers=bearer())

    assert {"GET", "POST", "DELETE"} <= {method.strip() for method in answer.headers["Allow"].split(",")}


def test_a_route_may_take_other_bodies_than_json(client: FlaskClient) -> None:
    answer = client.put("/v1/picture", data=b"png", headers=bearer(), content_type="image/png")

    assert answer.get_json() == {"size_bytes": 3}


@pytest.mark.parametrize(
    ("method", "path", "media_type", "status"),
    [("POST", "/v1/things", "text/plain", 415), ("PUT", "/v1/picture", "image/png", 411)],
)
def test_a_body_of_unknown_length_is_checked_too(
    client: FlaskClient, method: str, path: str, media_type: str, status: int
) -> None:
    headers = {**bearer(), "Transfer-Encoding": "chunked", "Content-Type": media_type}

    assert client.open(path, method=method, headers=headers).status_code == status
