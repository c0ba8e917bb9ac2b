"""JSON documents over a store that may lose answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from periscope.documents import Conflict, DocumentMissing, Documents
from periscope.store import StoreUnavailable
from tests.fakes import MemoryStore
from tests.unit.periscope.troubled_stores import LosesAnswers, LosesRequests, RefusesOnce


def test_a_document_is_made_read_and_changed(documents: Documents) -> None:
    made = documents.create("jobs", {"state": "QUEUED"})

    changed = documents.update("jobs", made.id, lambda body: body | {"state": "RUNNING"})

    assert documents.get("jobs", made.id).body["state"] == "RUNNING"
    assert changed.body["write_id"] != made.body["write_id"]


def test_a_taken_id_is_a_conflict(documents: Documents) -> None:
    made = documents.create("jobs", {"n": 1})

    with pytest.raises(Conflict):
        documents.create("jobs", {"n": 2}, made.id)
    assert documents.get("jobs", made.id).body["n"] == 1


def test_a_document_that_is_not_there_is_missing(documents: Documents) -> None:
    with pytest.raises(DocumentMissing):
        documents.update("jobs", "01ARZ3NDEKTSV4RRFFQ69G5FAV", lambda body: body)


def test_a_change_may_be_abandoned(documents: Documents) -> None:
    made = documents.create("jobs", {"n": 1})

    def refuse(body: dict[str, Any]) -> dict[str, Any]:
        body["n"] = 2
        raise LookupError

    with pytest.raises(LookupError):
        documents.update("jobs", made.id, refuse)
    assert documents.get("jobs", made.id).body == made.body


def test_no_change_of_many_writers_is_lost(documents: Documents) -> None:
    made = documents.create("counters", {"n": 0})

    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda _: documents.update("counters", made.id, lambda body: body | {"n": body["n"] + 1}),
                range(20),
            )
        )

    assert documents.get("counters", made.id).body["n"] == 20


def test_a_stale_document_cannot_replace_a_newer_one(documents: Documents) -> None:
    stale = documents.create("jobs", {"n": 1})
    documents.update("jobs", stale.id, lambda body: body | {"n": 2})

    with pytest.raises(Conflict):
        documents.replace(stale, {"n": 3})


def test_a_write_whose_answer_is_lost_is_found_again() -> None:
    store = LosesAnswers()
    documents = Documents(store)
    store.lose_next = True
    made = documents.create("jobs", {"n": 1})
    store.lose_next = True
    changed = documents.replace(made, {"n": 2})

    assert documents.get("jobs", made.id).body["n"] == 2
    assert documents.replace(changed, {"n": 3}).body["n"] == 3


def test_a_claim_whose_request_is_lost_stays_in_doubt() -> None:
    store = LosesRequests()
    store.lose_next = True

    with pytest.raises(StoreUnavailable):
        Documents(store).create("jobs", {"n": 1})
    assert store.keys() == []


def test_a_change_whose_request_is_lost_stays_in_doubt() -> None:
    store = LosesRequests()
    documents = Documents(store)
    made = documents.create("jobs", {"n": 1})
    store.lose_next = True

    with pytest.raises(StoreUnavailable):
        documents.replace(made, {"n": 2})
    assert documents.get("jobs", made.id).body["n"] == 1


def test_a_lost_answer_does_not_make_a_counter_count_twice() -> None:
    store = LosesAnswers()
    documents = Documents(store)
    made = documents.create("counters", {"n": 0})
    store.lose_next = True

    documents.update("counters", made.id, lambda body: body | {"n": body["n"] + 1})

    assert documents.get("counters", made.id).body["n"] == 1


def test_a_lost_answer_to_a_claim_that_another_won_is_a_conflict() -> None:
    store = LosesRequests()
    documents = Documents(store)
    made = documents.create("jobs", {"n": 1})
    store.lose_next = True

    with pytest.raises(Conflict):
        documents.create("jobs", {"n": 2}, made.id)


def test_a_refused_claim_on_a_free_key_is_made_again() -> None:
    store = RefusesOnce()

    made = Documents(store).create("jobs", {"n": 1})

    assert Documents(store).get("jobs", made.id).body["n"] == 1


def test_a_document_that_was_removed_cannot_be_replaced(documents: Documents) -> None:
    made = documents.create("jobs", {"n": 1})
    documents.delete("jobs", made.id)

    with pytest.raises(Conflict):
        documents.replace(made, {"n": 2})


def test_a_document_that_keeps_changing_is_given_up(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("periscope.documents.BACKOFF_S", 0)
    made = documents.create("jobs", {"n": 0})

    def another_was_first(body: dict[str, Any]) -> dict[str, Any]:
        documents.replace(documents.get("jobs", made.id), body | {"n": body["n"] + 1})
        return body

    with pytest.raises(Conflict, match="kept changing"):
        documents.update("jobs", made.id, another_was_first)


def test_a_body_without_json_form_is_never_written(documents: Documents, memory_store: MemoryStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        documents.create("jobs", {"loss": float("nan")})
    assert memory_store.keys() == []


@pytest.mark.slow
def test_an_unchanged_list_of_10_000_costs_one_listing_and_no_reads(
    documents: Documents, memory_store: MemoryStore
) -> None:
    for number in range(10_000):
        documents.create("jobs", {"n": number})
    documents.list("jobs")
    memory_store.calls.clear()

    found = documents.list("jobs")

    assert [document.body["n"] for document in found] == list(range(10_000))
    assert memory_store.calls.get("get", 0) == 0
    assert memory_store.calls["list"] == 1


def test_a_list_reads_only_what_changed(documents: Documents, memory_store: MemoryStore) -> None:
    made = [documents.create("jobs", {"n": number}) for number in range(10)]
    documents.list("jobs")
    documents.update("jobs", made[3].id, lambda body: body | {"n": 33})
    documents.delete("jobs", made[4].id)
    memory_store.calls.clear()

    found = documents.list("jobs")

    assert [document.body["n"] for document in found] == [0, 1, 2, 33, 5, 6, 7, 8, 9]
    assert memory_store.calls["get"] == 1


def test_documents_that_fit_are_found_oldest_first_and_can_be_changed_without_harm(
    documents: Documents,
) -> None:
    for number in range(20):
        documents.create("jobs", {"n": number})

    found = documents.matching("jobs", lambda body: body["n"] % 7 == 3)
    assert [document.body["n"] for document in found] == [3, 10, 17]

    found[0].body["n"] = 10
    assert len(documents.matching("jobs", lambda body: body["n"] == 10)) == 1


def test_what_a_list_returns_can_be_changed_without_harm(documents: Documents) -> None:
    documents.create("jobs", {"list": [1]})
    documents.list("jobs")[0].body["list"].append(2)

    assert documents.list("jobs")[0].body["list"] == [1]


def test_a_name_belongs_to_who_claims_it_first(documents: Documents) -> None:
    assert documents.claim_name("datasets", "dive", "A") == "A"
    assert documents.claim_name("datasets", "dive", "B") == "A"
    assert documents.claim_name("models", "dive", "B") == "B"
    assert documents.id_of_name("datasets", "dive") == "A"
    assert documents.id_of_name("datasets", "other") is None
