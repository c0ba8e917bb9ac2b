"""What is asked for of a new job that is like others: a clone, a sweep. Values only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from periscope.wire.job_changes import Difference, SweepRequest

COMPARED = ("name", "group", "dataset", "network", "training", "limits")
"""Parts of a job document in which a clone may differ."""


def cloned_request(request: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a job request with some replaced; one that is null in ``overrides`` is left out.

    ``augmentation`` is the exception: there null means none. Another dataset is taken in its newest version,
    unless ``overrides`` says which.
    """
    merged = {**request, **overrides}
    if "dataset" in overrides and "dataset_version" not in overrides:
        merged.pop("dataset_version", None)
    return {name: value for name, value in merged.items() if value is not None or name == "augmentation"}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Resolved settings in which two job documents differ, by dotted names."""
    old = dict(_settings({part: before.get(part) for part in COMPARED}))
    new = dict(_settings({part: after.get(part) for part in COMPARED}))
    return [
        Difference(field=field, before=old.get(field), after=new.get(field))
        for field in dict.fromkeys([*old, *new])
        if old.get(field) != new.get(field)
    ]


def sweep_requests(sweep: SweepRequest) -> list[dict[str, Any]]:
    """One job request for each learning rate and batch size, named as DIGITS named them."""
    base = sweep.job.model_dump(mode="json", exclude_unset=True)
    rates: Sequence[float | None] = sweep.learning_rates or [None]
    sizes: Sequence[int | None] = sweep.batch_sizes or [None]
    return [_variant(base, rate, size) for rate in rates for size in sizes]


def _variant(base: Mapping[str, Any], rate: float | None, size: int | None) -> dict[str, Any]:
    changed = dict(base)
    if rate is not None:
        changed |= {"learning_rate": rate, "name": f"{changed['name']} learning_rate:{rate:g}"}
    if size is not None:
        changed |= {"batch_size": size, "name": f"{changed['name']} batch_size:{size}"}
    return changed


def _settings(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _settings(inner, f"{prefix}.{name}" if prefix else str(name))
    elif prefix != "dataset.findings":
        yield prefix, value
