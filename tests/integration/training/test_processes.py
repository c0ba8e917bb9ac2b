from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from periscope_training.processes import boot_id, end_session, send_signal, start_time


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def started(process: subprocess.Popen[bytes]) -> int:
    found = start_time(process.pid)
    assert found is not None
    return found


def test_a_process_keeps_its_start_time_and_a_later_one_has_a_later_time(
    process: subprocess.Popen[bytes],
) -> None:
    first = started(process)
    time.sleep(0.05)
    with subprocess.Popen(["sleep", "60"]) as later:
        assert started(later) > first
        later.kill()

    assert started(process) == first


def test_what_has_ended_has_no_start_time_even_while_nobody_reaped_it(
    process: subprocess.Popen[bytes],
) -> None:
    process.kill()
    while start_time(process.pid) is not None:
        time.sleep(0.01)

    assert process.wait() == -signal.SIGKILL
    assert start_time(process.pid) is None


def test_a_signal_reaches_the_process_that_was_meant(process: subprocess.Popen[bytes]) -> None:
    assert send_signal(process.pid, started(process), signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert not send_signal(process.pid, 1, signal.SIGTERM)


def test_a_signal_never_reaches_another_process_with_the_same_number(
    process: subprocess.Popen[bytes],
) -> None:
    assert not send_signal(process.pid, started(process) - 1, signal.SIGKILL)
    end_session(process.pid, started(process) - 1)
    time.sleep(0.1)

    assert process.poll() is None


def test_a_session_is_ended_with_its_leader(process: subprocess.Popen[bytes]) -> None:
    end_session(process.pid, started(process))

    assert process.wait(10) == -signal.SIGKILL


def test_a_boot_has_a_name() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
