"""Will it learn? Which boxes survive to the coverage grid and through clustering, before any training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.classes import ClassMap
from detectnet.coverage import GroundTruthOptions, encode_targets
from detectnet.drawing import draw_grid, encode_png
from detectnet.learnable import suggested_size
from detectnet.samples import InputOptions, SourceImage, prepare
from detectnet.sizes import STRIDE, require_grid_size
from periscope_dataset.grid import Seen, Size, network_size
from periscope_dataset.looking import Looks
from periscope_dataset.tables import SplitTable, without_small

Manifest = Mapping[str, Any]


class Unlabelled(Exception):
    """The version has no classes, so nothing can be learnt from it."""


def preview(
    manifest: Manifest,
    tables: Mapping[str, SplitTable],
    looks: Looks,
    asked: Size | None = None,
    stride: int = STRIDE,
) -> dict[str, Any]:
    """Survivors of each split and class at an input size, and the size to take.

    Raises:
        Unlabelled: there is nothing to learn.
        IllegalSize: the grid cannot have this size.
    """
    if not manifest["classes"]:
        raise Unlabelled("this version is a test set without labels; there is nothing to learn from it")
    options = manifest["options"]
    network = asked or usual_size(manifest)
    picture = _picture_size(manifest)
    suggestion = suggested_size(_relative_heights(tables["train"], options), network, picture, stride)
    suggested = suggestion.width, suggestion.height
    return {
        "width": network[0],
        "height": network[1],
        "stride": stride,
        "splits": survivors(manifest, tables, looks, network, stride),
        "suggestion": {
            **asdict(suggestion),
            "splits": survivors(manifest, tables, looks, suggested, stride),
        },
    }


def usual_size(manifest: Manifest) -> Size:
    """The input size that training will most likely have."""
    return network_size(manifest["options"], _sizes(manifest))


def survivors(
    manifest: Manifest, tables: Mapping[str, SplitTable], looks: Looks, network: Size, stride: int
) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by split and class. Raises IllegalSize."""
    found = {}
    for split, table in tables.items():
        smallest = manifest["options"]["val_min_box_size"] if split == "val" else 0
        ignored = without_small(table.boxes, smallest)[1]
        seen = looks.at(table, manifest["options"], network, stride, smallest)
        found[split] = {
            name: _counts(table.boxes["class"] == index, ignored, seen)
            for index, name in enumerate(manifest["classes"])
        }
    return found


def draw_preview(manifest: Manifest, split: str, source: SourceImage, network: Size, stride: int) -> bytes:
    """The picture as the network gets it, with grid, coverage and boxes, as PNG.

    Raises:
        IllegalSize: the grid cannot have this size.
        BadData: the picture cannot be used.
    """
    require_grid_size(*network, stride)
    options, classes = manifest["options"], ClassMap(manifest["classes"], may_be_empty=True)
    pad = options["pad"]
    smallest = float(options["val_min_box_size"]) if split == "val" else 0.0
    wanted = InputOptions(*network, classes, (pad["width"], pad["height"]) if pad else None, smallest)
    image, boxes, indices = prepare(source, wanted)
    truth = GroundTruthOptions(stride=stride)
    targets = encode_targets(boxes, indices, *network, len(classes.names), truth)
    return encode_png(draw_grid(image, targets, boxes, indices, classes.names, stride))


def _counts(of_class: npt.NDArray[np.bool_], ignored: npt.NDArray[np.bool_], seen: Seen) -> dict[str, int]:
    """Of one class; a box may be both hidden and low."""
    counted = of_class & ~ignored
    return {
        "boxes": int(of_class.sum()),
        "below_min_size": int((of_class & ignored).sum()),
        "without_cell": int((counted & seen.hidden).sum()),
        "too_low": int((counted & seen.low).sum()),
        "learnable": int((counted & ~seen.hidden & ~seen.low).sum()),
    }


def _picture_size(manifest: Manifest) -> Size:
    """The size whose shape the input should have: the padding's, else that of most pictures."""
    return network_size({"resize": None, "pad": manifest["options"]["pad"]}, _sizes(manifest))


def _sizes(manifest: Manifest) -> Counter[Size]:
    return Counter({(told["width"], told["height"]): told["images"] for told in manifest["image_sizes"]})


def _relative_heights(table: SplitTable, options: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    rows = table.boxes[table.boxes["class"] >= 0]
    heights = table.sizes[rows["picture"], 1].astype(np.float64)
    if options["pad"]:
        heights[:] = options["pad"]["height"]
    relative: npt.NDArray[np.float64] = (rows["xyxy"][:, 3] - rows["xyxy"][:, 1]) / heights
    return relative[relative > 0]
