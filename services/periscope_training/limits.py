"""When a job has had enough: its deadline, its share of GPU time, or no better epoch for long. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from periscope_training.actions import State
from periscope_training.curves import Epoch, best_epoch, epoch_text
from periscope_training.lifecycle import Stop

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0


def reached_limit(body: Mapping[str, Any], epochs: Sequence[Epoch], gpus: int, now: datetime) -> Stop | None:
    """The first limit of the job document that is reached, or None.

    ``gpus`` is how many an attempt holds. An early stop is a success: the best epoch is as good as it gets.
    """
    limits = body.get("limits") or {}
    deadline = limits.get("deadline")
    if deadline is not None and now >= datetime.fromisoformat(deadline):
        return Stop(State.CANCELLED, f"its deadline {deadline} has passed; saved epochs stay usable")
    hours, most = gpu_hours(body, gpus, now), limits.get("max_gpu_hours")
    if most is not None and hours >= most:
        return Stop(State.CANCELLED, f"it has used its {most:g} GPU hours; saved epochs stay usable")
    patience = limits.get("early_stop_epochs")
    return None if patience is None else _no_better_since(epochs, patience)


def waited_too_long(body: Mapping[str, Any], deadline_s: float, now: datetime) -> Stop | None:
    """Whether a job has been PENDING, its run made and no place found, for longer than ``deadline_s``."""
    if body["state"] != State.PENDING:
        return None
    since = datetime.fromisoformat(body["history"][-1]["at"])
    if (now - since).total_seconds() < deadline_s:
        return None
    return Stop(
        State.FAILED,
        f"it found no place to run for {deadline_s / SECONDS_PER_DAY:.3g} days. Last: {body['reason']} "
        "Mend that, or ask for less (resources), and clone the job.",
    )


def gpu_hours(body: Mapping[str, Any], gpus: int, now: datetime) -> float:
    """GPU hours of all attempts until now; without a GPU the process counts as one."""
    seconds = 0.0
    for attempt in body["attempts"]:
        if attempt["started_at"] is not None:
            ended_at = now if attempt["ended_at"] is None else datetime.fromisoformat(attempt["ended_at"])
            seconds += max(0.0, (ended_at - datetime.fromisoformat(attempt["started_at"])).total_seconds())
    return seconds * max(1, gpus) / SECONDS_PER_HOUR


def _no_better_since(epochs: Sequence[Epoch], patience: float) -> Stop | None:
    best = best_epoch(epochs)
    if best is None:
        return None
    # Of equal epochs the later is the best; for patience the first of them counts.
    first = next(epoch for epoch in epochs if _map(epoch) >= _map(best))
    waited = epochs[-1]["epoch"] - first["epoch"]
    if waited < patience:
        return None
    return Stop(
        State.SUCCEEDED,
        f"stopped early: digits_map has not risen above {_map(first):.4f} of epoch "
        f"{epoch_text(first['epoch'])} for {epoch_text(waited)} epochs",
    )


def _map(epoch: Epoch) -> float:
    return float(epoch["metrics"]["val"]["digits_map"])
