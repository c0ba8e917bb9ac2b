"""Takes exports of other tools as they come: COCO, YOLO, Pascal VOC, and KITTI in folders of other names.

Everything is unpacked, joined and told apart by what it holds, then handed on as KITTI labels. Pictures and
labels meet by their path without the words for kinds of files (``images``, ``JPEGImages``, ``label_2``).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from detectnet.images import IMAGE_SUFFIXES
from periscope_dataset.archive import Member
from periscope_dataset.dividing import divide
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.foreign_labels import (
    BadAnnotations,
    Labels,
    coco_labels,
    names_of_yaml,
    voc_label,
    yolo_label,
)
from periscope_dataset.layout import Place, is_junk, place_of, split_of

KIND_WORDS = {
    "image",
    "images",
    "img",
    "imgs",
    "jpegimages",
    "label",
    "labels",
    "annotation",
    "annotations",
    "xmls",
    "data",
}
NO_LABELS = {"classes", "readme", "notes", "obj", "train", "val", "valid", "test", "trainval", "license"}
"""Stems of texts that tools put beside labels."""
NAME_FILES = {"classes.txt", "obj.names", "data.yaml", "dataset.yaml"}
KITTI_COLUMNS = 15
ADVICE = (
    "pack train and val folders of KITTI, YOLO or Pascal VOC labels, or a COCO .json for each; "
    "without such folders, give val_ratio"
)


@dataclass(frozen=True)
class Loaded:
    """A picture or a label in KITTI's form, or what keeps it from being one."""

    member: Member
    file: Path | None
    finding: Finding | None = None


@dataclass
class Export:
    """All files of an archive that may matter."""

    images: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, Path] = field(default_factory=dict)
    xmls: dict[str, Path] = field(default_factory=dict)
    jsons: dict[str, Path] = field(default_factory=dict)
    names: dict[str, Path] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    """Splits by stem, of Pascal VOC's lists."""

    def enter(self, path: str, file: Path) -> None:
        """Sort a member in."""
        name = PurePosixPath(path)
        suffix = name.suffix.lower()
        if name.name.lower() in NAME_FILES:
            self.names[path] = file
        elif suffix in IMAGE_SUFFIXES:
            self.images[path] = file
        elif suffix == ".xml":
            self.xmls[path] = file
        elif suffix == ".json":
            self.jsons[path] = file
        elif "ImageSets" in name.parts and name.stem in ("train", "val", "test"):
            for line in file.read_text(errors="replace").splitlines():
                self.sets[line.split()[0] if line.strip() else ""] = name.stem
        elif suffix == ".txt" and name.stem.lower() not in NO_LABELS and "ImageSets" not in name.parts:
            self.texts[path] = file


def is_foreign(names: Iterable[str], val_ratio: float | None) -> bool:
    """Whether an archive's members are not laid out as DIGITS's own folders."""
    clean = [name for name in names if not is_junk(name)]
    if any(PurePosixPath(name).name.lower() in NAME_FILES for name in clean):
        return True
    splits = {place.split for place in map(place_of, clean) if place is not None}
    if splits and val_ratio is not None and "val" not in splits:
        return True
    return not splits and any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in clean)


def foreign_place(path: str) -> Place | None:
    """Where a member of another tool's export belongs: it is only unpacked by this."""
    suffix = PurePosixPath(path).suffix.lower()
    if is_junk(path) or suffix not in (*IMAGE_SUFFIXES, ".txt", ".xml", ".json", ".yaml", ".names"):
        return None
    return Place("", "", "labels" if suffix in (".txt", ".xml") else "images", path)


def signature(path: str) -> tuple[str, ...]:
    """A path without suffix and without the words for kinds of files: pictures and their labels share it."""
    name = PurePosixPath(path)
    folders = [part for part in name.parts[:-1] if re.sub(r"[_0-9]+$", "", part.lower()) not in KIND_WORDS]
    return (*folders, unicodedata.normalize("NFC", name.stem))


def labels_of(export: Export) -> dict[str, Labels]:
    """Labels by picture. Raises IngestRefused for annotations that cannot be read at all."""
    if export.jsons and not export.texts and not export.xmls:
        try:
            return coco_labels(export.jsons, export.images)
        except BadAnnotations as error:
            advice = "export the data set as COCO object detection anew"
            raise IngestRefused(Finding("annotations", str(error), advice, error.file)) from error
    sources = export.xmls or export.texts
    by_signature = {signature(path): path for path in sources}
    stems = Counter(signature(path)[-1] for path in sources)
    by_stem = {signature(path)[-1]: path for path in sources}
    yolo = not export.xmls and _is_yolo(export.texts.values())
    names = _class_names(export.names)
    found, used = {}, set()
    for image, file in export.images.items():
        mark = signature(image)
        label = by_signature.get(mark) or (by_stem.get(mark[-1]) if stems[mark[-1]] == 1 else None)
        if label is not None:
            used.add(label)
            found[image] = _read(label, sources[label], file, names, yolo=yolo, xml=bool(export.xmls))
        elif yolo:
            found[image] = Labels(image, "")  # In YOLO a picture without a label file shows nothing.
    for label in sources.keys() - used:
        found[f"{label}\0"] = Labels(label, "")
    return found


def join(
    export: Export, labels: Mapping[str, Labels], splits: Mapping[str, str], scratch: Path
) -> Iterator[Loaded]:
    """Pictures with their labels as KITTI, in order of their paths; ``splits`` is by picture."""
    counts = Counter((splits.get(path), signature(path)[-1]) for path in export.images)
    for number, path in enumerate(sorted(export.images)):
        split = splits.get(path)
        if split not in ("train", "val"):
            continue
        mark = signature(path)
        key = mark[-1] if counts[split, mark[-1]] == 1 else "-".join(mark)
        file = export.images[path]
        yield Loaded(Member(path, Place("", split, "images", key), file.stat().st_size), file)
        if path in labels:
            label, place = labels[path], Place("", split, "labels", key)
            if label.finding is not None:
                yield Loaded(Member(label.path, place, 0), None, label.finding)
                continue
            written = scratch / f"label-{number}"
            written.write_text(label.text)
            yield Loaded(Member(label.path, place, len(label.text)), written)
    for mark_of_none, label in labels.items():
        if mark_of_none not in export.images:
            written = scratch / "label-without-picture"
            written.write_text("")
            key = "-".join(signature(label.path))
            split = split_of(label.path) or "train"
            if split in ("train", "val"):
                yield Loaded(Member(label.path, Place("", split, "labels", key), 0), written)


def given_splits(export: Export, labels: Mapping[str, Labels]) -> dict[str, str]:
    """What folders and lists say, by picture."""
    splits = {}
    for path in export.images:
        stated = export.sets.get(PurePosixPath(path).stem) or split_of(path)
        label = labels.get(path)
        if stated is None and label is not None:
            stated = split_of(label.path, with_name=label.path.lower().endswith(".json"))
        if stated is not None:
            splits[path] = stated
    return splits


def load_foreign(
    unpacked: Iterable[tuple[Member, Path]], scratch: Path, options: Mapping[str, Any]
) -> Iterator[Loaded]:
    """Pictures and labels of another tool's export. Raises IngestRefused."""
    export = Export()
    for member, file in unpacked:
        export.enter(member.path, file)
    if not export.images:
        raise IngestRefused(Finding("layout", "the archive holds no picture", ADVICE))
    if not (export.texts or export.xmls or export.jsons):
        raise IngestRefused(Finding("layout", "the archive holds pictures and not one label", ADVICE))
    labels = labels_of(export)
    splits = given_splits(export, labels)
    unsaid = [path for path in export.images if path not in splits]
    if options["val_ratio"] is not None and "val" not in splits.values():
        pool = [path for path in export.images if splits.get(path) != "test"]
        hashes = {path: hashlib.sha256(export.images[path].read_bytes()).hexdigest() for path in pool}
        shown = {path: _classes_of(labels[path]) for path in pool if path in labels}
        splits |= divide(hashes, shown, options["val_ratio"], options["group_by"])
    else:
        splits |= dict.fromkeys(unsaid, "train")
    yield from join(export, labels, splits, scratch)


def _classes_of(label: Labels) -> frozenset[str]:
    return frozenset(line.split()[0].lower() for line in label.text.splitlines() if line.strip())


def _read(path: str, file: Path, image: Path, names: list[str], *, yolo: bool, xml: bool) -> Labels:
    try:
        body = file.read_bytes().decode()
        if xml:
            return Labels(path, voc_label(body))
        return Labels(path, yolo_label(body, image, names) if yolo else body)
    except UnicodeDecodeError:
        advice = "save it as plain text in UTF-8"
        return Labels(path, "", Finding("label", "the label is not a UTF-8 text", advice, path))
    except BadAnnotations as error:
        advice = "mend it, or export the data set anew"
        return Labels(path, "", Finding("label", str(error), advice, path, error.line))


def _is_yolo(files: Iterable[Path]) -> bool:
    """By the first line that says something: a KITTI line begins with a word and has 15 columns."""
    for file in files:
        words = file.read_bytes()[:1000].split(b"\n")[0].split()
        if words:
            return len(words) < KITTI_COLUMNS and words[0].isdigit()
    return False


def _class_names(files: Mapping[str, Path]) -> list[str]:
    for path, file in sorted(files.items(), key=lambda item: not item[0].endswith(".yaml")):
        body = file.read_bytes().decode("utf-8", "replace")
        names = names_of_yaml(body) if path.lower().endswith(".yaml") else body.split("\n")
        cleaned = [name.strip() for name in names]
        if any(cleaned):
            return cleaned
    return []
