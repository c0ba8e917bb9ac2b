"""Takes exports of other tools as they come: COCO, YOLO, Pascal VOC, and KITTI in folders of other names.

Everything is unpacked, joined and told apart by what it holds, then handed on as KITTI labels. Pictures and
labels meet by their path without the words for kinds of files (``images``, ``JPEGImages``, ``label_2``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from detectnet.images import IMAGE_SUFFIXES
from periscope.blobs import hash_file
from periscope_dataset.annotations import NAME_FILES, Annotations, Export, annotations_of, signature
from periscope_dataset.archive import Member
from periscope_dataset.dividing import divide
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.foreign_labels import Labels
from periscope_dataset.layout import SPLITS, Place, is_junk, place_of, split_of
from periscope_dataset.parallel import cores, in_order

TEXT_SUFFIXES = (".txt", ".xml", ".yaml", ".names", ".labels")
ADVICE = (
    "pack train and val folders of KITTI, YOLO or Pascal VOC labels, or a COCO .json for each; "
    "without such folders, give val_ratio"
)


@dataclass(frozen=True)
class Loaded:
    """A picture or a label of one of the data set's splits."""

    member: Member
    file: Path
    """Where its bytes are; a label of another form is not there before it is made."""
    make: Callable[[], Labels] | None = None
    """Reads the label as KITTI's text; for whichever thread has time."""


def is_foreign(names: Iterable[str], options: Mapping[str, Any]) -> bool:
    """Whether an archive's members are not laid out as DIGITS's own folders."""
    if options["unlabelled"]:
        return True
    clean = [name for name in names if not is_junk(name)]
    if any(PurePosixPath(name).name.lower() in NAME_FILES for name in clean):
        return True
    places = {name: place_of(name) for name in clean}
    found = {(place.split, place.kind) for place in places.values() if place is not None}
    splits = {split for split, _ in found}
    if splits and options["val_ratio"] is not None and "val" not in splits:
        return True
    if not any(place is None and _is_picture(name) for name, place in places.items()):
        return False
    # Pictures lie elsewhere: as ever, or beside labels that lie where DIGITS has them too.
    return splits.isdisjoint(SPLITS) or found.isdisjoint((split, "images") for split in SPLITS)


def foreign_place(path: str) -> Place | None:
    """Where a member of another tool's export belongs: it is only unpacked by this."""
    suffix = PurePosixPath(path).suffix.lower()
    if is_junk(path) or suffix not in (*IMAGE_SUFFIXES, ".json", *TEXT_SUFFIXES):
        return None
    return Place("", "", "labels" if suffix in TEXT_SUFFIXES else "images", path)


def load_foreign(
    unpacked: Iterable[tuple[Member, Path]],
    scratch: Path,
    options: Mapping[str, Any],
    division: dict[str, Any],
) -> Iterator[Loaded]:
    """Pictures and labels of another tool's export; how they were divided is told in ``division``.

    Raises IngestRefused.
    """
    export = Export(scratch)
    for member, file in unpacked:
        export.enter(member.path, file)
    if not export.images:
        raise IngestRefused(Finding("layout", "the archive holds no picture", ADVICE))
    if options["unlabelled"]:
        yield from _joined(export, None, dict.fromkeys(export.images, "test"))
        return
    if not export.is_labelled:
        message = "the archive holds pictures and not one label"
        raise IngestRefused(Finding("layout", message, f"{ADVICE}; for a test set, give unlabelled"))
    annotations = annotations_of(export)
    splits = given_splits(export, annotations)
    if options["val_ratio"] is None or "val" in splits.values():
        splits = dict.fromkeys(export.images, "train") | splits
    else:
        division |= {"by": "ratio", "val_ratio": options["val_ratio"], "group_by": options["group_by"]}
        splits |= _divided(export, annotations, splits, division)
    yield from _joined(export, annotations, splits)


def _divided(
    export: Export, annotations: Annotations, splits: Mapping[str, str], division: Mapping[str, Any]
) -> dict[str, str]:
    pool = [path for path in export.images if splits.get(path) != "test"]
    files = [export.folder / export.images[path] for path in pool]
    hashes = [ref.sha256 for ref in in_order(hash_file, files, cores(), 64)]
    shown = {path: _classes_of(annotations.label(path)) for path in pool if annotations.source(path)}
    by_path = dict(zip(pool, hashes, strict=True))
    return divide(by_path, shown, division["val_ratio"], division["group_by"])


def given_splits(export: Export, annotations: Annotations) -> dict[str, str]:
    """What folders and lists say, by picture."""
    splits = {}
    for path in export.images:
        stated = export.sets.get(PurePosixPath(path).stem) or split_of(path)
        label = annotations.source(path)
        if stated is None and label is not None:
            stated = split_of(label, with_name=label.lower().endswith(".json"))
        if stated is not None:
            splits[path] = stated
    return splits


def _joined(export: Export, annotations: Annotations | None, splits: Mapping[str, str]) -> Iterator[Loaded]:
    """Pictures with their labels as KITTI, in order of their paths; ``splits`` is by picture."""
    counts = Counter((splits[path], signature(path)[-1]) for path in export.images)
    for number, path in enumerate(sorted(export.images)):
        split, mark = splits[path], signature(path)
        key = mark[-1] if counts[split, mark[-1]] == 1 else "-".join(mark)
        file = export.folder / export.images[path]
        yield Loaded(Member(path, Place("", split, "images", key), file.stat().st_size), file)
        source = None if annotations is None else annotations.source(path)
        if annotations is not None and source is not None:
            member = Member(source, Place("", split, "labels", key), 0)
            yield Loaded(member, export.folder / f"label-{number}", partial(annotations.label, path))
    for number, source in enumerate([] if annotations is None else annotations.unused()):
        member = Member(
            source, Place("", split_of(source) or "train", "labels", "-".join(signature(source))), 0
        )
        yield Loaded(member, export.folder / f"unused-{number}", partial(Labels, source, ""))


def _is_picture(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _classes_of(label: Labels) -> frozenset[str]:
    return frozenset(line.split()[0].lower() for line in label.text.splitlines() if line.strip())
