"""Divides pictures into train and val by a ratio: by content, so that every ingest divides alike."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal

GroupBy = Literal["picture", "folder"]


def divide(
    hashes: Mapping[str, str], classes: Mapping[str, frozenset[str]], val_ratio: float, group_by: GroupBy
) -> dict[str, str]:
    """The split of each picture, by path.

    ``hashes`` are of the pictures' bytes, ``classes`` what their labels show; both by path. With ``folder``,
    the pictures of one folder (one dive, one video) stay together. Groups are drawn within those that share
    their rarest class, so that each class is divided by the ratio.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for path in sorted(hashes):
        # Equal pictures stay together: apart, they were a leak.
        groups[str(PurePosixPath(path).parent) if group_by == "folder" else hashes[path]].append(path)
    frequency = Counter(name for path in hashes for name in classes.get(path, ()))
    strata: dict[str, list[str]] = defaultdict(list)
    for group, paths in groups.items():
        shown = set().union(*(classes.get(path, frozenset()) for path in paths))
        strata[min(shown, key=lambda name: (frequency[name], name), default="")].append(group)
    splits: dict[str, str] = {}
    drawn = seen = 0
    for rarest in sorted(strata):
        for group in sorted(strata[rarest], key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
            seen += len(groups[group])
            is_val = drawn + len(groups[group]) / 2 <= seen * val_ratio
            drawn += len(groups[group]) if is_val else 0
            splits |= dict.fromkeys(groups[group], "val" if is_val else "train")
    return splits
