"""A job's curves, drawn with characters. On plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import plotext

from periscope_cli.console import duration_text, percent

COLOURS = ("cyan+", "orange+", "green+", "magenta+", "blue+", "red+")

Document = Mapping[str, Any]
Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points (epoch, value) by the curve's name."""


def loss_series(history: Document) -> Series:
    """Training loss by step and validation loss by epoch, both parts together."""
    return {
        "train": [(point["epoch"], _loss(point["train"])) for point in history["progress"]],
        "validation": [(entry["epoch"], _loss(entry["metrics"]["val"])) for entry in history["epochs"]],
    }


def map_series(history: Document) -> Series:
    """DIGITS's mAP of each class by epoch."""
    found: dict[str, list[tuple[float, float]]] = {}
    for entry in history["epochs"]:
        for name, told in entry["metrics"]["val"]["classes"].items():
            found.setdefault(name, []).append((entry["epoch"], told["digits_map"]))
    return found


def draw(title: str, series: Series, width: int, height: int, *, from_zero: bool = True) -> str:
    """A plot of so many columns and lines; colours are terminal codes."""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(width, height)
    plotext.title(title)
    plotext.xlabel("epoch")
    for (name, points), colour in zip(series.items(), cycle(COLOURS)):
        if points:
            epochs, values = zip(*points, strict=True)
            plotext.plot(list(epochs), list(values), label=name, color=colour, marker="braille")
    if from_zero and any(series.values()):
        highest = max(value for points in series.values() for _, value in points)
        plotext.ylim(0, highest * 1.05 or 1)
    return str(plotext.build()).rstrip("\n")


def headline(job: Document) -> str:
    """Where a job stands, in one line."""
    progress = job.get("progress")
    if not progress or job["state"] != "RUNNING":
        return f"{job['name']} ({job['id']})  {job['state'].lower()}  {job.get('reason') or ''}".rstrip()
    parts = [
        f"{job['name']} ({job['id']})",
        f"epoch {progress['epoch']:.1f}/{progress['epochs']:g}",
        f"{progress['images_per_second']:.1f} img/s",
        f"ETA {duration_text(progress.get('eta_s'))}",
    ]
    best = job.get("best_epoch")
    if best:
        parts.append(f"best mAP {percent(best['metrics']['val']['digits_map'])} at epoch {best['epoch']:g}")
    return "  ".join(parts)


def _loss(figures: Document) -> float:
    return float(figures["loss_bbox"]) + float(figures["loss_coverage"])
