from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from periscope_training import publication
from periscope_training.publication import (
    MAX_BACKOFF_S,
    MAX_TRIES,
    Build,
    Finalize,
    Offer,
    SetAliases,
    State,
    Step,
    Wait,
    next_step,
)

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
EPOCH = {"epoch": 3.0, "step": 180, "files": {"grid.onnx": {"key": "k"}}, "metrics": {"val": {}}}
ZIP = {"sha256": "ab", "size_bytes": 5}

QUEUED = publication.new_publication("01JOB", EPOCH, "buoys", ["latest", "latest", "prod"], NOW)
BUILT = publication.built(QUEUED, {"coverage": 1e-6}, ZIP, [], NOW)
UPLOADED = publication.uploaded(BUILT, "01UP", NOW)
REGISTERED = publication.registered(UPLOADED, 4, NOW)
SUCCEEDED = publication.succeeded(REGISTERED, NOW)
FAILED = publication.failed(BUILT, "no", NOW)


@pytest.mark.parametrize(
    ("body", "step"),
    [
        (QUEUED, Build()),
        (BUILT, Offer()),
        (UPLOADED, Finalize("01UP")),
        (publication.upload_lost(UPLOADED, NOW), Offer()),
        (publication.registered(BUILT, 4, NOW), SetAliases(4)),
        (REGISTERED, SetAliases(4)),
        (SUCCEEDED, Wait(None)),
        (FAILED, Wait(None)),
        (publication.postponed(QUEUED, "no answer", 10, NOW), Wait(10)),
        (publication.postponed(UPLOADED, "no answer", 10, NOW), Wait(10)),
    ],
)
def test_there_is_one_next_step(body: dict, step: Step) -> None:
    assert next_step(body, NOW) == step


def test_a_postponed_publication_goes_on_where_it_stood() -> None:
    postponed = publication.postponed(UPLOADED, "no answer", 10, NOW)

    assert next_step(postponed, NOW + timedelta(seconds=10)) == Finalize("01UP")


def test_waits_double_up_to_a_ceiling_and_end_in_failure() -> None:
    body, waits = QUEUED, []
    while not publication.is_final(body):
        body = publication.postponed(body, "no answer", 10, NOW)
        if not publication.is_final(body):
            waits.append((datetime.fromisoformat(body["retry_at"]) - NOW).total_seconds())

    assert waits == [min(10 * 2**n, MAX_BACKOFF_S) for n in range(MAX_TRIES)]
    assert body["state"] == State.FAILED
    assert "13 tries" in body["reason"]
    assert "no answer" in body["reason"]


def test_an_answer_clears_what_was_said_about_waiting() -> None:
    body = publication.registered(publication.postponed(UPLOADED, "no answer", 10, NOW), 4, NOW)

    assert (body["retry_at"], body["reason"]) == (None, "")


def test_the_history_has_each_state_once() -> None:
    assert [entry["state"] for entry in SUCCEEDED["history"]] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert [entry["state"] for entry in FAILED["history"]] == ["QUEUED", "RUNNING", "FAILED"]


def test_an_alias_is_set_once() -> None:
    assert QUEUED["aliases"] == ["latest", "prod"]


def test_a_change_leaves_the_document_it_was_made_from_alone() -> None:
    assert (QUEUED["state"], QUEUED["zip"], len(QUEUED["history"])) == ("QUEUED", None, 1)
