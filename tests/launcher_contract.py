"""What every launcher must do; runs on the fake of the unit tests, on real processes and on Kubernetes.

A subclass gives the fixture ``start_world``: called with how the training program behaves, it returns a
function that makes a launcher. Each call of it is a restart of the service: same runs, nothing remembered.
Behaviours: ``succeed``, ``fail`` (exit 65 after a word), ``checkpoint`` (runs on, exits with 143 when told to
stop) and ``stubborn`` (runs on, does not listen).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from periscope_training.launcher import Launch, Launcher, Observation, Phase, Run

Opener = Callable[[], Launcher]
StartWorld = Callable[[str], Opener]

LAUNCH = Launch("01JOB", 1, "http://127.0.0.1:1/progress", "token")


class LauncherContract:
    def test_a_created_run_waits_for_its_release(self, start_world: StartWorld) -> None:
        with opened(start_world("succeed")) as launcher:
            run = create(launcher)

            assert launcher.observe(run).phase is Phase.CREATED
            assert not launcher.observe(run).started
            assert launcher.log(run) == b""

    def test_a_released_run_ends_with_its_exit_code_and_log(self, start_world: StartWorld) -> None:
        with opened(start_world("fail")) as launcher:
            run = create(launcher)
            launcher.release(run)

            assert observe_end(launcher, run) == Observation(Phase.ENDED, 65)
            assert b"a word before the end" in launcher.log(run)

    def test_who_follows_the_log_reads_everything_once_also_after_the_run_is_removed(
        self, start_world: StartWorld
    ) -> None:
        with opened(start_world("fail")) as launcher:
            run = create(launcher)
            tail = launcher.follow(run)
            read = [tail.more()]
            launcher.release(run)
            deadline = time.monotonic() + 20
            while launcher.observe(run).phase is not Phase.ENDED:
                assert time.monotonic() < deadline
                read.append(tail.more())
            # Somebody who begins late, and then reads on.
            late = launcher.follow(run)
            whole = launcher.log(run)
            assert late.more() == whole
            launcher.delete(run.job_id, run.attempt)
            read.append(tail.more())

            assert b"".join(read) == whole
            assert whole.endswith(b"a word before the end\n")
            assert tail.more() == late.more() == b""
            for each in (tail, late):
                each.close()

    def test_a_run_is_seen_running_until_it_ends(self, start_world: StartWorld) -> None:
        with opened(start_world("checkpoint")) as launcher:
            run = running(launcher)

            assert launcher.observe(run) == Observation(Phase.RUNNING)

    def test_a_stopped_run_may_checkpoint_first(self, start_world: StartWorld) -> None:
        with opened(start_world("checkpoint")) as launcher:
            run = running(launcher)
            launcher.stop(run)
            launcher.stop(run)

            assert observe_end(launcher, run) == Observation(Phase.ENDED, 143)

    def test_a_run_that_does_not_listen_is_ended_after_the_grace_period(
        self, start_world: StartWorld
    ) -> None:
        with opened(start_world("stubborn")) as launcher:
            run = running(launcher)
            launcher.stop(run)

            assert observe_end(launcher, run) == Observation(Phase.ENDED, 137)

    def test_a_run_that_was_stopped_before_its_release_never_starts(self, start_world: StartWorld) -> None:
        with opened(start_world("checkpoint")) as launcher:
            run = create(launcher)
            launcher.stop(run)

            seen = observe_end(launcher, run)
            assert (seen.exit_code, seen.started) == (None, False)

    def test_creating_again_leaves_one_run(self, start_world: StartWorld) -> None:
        with opened(start_world("checkpoint")) as launcher:
            create(launcher)
            run = running(launcher)

            assert launcher.runs() == [(run.job_id, run.attempt)]
            assert launcher.observe(run) == Observation(Phase.RUNNING)

    def test_a_restarted_service_adopts_the_run(self, start_world: StartWorld) -> None:
        open_launcher = start_world("checkpoint")
        with opened(open_launcher) as first, opened(open_launcher) as second:
            run = running(first)

            assert second.observe(run) == Observation(Phase.RUNNING)
            second.stop(run)
            assert observe_end(second, run) == Observation(Phase.ENDED, 143)

    def test_how_a_run_ended_is_known_after_a_restart(self, start_world: StartWorld) -> None:
        open_launcher = start_world("fail")
        with opened(open_launcher) as first, opened(open_launcher) as second:
            run = create(first)
            first.release(run)
            observe_end(first, run)

            assert second.observe(run) == Observation(Phase.ENDED, 65)
            assert b"a word before the end" in second.log(run)

    def test_deleting_ends_what_runs_and_leaves_nothing(self, start_world: StartWorld) -> None:
        with opened(start_world("stubborn")) as launcher:
            run = running(launcher)
            launcher.delete(run.job_id, run.attempt)
            launcher.delete(run.job_id, run.attempt)

            assert launcher.runs() == []
            assert observe_end(launcher, run).phase is Phase.ENDED
            self.require_nothing_left(launcher, run)

    def test_what_attempts_hand_on_is_kept_until_the_job_is_forgotten(self, start_world: StartWorld) -> None:
        open_launcher = start_world("succeed")
        with opened(open_launcher) as launcher:
            run = create(launcher)
            launcher.delete(run.job_id, run.attempt)
            assert open_launcher().kept_jobs() == [run.job_id]

            launcher.forget(run.job_id)
            launcher.forget(run.job_id)
            assert launcher.kept_jobs() == []

    def test_a_restarted_service_can_delete_what_it_never_saw(self, start_world: StartWorld) -> None:
        open_launcher = start_world("stubborn")
        with opened(open_launcher) as first, opened(open_launcher) as second:
            run = running(first)
            second.delete(run.job_id, run.attempt)

            assert observe_end(first, run).phase is Phase.ENDED

    def require_nothing_left(self, launcher: Launcher, run: Run) -> None:
        assert launcher.log(run) == b""


def create(launcher: Launcher) -> Run:
    return Run(LAUNCH.job_id, LAUNCH.attempt, launcher.create(LAUNCH))


def running(launcher: Launcher) -> Run:
    run = create(launcher)
    launcher.release(run)
    deadline = time.monotonic() + 20
    while b"running" not in launcher.log(run):
        assert time.monotonic() < deadline, launcher.log(run)
        time.sleep(0.02)
    return run


def observe_end(launcher: Launcher, run: Run) -> Observation:
    deadline = time.monotonic() + 20
    while (seen := launcher.observe(run)).phase is not Phase.ENDED:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


@contextmanager
def opened(open_launcher: Opener) -> Iterator[Launcher]:
    launcher = open_launcher()
    try:
        yield launcher
    finally:
        for job_id, attempt in launcher.runs():
            launcher.delete(job_id, attempt)
        launcher.close()
