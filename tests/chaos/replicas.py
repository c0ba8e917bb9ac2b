"""A second replica of each service, started as the first one was, kept up, and with a clock that can be set."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from periscope.client import ServiceClient
from periscope_embedded.robot import AGENT
from periscope_embedded.seaweedfs import SeaweedFS
from tests.chaos.moved_clock import CLOCK
from tests.chaos.proxy import FaultyProxy
from tests.chaos.served import PROXY_PORT
from tests.integration.gunicorn_service import free_port
from tests.system.loop import Stack, innermost, run_embedded, wait_for

SERVICES = ("dataset", "training", "registry")
ROOT = Path(__file__).resolve().parents[2]
LOOK_EVERY_S = 0.5


class Replica:
    """One more process of a service; ended, it is started again."""

    def __init__(self, home: Path, service: str, pid: int) -> None:
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")[:-1]
        environ = (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0")[:-1]
        self.name = f"{service}-2"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # The same command line, by way of a module that moves the clock.
        own_words = [word.decode() for word in words]
        self._command = [*own_words[:2], "tests.chaos.moved_clock", *own_words[3:]]
        self._folder = home / self.name
        self._folder.mkdir()
        self._clock = self._folder / "clock"
        self.set_clock(0)
        own = dict(pair.decode().split("=", 1) for pair in environ)
        self._environ = {
            **own,
            "PERISCOPE_BIND": f"127.0.0.1:{self.port}",
            "PERISCOPE_WORK_DIR": str(self._folder),
            CLOCK: str(self._clock),
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "shared", ROOT / "services"))),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name=self.name, daemon=True)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def set_clock(self, offset_s: int) -> None:
        """So far from the machine's clock, at once."""
        draft = self._clock.with_suffix(".new")
        draft.write_text(str(offset_s))
        draft.replace(self._clock)

    def start(self) -> None:
        """Start it, and again whenever it ends."""
        self._thread.start()

    def end(self) -> None:
        """End it for good."""
        self._ending.set()
        self._thread.join()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def _keep_up(self) -> None:
        with (self._folder / "log").open("ab") as log:
            while not self._ending.wait(LOOK_EVERY_S):
                if self.pid is None:
                    self._process = subprocess.Popen(
                        self._command,
                        env=self._environ,
                        cwd=self._folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )


class ReplicatedStack(Stack):
    """The embedded default with two replicas of each service and a proxy before the store."""

    def __init__(self, home: Path, seed: int) -> None:
        super().__init__(home)
        home.mkdir(parents=True, exist_ok=True)
        self._random = random.Random(seed)
        store = SeaweedFS(_made(home / "store"))
        self.proxy = FaultyProxy(lambda: store.identity.s3_port, seed)
        self.replicas: dict[str, Replica] = {}
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ReplicatedStack:
        """Start everything."""
        self._serve()
        for service in SERVICES:
            pid = wait_for(lambda service=service: super(ReplicatedStack, self).pid(service), service)  # type: ignore[misc]
            replica = Replica(self.home, service, pid)
            self.replicas[replica.name] = replica
            replica.start()
        for replica in self.replicas.values():
            client = ServiceClient(replica.url, None, timeout_s=5)
            wait_for(lambda client=client: _answers(client), f"{replica.name} does not start")  # type: ignore[misc]
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self.proxy.mode = "sound"
        for replica in self.replicas.values():
            replica.end()
        run_embedded("periscope_embedded", "down", self.environ)
        self.proxy.close()

    def client(self, service: str) -> ServiceClient:
        """A client of one replica or the other: no caller may rely on which."""
        known = self.addresses()
        urls = [known[f"{service}_url"]]
        if f"{service}-2" in self.replicas:
            urls.append(self.replicas[f"{service}-2"].url)
        return ServiceClient(self._random.choice(urls), known["token"])

    def pid(self, name: str) -> int | None:
        """Of a first replica, the store or the trainer as in any stack; of a second one, or a robot's agent."""
        if name == "agent":
            return innermost(self.home, str(AGENT))
        if name in self.replicas:
            return self.replicas[name].pid
        try:
            return super().pid(name)
        except FileNotFoundError:
            # The supervisor is being started.
            return None

    def surprises(self) -> list[str]:
        """Requests that ended in an error which no code had foreseen, by the services' own logs."""
        logs = [self.home / "logs" / f"{service}.log" for service in SERVICES]
        logs += [self.home / name / "log" for name in self.replicas]
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        failed = [json.loads(line) for line in lines if '"event": "request_failed"' in line]
        return [
            f"{event['service']} met an error of its own: {event['exception'].splitlines()[-1]}"
            for event in failed
        ]

    def kill_supervisor(self) -> None:
        """Everything of it goes with it; what keeps it up, systemd say, starts it again."""
        if self._supervisor is not None:
            self._supervisor.kill()
            self._supervisor.wait()
        self._serve()

    def _serve(self) -> None:
        """The supervisor in a process of its own, in which the store's address is the proxy's."""
        environ = {**self.environ, PROXY_PORT: str(self.proxy.port), "PERISCOPE_RETRY_BACKOFF_S": "0.5"}
        with (self.home / "supervisor.log").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.served", "serve", "--foreground"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        known = self.home / "client.json"
        wait_for(lambda: known if known.exists() else None, "the stack does not start")
        for service in SERVICES:
            client = Stack.client(self, service)
            wait_for(lambda client=client: _answers(client), f"{service} does not start")  # type: ignore[misc]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _answers(client: ServiceClient) -> bool | None:
    with suppress(Exception):
        client.get("/livez")
        return True
    time.sleep(0.2)
    return None
