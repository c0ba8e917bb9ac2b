"""Run by datumaro's own interpreter: a KITTI zip a line comes in; it is unpacked, decoded and saved as COCO."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

from datumaro.components.annotation import AnnotationType, Bbox, LabelCategories
from datumaro.components.dataset import Dataset
from datumaro.components.dataset_base import DatasetItem
from datumaro.components.media import Image


def items(folder: Path, labels: LabelCategories):  # type: ignore[no-untyped-def] # Not checked with the project.
    """Pictures with their boxes. The folders are not those that datumaro's own KITTI reader wants."""
    for label in sorted(folder.glob("*/labels/*.txt")):
        image = label.parents[1] / "images" / f"{label.stem}.jpg"
        boxes = []
        for line in label.read_text().splitlines():
            words = line.split()
            left, top, right, bottom = map(float, words[4:8])
            boxes.append(Bbox(left, top, right - left, bottom - top, label=labels.find(words[0])[0]))
        media = Image.from_file(path=str(image))
        assert media.data is not None
        yield DatasetItem(id=label.stem, subset=label.parents[1].name, media=media, annotations=boxes)


def convert(archive: Path) -> int:
    """Return how many pictures went through."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder / "in")
        labels = LabelCategories.from_iterable(["buoy", "gate"])
        found = list(items(folder / "in", labels))
        dataset = Dataset.from_iterable(found, categories={AnnotationType.label: labels}, media_type=Image)
        dataset.export(str(folder / "out"), "coco_instances", save_media=True)
        return len(list((folder / "out").rglob("*.jpg")))


for line in sys.stdin:
    print(convert(Path(line.strip())), flush=True)
