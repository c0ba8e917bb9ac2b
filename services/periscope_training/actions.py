"""What the loop can do for a job, one thing at a time; decided by :mod:`periscope_training.lifecycle`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """States of a job; the last three are final. A paused one waits until somebody resumes it.

    WAITING is for a dataset version that is still being made; QUEUED is for a place.
    """

    WAITING = "WAITING"
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


@dataclass(frozen=True)
class Nothing:
    """All is as it should be."""


@dataclass(frozen=True)
class OpenAttempt:
    """Enter a new attempt in the document; the job is STARTING."""

    number: int


@dataclass(frozen=True)
class CreateRun:
    """Create the attempt's run, suspended, and put its handle on record."""

    number: int


@dataclass(frozen=True)
class ReleaseRun:
    """Let the recorded run go."""

    number: int


@dataclass(frozen=True)
class MarkPending:
    """Enter that the run waits for a place, and why."""

    number: int
    reason: str


@dataclass(frozen=True)
class RecordPreemptions:
    """Enter how often the run was taken away and started again."""

    number: int
    count: int


@dataclass(frozen=True)
class MarkStalled:
    """Enter that the run gave no sign of life for too long; it is then stopped."""

    number: int


@dataclass(frozen=True)
class MarkRunning:
    """Enter that the run is on its way."""

    number: int


@dataclass(frozen=True)
class StopRun:
    """Ask the run to end."""

    number: int


@dataclass(frozen=True)
class CloseAttempt:
    """Archive the log, then enter how the attempt ended: see ``lifecycle.judge_end``."""

    number: int


@dataclass(frozen=True)
class Finish:
    """Enter a state in which nothing is done any more, or for now; no attempt is open."""

    state: State
    reason: str


_Note = MarkPending | RecordPreemptions | MarkStalled | MarkRunning
Action = Nothing | OpenAttempt | CreateRun | ReleaseRun | _Note | StopRun | CloseAttempt | Finish
