"""Small programs to supervise: real processes with real signals."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from periscope_embedded.child import ChildSpec

STAYS = "open('ready', 'w').close(); import time; time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STAYS
ENDS_AT_ONCE = "import sys; print('no such bucket', file=sys.stderr); sys.exit(3)"
HAS_A_DAUGHTER = (
    "import subprocess, sys; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True); "
    + STAYS
)


def spec(
    folder: Path, program: str, environ: dict[str, str], name: str = "dummy", ready_timeout_s: float = 20.0
) -> ChildSpec:
    """A child whose readiness is a file ``ready`` in its folder."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    return ChildSpec(
        name=name,
        command=(sys.executable, "-c", program),
        environ=environ,
        folder=place,
        log_path=place / "log.txt",
        is_ready=(place / "ready").exists,
        ready_timeout_s=ready_timeout_s,
        stop_timeout_s=1.0,
    )


def eventually(is_so: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether it becomes so in time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_alive(pid: int) -> bool:
    """Whether the process runs; its remains before it is reaped do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def plain_environ() -> dict[str, str]:
    """What a Python program needs to start."""
    return {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
