from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from periscope_training import processes
from periscope_training.launcher import Launch, NoPlaceYet, Observation, Phase, Run
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


def test_gpus_are_held_by_one_run_at_a_time_also_over_a_restart(tmp_path: Path) -> None:
    """No GPU is needed for that: what a run may see is its environment."""
    program = """if True:
        import os, time
        seen = (os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "PERISCOPE_TRAINER_RANKS"))
        print(*seen, "running", flush=True)
        time.sleep(60)
    """
    command = (sys.executable, "-c", program)
    present = {0: "GPU-a", 1: "GPU-b", 2: "GPU-c"}

    def launcher() -> ProcessLauncher:
        return ProcessLauncher(tmp_path, command, grace_s=0.5, environ=os.environ, gpus=present)

    def wants(job_id: str, **resources: object) -> Launch:
        return Launch(job_id, 1, "http://127.0.0.1:1/progress", "token", resources)

    def said(launcher: ProcessLauncher, launch: Launch) -> bytes:
        run = Run(launch.job_id, 1, launcher.create(launch))
        launcher.release(run)
        deadline = time.monotonic() + 20
        while not launcher.log(run).endswith(b"running\n"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return launcher.log(run)

    with opened(launcher) as first:
        assert said(first, wants("01A", gpus=2)) == b"GPU-a,GPU-b 2 running\n"
        with opened(launcher) as second:
            with pytest.raises(NoPlaceYet, match="GPU 1; other trainings hold 0, 1"):
                second.create(wants("01B", gpu_indices=[1]))
            assert second.runs() == [("01A", 1)]
            assert said(second, wants("01C")) == b"GPU-c 1 running\n"
            assert said(second, wants("01D", gpus=0)) == b" 1 running\n"
            second.delete("01A", 1)
            assert said(second, wants("01B", gpu_indices=[1])) == b"GPU-b 1 running\n"


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
