"""Which label says what is on which picture of another tool's export; read one picture at a time."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from detectnet.images import IMAGE_SUFFIXES
from periscope_dataset.coco import CocoAnnotations
from periscope_dataset.findings import Finding, IngestRefused
from periscope_dataset.foreign_labels import BadAnnotations, Labels, names_of_yaml, voc_label, yolo_label
from periscope_dataset.layout import ALL_SPLITS

KIND_WORDS = {
    "image", "images", "img", "imgs", "jpegimages", "label", "labels", "annotation",
    "annotations", "xmls", "data",
}  # fmt: skip
NAME_FILES = {"classes.txt", "obj.names", "data.yaml", "dataset.yaml", "_darknet.labels"}
NO_LABELS = {
    "classes", "readme", "notes", "obj", "train", "val", "valid", "test", "trainval", "default", "license",
    "label_colors", "labelmap", "names", "image_names",
}  # fmt: skip
"""Names of texts that tools put beside labels, up to the first dot."""
KITTI_COLUMNS = 15


class Annotations(Protocol):
    """The labels of an export. Safe to use from several threads."""

    def source(self, image: str) -> str | None:
        """The member that says what is on a picture, or None."""

    def label(self, image: str) -> Labels:
        """What is on a picture that has a source."""

    def unused(self) -> list[str]:
        """Members that label no picture of the export."""


@dataclass
class Export:
    """All files of an archive that may matter, by path, as names in the scratch folder."""

    folder: Path
    images: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    xmls: dict[str, str] = field(default_factory=dict)
    jsons: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    """Splits by stem, of Pascal VOC's lists."""

    def enter(self, path: str, file: Path) -> None:
        """Sort a member in."""
        name = PurePosixPath(path)
        suffix = name.suffix.lower()
        if name.name.lower() in NAME_FILES:
            self.names[path] = file.name
        elif suffix in IMAGE_SUFFIXES:
            self.images[path] = file.name
        elif suffix == ".xml":
            self.xmls[path] = file.name
        elif suffix == ".json":
            self.jsons[path] = file.name
        elif "ImageSets" in name.parts and name.stem in ALL_SPLITS:
            for line in file.read_text(errors="replace").splitlines():
                self.sets[line.split()[0] if line.strip() else ""] = name.stem
        elif suffix == ".txt" and "ImageSets" not in name.parts and not _is_note(name.name):
            self.texts[path] = file.name

    @property
    def is_labelled(self) -> bool:
        """Whether anything in it may be a label."""
        return bool(self.texts or self.xmls or self.jsons)


def annotations_of(export: Export) -> Annotations:
    """The labels of an export. Raises IngestRefused for annotations that cannot be read at all."""
    labels = LabelFiles(export)
    # A text or two beside COCO's file are no labels.
    if labels.meet_pictures or not export.jsons:
        return labels
    try:
        files = {path: export.folder / name for path, name in export.jsons.items()}
        return CocoAnnotations(files, export.images, export.folder / "coco-labels")
    except BadAnnotations as error:
        advice = "export the data set as COCO object detection anew"
        raise IngestRefused(Finding("annotations", str(error), advice, error.file)) from error


class LabelFiles:
    """One file a picture: KITTI, YOLO or Pascal VOC."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._is_voc = bool(export.xmls)
        self._files = export.xmls or export.texts
        self._is_yolo = not self._is_voc and _is_yolo(export.folder / name for name in export.texts.values())
        self._names = _class_names({path: export.folder / name for path, name in export.names.items()})
        self._sources = _matched(export.images, self._files)

    @property
    def meet_pictures(self) -> bool:
        """Whether any label belongs to a picture."""
        return bool(self._sources)

    def source(self, image: str) -> str | None:
        """In YOLO a picture without a label file shows nothing, and says so itself."""
        return self._sources.get(image) or (image if self._is_yolo else None)

    def label(self, image: str) -> Labels:
        """Read, in the words of KITTI."""
        source = self._sources.get(image)
        if source is None:
            return Labels(image, "")
        try:
            body = (self._export.folder / self._files[source]).read_bytes().decode()
            return Labels(source, self._converted(body, image))
        except UnicodeDecodeError:
            advice = "save it as plain text in UTF-8"
            return Labels(source, "", Finding("label", "the label is not a UTF-8 text", advice, source))
        except BadAnnotations as error:
            advice = "mend it, or export the data set anew"
            return Labels(source, "", Finding("label", str(error), advice, source, error.line))

    def unused(self) -> list[str]:
        """Label files that met no picture."""
        return sorted(self._files.keys() - set(self._sources.values()))

    def _converted(self, body: str, image: str) -> str:
        if self._is_voc:
            return voc_label(body)
        if self._is_yolo:
            return yolo_label(body, self._export.folder / self._export.images[image], self._names)
        return body


def signature(path: str) -> tuple[str, ...]:
    """A path without suffix and without the words for kinds of files: pictures and their labels share it."""
    name = PurePosixPath(path)
    folders = [part for part in name.parts[:-1] if re.sub(r"[_0-9]+$", "", part.lower()) not in KIND_WORDS]
    return (*folders, unicodedata.normalize("NFC", name.stem))


def _matched(images: Iterable[str], labels: Iterable[str]) -> dict[str, str]:
    """Labels by picture: of one signature, else of a name that only one label has."""
    by_signature = {signature(path): path for path in labels}
    stems = Counter(mark[-1] for mark in by_signature)
    by_stem = {mark[-1]: path for mark, path in by_signature.items()}
    matched = {}
    for image in images:
        mark = signature(image)
        label = by_signature.get(mark) or (by_stem.get(mark[-1]) if stems[mark[-1]] == 1 else None)
        if label is not None:
            matched[image] = label
    return matched


def _is_yolo(files: Iterable[Path]) -> bool:
    """By the first line that says something: a KITTI line begins with a word and has 15 columns."""
    for file in files:
        with file.open("rb") as opened:
            words = opened.read(1000).split(b"\n")[0].split()
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


def _is_note(name: str) -> bool:
    return name.lower().split(".")[0] in NO_LABELS
