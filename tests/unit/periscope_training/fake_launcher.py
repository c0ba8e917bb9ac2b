"""The in-memory double of the launcher: runs that tests can let run on, end or lose."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from periscope_training.launcher import (
    Handle,
    Launch,
    LauncherUnavailable,
    NoPlaceYet,
    Observation,
    Phase,
    Run,
)

EXIT_CODES = {"succeed": 0, "fail": 65, "crash": 1}
EXIT_CODES_WHEN_STOPPED = {"checkpoint": 143, "stubborn": 137}


WAITING = Observation(Phase.CREATED, started=False)


@dataclass
class FakeRun:
    behaviour: str
    launch: Launch
    seen: Observation = WAITING
    log: bytes = b""


@dataclass
class World:
    """What outlives the service: the runs and how the training program behaves."""

    behaviour: str = "checkpoint"
    runs: dict[tuple[str, int, int], FakeRun] = field(default_factory=dict)
    serial: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    kept: set[str] = field(default_factory=set)
    unavailable: bool = False
    full: str = ""
    """Why there is no place for another run; empty: there is."""


@dataclass
class FakeTail:
    run: FakeRun | None
    position: int = 0

    def more(self) -> bytes:
        text = b"" if self.run is None else self.run.log[self.position :]
        self.position += len(text)
        return text

    def close(self) -> None:
        pass


class FakeLauncher:
    def __init__(self, world: World) -> None:
        self.world = world

    def create(self, launch: Launch) -> Handle:
        self._require_available()
        if self.world.full:
            raise NoPlaceYet(self.world.full)
        self.delete(launch.job_id, launch.attempt)
        self.world.kept.add(launch.job_id)
        serial = next(self.world.serial)
        self.world.runs[launch.job_id, launch.attempt, serial] = FakeRun(self.world.behaviour, launch)
        return {"serial": serial}

    def release(self, run: Run) -> None:
        self._require_available()
        fake = self.find(run)
        if fake is None or fake.seen.phase is not Phase.CREATED:
            return
        fake.seen, fake.log = Observation(Phase.RUNNING), b"running\n"
        if fake.behaviour in EXIT_CODES:
            fake.log += b"a word before the end\n"
            fake.seen = Observation(Phase.ENDED, EXIT_CODES[fake.behaviour])

    def observe(self, run: Run) -> Observation:
        self._require_available()
        fake = self.find(run)
        return Observation(Phase.ENDED, started=False) if fake is None else fake.seen

    def stop(self, run: Run) -> None:
        self._require_available()
        fake = self.find(run)
        if fake is None or fake.seen.phase is Phase.ENDED:
            return
        if fake.seen.phase is Phase.CREATED:
            fake.seen = Observation(Phase.ENDED, None, started=False)
        else:
            fake.seen = Observation(Phase.ENDED, EXIT_CODES_WHEN_STOPPED[fake.behaviour])

    def log(self, run: Run) -> bytes:
        fake = self.find(run)
        return b"" if fake is None else fake.log

    def follow(self, run: Run) -> FakeTail:
        return FakeTail(self.find(run))

    def delete(self, job_id: str, attempt: int) -> None:
        for key in [key for key in self.world.runs if key[:2] == (job_id, attempt)]:
            del self.world.runs[key]

    def runs(self) -> list[tuple[str, int]]:
        return sorted({(job_id, attempt) for job_id, attempt, _ in self.world.runs})

    def forget(self, job_id: str) -> None:
        self.world.kept.discard(job_id)

    def kept_jobs(self) -> list[str]:
        return sorted(self.world.kept)

    def close(self) -> None:
        for (job_id, attempt, serial), _ in list(self.world.runs.items()):
            self.stop(Run(job_id, attempt, {"serial": serial}))

    def find(self, run: Run) -> FakeRun | None:
        return self.world.runs.get((run.job_id, run.attempt, run.handle["serial"]))

    def only_run(self) -> FakeRun:
        (fake,) = self.world.runs.values()
        return fake

    def end(self, exit_code: int | None, *, log: bytes = b"", disrupted: bool = False) -> None:
        """The one run that is there ends by itself."""
        fake = self.only_run()
        fake.log += log
        fake.seen = Observation(Phase.ENDED, exit_code, disrupted=disrupted)

    def _require_available(self) -> None:
        if self.world.unavailable:
            raise LauncherUnavailable("the world does not answer")
