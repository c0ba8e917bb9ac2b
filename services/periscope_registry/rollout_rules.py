"""Rollouts of one version through a group in stages, on plain values.

A rollout lives inside its group's document, so every step is one conditional write: whoever is killed
leaves the step made or not made, and the next look at the group makes it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Body = dict[str, Any]
Outcome = Literal["pending", "confirmed", "failed"]

RUNNING, PAUSED, SUCCEEDED, ABORTED, ROLLED_BACK = "RUNNING", "PAUSED", "SUCCEEDED", "ABORTED", "ROLLED_BACK"
ACTIONS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "pause": ((RUNNING,), PAUSED),
    "resume": ((PAUSED,), RUNNING),
    "abort": ((RUNNING, PAUSED), ABORTED),
    "rollback": ((RUNNING, PAUSED, SUCCEEDED), ROLLED_BACK),
}
"""What people may do: from which states, to which."""
FAILED_STATES = ("failed", "rolled_back")
EVERYBODY = 100.0


def choose(rollout: Mapping[str, Any], stage: int, members: Sequence[str]) -> list[str]:
    """The devices of a stage: those of the stages before, the named ones, then others by a fixed hash."""
    wanted = rollout["stages"][stage]
    kept = [name for name in rollout["chosen"] if name in members]
    kept += [name for name in wanted["devices"] if name in members and name not in kept]
    others = sorted((name for name in members if name not in kept), key=lambda name: _rank(rollout, name))
    # Rounded up, so that a tenth of three robots is one robot and no stage is passed by nobody.
    count = math.ceil(len(members) * wanted["percent"] / 100)
    return kept + others[: max(0, count - len(kept))]


def has_new_version(rollout: Mapping[str, Any] | None, device: str) -> bool:
    """Whether a device of the group should have the rollout's version already."""
    if rollout is None or rollout["state"] not in (RUNNING, PAUSED):
        return False
    is_for_all = rollout["stages"][rollout["stage"]]["percent"] >= EVERYBODY
    return device in rollout["chosen"] or is_for_all


def outcome(rollout: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]) -> Outcome:
    """How a device fared with the rollout's version: its last word since the rollout began."""
    for report in reversed(reports):
        is_its = report.get("version") == rollout["version"] and report.get("model") == rollout["model"]
        if not is_its or report["received_at"] < rollout["started_at"]:
            continue
        if report["state"] == "confirmed":
            return "confirmed"
        if report["state"] in FAILED_STATES and report["received_at"] >= rollout["resumed_at"]:
            return "failed"
    return "pending"


def advance(rollout: Body, outcomes: Mapping[str, Outcome], members: Sequence[str]) -> Body:
    """The rollout one step on, or as it is. Devices that came later count from the next stage on."""
    if rollout["state"] != RUNNING:
        return rollout
    # Who has left the group, or is no more, is waited for by nobody.
    told = [outcomes.get(name, "pending") for name in rollout["chosen"] if name in members]
    failed, confirmed = told.count("failed"), told.count("confirmed")
    if told and failed / len(told) > rollout["max_failed_ratio"]:
        reason = f"{failed} of {len(told)} devices failed"
        return rollout | {"state": PAUSED, "reason": reason}
    if not told or confirmed / len(told) < rollout["min_confirmed_ratio"]:
        return rollout if told else rollout | {"chosen": choose(rollout, rollout["stage"], members)}
    if rollout["stage"] + 1 == len(rollout["stages"]):
        return rollout | {"state": SUCCEEDED, "reason": ""}
    stage = rollout["stage"] + 1
    return rollout | {"stage": stage, "chosen": choose(rollout, stage, members)}


def _rank(rollout: Mapping[str, Any], device: str) -> str:
    return hashlib.sha256(f"{rollout['id']}/{device}".encode()).hexdigest()
