"""What an archive's checked files amount to: pictures with their labels, classes, statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectnet.classes import DONTCARE, ClassMap
from periscope_dataset.checking import CheckedImage, CheckedLabel, Rules, Verdict
from periscope_dataset.findings import Finding, Findings, IngestRefused
from periscope_dataset.layout import ALL_SPLITS, KINDS, LABEL_SUFFIX, SPLITS, Place
from periscope_dataset.shards import Picture

MAX_CLASSES = 256
MAX_OBJECTS = 4_000_000
"""Their table takes 30 bytes of memory for each."""
SLACK_PX = 1.0
"""Annotators round outwards; beyond this a box reaches out of its picture."""
ADVICE = "pack train/images, train/labels, val/images and val/labels, or give val_ratio to divide by"


@dataclass
class SplitFiles:
    """What a split has so far, by key."""

    images: dict[str, CheckedImage] = field(default_factory=dict)
    labels: dict[str, CheckedLabel] = field(default_factory=dict)
    unlabelled: set[str] = field(default_factory=set)
    """Keys of pictures without a label, which only a test set may have."""
    bad: dict[tuple[str, str], str] = field(default_factory=dict)
    """Paths by kind and key of files that have errors of their own."""

    def path_of(self, kind: str, key: str) -> str | None:
        """The member that was entered, as the archive names it."""
        entered = self.images.get(key) if kind == "images" else self.labels.get(key)
        return entered.path if entered is not None else self.bad.get((kind, key))


class Content:
    """All files of one archive, entered one after another."""

    def __init__(self, rules: Rules, findings: Findings, folder: Path) -> None:
        """``folder`` is where the files lie."""
        self.splits = {name: SplitFiles() for name in ALL_SPLITS}
        self.rules = rules
        self.classes: ClassMap | None = rules.mapping.classes
        """Known in the end; None where nothing is labelled."""
        self._findings = findings
        self._folder = folder
        self.division: dict[str, Any] = {"by": "folders"}
        """How pictures came into their splits, for the manifest."""
        self._root: str | None = None
        self._objects = 0

    def accepts(self, path: str, place: Place) -> bool:
        """Whether a member is to be checked; what is wrong with its place is noted.

        Raises:
            IngestRefused: it belongs to another data set than the members before.
        """
        if self._root is not None and place.root != self._root:
            message = (
                f"the archive holds two data sets, in {self._root or '.'!r} and in {place.root or '.'!r}"
            )
            raise IngestRefused(Finding("layout", message, "pack one data set an archive", path))
        self._root = place.root
        if place.key is None:
            self._findings.warn(_stray(path, place))
            return False
        return True

    def enter(self, path: str, place: Place, verdict: Verdict) -> None:
        """Keep what was found of an accepted member. Raises IngestRefused for too much of all."""
        if place.key is None:
            return  # accepts() sorts them out.
        files = self.splits[place.split]
        first = files.path_of(place.kind, place.key)
        if first is not None:
            message = f"{place.split} has two {place.kind} named {place.key!r}: {first} and {path}"
            advice = "give every picture of a split a name of its own"
            self._findings.error(Finding("duplicate_name", message, advice, path))
            return
        for finding in verdict.errors:
            self._findings.error(finding)
        for finding in verdict.warnings:
            self._findings.warn(finding)
        if isinstance(verdict.fact, CheckedImage):
            files.images[place.key] = verdict.fact
        elif isinstance(verdict.fact, CheckedLabel):
            files.labels[place.key] = verdict.fact
            self._objects += sum(count for _, count in verdict.fact.objects)
            if self._objects > MAX_OBJECTS:
                message = f"the labels hold more than {MAX_OBJECTS} objects"
                raise IngestRefused(Finding("archive_too_big", message, "split it into several data sets"))
        else:
            files.bad[place.kind, place.key] = path

    def finish(self, *, unlabelled: bool = False) -> bool:
        """Judge the whole and settle the classes; False when there are errors.

        Raises:
            IngestRefused: there is no folder of a data set at all.
        """
        if self._root is None:
            message = "the archive has no folders train/images and train/labels"
            raise IngestRefused(Finding("layout", message, ADVICE))
        self._complete_test()
        for name in () if unlabelled else SPLITS:
            _require_pictures(name, self.splits[name], self._findings)
        for name, files in self.splits.items():
            _join(name, files, self._findings)
        # Whatever else would be found may follow from these.
        if not self._findings.error_count and not unlabelled:
            self.classes = self.classes or _classes_of(self.splits, self._findings)
        if self.classes is not None and not self._findings.error_count and not unlabelled:
            for name in SPLITS:
                _require_boxes(name, self.splits[name], self.classes, self._findings)
        return not self._findings.error_count

    def _complete_test(self) -> None:
        """A test picture needs no label: an empty one stands in for it."""
        files = self.splits["test"]
        empty = self._folder / "no-label"
        empty.touch()
        for key in files.images.keys() - files.labels.keys():
            if ("labels", key) not in files.bad:
                files.labels[key] = CheckedLabel(
                    files.images[key].path, empty.name, (), (), (0.0, 0), (0.0, 0)
                )
                files.unlabelled.add(key)


def pictures_of(files: SplitFiles, keys: Iterable[str], folder: Path) -> list[Picture]:
    """The named pictures of a split; ``folder`` holds their files."""
    return [
        Picture(
            key, Path(image.path).name, folder / image.file, folder / files.labels[key].file,
            image.width, image.height,
            files.labels[key].boxes, image.sha256,
        )
        for key in keys
        for image in [files.images[key]]
    ]  # fmt: skip


def statistics_of(splits: dict[str, SplitFiles], classes: ClassMap | None) -> dict[str, Any]:
    """What the manifest tells of the labels."""
    if classes is None:
        return {"boxes_per_class": {name: {} for name in splits}, "val_boxes_below_min_size": {}}
    return {
        "boxes_per_class": {name: _count(files, classes, "objects") for name, files in splits.items()},
        "val_boxes_below_min_size": _count(splits["val"], classes, "small"),
    }


def image_sizes_of(splits: dict[str, SplitFiles]) -> list[dict[str, int]]:
    """How many pictures have which size in pixels, the most frequent first."""
    sizes = Counter(
        (image.width, image.height) for files in splits.values() for image in files.images.values()
    )
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return [{"width": width, "height": height, "images": count} for (width, height), count in ordered]


def _stray(path: str, place: Place) -> Finding:
    if place.kind == "images":
        return Finding("ignored", "the file is no picture of a known kind", "save it as PNG or JPEG", path)
    advice = f"put labels as {LABEL_SUFFIX} files into {place.split}/{KINDS[1]}, without further folders"
    return Finding("ignored", "the file is no label, or lies too deep", advice, path)


def _require_pictures(name: str, files: SplitFiles, findings: Findings) -> None:
    if not files.images and not any(kind == "images" for kind, _ in files.bad):
        findings.error(Finding("empty_split", f"the archive has no {name} pictures", ADVICE))


def _join(name: str, files: SplitFiles, findings: Findings) -> None:
    """Note pictures without label and labels without picture; the latter count no further."""
    bad_images, bad_labels = ({key for kind, key in files.bad if kind == wanted} for wanted in KINDS)
    for key in sorted(files.images.keys() - files.labels.keys() - bad_labels):
        advice = f"add {name}/labels/{key}.txt; an empty file says that nothing is on the picture"
        message = "the picture has no label file"
        findings.error(Finding("label_missing", message, advice, files.images[key].path))
    for key in sorted(files.labels.keys() - files.images.keys()):
        label = files.labels.pop(key)
        if key not in bad_images:
            advice = "add the picture, or remove the label"
            findings.warn(Finding("image_missing", "the label has no picture", advice, label.path))
    for key in sorted(files.images.keys() & files.labels.keys()):
        _compare(files.images[key], files.labels[key], findings)


def _compare(image: CheckedImage, label: CheckedLabel, findings: Findings) -> None:
    for (reach, line), side in ((label.rightmost, image.width), (label.lowest, image.height)):
        if reach > side + SLACK_PX:
            message = f"a box reaches to {reach:g} on a picture of {image.width}x{image.height}"
            advice = "check that the labels were made for pictures of this size"
            findings.warn(Finding("box_outside", message, advice, label.path, line))
            return


def _classes_of(splits: dict[str, SplitFiles], findings: Findings) -> ClassMap | None:
    labels = (label for files in splits.values() for label in files.labels.values())
    types = {kind for label in labels for kind, _ in label.objects}
    if not types - {DONTCARE}:
        advice = "label at least one object of a class that is not dontcare"
        findings.error(Finding("no_boxes", "the labels hold no object of any class", advice))
        return None
    if len(types) > MAX_CLASSES:
        message = f"the labels hold {len(types)} classes; at most {MAX_CLASSES} are taken"
        advice = "column 1 is the class; list the classes you want, and rename the others to dontcare"
        findings.error(Finding("too_many_classes", message, advice))
        return None
    return ClassMap.of_types(types)


def _require_boxes(name: str, files: SplitFiles, classes: ClassMap, findings: Findings) -> None:
    counts = _count(files, classes, "objects")
    if not any(counts.values()):
        message = f"the {name} labels hold no object of a class"
        advice = "a network learns nothing from this; check the labels and the list of classes"
        findings.error(Finding("no_boxes", message, advice))
        return
    # Of training, the lint says so: it is worse.
    missing_classes = [class_name for class_name, count in counts.items() if not count]
    for missing in missing_classes if name == "val" else ():
        message = f"{name} has no object of the class {missing!r}"
        findings.warn(Finding("class_missing", message, "add some, or leave the class out"))
    if name == "val" and counts == _count(files, classes, "small"):
        message = "every validation object is below the minimum size, so that validation counts none"
        findings.lint("all_small", "error", message, sum(counts.values()))


def _count(files: SplitFiles, classes: ClassMap, what: str) -> dict[str, int]:
    """How many objects of each class the labels of a split have."""
    counts = dict.fromkeys(classes.names, 0)
    for label in files.labels.values():
        for kind, count in getattr(label, what):
            if kind in counts:
                counts[kind] += count
    return counts
