"""Two live processes of one attempt: a pod was deleted by force, and its process lives on. One of them wins."""

from __future__ import annotations

from typing import Any

import pytest

from detectnet_trainer import job_commit
from detectnet_trainer.job_commit import Commits, Superseded
from periscope.documents import Documents
from periscope_training.job_document import new_checkpoint
from tests.fakes import MemoryStore

JOB_ID = "01KAV3CJ5Y8Q2M4N6P7R8S9T0V"


class Plan:
    max_step = 9

    def epoch_of(self, step: int) -> float:
        return step / 3


class PretendSession:
    """A training that stands at a step; its checkpoint is what the test says."""

    def __init__(self, step: int, content: bytes) -> None:
        self.content = content
        self.training: dict[str, Any] = {}
        self.trainer = self
        self.step = step
        self.plan = Plan()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    monkeypatch.setattr(job_commit, "dump_checkpoint", lambda trainer, _training: trainer.content)
    store = MemoryStore()
    Documents(store).create("checkpoints", new_checkpoint(JOB_ID), JOB_ID)
    return store


def claimed(store: MemoryStore, attempt: int = 1) -> Commits:
    commits = Commits(store, JOB_ID, attempt, patience_s=0)
    commits.claim()
    return commits


def save(commits: Commits, step: int, content: bytes) -> None:
    commits.save_position(PretendSession(step, content))  # type: ignore[arg-type]


def test_the_process_that_came_last_wins_and_the_other_ends(store: MemoryStore) -> None:
    old, new = claimed(store), claimed(store)
    save(new, 3, b"of the new one")

    with pytest.raises(Superseded, match="another process"):
        save(old, 6, b"of the old one")
    assert new.fetch_latest() == b"of the new one"


def test_what_the_old_process_writes_late_mixes_into_nothing(store: MemoryStore) -> None:
    old, new = claimed(store), claimed(store)
    save(new, 3, b"of the new one")
    with pytest.raises(Superseded):
        save(old, 3, b"of the old one, at the same step")

    # The hash is checked when it is read: another file's bytes would be an error.
    assert new.fetch_latest() == b"of the new one"


def test_a_newer_attempt_still_wins_over_both(store: MemoryStore) -> None:
    first, second = claimed(store), claimed(store, attempt=2)

    with pytest.raises(Superseded, match="attempt 2"):
        save(first, 3, b"x")
    with pytest.raises(Superseded, match="attempt 2"):
        first.claim()
    save(second, 3, b"y")


def test_a_document_of_before_claims_can_be_taken(store: MemoryStore) -> None:
    Documents(store).update("checkpoints", JOB_ID, lambda body: {**body, "attempt": 1})

    save(claimed(store), 3, b"x")
