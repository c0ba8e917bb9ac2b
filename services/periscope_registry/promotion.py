"""What must hold before an alias moves to a version, where it was before, and how two versions differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from periscope_registry.rules import Body, IllegalMove

Gate = Mapping[str, Any]
"""``{"aliases", "minimums", "dataset", "parity"}``: see ``GateRequest``."""

_ABOUT = ("labels", "width", "height", "description", "metrics", "lineage", "flavours")


class NotGoodEnough(IllegalMove):
    """A version does not pass the model's gate."""


def require_passes(gate: Gate | None, alias: str, manifest: Mapping[str, Any]) -> None:
    """Raises NotGoodEnough, naming all that is missing, where the gate guards this alias."""
    if gate is None or alias not in gate["aliases"]:
        return
    missing = shortcomings(gate, manifest)
    if missing:
        raise NotGoodEnough(
            f"version {manifest['version']} does not pass the gate of {alias!r}: {'; '.join(missing)}"
        )


def shortcomings(gate: Gate, manifest: Mapping[str, Any]) -> list[str]:
    """Why a version does not pass, one sentence for each reason; empty when it passes."""
    figures = numbers_in(manifest.get("metrics") or {})
    found = []
    for name, least in gate["minimums"].items():
        value = figures.get(name)
        if value is None:
            found.append(f"it has no metric {name}; it has {', '.join(sorted(figures)) or 'none'}")
        elif not value >= least:
            found.append(f"{name} is {value:g}, and must be at least {least:g}")
    lineage = manifest.get("lineage") or {}
    measured_on, wanted = lineage.get("dataset"), gate["dataset"]
    if wanted is not None and measured_on != wanted:
        found.append(f"its figures are of the dataset {_named(measured_on)}, not of {_named(wanted)}")
    if gate["parity"] and not lineage.get("parity"):
        found.append("nothing says that its exports agree with the network that was trained")
    return found


def _named(dataset: Mapping[str, Any] | None) -> str:
    return f"{dataset.get('id')}, version {dataset.get('version')}" if dataset else "unknown"


def numbers_in(metrics: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """All numbers in nested figures by dotted names, ``val.classes.buoy.digits_map``."""
    found: dict[str, float] = {}
    for key, value in metrics.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found |= numbers_in(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def version_before(alias: Mapping[str, Any]) -> int:
    """Where an alias pointed before it came to where it is. Raises IllegalMove."""
    earlier = earlier_versions(alias)
    if not earlier:
        raise IllegalMove(f"the alias {alias['alias']!r} has never pointed to another version")
    return earlier[-1]


def earlier_versions(alias: Mapping[str, Any]) -> list[int]:
    """Where an alias pointed, oldest first, without where it is."""
    return [entry["version"] for entry in alias["history"] if entry["version"] != alias["version"]]


def compare(base: Mapping[str, Any], head: Mapping[str, Any]) -> Body:
    """How two versions of a model differ: figures side by side, files, and what is told of them."""
    old, new = numbers_in(base.get("metrics") or {}), numbers_in(head.get("metrics") or {})
    files = [{member["name"]: member["sha256"] for member in each["members"]} for each in (base, head)]
    return {
        "base": base["version"],
        "head": head["version"],
        "metrics": [
            {"name": name, "base": old.get(name), "head": new.get(name), "change": _change(old, new, name)}
            for name in sorted(old | new)
        ],
        "members": {
            "added": sorted(set(files[1]) - set(files[0])),
            "removed": sorted(set(files[0]) - set(files[1])),
            "changed": sorted(
                name for name in files[0] if files[1].get(name, files[0][name]) != files[0][name]
            ),
        },
        "changed": {
            name: {"base": base.get(name), "head": head.get(name)}
            for name in _ABOUT
            if name != "metrics" and base.get(name) != head.get(name)
        },
    }


def _change(old: Mapping[str, float], new: Mapping[str, float], name: str) -> float | None:
    return new[name] - old[name] if name in old and name in new else None
