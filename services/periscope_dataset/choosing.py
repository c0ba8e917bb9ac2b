"""Which pictures of a split show a class, or have a finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet.sizes import STRIDE
from periscope_dataset.explanations import EXPLANATIONS
from periscope_dataset.grid import boxes_outside, empty_boxes
from periscope_dataset.layout import place_of, split_of
from periscope_dataset.looking import Looks
from periscope_dataset.preview import usual_size
from periscope_dataset.tables import SplitTable

Manifest = Mapping[str, Any]
Mask = npt.NDArray[np.bool_]
GRID_FINDINGS = {
    "box_low": "low", "class_too_low": "low", "box_hidden": "hidden", "class_hidden": "hidden",
    "touching_boxes": "touching", "duplicate_box": "twice",
}  # fmt: skip


class UnknownFilter(ValueError):
    """No class or finding has this name; the text tells those that there are."""


@dataclass(frozen=True)
class Choice:
    """Places in the split, and whether these are all that fit or the finding's examples alone."""

    numbers: npt.NDArray[np.int64]
    complete: bool


def choose(
    manifest: Manifest,
    tables: Mapping[str, SplitTable],
    split: str,
    looks: Looks,
    class_name: str | None,
    finding: str | None,
) -> Choice:
    """Pictures that fit both. Raises UnknownFilter."""
    table = tables[split]
    fits, complete = np.ones(len(table.keys), np.bool_), True
    if class_name is not None:
        fits &= _pictures(table, table.boxes["class"] == _class_index(manifest, class_name))
    if finding is not None:
        found, complete = _with_finding(manifest, tables, split, looks, finding)
        fits &= found
    return Choice(np.flatnonzero(fits), complete)


def _class_index(manifest: Manifest, name: str) -> int:
    """Of a class; -1 is don't care."""
    if name == "dontcare":
        return -1
    try:
        return int(manifest["classes"].index(name.lower()))
    except ValueError as error:
        known = ", ".join([*manifest["classes"], "dontcare"])
        raise UnknownFilter(f"there is no class {name!r} here; there are {known}") from error


def _with_finding(
    manifest: Manifest, tables: Mapping[str, SplitTable], split: str, looks: Looks, code: str
) -> tuple[Mask, bool]:
    """Findings of boxes, sizes and equal pictures are looked for; of others the examples are known."""
    if code not in EXPLANATIONS:
        raise UnknownFilter(f"there is no finding {code!r}; the version's manifest lists what was found")
    table = tables[split]
    if code in GRID_FINDINGS:
        seen = looks.at(table, manifest["options"], usual_size(manifest))
        return _pictures(table, getattr(seen, GRID_FINDINGS[code])), True
    if code == "empty_box":
        return _pictures(table, empty_boxes(table.boxes)), True
    if code == "box_outside":
        return _pictures(table, boxes_outside(table.boxes, table.sizes)), True
    if code == "size_not_multiple":
        return (table.sizes % STRIDE != 0).any(axis=1), True
    if code == "duplicate_image":
        counts = Counter(table.sha256)
        return np.array([counts[sha256] > 1 for sha256 in table.sha256], np.bool_), True
    if code == "leak":
        others = {sha256 for name, one in tables.items() if name != split for sha256 in one.sha256}
        return np.array([sha256 in others for sha256 in table.sha256], np.bool_), True
    return _examples(manifest, table, split, code), False


def _examples(manifest: Manifest, table: SplitTable, split: str, code: str) -> Mask:
    keys = set()
    for found in manifest.get("findings", []):
        for example in found["examples"] if found["code"] == code else ():
            path = example["file"] or ""
            place = place_of(path)
            if place is not None and place.split == split:
                keys.add(place.key)
            elif place is None and split_of(path) in (None, split):
                keys.add(PurePosixPath(path).stem)
    return np.array([key in keys for key in table.keys], np.bool_)


def _pictures(table: SplitTable, rows: Mask) -> Mask:
    fits = np.zeros(len(table.keys), np.bool_)
    fits[table.boxes["picture"][rows]] = True
    return fits
