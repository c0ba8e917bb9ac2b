"""``serve``, ``down`` and ``status``: the services without the demonstration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from periscope_embedded.home import Home
from periscope_embedded.settings import Settings
from periscope_embedded.stack import CLIENT_FILE, STATE_FILE, running_stack
from periscope_embedded.supervisor import Stopped, signals_stop

START_TIMEOUT_S = 180.0
LOOK_EVERY_S = 0.2


class NotServing(Exception):
    """The services did not come up; the text says why."""


def serve_in_foreground(home: Home, settings: Settings) -> int:
    """Be the supervisor until a signal comes. Raises as ``running_stack``, and AlreadyRunning."""
    try:
        with signals_stop(), home.held("serve"), running_stack(home, settings, "serve", _tell) as stack:
            _tell("everything is up\n" + stack.addresses.to_text())
            threading.Event().wait()
    except Stopped as error:
        _tell(f"ended by {error}")
    return 0


def serve(home: Home) -> int:
    """Start a supervisor that stays, and return when everything works.

    Raises:
        AlreadyRunning: a supervisor is at work in this folder.
        NotServing: it ended, or does not come up.
    """
    home.make()
    if home.holder() is not None:
        with home.held("serve"):  # Somebody holds it: this raises and says who.
            pass
    log_path = home.log_path("supervisor")
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "periscope_embedded", "serve", "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PERISCOPE_HOME": str(home.folder)},
            start_new_session=True,
        )
    try:
        _wait_until_up(home, process, log_path)
    except BaseException:
        process.terminate()
        raise
    print(_serving_text(home), flush=True)
    return 0


def down(home: Home) -> int:
    """End the supervisor and everything it started."""
    print("ended" if home.end_holder() else "nothing was running", flush=True)
    return 0


def status(home: Home, as_json: bool) -> int:
    """Tell what runs and where; exit code 1 when nothing does."""
    holder, state = home.holder(), home.load(STATE_FILE)
    client = home.load(CLIENT_FILE)
    told: dict[str, Any] = {"running": holder is not None, "home": str(home.folder)}
    if holder is not None:
        told |= {"supervisor": holder, "processes": (state or {}).get("processes", {}), "client": client}
    if as_json:
        print(json.dumps(told, indent=2))
    elif holder is None:
        print(f"nothing runs in {home.folder}")
    else:
        print(_status_text(told))
    return 0 if holder is not None else 1


def _wait_until_up(home: Home, process: subprocess.Popen[bytes], log_path: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while (home.load(STATE_FILE) or {}).get("pid") != process.pid:
        if process.poll() is not None:
            tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-20:])
            raise NotServing(f"the services did not come up; {log_path} ends:\n{tail}")
        if time.monotonic() > deadline:
            raise NotServing(f"the services are not up after {START_TIMEOUT_S:.0f} s; see {log_path}")
        time.sleep(LOOK_EVERY_S)


def _serving_text(home: Home) -> str:
    client = home.load(CLIENT_FILE) or {}
    return (
        f"dataset service   {client['dataset_url']}/docs\n"
        f"training service  {client['training_url']}/docs\n"
        f"registry          {client['registry_url']}/docs\n"
        f"token (admin)     {client['token']}\n"
        f"\nThe command `periscope` finds them by {home.folder / CLIENT_FILE}. `make down` ends them."
    )


def _status_text(told: dict[str, Any]) -> str:
    supervisor, client = told["supervisor"], told["client"] or {}
    lines = [f"process {supervisor.get('pid')} ({supervisor.get('mode')}) runs in {told['home']}"]
    lines += [f"  {name:<9} process {pid or '-'}" for name, pid in told["processes"].items()]
    lines += [f"  {name:<13} {url}" for name, url in client.items() if name.endswith("_url")]
    return "\n".join(lines)


def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
