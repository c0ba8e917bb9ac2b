"""Another library's view of trees of labels: labelformat reads what we write, and writes what we read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from labelformat.formats import (
    COCOObjectDetectionInput,
    COCOObjectDetectionOutput,
    KittiObjectDetectionInput,
    KittiObjectDetectionOutput,
    PascalVOCObjectDetectionInput,
    PascalVOCObjectDetectionOutput,
    YOLOv8ObjectDetectionInput,
    YOLOv8ObjectDetectionOutput,
)
from labelformat.model.bounding_box import BoundingBox
from labelformat.model.category import Category
from labelformat.model.image import Image
from labelformat.model.object_detection import (
    ImageObjectDetection,
    ObjectDetectionInput,
    SingleObjectDetection,
)

from tests.kitti_archives import Files

Xyxy = tuple[float, float, float, float]
Objects = list[tuple[str, Xyxy]]
Seen = dict[str, Objects]
"""Objects of a split's pictures, by the stem of the picture."""


class Played(ObjectDetectionInput):
    """Objects in memory, for labelformat to write."""

    def __init__(self, sizes: dict[str, tuple[int, int]], seen: Seen, names: list[str], suffix: str) -> None:
        self._categories = [Category(id=number, name=name) for number, name in enumerate(names)]
        self._images = [
            Image(id=number, filename=f"{stem}{suffix}", width=sizes[stem][0], height=sizes[stem][1])
            for number, stem in enumerate(sorted(seen))
        ]
        self._seen = seen

    @staticmethod
    def add_cli_arguments(parser: object) -> None:
        raise NotImplementedError

    def get_categories(self) -> Iterable[Category]:
        return self._categories

    def get_images(self) -> Iterable[Image]:
        return self._images

    def get_labels(self) -> Iterable[ImageObjectDetection]:
        by_name = {category.name: category for category in self._categories}
        for image in self._images:
            objects = [
                SingleObjectDetection(category=by_name[name], box=BoundingBox(*box))
                for name, box in self._seen[Path(image.filename).stem]
            ]
            yield ImageObjectDetection(image=image, objects=objects)


def unzip(body: bytes, folder: Path) -> None:
    """As any program does it."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)


def read(form: str, folder: Path, split: str, names: list[str]) -> Seen:
    """What labelformat sees in a tree that we exported."""
    listed = ",".join(names)
    inputs: dict[str, Callable[[], ObjectDetectionInput]] = {
        "kitti": lambda: KittiObjectDetectionInput(folder / split / "labels", listed),
        "voc": lambda: PascalVOCObjectDetectionInput(folder / split / "Annotations", listed),
        "coco": lambda: COCOObjectDetectionInput(folder / "annotations" / f"instances_{split}.json"),
        "yolo": lambda: YOLOv8ObjectDetectionInput(folder / "data.yaml", split),
    }
    return {
        Path(label.image.filename).stem: [
            (item.category.name, (item.box.xmin, item.box.ymin, item.box.xmax, item.box.ymax))
            for item in label.objects
        ]
        for label in inputs[form]().get_labels()
    }


def write(form: str, folder: Path, split: str, played: Played) -> None:
    """A split's labels as labelformat writes them, in folders as its own reader wants them."""
    if form == "kitti":
        KittiObjectDetectionOutput(folder / split / "labels").save(played)
    elif form == "voc":
        PascalVOCObjectDetectionOutput(folder / split / "Annotations").save(played)
    elif form == "coco":
        COCOObjectDetectionOutput(folder / "annotations" / f"{split}.json").save(played)
    else:
        YOLOv8ObjectDetectionOutput(folder / "data.yaml", split).save(played)


IMAGE_FOLDER = {
    "kitti": "{split}/images", "voc": "{split}/JPEGImages", "coco": "{split}/data", "yolo": "images/{split}",
}  # fmt: skip


def tree(folder: Path) -> Files:
    """All files below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
