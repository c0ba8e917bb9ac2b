"""`make chaos`: load and faults for some minutes, calm, then the auditor's verdict. Ends with 1 if a promise was broken."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.auditor import audit, unnamed_blobs
from tests.chaos.faults import Faults
from tests.chaos.load import Load
from tests.chaos.replicas import ReplicatedStack
from tests.system.loop import Observer, Stack

CALM_S = 180.0
"""How long everything may take to come to rest after the last fault."""


def main() -> int:
    """Run it; print what was done, what was broken and what the auditor found."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--teams", type=int, default=2, help="who push, train and publish side by side")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the faults' order; default: another each time"
    )
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 30) if given.seed is None else given.seed
    print(f"seed {seed}, {given.minutes:g} minutes, {given.teams} teams", flush=True)
    with tempfile.TemporaryDirectory(prefix="periscope-chaos-") as scratch:
        return run(Path(scratch), given.minutes * 60, given.teams, seed)


def run(scratch: Path, seconds: float, teams: int, seed: int) -> int:
    """The exit code: 0 if every promise was kept, something was done, and every fault happened."""
    with ReplicatedStack(scratch / "home", seed) as stack:
        load, faults = Load(stack, scratch / "load", teams), Faults(stack, seed)
        with Observer(stack) as observer:
            load.start()
            faults.start()
            time.sleep(seconds)
            faults.end()
            load.end()
        violations = [*settled(stack, load), *stack.surprises()]
        report(load, faults, observer, violations)
        print(f"requests that met a failing store: {dict(stack.proxy.met)}")
        print(f"blobs that no version names, for the clean-up: {unnamed_blobs(stack.store())}")
        # What was not broken is not shown to hold.
        for fault in faults.missed:
            print(f"did not happen: {fault}")
        whole = not (violations or observer.violations or faults.missed)
        return 0 if whole and load.done["versions published"] and load.done["updates of robots"] else 1


def settled(stack: Stack, load: Load) -> list[str]:
    """The auditor's findings once they no longer change for the better, at the latest after CALM_S."""
    deadline = time.monotonic() + CALM_S
    while True:
        violations = audit(stack.store(), load.journal, load.robot_roots, stack.pid("trainer"))
        if not violations or time.monotonic() > deadline:
            return violations
        time.sleep(5)


def report(load: Load, faults: Faults, observer: Observer, violations: list[str]) -> None:
    """For people and for docs/benchmarks.md."""
    print("\n| done under faults | times |\n|---|---|")
    for what, times in sorted(load.done.items()):
        print(f"| {what} | {times} |")
    print(f"| looks at all that is visible | {observer.looks} |")
    print("\n| fault | times |\n|---|---|")
    for what, times in sorted(faults.done.items()):
        print(f"| {what} | {times} |")
    print(f"\nacknowledged writes audited: {len(load.journal)}")
    for failure in load.failures:
        print(f"not done: {failure}")
    for violation in [*violations, *sorted(set(observer.violations))]:
        print(f"BROKEN PROMISE: {violation}")
    print("broken promises: " + str(len(violations) + len(set(observer.violations))), flush=True)


if __name__ == "__main__":
    sys.exit(main())
