"""Which versions are held and by what, and what a clean-up does with each. On plain values.

A version goes in two steps. In the trash it can no longer be pointed to, and is deleted only when the grace
period is over and still nothing points to it: whoever pointed to it at the very moment is seen by then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from periscope.clock import from_rfc3339
from periscope_registry.fleet import Body, Held, Release, in_use
from periscope_registry.promotion import earlier_versions
from periscope_registry.rollout_rules import ABORTED, ROLLED_BACK

Reasons = Mapping[Release, Sequence[str]]

KEEP, TRASH, RESTORE, DELETE = "keep", "trash", "restore", "delete"


@dataclass(frozen=True)
class Retention:
    """What a clean-up leaves alone; ``keep_newest`` None: everything."""

    keep_newest: int | None
    keep_days: int

    @classmethod
    def of(cls, model: Body) -> Retention:
        """That of a model's document."""
        told = model.get("retention") or {}
        return cls(told.get("keep_newest"), told.get("keep_days", 0))


@dataclass(frozen=True)
class Fate:
    """What becomes of a version, and what holds it."""

    model: str
    version: int
    action: str
    reasons: Sequence[str]


def holders(held: Held) -> Reasons:
    """What holds each version; a version that is not named is held by nothing."""
    found: dict[Release, list[str]] = defaultdict(list)
    for (model, _), alias in held.aliases.items():
        found[model, alias["version"]].append(f"the alias {alias['alias']!r} points to it")
        for before in earlier_versions(alias)[-1:]:
            found[model, before].append(f"the alias {alias['alias']!r} goes back to it by :rollback")
    for device_id, device in held.devices.items():
        if device["model"] is not None and device["version"] is not None:
            found[device["model"], device["version"]].append(f"the device {device['device']!r} is to have it")
        runs = in_use(held.states.get(device_id, {}).get("reports", []))
        if runs is not None:
            found[runs].append(f"the device {device['device']!r} runs it")
    for name, group in held.groups.items():
        for release, why in _held_by_group(name, group):
            found[release].append(why)
    return found


def _held_by_group(name: str, group: Body) -> list[tuple[Release, str]]:
    found = []
    if group["version"] is not None:
        found.append(((group["model"], group["version"]), f"the group {name!r} is to have it"))
    rollout = group["rollout"]
    if rollout is None or rollout["state"] in (ABORTED, ROLLED_BACK):
        return found
    found.append(((rollout["model"], rollout["version"]), f"a rollout of the group {name!r} brings it"))
    before = rollout["before"]
    if before["version"] is not None:
        found.append(((before["model"], before["version"]), f"the group {name!r} goes back to it"))
    return found


def fates(
    model: str,
    present: Sequence[Body],
    trash: Mapping[int, datetime],
    retention: Retention,
    reasons: Reasons,
    now: datetime,
    grace: timedelta,
) -> list[Fate]:
    """What a clean-up does with a model's versions.

    ``present`` are manifests, oldest first; ``trash`` says since when versions are in the trash. Those that
    stay there for now are left out.
    """
    found = []
    for place, manifest in enumerate(present):
        if retention.keep_newest is None:
            break
        why = list(reasons.get((model, manifest["version"]), ()))
        if len(present) - place <= retention.keep_newest:
            why.append(f"it is one of the newest {retention.keep_newest}")
        if now - from_rfc3339(manifest["created_at"]) < timedelta(days=retention.keep_days):
            why.append(f"it is younger than {retention.keep_days} days")
        found.append(Fate(model, manifest["version"], KEEP if why else TRASH, why))
    for number, since in sorted(trash.items()):
        why = list(reasons.get((model, number), ()))
        if why:
            found.append(Fate(model, number, RESTORE, why))
        elif now - since >= grace:
            found.append(Fate(model, number, DELETE, []))
    return found


def stage_history(aliases: Sequence[Body], version: int) -> list[dict[str, Any]]:
    """When which alias pointed to a version, oldest first."""
    found = []
    for alias in aliases:
        moves = alias["history"]
        for move, after in zip(moves, [*moves[1:], None], strict=True):
            if move["version"] == version:
                to_at = None if after is None else after["at"]
                entry = {"alias": alias["alias"], "from_at": move["at"], "to_at": to_at, "by": move["by"]}
                found.append(entry)
    return sorted(found, key=lambda entry: str(entry["from_at"]))
