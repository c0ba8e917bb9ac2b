"""What was found out about files, as an ingest's journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from periscope_dataset.checking import CheckedImage, CheckedLabel, Verdict, counted
from periscope_dataset.findings import Finding


def packed(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON has it."""
    told: dict[str, Any] = {}
    for name, findings in (("errors", verdict.errors), ("warnings", verdict.warnings)):
        if findings:
            told[name] = [asdict(finding) for finding in findings]
    if verdict.fact is not None:
        told["image" if isinstance(verdict.fact, CheckedImage) else "label"] = asdict(verdict.fact)
    return told


def unpacked(told: Mapping[str, Any]) -> Verdict:
    """What ``packed`` packed."""
    fact: CheckedImage | CheckedLabel | None = None
    if "image" in told:
        fact = CheckedImage(**{**told["image"], "traits": tuple(told["image"]["traits"])})
    elif "label" in told:
        reach = {name: tuple(told["label"][name]) for name in ("rightmost", "lowest")}
        counts = {name: counted(dict(told["label"][name])) for name in ("objects", "small")}
        fact = CheckedLabel(**{**told["label"], **reach, **counts})
    errors, warnings = (
        [Finding(**finding) for finding in told.get(name, ())] for name in ("errors", "warnings")
    )
    return Verdict(fact, errors, warnings)
