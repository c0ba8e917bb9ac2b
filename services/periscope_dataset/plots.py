"""A version's figures as PNG: how many boxes, how large, of which shape, and where."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from periscope_dataset.figures import PLACES, BoxFigures, Floats
from periscope_dataset.tables import SplitTable

DPI = 100
INCHES = (8.0, 4.5)
MAX_CLASSES = 12
"""More cannot be told apart; those with the most boxes are shown."""
BINS = 40

PlotName = Literal["counts", "sizes", "aspects", "positions"]
Figures = Mapping[str, Mapping[str, BoxFigures]]
"""By class, then split."""


def plot(name: PlotName, classes: Sequence[str], tables: Mapping[str, SplitTable]) -> bytes:
    """One of the plots."""
    by_class = {
        _plain(label): {split: BoxFigures.of(table, index) for split, table in tables.items()}
        for index, label in enumerate(classes)
    }
    most = sorted(by_class, key=lambda label: (-_total(by_class[label]), label))[:MAX_CLASSES]
    shown = {label: of for label, of in by_class.items() if label in most}
    figure = Figure(INCHES, dpi=DPI, layout="constrained")
    _PLOTS[name](figure, shown)
    if len(classes) > MAX_CLASSES:
        figure.suptitle(f"the {MAX_CLASSES} classes with the most boxes, of {len(classes)}", fontsize=9)
    return _png(figure)


def _counts(figure: Figure, shown: Figures) -> None:
    axes = figure.subplots()
    splits = _splits(shown)
    height = 0.8 / max(len(splits), 1)
    for number, split in enumerate(splits):
        places = np.arange(len(shown)) + number * height
        bars = axes.barh(places, [len(of[split].widths) for of in shown.values()], height, label=split)
        axes.bar_label(bars, padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(shown)) + 0.4 - height / 2, list(shown), parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    _finish(axes, "boxes", "")


def _sizes(figure: Figure, shown: Figures) -> None:
    widths, heights = figure.subplots(1, 2)
    for axes, of, what in (
        (widths, lambda one: one.widths, "width in pixels of the file"),
        (heights, lambda one: one.heights, "height in pixels of the file"),
    ):
        _histogram(axes, shown, of)
        _finish(axes, what, "boxes")


def _aspects(figure: Figure, shown: Figures) -> None:
    axes = figure.subplots()
    _histogram(axes, shown, lambda one: one.aspects)
    _finish(axes, "width : height", "boxes")


def _histogram(axes: Axes, shown: Figures, of: Callable[[BoxFigures], Floats]) -> None:
    """All splits of a class together, on a logarithmic axis."""
    values = {
        label: np.concatenate([of(one)[of(one) > 0] for one in splits.values()])
        for label, splits in shown.items()
    }
    every = np.concatenate(list(values.values())) if values else np.zeros(0)
    if not len(every):
        axes.text(0.5, 0.5, "no boxes", ha="center", va="center", transform=axes.transAxes)
        return
    edges = np.geomspace(every.min() * 0.95, every.max() * 1.05, BINS + 1)
    for label, one in values.items():
        axes.hist(one, edges.tolist(), histtype="step", linewidth=1.4, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _positions(figure: Figure, shown: Figures) -> None:
    columns = min(len(shown), 4) or 1
    rows = -(-max(len(shown), 1) // columns)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (label, splits) in zip(grid.flat, shown.items(), strict=False):
        places = np.sum([one.places() for one in splits.values()], axis=0, initial=0)
        places = np.broadcast_to(places, (PLACES, PLACES))
        picture = axes.imshow(places, cmap="viridis", extent=(0, 1, 1, 0), vmin=0, vmax=max(places.max(), 1))
        axes.set_title(label, fontsize=9, parse_math=False)
        axes.tick_params(labelsize=7)
        figure.colorbar(picture, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    figure.supxlabel("centres of boxes, as shares of the picture's width and height", fontsize=9)


_PLOTS: dict[PlotName, Callable[[Figure, Figures], None]] = {
    "counts": _counts, "sizes": _sizes, "aspects": _aspects, "positions": _positions,
}  # fmt: skip


def _finish(axes: Axes, x_label: str, y_label: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        for text in axes.legend(fontsize=8).get_texts():
            text.set_parse_math(False)


def _plain(name: str) -> str:
    """Signs that the font may not have become question marks; matplotlib hides names that begin with _."""
    shown = name.encode("ascii", "replace").decode()
    return f" {shown}" if shown.startswith("_") else shown


def _splits(shown: Figures) -> list[str]:
    return list(next(iter(shown.values()), {}))


def _total(splits: Mapping[str, BoxFigures]) -> int:
    return sum(len(one.widths) for one in splits.values())


def _png(figure: Figure) -> bytes:
    # No pyplot: it keeps every figure, and works in one thread only.
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png")
    return content.getvalue()
