"""Two or more ways of doing one thing, timed in turns, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PAIRS = 7


@dataclass(frozen=True)
class Row:
    """One line of the table. Ratios are of each turn, so a slow turn is slow on both sides of it."""

    what: str
    variant: str
    seconds: tuple[float, ...]
    """One entry a turn, for one unit of work."""
    ratios: tuple[float, ...]
    """How many times as fast as the first variant, in each turn."""

    def to_markdown(self) -> str:
        """Median and range of both."""
        times = f"{_span([1000 * value for value in self.seconds])} ms"
        ratio = "1" if set(self.ratios) == {1.0} else f"{_span(list(self.ratios))}"
        return f"| {self.what} | {self.variant} | {times} | {ratio} |"


@dataclass(frozen=True)
class MemoryRow:
    """A line of the same table, of memory instead of time."""

    what: str
    variant: str
    peaks_mib: tuple[float, ...]
    """One entry a process."""
    note: str = ""

    def to_markdown(self) -> str:
        """Median and range; the note stands where ratios do."""
        return f"| {self.what} | {self.variant} | {_span(list(self.peaks_mib))} MiB | {self.note} |"


def in_turns(
    what: str, variants: Mapping[str, Callable[[], object]], *, units: int = 1, turns: int = PAIRS
) -> list[Row]:
    """Call every variant once in each turn; ``units`` is how many units of work one call does.

    The first variant is what the others are compared with. Each is called once before, unmeasured.
    """
    for call in variants.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for turn in range(turns):
        # Another one begins each time: who follows whom may matter.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[name].append(_timed(variants[name]) / units)
    first = seconds[names[0]]
    return [
        Row(what, name, tuple(taken), tuple(a / b for a, b in zip(first, taken, strict=True)))
        for name, taken in seconds.items()
    ]


def table(rows: Sequence[Row | MemoryRow]) -> str:
    """For docs/benchmarks.md."""
    head = "| what | variant | time of one, median (lowest-highest) | times as fast as the first |\n|---|---|---|---|"
    return "\n".join([head, *(row.to_markdown() for row in rows)])


def _timed(call: Callable[[], object]) -> float:
    gc.collect()
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _span(values: list[float]) -> str:
    return f"{statistics.median(values):.3g} ({min(values):.3g}-{max(values):.3g})"
