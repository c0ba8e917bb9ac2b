from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from periscope_training.error_report import ErrorReport
from periscope_training.launcher import Observation, Phase
from periscope_training.lifecycle import (
    CANCEL,
    FINAL_STATES,
    MAX_BACKOFF_S,
    MAX_INTERRUPTIONS,
    MAX_RETRIES,
    Action,
    Attempt,
    CloseAttempt,
    CreateRun,
    Finish,
    Job,
    MarkRunning,
    Nothing,
    OpenAttempt,
    ReleaseRun,
    Seen,
    State,
    StopRun,
    judge_end,
    next_action,
)

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=1)
HANDLE = {"pid": 7}
OPEN = (Attempt(1, HANDLE),)
BARE = (Attempt(1),)
FAILED_ONCE = (Attempt(1, HANDLE, ended=True, counted=True),)

QUEUED = Job(State.QUEUED)
WAITS = Job(State.QUEUED, attempts=FAILED_ONCE, retry_at=SOON)
STARTING = Job(State.STARTING, attempts=OPEN)
RUNNING = Job(State.RUNNING, attempts=OPEN)
CREATED = Observation(Phase.CREATED, started=False)
RUNS = Observation(Phase.RUNNING)


def unwanted(job: Job) -> Job:
    return replace(job, stop=CANCEL)


def seen(run: Observation | None = None, **other: object) -> Seen:
    return Seen(now=NOW, run=run, **other)  # type: ignore[arg-type]


def ended(exit_code: int | None, **other: object) -> Observation:
    return Observation(Phase.ENDED, exit_code, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("job", "what_is_seen", "action"),
    [
        # Between attempts.
        (QUEUED, seen(), OpenAttempt(1)),
        (QUEUED, seen(slot_free=False), Nothing()),
        (QUEUED, seen(committed_attempt=4), OpenAttempt(5)),
        (QUEUED, seen(complete=True), Finish(State.SUCCEEDED, "")),
        (unwanted(QUEUED), seen(), Finish(State.CANCELLED, "cancelled")),
        (unwanted(QUEUED), seen(slot_free=False), Finish(State.CANCELLED, "cancelled")),
        (unwanted(QUEUED), seen(complete=True), Finish(State.SUCCEEDED, "")),
        (WAITS, seen(), Nothing()),
        (Job(State.QUEUED, attempts=FAILED_ONCE, retry_at=NOW), seen(), OpenAttempt(2)),
        (unwanted(WAITS), seen(), Finish(State.CANCELLED, "cancelled")),
        # An attempt is entered, its run is not on record.
        (Job(State.STARTING, attempts=BARE), seen(), CreateRun(1)),
        (Job(State.STARTING, attempts=BARE), seen(slot_free=False), CreateRun(1)),
        (Job(State.STARTING, stop=CANCEL, attempts=BARE), seen(), CloseAttempt(1)),
        # Its run is on record.
        (STARTING, seen(CREATED), ReleaseRun(1)),
        (unwanted(STARTING), seen(CREATED), StopRun(1)),
        (STARTING, seen(RUNS), MarkRunning(1)),
        (STARTING, seen(ended(1)), CloseAttempt(1)),
        (STARTING, seen(None), Nothing()),
        (RUNNING, seen(RUNS), Nothing()),
        (RUNNING, seen(RUNS, complete=True), Nothing()),
        (unwanted(RUNNING), seen(RUNS), StopRun(1)),
        (RUNNING, seen(ended(0)), CloseAttempt(1)),
        (unwanted(RUNNING), seen(ended(143)), CloseAttempt(1)),
    ],
)  # fmt: skip
def test_there_is_one_thing_to_do(job: Job, what_is_seen: Seen, action: Action) -> None:
    assert next_action(job, what_is_seen) == action


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
@pytest.mark.parametrize("wanted", [True, False])
def test_nothing_happens_to_a_job_that_has_ended(state: State, wanted: bool) -> None:
    assert next_action(Job(state, wanted, OPEN), seen(RUNS)) == Nothing()


@pytest.mark.parametrize(
    ("run", "state", "counted"),
    [
        (ended(0), State.QUEUED, True),
        (ended(1), State.QUEUED, True),
        (ended(75), State.QUEUED, True),
        (ended(137), State.QUEUED, True),
        (ended(None), State.QUEUED, True),
        (ended(143), State.QUEUED, False),
        (ended(73), State.QUEUED, False),
        (ended(137, disrupted=True), State.QUEUED, False),
        (ended(None, started=False), State.QUEUED, False),
        (None, State.QUEUED, False),
        (ended(64), State.FAILED, True),
        (ended(65), State.FAILED, True),
        (ended(66), State.FAILED, True),
        (ended(78), State.FAILED, True),
    ],
)
def test_the_exit_status_decides_between_another_attempt_and_failure(
    run: Observation | None, state: State, counted: bool
) -> None:
    verdict = judge_end(RUNNING, seen(run), None, backoff_s=10)

    assert (verdict.state, verdict.counted) == (state, counted)
    assert (verdict.retry_at is not None) == (state is State.QUEUED)


@pytest.mark.parametrize("exit_code", [0, 1, 65, 137, 143, None])
def test_a_committed_end_is_success_however_the_program_ended(exit_code: int | None) -> None:
    verdict = judge_end(unwanted(RUNNING), seen(ended(exit_code), complete=True), None, backoff_s=10)

    assert verdict.state is State.SUCCEEDED


@pytest.mark.parametrize("exit_code", [1, 65, 137, 143])
def test_a_cancelled_job_is_cancelled_however_the_program_ended(exit_code: int) -> None:
    assert judge_end(unwanted(RUNNING), seen(ended(exit_code)), None, 10).state is State.CANCELLED


def job_after(failures: int, interruptions: int) -> Job:
    past = [
        Attempt(n, HANDLE, ended=True, counted=n <= failures) for n in range(1, failures + interruptions + 1)
    ]
    return Job(State.RUNNING, attempts=(*past, Attempt(len(past) + 1, HANDLE)))


def test_three_failures_are_retried_and_the_fourth_is_final() -> None:
    assert judge_end(job_after(MAX_RETRIES - 1, 0), seen(ended(1)), None, 10).state is State.QUEUED

    last = judge_end(job_after(MAX_RETRIES, 0), seen(ended(1)), None, 10)
    assert last.state is State.FAILED
    assert last.reason == "The training program failed 4 times. Last: exit status 1"


def test_interruptions_do_not_use_up_retries() -> None:
    assert judge_end(job_after(0, 20), seen(ended(1)), None, 10).state is State.QUEUED
    assert judge_end(job_after(MAX_RETRIES, 0), seen(ended(143)), None, 10).state is State.QUEUED


def test_endless_interruptions_come_to_an_end() -> None:
    assert judge_end(job_after(0, MAX_INTERRUPTIONS), seen(ended(143)), None, 10).state is State.FAILED


@pytest.mark.parametrize(
    ("job", "exit_code", "wait_s"),
    [
        (job_after(0, 0), 1, 10),
        (job_after(1, 0), 1, 20),
        (job_after(2, 9), 1, 40),
        (job_after(0, 0), 143, 0),
        (job_after(0, 1), 143, 10),
        (job_after(0, 49), 143, MAX_BACKOFF_S),
    ],
)
def test_waits_double_and_have_a_ceiling(job: Job, exit_code: int, wait_s: float) -> None:
    assert judge_end(job, seen(ended(exit_code)), None, 10).retry_at == NOW + timedelta(seconds=wait_s)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (ended(65), "bad training data"),
        (ended(137), "smaller batch_size"),
        (ended(0), "not complete"),
        (ended(None), "without an exit status"),
        (ended(5), "exit status 5"),
        (ended(137, message="the node was drained", disrupted=True), "the node was drained"),
        (ended(None, started=False), "before it began"),
    ],
)
def test_the_reason_says_how_the_attempt_ended(run: Observation, words: str) -> None:
    assert words in judge_end(RUNNING, seen(run), None, 10).attempt_reason


def test_the_programs_own_words_are_the_reason_of_a_failure() -> None:
    report = ErrorReport("images/7.png does not decode.", "bad_image", "Replace it.")
    verdict = judge_end(RUNNING, seen(ended(65)), report, 10)

    assert verdict.reason == "images/7.png does not decode. Replace it."
