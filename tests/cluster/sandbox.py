"""One test cluster's private corner: its folder, its processes and what has to be undone at its end.

The undoing itself is the :mod:`tests.cluster.warden`'s, so that it also happens when the test run dies.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.cluster.warden import FOLDER_PREFIX

WARDEN = Path(__file__).with_name("warden.py")
END_TIMEOUT_S = 60
LOG_TAIL_CHARACTERS = 3000
PORTS = range(20000, 32000)


class SandboxBroken(Exception):
    """A process could not be started, ended early or is not ready in time; the text holds its last words."""


class Sandbox:
    """A fresh folder under the temporary folder and a warden for it; use it in a ``with`` statement."""

    def __init__(self, parent: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent))
        self.warden = subprocess.Popen(
            [sys.executable, "-I", str(WARDEN), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, name: str, argv: list[str], environ: dict[str, str] | None = None) -> int:
        """Start a process and return its id; its output is :meth:`log` of the same name."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **(environ or {})}
        return int(self._order("start", name=name, argv=argv, environ=environ)["pid"])

    def stop(self, name: str, signal_number: int = signal.SIGTERM, timeout_s: float = 30) -> int | None:
        """Signal a process and wait; its exit code, or None when it goes on regardless."""
        code: int | None = self._order(
            "stop", name=name, signal_number=int(signal_number), timeout_s=timeout_s
        )["exit"]
        return code

    def make_cgroup(self) -> str:
        """Make a cgroup with the folder's name in every hierarchy and return that name."""
        return str(self._order("cgroup")["name"])

    def at_end(self, argv: list[str]) -> None:
        """Have a command run when the processes are gone."""
        self._order("at_end", argv=argv)

    def log(self, name: str) -> str:
        """All that a process has said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait_until(self, what: str, is_so: Callable[[], bool], timeout_s: float, *names: str) -> None:
        """Wait for a condition that the named processes bring about.

        Raises:
            SandboxBroken: it did not come about in time, or one of the processes ended.
        """
        deadline = time.monotonic() + timeout_s
        while not is_so():
            for name in names:
                code = self._order("poll", name=name)["exit"]
                if code is not None:
                    raise SandboxBroken(f"{name} ended with {code}:\n{self.log(name)[-LOG_TAIL_CHARACTERS:]}")
            if time.monotonic() > deadline:
                tails = [f"--- {name}\n{self.log(name)[-LOG_TAIL_CHARACTERS:]}" for name in names]
                raise SandboxBroken("\n".join([f"not so after {timeout_s:g} s: {what}", *tails]))
            time.sleep(0.05)

    def end(self) -> None:
        """Take everything down; returns when nothing is left.

        Raises:
            SandboxBroken: the warden could not remove everything; its own words are on standard error.
        """
        if self.warden.stdin is not None and not self.warden.stdin.closed:
            self.warden.stdin.close()
        code = self.warden.wait(END_TIMEOUT_S)
        if self.warden.stdout is not None:
            self.warden.stdout.close()
        if code != 0:
            raise SandboxBroken(f"the warden of {self.folder} ended with {code}")

    def _order(self, order: str, **arguments: object) -> dict[str, Any]:
        assert self.warden.stdin is not None
        assert self.warden.stdout is not None
        self.warden.stdin.write(json.dumps({"do": order, **arguments}) + "\n")
        self.warden.stdin.flush()
        answer: dict[str, Any] = json.loads(
            self.warden.stdout.readline() or '{"error": "the warden is gone"}'
        )
        if "error" in answer:
            raise SandboxBroken(f"{order} {arguments.get('name', '')}: {answer['error']}")
        return answer


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on right now, all different, and that no outgoing connection will be given."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
