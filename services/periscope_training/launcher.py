"""The seam to whatever runs the training program: what every launcher promises.

A launcher starts one run per attempt and looks after it; it decides nothing. A run is created suspended and
released only when its handle is on record, so a service that dies in between leaves nothing running that no
document knows. Every method is idempotent: the reconcile loop repeats what it is not sure of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Handle = Mapping[str, Any]
"""How a launcher finds a run again after a restart; plain JSON, kept in the job document."""


class LauncherUnavailable(Exception):
    """The launcher gave no usable answer; the same call may succeed later."""


class NoPlaceYet(Exception):
    """There is no room for the run now; the text tells people what it waits for."""


class RunRefused(Exception):
    """This run will never be made; the text tells people why."""


@dataclass(frozen=True)
class Launch:
    """What a run is started with."""

    job_id: str
    attempt: int
    progress_url: str
    """Where the training program posts its progress."""
    progress_token: str = field(repr=False)
    """Bearer token that is good for this attempt's progress only."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """What the job asks for of a machine; a launcher may give less, never more than it is set to."""

    def arguments(self) -> list[str]:
        """What the training program is called with, after its own name."""
        return ["job", "--job", self.job_id, "--attempt", str(self.attempt)]


@dataclass(frozen=True)
class Run:
    """A run that was created: which attempt it is and how to find it."""

    job_id: str
    attempt: int
    handle: Handle


class Phase(StrEnum):
    """How far a run has come."""

    CREATED = "created"
    """It exists and waits to be released."""
    WAITING = "waiting"
    """It was released and waits for a place; ``message`` says for what."""
    RUNNING = "running"
    ENDED = "ended"
    """It has ended, or nothing of it is left; nothing of it runs any more."""


@dataclass(frozen=True)
class Observation:
    """What a launcher sees of a run."""

    phase: Phase
    exit_code: int | None = None
    """Of an ended run, 128 + n after signal n; None when it vanished without leaving one."""
    started: bool = True
    """Whether the training program ever ran."""
    disrupted: bool = False
    """Whether the surroundings ended it (a drained node, for example) and not the program itself."""
    message: str = ""
    """Why it waits or how it ended, in words for people."""
    preemptions: int = 0
    """Times the surroundings took it away and the launcher itself started it again."""
    refused: bool = False
    """Whether it could not be made at all."""
    out_of_memory: bool = False
    """Whether it was ended because it used more memory than it may."""


class LogTail(Protocol):
    """A run's log, told piece by piece to somebody who follows it; nothing is told twice.

    It goes on to the log's end also when the run is removed meanwhile.
    """

    def more(self) -> bytes:
        """What is new; at the first call all there is. Raises LauncherUnavailable."""

    def close(self) -> None:
        """Nobody follows any more."""


class Launcher(Protocol):
    """Every method may raise LauncherUnavailable."""

    def create(self, launch: Launch) -> Handle:
        """Make a run that waits for its release. Repeated, it gives a handle to use instead of the first.

        Raises:
            NoPlaceYet: others hold what it needs; the same call succeeds once they end.
            RunRefused: it cannot be made; another attempt may do better.
        """

    def release(self, run: Run) -> None:
        """Let a created run go; no effect on one that runs or has ended."""

    def observe(self, run: Run) -> Observation:
        """Tell how far the run is."""

    def stop(self, run: Run) -> None:
        """Ask for a checkpoint and the end, and return at once; the launcher forces the end after a while."""

    def log(self, run: Run) -> bytes:
        """What the run has written so far, or the end of it when it is very long."""

    def follow(self, run: Run) -> LogTail:
        """The log to somebody who reads on while the run writes."""

    def delete(self, job_id: str, attempt: int) -> None:
        """Remove every trace of the attempt's runs, ending at once what still runs."""

    def runs(self) -> list[tuple[str, int]]:
        """Job and attempt of everything that ``delete`` would remove."""

    def forget(self, job_id: str) -> None:
        """The job has ended: remove what was kept for its next attempt."""

    def kept_jobs(self) -> list[str]:
        """Jobs for which ``forget`` would remove something."""

    def close(self) -> None:
        """The service stops in good order. What cannot outlive it is asked to checkpoint and end."""
