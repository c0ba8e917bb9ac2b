"""Nothing of a cluster stays behind, however its test run ends, and the machine's settings are untouched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.sandbox import Sandbox
from tests.cluster.warden import cgroup_hierarchies

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 150
END_TIMEOUT_S = 40
SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/netfilter/nf_conntrack_max",
    "net/bridge/bridge-nf-call-iptables",
)
PLACES = (
    "/etc/cni/net.d",
    "/etc/kubernetes",
    "/opt/containerd",
    "/run/containerd",
    "/run/netns",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
EVERYTHING = {"process", "interface", "cgroup"}
SAMPLE = """
import os, pathlib, time

def test_sample({fixture}, request):
    plane = getattr({fixture}, "plane", {fixture})
    note = pathlib.Path(os.environ["NOTE"])
    note.with_suffix(".part").write_text(str(plane.folder))
    note.with_suffix(".part").rename(note)
    {ending}
"""


def settings() -> dict[str, str]:
    """The kernel settings that a node's programs like to change; absent ones are left out."""
    paths = {name: Path("/proc/sys", name) for name in SETTINGS}
    return {name: path.read_text() for name, path in paths.items() if path.exists()}


def places() -> dict[str, list[str] | None]:
    """What is in the folders that a node uses by default."""
    return {
        name: sorted(path.name for path in Path(name).iterdir()) if Path(name).exists() else None
        for name in PLACES
    }


def traces(folder: Path) -> list[str]:
    """Everything on this machine that belongs to the cluster in a folder."""
    found = [str(folder)] if folder.exists() else []
    found += [
        f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line
    ]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(f"process {process.name} {command}")
    for alias in Path("/sys/class/net").glob("psc*/ifalias"):
        with contextlib.suppress(OSError):
            if alias.read_text().strip() == folder.name:
                found.append(f"interface {alias.parent.name}")
    cgroups = [path / folder.name for path in cgroup_hierarchies()]
    return found + [f"cgroup {path}" for path in cgroups if path.exists()]


def kinds(found: list[str]) -> set[str]:
    """The first words of traces: what was seen while the cluster was up, so that its absence says something."""
    return {trace.split()[0] for trace in found}


class Run:
    """A pytest of its own with one test, which uses a fixture and ends in a given way."""

    def __init__(self, folder: Path, fixture: str, ending: str) -> None:
        self.note = folder / "note"
        test = folder / "test_sample.py"
        test.write_text(SAMPLE.format(fixture=fixture, ending=ending))
        argv = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.cluster.conftest",
        ]
        self.process = subprocess.Popen(
            [*argv, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), str(test)],
            cwd=ROOT,
            env={**os.environ, "NOTE": str(self.note)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A shell that starts this in the background lets it ignore Ctrl-C, and all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def cluster_folder(self) -> Path:
        """Wait until the cluster is up and return its folder."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.note.exists():
            assert self.process.poll() is None, self.process.communicate()[0].decode()
            assert time.monotonic() < deadline, "the cluster does not start"
            time.sleep(0.1)
        return Path(self.note.read_text())

    def signal(self, number: int) -> None:
        """Signal the whole run, as a terminal does."""
        os.killpg(self.process.pid, number)


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        if run.process.poll() is None:
            run.signal(signal.SIGKILL)
        run.process.communicate(timeout=END_TIMEOUT_S)


def wait_until_gone(folder: Path) -> list[str]:
    deadline = time.monotonic() + END_TIMEOUT_S
    while (left := traces(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


@pytest.mark.parametrize(
    ("ending", "number"),
    [
        ("assert False", None),
        ("time.sleep(600)", signal.SIGINT),
        ("time.sleep(600)", signal.SIGKILL),
    ],
    ids=["a failed test", "Ctrl-C", "a killed test run"],
)
@pytest.mark.parametrize("fixture", ["control_plane", "cluster"])
def test_nothing_is_left_after(
    runs: list[Run], node_programs: object, tmp_path: Path, fixture: str, ending: str, number: int | None
) -> None:
    before = settings(), places()
    run = Run(tmp_path, fixture, ending)
    runs.append(run)
    folder = run.cluster_folder()
    seen = traces(folder) if number is not None else []
    if number is not None:
        run.signal(number)
    run.process.communicate(timeout=END_TIMEOUT_S)
    left = wait_until_gone(folder)

    assert left == []
    assert (settings(), places()) == before
    assert number is None or kinds(seen) >= ({"process"} if fixture == "control_plane" else EVERYTHING)


def forever(folder: Path) -> str:
    """A shell line that runs until it is killed, and shows the folder among the processes."""
    return f"while true; do sleep 1; done; : {folder}"


def daemon_runs(folder: Path) -> bool:
    return any("sh -c while" in trace and "setsid" not in trace for trace in traces(folder))


def test_a_killed_warden_takes_its_processes_along_and_the_next_one_sweeps_up(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    sandbox.make_cgroup()
    sandbox.start("runner", ["sh", "-c", forever(sandbox.folder)])
    sandbox.wait_until("the process runs", lambda: daemon_runs(sandbox.folder), 10)
    sandbox.warden.kill()
    sandbox.warden.communicate()
    with Sandbox(tmp_path):
        left = wait_until_gone(sandbox.folder)

    assert left == []


def test_an_ended_sandbox_has_no_process_of_a_daemon_either(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        sandbox.start("forker", ["sh", "-c", f"setsid sh -c '{forever(sandbox.folder)}' & exit 0"])
        sandbox.wait_until("the daemon runs", lambda: daemon_runs(sandbox.folder), 10)

    assert traces(sandbox.folder) == []
