"""Checks single files of an archive, and how pictures and labels fit each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from detectnet.classes import DONTCARE, ClassMap, UnknownClass
from detectnet.images import ImageError, decode_image, pad_image
from detectnet.kitti import KittiObject, LabelError, parse_label
from periscope_dataset.archive import SPLITS, Place
from periscope_dataset.findings import Finding, Findings
from periscope_dataset.shards import Picture


@dataclass(frozen=True)
class CheckedImage:
    """A picture that decodes wholly."""

    path: str
    """As the archive names it."""
    file: Path
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class CheckedLabel:
    """A label that parses."""

    path: str
    content: bytes
    objects: list[KittiObject]


@dataclass
class SplitFiles:
    """What a split has so far, by key."""

    images: dict[str, CheckedImage] = field(default_factory=dict)
    labels: dict[str, CheckedLabel] = field(default_factory=dict)
    bad_images: set[str] = field(default_factory=set)
    bad_labels: set[str] = field(default_factory=set)


def check_image(path: str, file: Path, pad: tuple[int, int] | None) -> CheckedImage | Finding:
    """Decode a picture, and try the padding on it."""
    body = file.read_bytes()
    try:
        image = decode_image(body)
        if pad is not None:
            pad_image(image, *pad)
    except ImageError as error:
        advice = "replace or remove the picture (and its label), then upload again"
        return Finding("image", f"{error}", advice, path)
    height, width = image.shape[:2]
    return CheckedImage(path, file, width, height, hashlib.sha256(body).hexdigest())


def check_label(path: str, content: bytes) -> CheckedLabel | Finding:
    """Parse a label file."""
    try:
        return CheckedLabel(path, content, parse_label(content.decode(), path))
    except LabelError as error:
        advice = "mend the line: type, 14 numbers, separated by spaces"
        return Finding("label", error.message, advice, path, error.line)
    except UnicodeDecodeError:
        return Finding("label", "the label is not a UTF-8 text", "save it as plain text", path)


def find_duplicates(seen: dict[Place, str], place: Place, path: str) -> Finding | None:
    """A second picture or label of the same name in one split."""
    first = seen.setdefault(place, path)
    if first == path:
        return None
    message = f"{place.split} has two {place.kind} named {place.key!r}: {first} and {path}"
    return Finding("duplicate_name", message, "give every picture of a split a name of its own", path)


def join_splits(splits: dict[str, SplitFiles], findings: Findings) -> None:
    """Note pictures without label, labels without picture, and empty splits."""
    for name in SPLITS:
        files = splits[name]
        if not files.images and not files.bad_images:
            findings.error(
                Finding(
                    "empty_split",
                    f"the archive has no {name} pictures",
                    f"put pictures into {name}/images and labels into {name}/labels, in any parent folder",
                )
            )
        known_labels = files.labels.keys() | files.bad_labels
        for key in sorted(files.images.keys() - known_labels):
            path = files.images[key].path
            advice = f"add {name}/labels/{key}.txt; an empty file says that nothing is on the picture"
            findings.error(Finding("label_missing", "the picture has no label file", advice, path))
        for key in sorted(files.labels.keys() - files.images.keys() - files.bad_images):
            advice = "add the picture, or remove the label"
            findings.warn(
                Finding("image_missing", "the label has no picture", advice, files.labels[key].path)
            )


def class_map(names: list[str] | None, splits: dict[str, SplitFiles], findings: Findings) -> ClassMap | None:
    """The classes of the version; None when there is none, which is an error."""
    objects = [item for files in splits.values() for label in files.labels.values() for item in label.objects]
    try:
        classes = ClassMap(names) if names else ClassMap.of_types(item.type for item in objects)
    except ValueError as error:
        advice = "label at least one object of a class that is not dontcare"
        findings.error(Finding("no_boxes", f"no class can be found: {error}", advice))
        return None
    for files in splits.values():
        for label in files.labels.values():
            _check_classes(label, classes, findings)
    return classes


def require_boxes(splits: dict[str, SplitFiles], classes: ClassMap, findings: Findings) -> None:
    """An error for a split without a single object, and a warning for a class that a split lacks."""
    for name, files in splits.items():
        counts = boxes_per_class(files, classes)
        if files.labels and not any(counts.values()):
            message = f"the {name} labels hold no object of a class"
            advice = "a network learns nothing from this; check the labels and the list of classes"
            findings.error(Finding("no_boxes", message, advice))
            continue
        for missing in (class_name for class_name, count in counts.items() if not count):
            message = f"{name} has no object of the class {missing!r}"
            findings.warn(Finding("class_missing", message, "add some, or leave the class out"))


def boxes_per_class(files: SplitFiles, classes: ClassMap) -> dict[str, int]:
    """How many objects each class has in a split."""
    counts = dict.fromkeys(classes.names, 0)
    for label in files.labels.values():
        for item in label.objects:
            if item.type in counts:
                counts[item.type] += 1
    return counts


def pictures_of(files: SplitFiles) -> list[Picture]:
    """The split's pictures in order of their keys."""
    return [
        Picture(
            key, Path(image.path).name, image.file, files.labels[key].content, image.width, image.height,
            sum(item.type != DONTCARE for item in files.labels[key].objects), image.sha256,
        )
        for key, image in sorted(files.images.items())
    ]  # fmt: skip


def _check_classes(label: CheckedLabel, classes: ClassMap, findings: Findings) -> None:
    for item in label.objects:
        try:
            classes.index_of(item.type)
        except UnknownClass as error:
            advice = "add the class to the list, or rename it in the labels (dontcare leaves it out)"
            findings.error(Finding("unknown_class", str(error), advice, label.path, item.line_number))
