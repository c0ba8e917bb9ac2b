"""Curves as text: CSV for spreadsheets, server-sent events for live views. No I/O."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

TRAIN_COLUMNS = ("loss_bbox", "loss_coverage")
VAL_COLUMNS = ("loss_bbox", "loss_coverage", "digits_map", "pooled_map")
CLASS_COLUMNS = ("precision", "recall", "digits_map", "pooled_map")


def history_csv(
    epochs: Sequence[Mapping[str, Any]], progress: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> str:
    """One row for each record by step: phase ``train`` or ``val``; what a phase does not know is empty."""
    header = ["phase", "step", "epoch", "attempt", "learning_rate", "images_per_second"]
    header += [*dict.fromkeys([*TRAIN_COLUMNS, *VAL_COLUMNS])]
    header += [f"{figure}:{name}" for name in classes for figure in CLASS_COLUMNS]
    rows = [_train_row(record) for record in progress] + [_val_row(entry, classes) for entry in epochs]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (row["step"], row["phase"])))
    return text.getvalue()


def event(name: str, data: Mapping[str, Any], event_id: int | None = None) -> str:
    """One server-sent event."""
    identity = "" if event_id is None else f"id: {event_id}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _train_row(record: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        name: record.get(name) for name in ("step", "epoch", "attempt", "learning_rate", "images_per_second")
    }
    return {"phase": "train", **plain, **{name: record["train"][name] for name in TRAIN_COLUMNS}}


def _val_row(entry: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    validation = entry["metrics"]["val"]
    by_class = {
        f"{figure}:{name}": validation["classes"][name][figure]
        for name in classes
        if name in validation["classes"]
        for figure in CLASS_COLUMNS
    }
    plain = {name: entry[name] for name in ("step", "epoch", "attempt")}
    return {"phase": "val", **plain, **{name: validation[name] for name in VAL_COLUMNS}, **by_class}
