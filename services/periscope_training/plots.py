"""Curves as PNG: one training, several in comparison, and learning rates before any training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

Points = Sequence[tuple[float, float]]
PERCENT = 100.0
FIGURE_INCHES = (9.0, 8.0)
SMALL_FIGURE_INCHES = (9.0, 4.5)
DPI = 100
FURTHEST = 1e30
"""Of a training that has run away, the axis ends here: beyond, the ticks overflow."""


@dataclass(frozen=True)
class Curves:
    """One job's curves as its history tells them."""

    title: str
    progress: Sequence[Mapping[str, Any]]
    """Progress records by step."""
    epochs: Sequence[Mapping[str, Any]]
    """Entries of the checkpoint document."""

    def trained(self, loss: str) -> Points:
        """(epoch, loss) while training."""
        return [(record["epoch"], record["train"][loss]) for record in self.progress]

    def validated(self, figure: str) -> Points:
        """(epoch, figure) of each validation."""
        return [(entry["epoch"], entry["metrics"]["val"][figure]) for entry in self.epochs]

    def by_class(self, name: str, figure: str) -> Points:
        """(epoch, figure) of one class, in percent."""
        return [
            (entry["epoch"], PERCENT * entry["metrics"]["val"]["classes"][name][figure])
            for entry in self.epochs
            if name in entry["metrics"]["val"]["classes"]
        ]

    @property
    def classes(self) -> list[str]:
        """Names of the classes that were validated."""
        return list(self.epochs[-1]["metrics"]["val"]["classes"]) if self.epochs else []


def training_plot(curves: Curves) -> bytes:
    """Losses, figures by class and learning rate of one training, against epochs."""
    figure = Figure(FIGURE_INCHES, dpi=DPI, layout="constrained")
    losses, figures, rates = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.5))
    for loss in ("loss_bbox", "loss_coverage"):
        _line(losses, curves.trained(loss), f"{loss} (train)", "-")
        _line(losses, curves.validated(loss), f"{loss} (val)", "o--")
    for name in curves.classes:
        for what, style in (("digits_map", "o-"), ("precision", "^:"), ("recall", "v:")):
            _line(figures, curves.by_class(name, what), f"{what} {name}", style)
    _line(rates, [(record["epoch"], record["learning_rate"]) for record in curves.progress], "", "-")
    losses.set_title(_plain(curves.title), parse_math=False)
    losses.set_yscale("symlog", linthresh=0.1)
    _finish(losses, "loss")
    figures.set_ylim(-3, 103)
    _finish(figures, "percent, at IoU 0.7")
    _finish(rates, "learning rate", "epoch")
    return _png(figure)


def comparison_plot(jobs: Sequence[Curves], metric: str) -> bytes:
    """One figure of several trainings, against epochs; losses also while training."""
    figure = Figure(SMALL_FIGURE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    is_loss = metric.startswith("loss_")
    for job in jobs:
        points = job.validated(metric)
        _line(axes, points if is_loss else [(x, PERCENT * y) for x, y in points], job.title, "o-")
    if is_loss:
        axes.set_yscale("symlog", linthresh=0.1)
    _finish(axes, f"{metric} (val)" if is_loss else f"{metric}, percent (val)", "epoch")
    return _png(figure)


def rate_plot(rates: Mapping[str, Points]) -> bytes:
    """Learning rates by name against percent of training."""
    figure = Figure(SMALL_FIGURE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for name, points in rates.items():
        _line(axes, points, name, "-")
    axes.set_ylim(bottom=0)
    _finish(axes, "learning rate", "percent of training")
    return _png(figure)


def _line(axes: Axes, points: Points, label: str, style: str) -> None:
    if points:
        across, up = zip(*points, strict=True)
        shown = [min(max(value, -FURTHEST), FURTHEST) for value in up]
        axes.plot(across, shown, style, label=_plain(label) or None, markersize=4, linewidth=1.4)


def _finish(axes: Axes, y_label: str, x_label: str = "") -> None:
    axes.set_ylabel(y_label)
    axes.set_xlabel(x_label)
    axes.grid(alpha=0.3)
    if any(not str(line.get_label()).startswith("_") for line in axes.get_lines()):
        for text in axes.legend(fontsize=8, ncols=2).get_texts():
            text.set_parse_math(False)
    elif not axes.get_lines():
        axes.text(0.5, 0.5, "nothing yet", ha="center", va="center", transform=axes.transAxes)


def _plain(text: str) -> str:
    """A name as it stands: signs that the font has not become question marks, and none hides the line."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    shown = "".join(sign if sign.isprintable() and font.get_char_index(ord(sign)) else "?" for sign in text)
    # matplotlib leaves labels with an underscore in front out of the legend.
    return f" {shown}" if shown.startswith("_") else shown


def _png(figure: Figure) -> bytes:
    # No pyplot: it keeps every figure, and works in one thread only.
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png")
    return content.getvalue()
