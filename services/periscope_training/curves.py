"""What a job's committed epochs and progress records say: the best epoch, how far, how long. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

Epoch = Mapping[str, Any]
"""An entry of the checkpoint document's ``epochs``."""

T = TypeVar("T")


class NoSuchEpoch(LookupError):
    """The job has not committed the epoch that was asked for."""


def best_epoch(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch with the highest ``digits_map``; of equal ones the higher ``pooled_map``, then the later."""

    def figures(epoch: Epoch) -> tuple[float, float, float]:
        validation = epoch["metrics"]["val"]
        return validation["digits_map"], validation["pooled_map"], epoch["step"]

    return max(epochs, key=figures, default=None)


def find_epoch(epochs: Sequence[Epoch], which: str) -> Epoch:
    """The epoch named by ``best``, ``latest`` or its number, fractional ones to three digits.

    Raises NoSuchEpoch with the numbers that there are.
    """
    if which == "best":
        found = best_epoch(epochs)
    elif which == "latest":
        found = epochs[-1] if epochs else None
    else:
        found = next((epoch for epoch in epochs if _same_number(epoch["epoch"], which)), None)
    if found is None:
        there = ", ".join(epoch_text(epoch["epoch"]) for epoch in epochs[-20:]) or "none yet"
        raise NoSuchEpoch(f"The job has no epoch {which!r} that could be published; it has: {there}.")
    return found


def epoch_text(number: float) -> str:
    """An epoch's number as people write it: ``3``, ``2.5``."""
    return f"{round(number, 3):g}"


def _same_number(number: float, text: str) -> bool:
    try:
        return abs(number - float(text)) < 0.0005
    except ValueError:
        return False


def progress_ratio(step: int, max_step: int) -> float:
    """How much of training is done, 0-1."""
    return min(1.0, max(0.0, step / max_step)) if max_step > 0 else 0.0


def remaining_s(record: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds until the end: what the training program expected at its last word, less the time since."""
    if record.get("eta_s") is None:
        return None
    age_s = (now - datetime.fromisoformat(record["at"])).total_seconds()
    return max(0.0, float(record["eta_s"]) - max(0.0, age_s))


def thin(items: Sequence[T], limit: int) -> list[T]:
    """At most ``limit`` items, evenly spread, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    if limit < 2:
        return list(items[-limit:]) if limit else []
    span = len(items) - 1
    return [items[round(index * span / (limit - 1))] for index in range(limit)]
