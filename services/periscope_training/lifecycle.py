"""What the service does next with a job, decided from its document and from what is seen. No I/O.

The loop is level-triggered: :func:`next_action` looks at how things are, never at what happened, so a
restart at any point goes on where the documents and the launcher stand. The checkpoint document has the last
word on success: a run that was killed after its last commit has succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from periscope_training.actions import (
    FINAL_STATES,
    Action,
    CloseAttempt,
    CreateRun,
    Finish,
    MarkPending,
    MarkRunning,
    MarkStalled,
    Nothing,
    OpenAttempt,
    RecordPreemptions,
    ReleaseRun,
    State,
    StopRun,
)
from periscope_training.error_report import ErrorReport
from periscope_training.launcher import Handle, Observation, Phase

MAX_RETRIES = 3
"""Counted failures that are answered by another attempt; the next one fails the job."""
MAX_INTERRUPTIONS = 50
"""Attempts and pods that ended without fault of their own; more of them and something is wrong for good."""
MAX_BACKOFF_S = 300.0

EXIT_SUPERSEDED = 73
EXIT_STOPPED = 143
EXIT_KILLED = 137
FINAL_EXIT_CODES = {
    64: "bad arguments",
    65: "bad training data",
    66: "the spec or the dataset version is missing",
    69: "something that it needs is not on this machine",
    77: "no permission",
    78: "bad configuration",
}
"""Exit codes that another attempt cannot mend."""
UNCOUNTED_EXIT_CODES = {EXIT_SUPERSEDED: "a newer attempt took over", EXIT_STOPPED: "stopped by a signal"}


@dataclass(frozen=True)
class Attempt:
    """One start of the training program, as the job document has it."""

    number: int
    handle: Handle | None = None
    ended: bool = False
    counted: bool = False
    """Whether its end counts against MAX_RETRIES."""
    preemptions: int = 0
    """Times its surroundings took it away and it was started again under the same number."""
    stalled: bool = False
    """Whether it is being stopped because it gave no sign of life for too long."""


@dataclass(frozen=True)
class Stop:
    """That the job shall not go on, and what it then is."""

    state: State
    reason: str


CANCEL = Stop(State.CANCELLED, "cancelled")
PAUSE = Stop(State.PAUSED, "paused")


@dataclass(frozen=True)
class Job:
    """The part of a job document that decides."""

    state: State
    stop: Stop | None = None
    """Set once someone asked to cancel or pause, or a limit is reached."""
    attempts: tuple[Attempt, ...] = ()
    retry_at: datetime | None = None
    reason: str = ""
    running_since: datetime | None = None
    """When the newest attempt was last seen to begin to run."""

    @property
    def wanted(self) -> bool:
        """Whether it shall go on."""
        return self.stop is None

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that has not ended, if any."""
        return self.attempts[-1] if self.attempts and not self.attempts[-1].ended else None


@dataclass(frozen=True)
class Seen:
    """What the loop sees beside the job document."""

    now: datetime
    run: Observation | None = None
    """None while no run of the open attempt is on record."""
    slot_free: bool = True
    complete: bool = False
    """Whether the checkpoint document says that training is complete. Read it after ``run``."""
    committed_attempt: int = 0
    """The newest attempt that the checkpoint document knows."""
    max_interruptions: int = MAX_INTERRUPTIONS
    silent: bool = False
    """Whether the running attempt has given no sign of life for too long."""


def next_action(job: Job, seen: Seen) -> Action:
    """The one thing to do now."""
    if job.state in FINAL_STATES:
        return Nothing()
    attempt = job.open_attempt
    if attempt is None:
        return _between_attempts(job, seen)
    if attempt.handle is None:
        return CreateRun(attempt.number) if job.wanted else CloseAttempt(attempt.number)
    if seen.run is None:
        return Nothing()
    return _during_attempt(job, attempt, seen, seen.run)


def _between_attempts(job: Job, seen: Seen) -> Action:
    if seen.complete:
        return Finish(State.SUCCEEDED, "")
    if job.stop is not None:
        return Nothing() if job.state is job.stop.state else Finish(job.stop.state, job.stop.reason)
    if job.state is State.WAITING:
        return Nothing()
    if not seen.slot_free or (job.retry_at is not None and seen.now < job.retry_at):
        return Nothing()
    last = job.attempts[-1].number if job.attempts else 0
    return OpenAttempt(max(last, seen.committed_attempt) + 1)


def _during_attempt(job: Job, attempt: Attempt, seen: Seen, run: Observation) -> Action:
    number = attempt.number
    if run.phase is Phase.ENDED:
        return CloseAttempt(number)
    if not job.wanted or attempt.stalled:
        return StopRun(number)
    if run.phase is Phase.CREATED:
        return ReleaseRun(number)
    if run.preemptions > attempt.preemptions:
        return RecordPreemptions(number, run.preemptions)
    if _interruptions(job) > seen.max_interruptions:
        return StopRun(number)
    if run.phase is Phase.WAITING:
        told = job.state is State.PENDING and job.reason == run.message
        return Nothing() if told else MarkPending(number, run.message)
    if job.state is not State.RUNNING:
        return MarkRunning(number)
    return MarkStalled(number) if seen.silent else Nothing()


def _interruptions(job: Job) -> int:
    ended = sum(1 for attempt in job.attempts if attempt.ended and not attempt.counted)
    return ended + sum(attempt.preemptions for attempt in job.attempts)


@dataclass(frozen=True)
class Verdict:
    """What the end of an attempt means for its job."""

    state: State
    reason: str
    """Why the job is in ``state``; empty on success."""
    attempt_reason: str
    """How the attempt ended."""
    counted: bool = False
    retry_at: datetime | None = None


def judge_end(job: Job, seen: Seen, report: ErrorReport | None, backoff_s: float) -> Verdict:
    """Decide what follows from the end of the open attempt.

    ``seen.run`` is the ended run, or None when none was ever created; ``backoff_s`` is the wait before the
    first retry, doubled for each further one.
    """
    ended = _describe_end(seen.run, report)
    if seen.complete:
        return Verdict(State.SUCCEEDED, "", "complete")
    if job.stop is not None:
        return Verdict(job.stop.state, job.stop.reason, ended)
    if seen.run is not None and seen.run.exit_code in FINAL_EXIT_CODES:
        return Verdict(State.FAILED, ended, ended, counted=True)
    if seen.run is not None and seen.run.out_of_memory:
        # It would need as much again.
        return Verdict(State.FAILED, ended, ended, counted=True)
    stalled = job.open_attempt is not None and job.open_attempt.stalled
    if stalled:
        ended = f"gave no sign of life for too long and was stopped; {ended}"
    counted = stalled or _counts(seen.run)
    return _retry_or_fail(job, seen, ended, counted=counted, backoff_s=backoff_s)


def _counts(run: Observation | None) -> bool:
    if run is not None and run.refused:
        return True
    blameless = run is None or not run.started or run.disrupted or run.exit_code in UNCOUNTED_EXIT_CODES
    return not blameless


def _retry_or_fail(job: Job, seen: Seen, ended: str, *, counted: bool, backoff_s: float) -> Verdict:
    failures = sum(1 for attempt in job.attempts if attempt.ended and attempt.counted)
    alike, limit = (failures, MAX_RETRIES) if counted else (_interruptions(job), seen.max_interruptions)
    if alike >= limit:
        kind = "failed" if counted else "was interrupted"
        reason = f"The training program {kind} {alike + 1} times. Last: {ended}"
        return Verdict(State.FAILED, reason, ended, counted)
    # An interruption is answered at once the first time: nothing says that it will happen again.
    doublings = alike if counted else alike - 1
    wait_s = 0.0 if doublings < 0 else min(backoff_s * 2.0**doublings, MAX_BACKOFF_S)
    return Verdict(
        State.QUEUED,
        f"waiting for another attempt: {ended}",
        ended,
        counted,
        seen.now + timedelta(seconds=wait_s),
    )


def _describe_end(run: Observation | None, report: ErrorReport | None) -> str:
    if run is None or not run.started:
        return (run.message if run is not None else "") or "ended before it began"
    if run.out_of_memory:
        return run.message
    if report is not None and run.exit_code != 0:
        return str(report)
    if run.message:
        return run.message
    if run.exit_code is None:
        return "vanished without an exit status"
    if run.exit_code == 0:
        return "ended with status 0 but its checkpoint document is not complete"
    if run.exit_code == EXIT_KILLED:
        return "killed (SIGKILL); when nobody did that, memory ran out: a smaller batch_size needs less"
    known = FINAL_EXIT_CODES | UNCOUNTED_EXIT_CODES
    meaning = known.get(run.exit_code)
    return f"exit status {run.exit_code}" + (f" ({meaning})" if meaning else "")
