"""Roles and tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI

from periscope import job_tokens
from periscope.documents import Documents
from periscope.store import StoreUnavailable
from periscope.tokens import Principal, Tokens
from periscope.web.auth import unprotected_routes
from tests.fakes import MemoryStore
from tests.unit.periscope.things import ADMIN, bearer


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


def test_a_route_of_two_roles_takes_both(client: FlaskClient, tokens: Tokens) -> None:
    for role in ("viewer", "editor", "device"):
        text, _ = tokens.issue(role, "somebody")
        assert client.get("/v1/things/7", headers=bearer(text)).status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", ADMIN, "Bearer \xe9"])
def test_a_header_without_a_known_token_is_refused(client: FlaskClient, header: str) -> None:
    answer = client.get("/v1/things", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_refused_body_of_a_stranger_is_not_even_looked_at(client: FlaskClient) -> None:
    answer = client.post("/v1/things", data=b"{", content_type="application/json")

    assert answer.status_code == 401


def test_a_device_token_names_its_device(tokens: Tokens) -> None:
    text, _ = tokens.issue("device", "nemo's key", "nemo")

    assert tokens.authenticate(text) == Principal("device", "nemo's key", "nemo")


def test_a_token_is_read_once_in_ten_seconds(memory_store: MemoryStore) -> None:
    now = [0.0]
    tokens = Tokens(Documents(memory_store), None, lambda: now[0])
    text, document = tokens.issue("viewer", "grafana")
    for _ in range(5):
        tokens.authenticate(text)
    assert memory_store.calls["get"] == 1
    Documents(memory_store).delete("tokens", document.id)
    assert tokens.authenticate(text) is not None
    now[0] = 10.0

    assert tokens.authenticate(text) is None


def test_without_an_admin_token_nobody_is_admin_by_default(memory_store: MemoryStore) -> None:
    for admin_token in (None, ""):
        assert Tokens(Documents(memory_store), admin_token).authenticate("") is None


def test_a_store_that_is_away_is_no_refusal(
    app: OpenAPI, memory_store: MemoryStore, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = tokens.issue("viewer", "grafana")

    def away(key: str) -> None:
        raise StoreUnavailable(key)

    monkeypatch.setattr(memory_store, "get", away)

    assert app.test_client().get("/v1/things", headers=bearer(text)).status_code == 503


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
    assert not job_tokens.verify("secret", "psj_\xe9", "J", 2, now)
