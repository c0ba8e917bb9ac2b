"""What a version's pictures and boxes are like: counts, sizes, shapes and places, by split and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from periscope_dataset.tables import SplitTable

PLACES = 8
"""Rows and columns in which centres are counted."""
MAX_SIZES = 50
QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BoxFigures:
    """Boxes of one class and split: widths, heights and aspects [n] in pixels, centres [n,2] as shares."""

    widths: Floats
    heights: Floats
    aspects: Floats
    """Width over height, of boxes with an area."""
    centres: Floats
    pictures: int
    """That show one or more."""

    @classmethod
    def of(cls, table: SplitTable, class_index: int) -> BoxFigures:
        """From the split's table."""
        rows = table.boxes[table.boxes["class"] == class_index]
        boxes = rows["xyxy"].astype(np.float64)
        sides = boxes[:, 2:] - boxes[:, :2]
        solid = (sides > 0).all(axis=1)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / table.sizes[rows["picture"]]
        pictures = len(np.unique(rows["picture"]))
        return cls(sides[:, 0], sides[:, 1], sides[solid, 0] / sides[solid, 1], centres, pictures)

    def places(self) -> npt.NDArray[np.int64]:
        """How many centres lie in each of 8x8 fields of the picture, [row,column]; those outside in none."""
        edges = np.linspace(0, 1, PLACES + 1)
        counts = np.histogram2d(self.centres[:, 1], self.centres[:, 0], bins=(edges, edges))[0]
        return counts.astype(np.int64)


def statistics(classes: Sequence[str], tables: Mapping[str, SplitTable]) -> dict[str, Any]:
    """All figures as JSON."""
    return {"splits": {split: _split(classes, table) for split, table in tables.items()}}


def _split(classes: Sequence[str], table: SplitTable) -> dict[str, Any]:
    sizes = Counter(map(tuple, table.sizes.tolist()))
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    real = table.boxes["class"] >= 0
    return {
        "images": len(table.keys),
        "images_without_boxes": len(table.keys) - len(np.unique(table.boxes["picture"][real])),
        "boxes": int(real.sum()),
        "dontcare": int((~real).sum()),
        "sizes": [{"width": w, "height": h, "images": count} for (w, h), count in ordered[:MAX_SIZES]],
        "other_sizes": max(len(ordered) - MAX_SIZES, 0),
        "classes": {name: _class(BoxFigures.of(table, index)) for index, name in enumerate(classes)},
    }


def _class(figures: BoxFigures) -> dict[str, Any]:
    return {
        "boxes": len(figures.widths),
        "images": figures.pictures,
        "width": _spread(figures.widths),
        "height": _spread(figures.heights),
        "aspect": _spread(figures.aspects),
        "positions": figures.places().tolist(),
    }


def _spread(values: Floats) -> dict[str, float] | None:
    if not len(values):
        return None
    return {name: round(float(np.quantile(values, share)), 3) for name, share in QUANTILES.items()}
