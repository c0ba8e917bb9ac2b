"""SIGKILL of each process at a random moment of the loop: it ends with the same model, and nothing half-made shows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.loop import Observer, Stack, run_loop

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]


class Undisturbed:
    """One loop without a fault: its model, and when each stage began."""

    def __init__(self, stack: Stack, scratch: Path) -> None:
        self.began: dict[str, float] = {}
        start = time.monotonic()
        self.model = run_loop(stack, "undisturbed", scratch, self._note(start))
        self.seconds = time.monotonic() - start

    def _note(self, start: float):  # type: ignore[no-untyped-def] # a closure for run_loop
        return lambda stage: self.began.update({stage: time.monotonic() - start})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack.serving(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(stack, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("victim", ["store", "dataset", "training", "registry", "trainer"])
def test_the_loop_survives_the_sudden_end_of(
    victim: str, stack: Stack, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")  # Shown with a failure.
    moment = random.Random(seed)
    stages = undisturbed.began
    if victim == "trainer":
        begins = threading.Event()
        delay_s = moment.uniform(0, stages["publishing"] - stages["training"])
    else:
        begins = threading.Event()
        begins.set()
        delay_s = moment.uniform(0, undisturbed.seconds)
    killed: list[int] = []

    def kill() -> None:
        begins.wait()
        if victim == "trainer":
            # Counted from the program's start, so that there is one to end.
            deadline = time.monotonic() + 60
            while stack.pid("trainer") is None and time.monotonic() < deadline:
                time.sleep(0.02)
            delay = min(delay_s, 3.0)
        else:
            delay = delay_s
        time.sleep(delay)
        killed.append(stack.kill(victim))

    killer = threading.Thread(target=kill, daemon=True)
    with Observer(stack) as observer:
        killer.start()
        model = run_loop(
            stack, f"killed-{victim}", tmp_path, lambda stage: begins.set() if stage == "training" else None
        )
        killer.join(60)

    assert killed, f"{victim} was never ended"
    assert model == undisturbed.model
    assert observer.violations == []
    assert observer.looks > 0
