"""SIGKILL of each process at a random moment of the loop: it ends with the same model, and nothing half-made shows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.loop import Observer, Stack, run_loop

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]


@dataclass(frozen=True)
class Undisturbed:
    """A loop without a fault: its model, and how long it took."""

    model: bytes
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    start = time.monotonic()
    model = run_loop(stack, "undisturbed", tmp_path_factory.mktemp("undisturbed"))
    return Undisturbed(model, time.monotonic() - start)


@pytest.mark.parametrize("victim", ["store", "dataset", "training", "registry"])
def test_the_loop_survives_the_sudden_end_of(
    victim: str, stack: Stack, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    delay_s = random_moment().uniform(0, undisturbed.seconds)

    def at_the_moment(ended: threading.Event) -> None:
        ended.wait(delay_s)

    assert_survives(victim, at_the_moment, stack, undisturbed, tmp_path)


@pytest.mark.parametrize("epochs", [0, 1, 2], ids=lambda epochs: f"after {epochs} epochs")
def test_the_loop_survives_the_sudden_end_of_the_trainer(
    epochs: int, stack: Stack, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    delay_s = random_moment().uniform(0, 0.3)
    earlier = stack.committed_epochs()

    def after_the_epochs(ended: threading.Event) -> None:
        while stack.pid("trainer") is None or stack.committed_epochs() < earlier + epochs:
            if ended.wait(0.02):
                return
        ended.wait(delay_s)

    assert_survives("trainer", after_the_epochs, stack, undisturbed, tmp_path)


def random_moment() -> random.Random:
    """Another moment in every run; its seed is shown with a failure."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    return random.Random(seed)


def assert_survives(
    victim: str,
    wait: Callable[[threading.Event], None],
    stack: Stack,
    undisturbed: Undisturbed,
    scratch: Path,
) -> None:
    """Run the loop, end the victim when ``wait`` returns, and compare with the undisturbed loop."""
    killed: list[int] = []
    ended = threading.Event()

    def kill() -> None:
        wait(ended)
        if not ended.is_set():
            killed.append(stack.kill(victim))

    killer = threading.Thread(target=kill, daemon=True)
    with Observer(stack) as observer:
        killer.start()
        try:
            model = run_loop(stack, scratch.name, scratch)
        finally:
            ended.set()
            killer.join(60)

    assert killed, f"{victim} was not ended before the loop was over"
    assert model == undisturbed.model
    assert observer.violations == []
    assert observer.looks > 0


def test_a_pause_in_the_middle_of_an_epoch_changes_no_byte(
    stack: Stack, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """SIGTERM by the process launcher, a checkpoint, and another attempt that goes on from it."""
    earlier, paused = stack.committed_epochs(), []
    ended = threading.Event()

    def pause_and_resume() -> None:
        client = stack.client("training")
        while stack.pid("trainer") is None or stack.committed_epochs() < earlier + 1:
            if ended.wait(0.02):
                return
        (job,) = client.get("/v1/jobs", params={"name": tmp_path.name})["items"]
        client.post(f"/v1/jobs/{job['id']}:pause")
        while (seen := client.get(f"/v1/jobs/{job['id']}"))["state"] != "PAUSED":
            if ended.wait(0.1):
                return
        paused.append(seen)
        client.post(f"/v1/jobs/{job['id']}:resume")

    thread = threading.Thread(target=pause_and_resume, daemon=True)
    thread.start()
    try:
        model = run_loop(stack, tmp_path.name, tmp_path)
    finally:
        ended.set()
        thread.join(60)

    (job,) = paused
    assert job["attempts"][0]["exit_code"] == 143
    assert model == undisturbed.model
