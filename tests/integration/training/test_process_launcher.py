from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from periscope_training import processes
from periscope_training.launcher import Observation, Phase, Run
from periscope_training.process_launcher import ProcessLauncher
from tests.integration.training import behaving_program
from tests.launcher_contract import LAUNCH, LauncherContract, StartWorld, create, observe_end, opened, running


@pytest.fixture
def start_world(tmp_path: Path) -> StartWorld:
    def start(behaviour: str):
        command = (sys.executable, behaving_program.__file__, behaviour)
        return lambda: ProcessLauncher(tmp_path, command, grace_s=0.5, environ=os.environ)

    return start


class TestProcessLauncher(LauncherContract):
    pass


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while processes.start_time(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_when_the_program_is_killed_its_status_says_so(start_world: StartWorld) -> None:
    with opened(start_world("checkpoint")) as launcher:
        run = running(launcher)
        (program,) = children_of(run.handle["pid"])
        os.kill(program, signal.SIGKILL)

        assert observe_end(launcher, run) == Observation(Phase.ENDED, 137)


def test_when_the_supervisor_is_killed_the_program_dies_with_it(start_world: StartWorld) -> None:
    with opened(start_world("stubborn")) as launcher:
        run = running(launcher)
        (program,) = children_of(run.handle["pid"])
        os.kill(run.handle["pid"], signal.SIGKILL)
        wait_until_gone(program)

        assert observe_end(launcher, run) == Observation(Phase.ENDED, None)


def test_when_the_supervisor_is_killed_the_programs_own_children_are_found_and_killed(tmp_path: Path) -> None:
    script = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    )
    with opened(
        lambda: ProcessLauncher(tmp_path, (sys.executable, "-c", script), 0.5, os.environ)
    ) as launcher:
        run = create(launcher)
        launcher.release(run)
        while not launcher.log(run).endswith(b"\n"):
            time.sleep(0.02)
        os.kill(run.handle["pid"], signal.SIGKILL)

        assert observe_end(launcher, run) == Observation(Phase.ENDED, None)
        wait_until_gone(int(launcher.log(run)))


def test_what_the_program_started_does_not_outlive_it(tmp_path: Path) -> None:
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid); sys.exit(3)"
    with opened(
        lambda: ProcessLauncher(tmp_path, (sys.executable, "-c", script), 0.5, os.environ)
    ) as launcher:
        run = create(launcher)
        launcher.release(run)
        wait_until_gone(run.handle["pid"])
        wait_until_gone(int(launcher.log(run)))

        assert observe_end(launcher, run).exit_code == 3


def test_another_process_with_the_same_number_is_left_alone(start_world: StartWorld) -> None:
    with opened(start_world("stubborn")) as launcher:
        run = running(launcher)
        earlier = {**run.handle, "start_time": run.handle["start_time"] - 1}
        before_the_boot = {**run.handle, "boot_id": "another"}
        for handle in (earlier, before_the_boot):
            stranger = Run(run.job_id, run.attempt, handle)
            launcher.stop(stranger)

            assert launcher.observe(stranger).phase is Phase.ENDED
        assert launcher.observe(run) == Observation(Phase.RUNNING)


def test_a_service_that_dies_before_the_release_leaves_nothing_running(tmp_path: Path) -> None:
    program = f"""
import os, sys
from pathlib import Path
from periscope_training.process_launcher import ProcessLauncher
from tests.launcher_contract import LAUNCH
command = (sys.executable, "-c", "print('it ran')")
launcher = ProcessLauncher(Path({str(tmp_path)!r}), command, 1.0, os.environ)
print(launcher.create(LAUNCH)["pid"], flush=True)
os._exit(9)
"""
    service = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    wait_until_gone(int(service.stdout))
    restarted = ProcessLauncher(tmp_path, (), 1.0, os.environ)

    assert restarted.runs() == [(LAUNCH.job_id, LAUNCH.attempt)]
    (log,) = tmp_path.rglob("log.txt")
    assert log.read_bytes() == b""


def test_a_program_that_cannot_be_started_is_a_bad_configuration(tmp_path: Path) -> None:
    with opened(lambda: ProcessLauncher(tmp_path, ("/no/such/program",), 0.5, os.environ)) as launcher:
        run = create(launcher)
        launcher.release(run)

        assert observe_end(launcher, run) == Observation(Phase.ENDED, 78)
        assert b"cannot_start" in launcher.log(run)


def test_the_programs_environment_has_the_store_but_none_of_the_services_tokens(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "S3_BUCKET": "b",
        "PERISCOPE_ADMIN_TOKEN": "t",
        "PERISCOPE_JOB_TOKEN_SECRET": "s",
    }
    script = "import os; print(sorted(name for name in os.environ if name.startswith(('S3_', 'PERISCOPE_'))))"
    with opened(lambda: ProcessLauncher(tmp_path, (sys.executable, "-c", script), 0.5, environ)) as launcher:
        run = create(launcher)
        launcher.release(run)
        observe_end(launcher, run)

        expected = ["PERISCOPE_PROGRESS_TOKEN", "PERISCOPE_PROGRESS_URL", "PERISCOPE_WORK_DIR", "S3_BUCKET"]
        assert launcher.log(run).decode().strip() == str(expected)


def test_a_stopping_service_lets_its_runs_checkpoint(start_world: StartWorld) -> None:
    open_launcher = start_world("checkpoint")
    with opened(open_launcher) as launcher:
        run = running(launcher)
        open_launcher().close()

        assert launcher.observe(run) == Observation(Phase.ENDED, 143)
