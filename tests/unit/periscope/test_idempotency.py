"""A POST that is sent twice acts once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI

from periscope.clock import utc_now
from periscope.store import StoreUnavailable
from periscope.tokens import Tokens
from tests.fakes import MemoryStore
from tests.unit.periscope.things import bearer


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


def test_the_same_key_of_another_caller_is_another_key(client: FlaskClient, tokens: Tokens) -> None:
    text, _ = tokens.issue("editor", "other")
    client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": "k"})

    answer = client.post("/v1/things", json={"name": "a"}, headers=bearer(text) | {"Idempotency-Key": "k"})

    assert answer.get_json() == {"made": 2}


def test_a_refused_request_may_come_again_with_its_key(client: FlaskClient) -> None:
    headers = bearer() | {"Idempotency-Key": "k"}
    client.post("/v1/things", json={"name": "unique"}, headers=bearer())
    assert client.post("/v1/things", json={"name": "unique"}, headers=headers).status_code == 409
    client.delete("/v1/things", headers=bearer())

    assert client.post("/v1/things", json={"name": "unique"}, headers=headers).status_code == 201


def test_a_wrong_body_may_be_put_right_with_the_same_key(client: FlaskClient) -> None:
    headers = bearer() | {"Idempotency-Key": "k"}
    assert client.post("/v1/things", json={"nmae": "a"}, headers=headers).status_code == 422

    assert client.post("/v1/things", json={"name": "a"}, headers=headers).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_empty_or_endless_key_is_refused(client: FlaskClient, key: str) -> None:
    headers = bearer() | {"Idempotency-Key": key}

    assert client.post("/v1/things", json={"name": "a"}, headers=headers).status_code == 400


def claim_without_answer(app: OpenAPI, store: MemoryStore) -> None:
    """A request whose process dies after the work: its claim stays, without an answer."""
    client = app.test_client()
    headers = bearer() | {"Idempotency-Key": "k"}
    real, store.put_if_match = store.put_if_match, _dies  # type: ignore[method-assign]
    client.post("/v1/things", json={"name": "a"}, headers=headers)
    store.put_if_match = real  # type: ignore[method-assign]


def _dies(*_: object, **__: object) -> str:
    raise StoreUnavailable("the store is gone")


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(
    client: FlaskClient, memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_store, "put_if_match", _dies)

    answer = client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": "k"})

    assert answer.status_code == 201


def test_a_request_in_flight_is_not_done_twice(
    app: OpenAPI, client: FlaskClient, memory_store: MemoryStore
) -> None:
    claim_without_answer(app, memory_store)

    answer = client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": "k"})

    assert answer.status_code == 409
    assert client.get("/v1/things", headers=bearer()).get_json()["made"] == ["a"]


def test_a_request_whose_process_died_may_come_again(
    app: OpenAPI, client: FlaskClient, memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_without_answer(app, memory_store)
    later = utc_now() + timedelta(seconds=61)
    monkeypatch.setattr("periscope.web.idempotency.utc_now", lambda: later)
    headers = bearer() | {"Idempotency-Key": "k"}

    first = client.post("/v1/things", json={"name": "a"}, headers=headers)
    second = client.post("/v1/things", json={"name": "a"}, headers=headers)

    assert first.status_code == second.status_code == 201
    assert first.get_json() == second.get_json()


def test_a_key_is_forgotten_after_a_day(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = bearer() | {"Idempotency-Key": "k"}
    client.post("/v1/things", json={"name": "a"}, headers=headers)
    tomorrow = utc_now() + timedelta(hours=25)
    monkeypatch.setattr("periscope.web.idempotency.utc_now", lambda: tomorrow)

    assert client.post("/v1/things", json={"name": "b"}, headers=headers).get_json() == {"made": 2}


def test_old_answers_are_swept_away(
    client: FlaskClient, memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("periscope.web.idempotency.SWEEP_EVERY_S", 0.0)
    for number in range(3):
        client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": f"k{number}"})
    assert len(memory_store.keys("documents/idempotency/")) == 3
    tomorrow = utc_now() + timedelta(hours=25)
    monkeypatch.setattr("periscope.web.idempotency.utc_now", lambda: tomorrow)
    monkeypatch.setattr("tests.fakes.utc_now", lambda: tomorrow)

    client.post("/v1/things", json={"name": "a"}, headers=bearer() | {"Idempotency-Key": "new"})

    assert len(memory_store.keys("documents/idempotency/")) == 1


def test_sweeping_waits_for_its_time_and_never_spoils_an_answer(
    client: FlaskClient, memory_store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(prefix: str) -> None:
        memory_store.calls["tried"] = memory_store.calls.get("tried", 0) + 1
        raise StoreUnavailable(prefix)

    monkeypatch.setattr(memory_store, "list", away)
    for number in range(3):
        headers = bearer() | {"Idempotency-Key": f"k{number}"}
        assert client.post("/v1/things", json={"name": "a"}, headers=headers).status_code == 201

    assert memory_store.calls["tried"] == 1
