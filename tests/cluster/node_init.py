"""The first process of a test node: it lives in its own mount, process, network, IPC and host-name namespaces.

Everything a node writes outside its folder (``/run``, ``/var/lib``, ``/var/log``, kernel settings) is
covered by mounts of this namespace, so that the machine outside stays as it was. When this process ends,
the kernel ends every container with it. Standard library only; the plan is a JSON file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INTERFACE_TIMEOUT_S = 20.0
INTERFACE = "eth0"


def cover(folder: Path, covered: dict[str, str], kernel_settings: dict[str, str]) -> None:
    """Put private folders and files over those that the node's programs would write to."""
    for target, source in covered.items():
        (folder / source).mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(folder / source), target)
    (folder / "sysctl").mkdir()
    for number, (setting, value) in enumerate(kernel_settings.items()):
        pretended = folder / "sysctl" / str(number)
        pretended.write_text(f"{value}\n")
        run("mount", "--bind", str(pretended), f"/proc/sys/{setting}")


def connect(address: str) -> None:
    """Wait for the wire that is put in from outside, and use it. There is no route beyond the machine.

    Raises:
        TimeoutError: nobody put a wire in.
    """
    deadline = time.monotonic() + INTERFACE_TIMEOUT_S
    while subprocess.run(["ip", "link", "show", INTERFACE], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {INTERFACE} after {INTERFACE_TIMEOUT_S:g} s")
        time.sleep(0.02)
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", address, "dev", INTERFACE)
    run("ip", "link", "set", INTERFACE, "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    bridge = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if bridge.exists():  # Answers between two pods of a Service must pass the address translation too.
        bridge.write_text("1\n")


def run(*argv: str) -> None:
    """Run a command that must succeed; its words go to the log."""
    subprocess.run(argv, check=True)


def main() -> None:
    """Make the node's surroundings, start its programs, and reap until the end."""
    folder = Path(sys.argv[1]).parent
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    cover(folder, plan["covered"], plan["kernel_settings"])
    connect(plan["address"])
    names: dict[int, str] = {}
    for name, argv in plan["programs"].items():
        with (folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        names[process.pid] = name
    while names:
        pid, status = os.wait()
        if pid in names:
            print(f"{names.pop(pid)} ended with {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
