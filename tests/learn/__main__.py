"""``make learn``: the default recipe on five seeds, and six dead runs; a table for docs/benchmarks.md.

What has been run is kept in ``.cache/learn`` and not run again, so that it may be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from periscope_embedded.underwater import write_dataset
from tests.learn.dead_runs import DEAD_RUNS, SIDE, TRAIN_IMAGES, VAL_IMAGES, DeadRun
from tests.learn.training import Outcome, follow

CACHE = Path(".cache/learn")
SEEDS = range(5)
GOOD_ENOUGH = 0.5
EPOCHS, DEAD_EPOCHS = 10, 3
CLASSES = "buoy,gate"


def main() -> int:
    """Run what is missing, print the table; 1 when something is not as it should be."""
    parser = argparse.ArgumentParser(prog="make learn", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], "dead", "seeds"], help="default: both")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    parts = given.parts or ["dead", "seeds"]
    rows = [
        *(_dead_rows(given.threads) if "dead" in parts else []),
        *(_seed_rows(given.threads) if "seeds" in parts else []),
    ]
    print("| training | digits_map after | the doctor said | as it should be |\n|---|---|---|---|")
    for what, outcome, good in rows:
        maps = ", ".join(f"{name} {value:.2f}" for name, value in outcome.digits_map.items()) or "-"
        said = ", ".join(f"{code} (epoch {epoch:.3g})" for epoch, code in outcome.findings) or "nothing"
        print(f"| {what} | {maps}, {outcome.epochs:.3g} epochs | {said} | {'yes' if good else 'NO'} |")
    return 0 if all(good for _, _, good in rows) else 1


def _dead_rows(threads: int) -> Iterator[tuple[str, Outcome, bool]]:
    for run in DEAD_RUNS:
        outcome = _kept(f"dead-{run.name.replace(' ', '-')}") or _run_dead(run, threads)
        named = {code for epoch, code in outcome.findings if epoch <= DEAD_EPOCHS}
        # Its own cause and no other one.
        yield run.name, outcome, bool(named & run.codes) and _kinds(named) <= _kinds(run.codes)


def _kinds(codes: frozenset[str] | set[str]) -> set[str]:
    kinds = {code.partition(":")[0] for code in codes}
    # Which of them it is depends on the class, or on chance.
    alike = {"boxes_below_a_cell": "small", "boxes_too_low": "small", "collapsed_from_learning_rate": "rate",
             "learning_rate_too_high": "rate", "not_finite": "rate"}  # fmt: skip
    return {alike.get(kind, kind) for kind in kinds}


def _seed_rows(threads: int) -> Iterator[tuple[str, Outcome, bool]]:
    for seed in SEEDS:
        outcome = _kept(f"seed-{seed}") or _run_seed(seed, threads)
        learnt = len(outcome.digits_map) == 2 and min(outcome.digits_map.values()) > GOOD_ENOUGH
        yield f"recipe default, seed {seed}", outcome, learnt and not outcome.findings


def _run_dead(run: DeadRun, threads: int) -> Outcome:
    print(f"  {run.name}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "data"
        write_dataset(folder, train_images=TRAIN_IMAGES, val_images=VAL_IMAGES, width=SIDE, height=SIDE)
        run.spoil(folder)
        options = {"epochs": DEAD_EPOCHS, **run.options}
        return _keep(
            f"dead-{run.name.replace(' ', '-')}",
            follow(folder, Path(work), (run.side, run.side), CLASSES, options, threads),
        )


def _run_seed(seed: int, threads: int) -> Outcome:
    """The data set of ``make run``."""
    print(f"  seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "data"
        write_dataset(folder, train_images=560, val_images=60, width=256, height=256)
        options = {"epochs": EPOCHS, "seed": seed}
        return _keep(f"seed-{seed}", follow(folder, Path(work), (256, 256), CLASSES, options, threads))


def _keep(name: str, outcome: Outcome) -> Outcome:
    (CACHE / f"{name}.json").write_text(json.dumps(asdict(outcome)))
    return outcome


def _kept(name: str) -> Outcome | None:
    path = CACHE / f"{name}.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return Outcome(kept["digits_map"], [(epoch, code) for epoch, code in kept["findings"]], kept["epochs"])


if __name__ == "__main__":
    sys.exit(main())
