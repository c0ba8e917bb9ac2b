"""The application every service starts from: errors, roles, ids, probes, pages, idempotency."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry
from pydantic import Field

from periscope import job_tokens
from periscope.documents import Documents
from periscope.store import StoreUnavailable
from periscope.tokens import Tokens
from periscope.web.app import create_service_app
from periscope.web.auth import public, requires, unprotected_routes
from periscope.web.gunicorn_conf import only_probes
from periscope.web.idempotency import idempotent, install_idempotency
from periscope.web.pages import page
from periscope.web.problems import BadRequest, NotFound, map_errors
from periscope.wire.base import RequestModel
from tests.fakes import MemoryStore

ADMIN = "the-admin-token"


class Thing(RequestModel):
    name: str
    size: int = Field(1, ge=1)


class OwnError(Exception):
    pass


class StoreState:
    away = False

    def require(self) -> None:
        if self.away:
            raise StoreUnavailable("gone")


@pytest.fixture
def tokens(memory_store: MemoryStore) -> Tokens:
    return Tokens(Documents(memory_store), ADMIN)


@pytest.fixture
def state() -> StoreState:
    return StoreState()


@pytest.fixture
def app(memory_store: MemoryStore, tokens: Tokens, state: StoreState) -> OpenAPI:
    app = create_service_app(
        "things",
        "1",
        authenticator=tokens.authenticate,
        store_ready=state.require,
        metrics_registry=CollectorRegistry(),
    )
    install_idempotency(app, Documents(memory_store))
    made: list[str] = []

    @app.post("/v1/things")
    @requires("editor")
    @idempotent
    def make(body: Thing) -> Response:
        made.append(body.name)
        return Response(
            f'{{"made": {len(made)}}}',
            201,
            {"Location": f"/v1/things/{len(made)}"},
            mimetype="application/json",
        )

    @app.get("/v1/things")
    @requires("viewer")
    def show() -> dict[str, Any]:
        return {"made": made}

    @app.get("/v1/own")
    @requires("device")
    def own() -> dict[str, Any]:
        return {}

    @app.get("/v1/broken")
    @public
    def broken() -> dict[str, Any]:
        raise ZeroDivisionError("a secret")

    @app.get("/v1/mapped")
    @public
    def mapped() -> dict[str, Any]:
        raise OwnError("there is none")

    @app.get("/v1/away")
    @public
    def away() -> dict[str, Any]:
        raise StoreUnavailable("internal address")

    map_errors(app, {OwnError: NotFound})
    return app


@pytest.fixture
def client(app: OpenAPI) -> FlaskClient:
    return app.test_client()


def bearer(text: str = ADMIN) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


CASES: dict[str, tuple[int, Callable[[FlaskClient], Any]]] = {
    "no such route": (404, lambda client: client.get("/v1/nothing")),
    "wrong method": (405, lambda client: client.delete("/v1/things", headers=bearer())),
    "too large": (413, lambda client: client.post("/v1/things", data=b"x" * (2 << 20), headers=bearer(), content_type="application/json")),
    "wrong type": (415, lambda client: client.post("/v1/things", data=b"name=x", headers=bearer(), content_type="text/plain")),
    "no JSON": (400, lambda client: client.post("/v1/things", data=b"{", headers=bearer(), content_type="application/json")),
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


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", {"GET"}),
        ("editor", {"GET", "POST"}),
        ("admin", {"GET", "POST", "OWN"}),
        ("device", {"OWN"}),
    ],
)
def test_each_role_may_do_what_it_should(
    client: FlaskClient, tokens: Tokens, role: Any, may: set[str]
) -> None:
    text, _ = tokens.issue(role, "somebody")
    answers = {
        "GET": client.get("/v1/things", headers=bearer(text)),
        "POST": client.post("/v1/things", json={"name": "a"}, headers=bearer(text)),
        "OWN": client.get("/v1/own", headers=bearer(text)),
    }

    assert {name for name, answer in answers.items() if answer.status_code < 300} == may
    assert {answer.status_code for name, answer in answers.items() if name not in may} <= {403}


def test_a_route_that_names_no_role_is_refused_and_found(app: OpenAPI) -> None:
    assert unprotected_routes(app) == []

    @app.get("/v1/forgotten")
    def forgotten() -> dict[str, Any]:
        return {}

    assert unprotected_routes(app) == ["/v1/forgotten"]
    assert app.test_client().get("/v1/forgotten", headers=bearer()).status_code == 403


def test_a_token_is_hashed_at_rest_and_can_be_revoked(memory_store: MemoryStore, tokens: Tokens) -> None:
    text, document = tokens.issue("viewer", "grafana")

    assert text.encode() not in memory_store.get(f"documents/tokens/{document.id}").body
    assert tokens.authenticate(text) is not None
    assert tokens.revoke(document.id)
    assert tokens.authenticate(text) is None
    assert not tokens.revoke(document.id)


def test_a_token_of_another_secret_is_nobody(tokens: Tokens) -> None:
    text, _ = tokens.issue("viewer", "one")

    assert tokens.authenticate(text[:-1] + ("a" if text[-1] != "a" else "b")) is None
    assert tokens.authenticate("psc_x_y") is None
    assert tokens.authenticate("") is None


def test_a_given_request_id_is_kept_and_a_wild_one_is_not(client: FlaskClient) -> None:
    kept = client.get("/livez", headers={"X-Request-Id": "abc-1"})
    made = client.get("/livez", headers={"X-Request-Id": "a b{}"})

    assert kept.headers["X-Request-Id"] == "abc-1"
    assert made.headers["X-Request-Id"] != "a b{}"


def test_readiness_follows_the_store_and_life_does_not(client: FlaskClient, state: StoreState) -> None:
    assert client.get("/readyz").status_code == 200
    state.away = True

    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").status_code == 200


def test_requests_are_counted_by_route(client: FlaskClient) -> None:
    client.get("/v1/things", headers=bearer())
    client.get("/v1/nothing/1")
    client.get("/v1/nothing/2")

    text = client.get("/metrics").get_data(as_text=True)

    assert (
        'periscope_http_requests_total{method="GET",route="/v1/things",service="things",status="200"} 1.0'
        in text
    )
    assert 'route="(none)",service="things",status="404"} 2.0' in text


def test_the_second_port_serves_probes_only(app: OpenAPI) -> None:
    from werkzeug.test import Client

    client = Client(only_probes(app.wsgi_app))

    assert client.get("/livez").status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/v1/things").status_code == 404


def test_the_service_describes_itself(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    docs = client.get("/docs/swagger")

    assert document["openapi"].startswith("3.1")
    assert "/v1/things" in document["paths"]
    assert docs.status_code == 200
    assert "https://" not in docs.get_data(as_text=True)


def test_a_repeated_request_acts_once(client: FlaskClient) -> None:
    headers = bearer() | {"Idempotency-Key": "k1"}
    first = client.post("/v1/things", json={"name": "a"}, headers=headers)
    second = client.post("/v1/things", json={"name": "a"}, headers=headers)
    third = client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": "k2"})

    assert first.get_json() == second.get_json() == {"made": 1}
    assert second.status_code == 201
    assert second.headers["Location"] == "/v1/things/1"
    assert third.get_json() == {"made": 2}


def test_a_key_with_another_body_is_refused(client: FlaskClient) -> None:
    headers = bearer() | {"Idempotency-Key": "k1"}
    client.post("/v1/things", json={"name": "a"}, headers=headers)

    assert client.post("/v1/things", json={"name": "b"}, headers=headers).status_code == 422


def test_pages_go_on_where_they_stopped() -> None:
    items = [f"{number:02d}" for number in range(7)]
    first, token = page(items, 3, None, str)
    second, token_2 = page(["00a", *items], 3, token, str)
    third, end = page(items, 3, token_2, str)

    assert (first, second, third) == (items[:3], items[3:6], items[6:])
    assert end is None
    with pytest.raises(BadRequest):
        page(items, 3, "\xff", str)


def test_a_job_token_is_good_for_its_attempt_until_it_expires() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    text = job_tokens.issue("secret", "J", 2, now + timedelta(hours=1))

    assert job_tokens.verify("secret", text, "J", 2, now)
    assert not job_tokens.verify("secret", text, "J", 3, now)
    assert not job_tokens.verify("secret", text, "K", 2, now)
    assert not job_tokens.verify("other", text, "J", 2, now)
    assert not job_tokens.verify("secret", text, "J", 2, now + timedelta(hours=2))
    assert not job_tokens.verify("secret", text.replace("_2_", "_3_"), "J", 3, now)
    assert not job_tokens.verify("secret", "", "J", 2, now)
