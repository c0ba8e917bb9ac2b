"""What users do all the time: push, train and publish, one after the other, and a robot that follows the model."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from pathlib import Path

from periscope.client import ServiceError
from periscope_cli.connection import Connection
from periscope_cli.console import Console
from periscope_cli.session import Session
from periscope_embedded.robot import Robot, RobotFailed
from tests.chaos.auditor import Journal
from tests.system.loop import Stack, persist, publish, push, train

MODEL = "chaos"
ROBOT_EVERY_S = 2.0
ROBOTS = 3


class Load:
    """Teams and robots, each in a thread of its own."""

    def __init__(self, stack: Stack, folder: Path, teams: int) -> None:
        self.journal = Journal()
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stack = stack
        self._folder = folder
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._team, args=(number,), name=f"team-{number}")
            for number in range(teams)
        ]
        self._folders = [folder / f"robot-{number}" for number in range(ROBOTS)]
        self._threads += [
            threading.Thread(target=self._robot, args=(place,), name=place.name) for place in self._folders
        ]

    @property
    def robot_roots(self) -> list[Path]:
        """Where the robots' agents keep their releases."""
        return [place / "models" for place in self._folders]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Begin nothing new; return when all have finished what they were at."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _team(self, number: int) -> None:
        folder = self._folder / f"team-{number}"
        folder.mkdir(parents=True)
        while not self._ending.is_set():
            try:
                self._cycle(f"team-{number}-{uuid.uuid4().hex[:8]}", folder)
            except (AssertionError, ServiceError) as error:
                with self._lock:
                    self.failures.append(str(error)[:500])

    def _cycle(self, name: str, folder: Path) -> None:
        journal = self.journal
        pushed = push(self._stack, name, folder)
        with self._lock:
            journal.documents.append(("datasets", pushed["dataset_id"]))
            journal.dataset_versions.append((pushed["dataset_id"], pushed["version"]))
            self.done["data sets pushed"] += 1
        job = train(self._stack, name, pushed["version"])
        with self._lock:
            journal.documents.append(("jobs", job["id"]))
            self.done["jobs trained"] += 1
        publication = publish(self._stack, MODEL, job)
        with self._lock:
            journal.documents.append(("publications", publication["id"]))
            journal.model_versions.append((MODEL, publication["version"], publication["zip"]["sha256"]))
            journal.alias_moves.append((MODEL, "latest", publication["version"]))
            self.done["versions published"] += 1

    def _robot(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        robot, session = self._enrolled(folder)
        while robot is not None and not self._ending.wait(ROBOT_EVERY_S):
            try:
                robot.update(session)
                self.done["updates of robots"] += 1
            except RobotFailed:
                self.done["updates of robots that failed"] += 1

    def _enrolled(self, folder: Path) -> tuple[Robot | None, Session]:
        """The robot, as soon as there is a model."""
        known = self._stack.addresses()
        session = Session(Connection.find(known, {}, folder), Console(as_json=False, quiet=True))
        while not self._ending.wait(ROBOT_EVERY_S):
            if self.done["versions published"] == 0:
                continue
            # Of each robot's own replica, all its life.
            url = self._stack.client("registry").base_url
            robot = Robot(folder, url, self._stack.environ, device=folder.name)
            try:
                persist(lambda robot=robot: robot.enrol(session, MODEL))  # type: ignore[misc] # bound now
            except Exception as error:  # noqa: BLE001 - whatever went wrong goes into the report
                self.failures.append(f"the robot could not be enrolled: {error}")
                continue
            with self._lock:
                self.journal.devices.append(folder.name)
            return robot, session
        return None, session
