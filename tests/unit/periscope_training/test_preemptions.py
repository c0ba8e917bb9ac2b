"""What the loop does with a run that waits for a place, is taken away, is refused or runs out of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from periscope_training import job_document
from periscope_training.launcher import Launch, Observation, Phase, RunRefused
from periscope_training.lifecycle import (
    CANCEL,
    MAX_RETRIES,
    Action,
    Attempt,
    Job,
    MarkPending,
    MarkRunning,
    Nothing,
    RecordPreemptions,
    Seen,
    State,
    StopRun,
    judge_end,
    next_action,
)
from tests.unit.periscope_training.fake_launcher import FakeLauncher
from tests.unit.periscope_training.house import START, House

HANDLE = {"job": "train-1"}
STARTING = Job(State.STARTING, attempts=(Attempt(1, HANDLE),))
PENDING = replace(STARTING, state=State.PENDING, reason="no GPU is free")
RUNNING = replace(STARTING, state=State.RUNNING)
WAITS = Observation(Phase.WAITING, message="no GPU is free")
RUNS = Observation(Phase.RUNNING)


def taken_away(job: Job, times: int) -> Job:
    return replace(job, attempts=(replace(job.attempts[0], preemptions=times),))


@pytest.mark.parametrize(
    ("job", "run", "action"),
    [
        (STARTING, WAITS, MarkPending(1, "no GPU is free")),
        (RUNNING, WAITS, MarkPending(1, "no GPU is free")),
        (PENDING, WAITS, Nothing()),
        (PENDING, replace(WAITS, message="another"), MarkPending(1, "another")),
        (PENDING, RUNS, MarkRunning(1)),
        (replace(PENDING, stop=CANCEL), WAITS, StopRun(1)),
        (RUNNING, replace(RUNS, preemptions=2), RecordPreemptions(1, 2)),
        (taken_away(RUNNING, 2), replace(RUNS, preemptions=2), Nothing()),
        (taken_away(RUNNING, 3), replace(RUNS, preemptions=3), Nothing()),
        (taken_away(RUNNING, 4), replace(RUNS, preemptions=4), StopRun(1)),
    ],
)
def test_there_is_one_thing_to_do(job: Job, run: Observation, action: Action) -> None:
    assert next_action(job, Seen(START, run, max_interruptions=3)) == action


def test_a_job_that_is_taken_away_too_often_fails_and_says_so() -> None:
    ended = Observation(Phase.ENDED, 143, preemptions=4)
    verdict = judge_end(taken_away(RUNNING, 4), Seen(START, ended, max_interruptions=3), None, 10)

    assert verdict.state is State.FAILED
    assert "was interrupted 5 times" in verdict.reason


def test_preemptions_do_not_use_up_the_retries() -> None:
    failed = tuple(Attempt(n, HANDLE, ended=True, counted=True, preemptions=3) for n in range(1, MAX_RETRIES))
    job = replace(RUNNING, attempts=(*failed, Attempt(9, HANDLE)))
    seen = Seen(START, Observation(Phase.ENDED, 1), max_interruptions=20)

    assert judge_end(job, seen, None, 10).state is State.QUEUED


def test_out_of_memory_is_final_and_the_advice_is_the_reason() -> None:
    ended = Observation(Phase.ENDED, 137, out_of_memory=True, message="out of memory: a smaller batch_size")
    verdict = judge_end(RUNNING, Seen(START, ended), None, 10)

    assert (verdict.state, verdict.reason) == (State.FAILED, "out of memory: a smaller batch_size")


@pytest.mark.parametrize("exit_code", [69, 77])
def test_what_a_machine_lacks_is_final(exit_code: int) -> None:
    assert (
        judge_end(RUNNING, Seen(START, Observation(Phase.ENDED, exit_code)), None, 10).state is State.FAILED
    )


def test_the_history_tells_that_a_job_waited_once_however_the_words_change() -> None:
    house = House()
    job_id = house.add_job()
    house.reconciler.reconcile_all()
    (fake,) = house.world.runs.values()
    for words in ("2 of 3 nodes are full", "3 of 3 nodes are full"):
        fake.seen = Observation(Phase.WAITING, started=False, message=words)
        house.loop()
    job = house.job(job_id)
    assert (job["state"], job["reason"]) == ("PENDING", "3 of 3 nodes are full")

    fake.seen = Observation(Phase.RUNNING, preemptions=1)
    house.loop()
    job = house.job(job_id)

    assert [entry["state"] for entry in job["history"]].count("PENDING") == 1
    assert (job["state"], job["attempts"][0]["preemptions"]) == ("RUNNING", 1)


class RefusingLauncher(FakeLauncher):
    def create(self, launch: Launch) -> Any:
        raise RunRefused("Kubernetes refuses it: no such field")


def test_a_run_that_is_refused_again_and_again_fails_the_job_with_the_reason() -> None:
    house = House()
    job_id = house.add_job()
    house.reconciler._launcher = RefusingLauncher(house.world)
    for _ in range(10):
        house.loop()
        house.clock.advance(1000)
    job = house.job(job_id)

    assert (job["state"], len(job["attempts"])) == ("FAILED", MAX_RETRIES + 1)
    assert "no such field" in job["reason"]


def test_a_document_of_before_preemptions_were_counted_is_read() -> None:
    house = House()
    body = house.job(house.add_job())
    body = job_document.open_attempt(body, 1, START)
    del body["attempts"][0]["preemptions"]

    assert job_document.job_of(body).attempts == (Attempt(1),)
    assert job_document.record_preemptions(body, 1, 2, START)["attempts"][0]["preemptions"] == 2
