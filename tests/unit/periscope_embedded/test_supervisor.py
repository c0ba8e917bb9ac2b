"""The supervisor on real processes: it keeps them up, and nothing is left when it ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from periscope_embedded.child import NotReady
from periscope_embedded.marked import MARK, end_marked, find_marked, mark_of
from periscope_embedded.supervisor import Supervisor
from tests.unit.periscope_embedded.dummies import (
    DEAF,
    ENDS_AT_ONCE,
    HAS_A_DAUGHTER,
    STAYS,
    eventually,
    is_alive,
    plain_environ,
    spec,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


class Told(list[str]):
    """What the supervisor said."""


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(tmp_path: Path, told: Told) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, plain_environ(), told.append, lambda: None)
    supervisor.begin()
    yield supervisor
    supervisor.stop()

    assert find_marked(mark_of(tmp_path)) == []


def test_a_child_is_up_when_start_returns(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, STAYS, supervisor.marked_environ))

    assert (tmp_path / "dummy" / "ready").exists()
    assert is_alive(supervisor.pids()["dummy"] or 0)


def test_a_child_that_ends_at_once_is_told_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    with pytest.raises(NotReady, match="no such bucket"):
        supervisor.start(spec(tmp_path, ENDS_AT_ONCE, supervisor.marked_environ))


def test_a_child_that_never_gets_ready_is_not_waited_for_without_end(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    slow = spec(tmp_path, "import time; time.sleep(600)", supervisor.marked_environ, ready_timeout_s=0.3)

    with pytest.raises(NotReady, match="not ready after"):
        supervisor.start(slow)


def test_a_killed_child_is_started_again(supervisor: Supervisor, tmp_path: Path, told: Told) -> None:
    supervisor.start(spec(tmp_path, STAYS, supervisor.marked_environ))
    supervisor.keep_up()
    first = supervisor.pids()["dummy"]
    assert first is not None
    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: supervisor.pids()["dummy"] not in (None, first))
    assert told[0].startswith("dummy ended (signal 9)")


def test_the_pause_before_a_restart_grows_with_each_early_end(
    supervisor: Supervisor, tmp_path: Path, told: Told
) -> None:
    supervisor.start(spec(tmp_path, "open('ready', 'w').close()", supervisor.marked_environ))
    supervisor.keep_up()

    assert eventually(lambda: len([text for text in told if "ended" in text]) >= 3)
    pauses = [text.rpartition(" in ")[2] for text in told if "ended" in text]
    assert pauses[:3] == ["0.5 s", "1 s", "2 s"]


def test_stop_ends_a_child_that_does_not_listen(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, DEAF, supervisor.marked_environ))
    pid = supervisor.pids()["dummy"]
    supervisor.stop()

    assert not is_alive(pid or 0)


def test_stop_ends_what_a_child_has_started_in_a_session_of_its_own(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.start(
        spec(tmp_path, STAYS, supervisor.marked_environ, "store"),
        spec(tmp_path, HAS_A_DAUGHTER, supervisor.marked_environ, "service"),
    )
    marked = find_marked(mark_of(tmp_path))
    supervisor.stop()

    assert len(marked) == 3
    assert not any(is_alive(pid) for pid in marked)


def test_begin_ends_what_a_killed_supervisor_has_left(tmp_path: Path, told: Told) -> None:
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**plain_environ(), MARK: mark_of(tmp_path, "older")},
    )
    supervisor = Supervisor(tmp_path, plain_environ(), told.append, lambda: None)
    supervisor.begin()
    supervisor.stop()

    assert left.wait(5) == -signal.SIGTERM


def test_processes_of_another_folder_are_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**plain_environ(), MARK: mark_of(tmp_path / "other", "x")},
    )
    try:
        assert eventually(lambda: find_marked(mark_of(tmp_path / "other")) == [other.pid])
        end_marked(mark_of(tmp_path), 1)

        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


SUPERVISING = """
import sys
from pathlib import Path
from periscope_embedded.supervisor import Stopped, Supervisor, signals_stop
from tests.unit.periscope_embedded.dummies import HAS_A_DAUGHTER, STAYS, plain_environ, spec
import threading

folder = Path(sys.argv[1])
supervisor = Supervisor(folder, plain_environ(), print, lambda: None)
try:
    with signals_stop():
        supervisor.begin()
        supervisor.start(spec(folder, STAYS, supervisor.marked_environ, "store"),
                         spec(folder, HAS_A_DAUGHTER, supervisor.marked_environ, "service"))
        supervisor.keep_up()
        print("up", flush=True)
        threading.Event().wait()
except Stopped:
    supervisor.stop()
"""


def start_supervising(folder: Path, *before: str) -> subprocess.Popen[str]:
    environ = {**plain_environ(), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    process = subprocess.Popen(
        [*before, sys.executable, "-c", SUPERVISING, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_is_left_when_the_supervisor_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    process = start_supervising(tmp_path)
    marked = find_marked(mark_of(tmp_path))
    process.send_signal(number)
    process.communicate(timeout=30)

    assert len(marked) == 3
    assert eventually(lambda: find_marked(mark_of(tmp_path)) == [])


def test_under_nohup_a_closed_terminal_ends_nothing(tmp_path: Path) -> None:
    process = start_supervising(tmp_path, "nohup")
    process.send_signal(signal.SIGHUP)

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert eventually(lambda: find_marked(mark_of(tmp_path)) == [])
