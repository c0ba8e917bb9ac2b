"""The fleet at one moment: what each device runs and should run, and how rollouts stand. On plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from periscope_registry.rollout_rules import Outcome, has_new_version, outcome

Body = Mapping[str, Any]
OUTCOMES: tuple[Outcome, ...] = ("pending", "confirmed", "failed")
IN_USE_STATES = ("active", "confirmed")
MAX_DEVICES = 2000
"""Shown, oldest first; further devices have no series."""


Release = tuple[str, int]
"""A model's name and a version's number."""


@dataclass(frozen=True)
class DeviceView:
    """One device. Times are Unix seconds by the registry's clock; None: never."""

    device: str
    group: str
    runs: Release | None
    """By its own word."""
    wanted: Release | None
    last_contact_s: float | None
    last_rollback_s: float | None


@dataclass(frozen=True)
class RolloutView:
    """A group's newest rollout."""

    group: str
    model: str
    version: int
    state: str
    devices: Mapping[Outcome, int]
    """Of those that should have the version already."""


@dataclass(frozen=True)
class Fleet:
    """All devices and rollouts."""

    devices: Sequence[DeviceView]
    rollouts: Sequence[RolloutView]


@dataclass(frozen=True)
class Held:
    """What the store holds, as bodies: devices and what they told by id; the rest by name."""

    devices: Mapping[str, Body]
    states: Mapping[str, Body]
    groups: Mapping[str, Body]
    aliases: Mapping[tuple[str, str], Body]
    """By model's and alias's name."""
    everybody: str
    """The group of devices that are in none."""


def look_at(held: Held) -> Fleet:
    """The fleet as it is held."""
    shown = list(held.devices.items())[:MAX_DEVICES]
    reports = {
        body["device"]: held.states.get(device_id, {}).get("reports", [])
        for device_id, body in held.devices.items()
    }
    rollouts = [
        _rollout_view(name, group["rollout"], reports)
        for name, group in held.groups.items()
        if group["rollout"] is not None
    ]
    return Fleet([_device_view(body, held.states.get(key, {}), held) for key, body in shown], rollouts)


def in_use(reports: Sequence[Body]) -> Release | None:
    """What a device runs by its reports, or None.

    A device that rolled back names the version that it left or the one that it came to.
    """
    taken: list[Release] = []
    for report in reports:
        named = (
            (report["model"], report["version"]) if report.get("model") and report.get("version") else None
        )
        if report["state"] == "damaged":
            taken.clear()
        elif named is None:
            continue
        elif report["state"] == "rolled_back":
            taken = (
                [one for one in taken if one != named] if taken and taken[-1] == named else [*taken, named]
            )
        elif report["state"] in IN_USE_STATES and taken[-1:] != [named]:
            taken.append(named)
    return taken[-1] if taken else None


def _device_view(device: Body, state: Body, held: Held) -> DeviceView:
    reports = state.get("reports", [])
    rollbacks = [report["received_at"] for report in reports if report["state"] == "rolled_back"]
    return DeviceView(
        device=device["device"],
        group=device.get("group") or held.everybody,
        runs=in_use(reports),
        wanted=_wanted(device, held),
        last_contact_s=_unix_s(state.get("last_contact_at")),
        last_rollback_s=_unix_s(max(rollbacks, default=None)),
    )


def _wanted(device: Body, held: Held) -> Release | None:
    wish = device
    if device["model"] is None:
        group = held.groups.get(device.get("group") or held.everybody)
        if group is None:
            return None
        if has_new_version(group["rollout"], device["device"]):
            return group["rollout"]["model"], group["rollout"]["version"]
        wish = group
    if wish["version"]:
        return wish["model"], wish["version"]
    alias = held.aliases.get((wish["model"], wish["alias"]))
    return None if alias is None else (wish["model"], alias["version"])


def _rollout_view(group: str, rollout: Body, reports: Mapping[str, Sequence[Body]]) -> RolloutView:
    fared = [outcome(rollout, reports.get(name, [])) for name in rollout["chosen"]]
    counts = {kind: fared.count(kind) for kind in OUTCOMES}
    return RolloutView(group, rollout["model"], rollout["version"], rollout["state"], counts)


def _unix_s(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).timestamp()
