"""Divides pictures into train and val by a ratio: by content, so that every ingest divides alike."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Literal

GroupBy = Literal["picture", "folder", "sequence"]
_LAST_NUMBER = re.compile(r"[0-9]+(?=\D*$)")
_ROBOFLOW = re.compile(r"(_(jpe?g|png|bmp))?\.rf\.[0-9a-zA-Z]+$")
"""What Roboflow puts behind every name."""


def divide(
    hashes: Mapping[str, str], classes: Mapping[str, frozenset[str]], val_ratio: float, group_by: GroupBy
) -> dict[str, str]:
    """The split of each picture, by path.

    ``hashes`` are of the pictures' bytes, ``classes`` what their labels show; both by path. With ``folder``,
    the pictures of one folder (one dive, one video) stay together, with ``sequence`` those of a folder whose
    names differ in their last number only. Groups are drawn within those that share
    their rarest class, so that each class is divided by the ratio.
    """
    gathered: dict[str, list[str]] = defaultdict(list)
    for path in sorted(hashes):
        # Equal pictures stay together: apart, they were a leak.
        gathered[hashes[path] if group_by == "picture" else _group_of(path, group_by)].append(path)
    # By content: a folder or file of another name is drawn alike.
    groups: dict[str, list[str]] = defaultdict(list)
    for paths in gathered.values():
        groups[_hash_of(hashes[path] for path in paths)] += paths
    frequency = Counter(name for path in hashes for name in classes.get(path, ()))
    strata: dict[str, list[str]] = defaultdict(list)
    for group, paths in groups.items():
        shown = set().union(*(classes.get(path, frozenset()) for path in paths))
        strata[min(shown, key=lambda name: (frequency[name], name), default="")].append(group)
    splits: dict[str, str] = {}
    drawn = seen = 0
    for rarest in sorted(strata):
        for group in sorted(strata[rarest]):
            seen += len(groups[group])
            is_val = drawn + len(groups[group]) / 2 <= seen * val_ratio
            drawn += len(groups[group]) if is_val else 0
            splits |= dict.fromkeys(groups[group], "val" if is_val else "train")
    return splits


def _group_of(path: str, group_by: GroupBy) -> str:
    name = PurePosixPath(path)
    if group_by == "folder":
        return str(name.parent)
    return f"{name.parent}/{_LAST_NUMBER.sub('#', _ROBOFLOW.sub('', name.stem))}"


def _hash_of(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
