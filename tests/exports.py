"""One data set as other tools export it, each in its usual folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.dataset_corpus import BUOY, GATE, HEIGHT, WIDTH, healthy, labelled, picture
from tests.kitti_archives import Files

NAMES = ("buoy", "gate")
BOXES = {"buoy": BUOY, "gate": GATE}
TRAIN, VAL = 12, 11


def pictures(place: str, *, val: str = "val", train: str = "train") -> Files:
    """Pictures under ``place``, which names ``{split}`` and ``{name}``."""
    return {
        place.format(split=word, name=f"{split}{number:03d}"): picture(number + 100 * (split == "val"))
        for split, word, count in (("train", train, TRAIN), ("val", val, VAL))
        for number in range(count)
    }


def _numbers() -> list[tuple[str, str]]:
    return [
        (split, f"{split}{n:03d}") for split, count in (("train", TRAIN), ("val", VAL)) for n in range(count)
    ]


def _yolo() -> bytes:
    lines = []
    for index, name in enumerate(NAMES):
        x1, y1, x2, y2 = BOXES[name]
        shares = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        lines.append(f"{index} " + " ".join(f"{share:.9f}" for share in shares))
    return "\n".join(lines).encode()


def _polygons() -> bytes:
    lines = []
    for index, name in enumerate(NAMES):
        x1, y1, x2, y2 = BOXES[name]
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        lines.append(f"{index} " + " ".join(f"{x / WIDTH:.9f} {y / HEIGHT:.9f}" for x, y in corners))
    return "\n".join(lines).encode()


def yolo_roboflow() -> Files:
    files = pictures("{split}/images/{name}.png", val="valid")
    files |= {f"{'valid' if s == 'val' else s}/labels/{name}.txt": _yolo() for s, name in _numbers()}
    readmes = {
        "README.dataset.txt": b"# Buoys\nhttps://example.org\n",
        "README.roboflow.txt": b"\n0 images\n",
    }
    names = b"train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['buoy', 'gate']\n"
    return readmes | {"data.yaml": names} | files


def yolo_v8() -> Files:
    files = pictures("set/images/{split}/{name}.png")
    files |= {f"set/labels/{split}/{name}.txt": _yolo() for split, name in _numbers()}
    return files | {
        "set/data.yaml": b"path: .\ntrain: images/train\nval: images/val\nnames:\n  0: buoy\n  1: gate\n"
    }


def yolo_polygons() -> Files:
    return {n: _polygons() if n.endswith(".txt") else b for n, b in yolo_v8().items()}


def yolo_darknet() -> Files:
    files = pictures("obj_{split}_data/{name}.png")
    files |= {f"obj_{split}_data/{name}.txt": _yolo() for split, name in _numbers()}
    return files | {"obj.names": b"buoy\ngate\n", "train.txt": b"obj_train_data/train000.png\n"}


def darknet_roboflow() -> Files:
    files = {f"{part}/_darknet.labels": b"buoy\ngate\n" for part in ("train", "valid")}
    files |= pictures("{split}/{name}.png", val="valid")
    return files | {f"{'valid' if s == 'val' else s}/{name}.txt": _yolo() for s, name in _numbers()}


def _voc(name: str) -> bytes:
    objects = "".join(
        f"<object><name>{kind}</name><difficult>0</difficult><bndbox><xmin>{b[0]:g}</xmin><ymin>{b[1]:g}</ymin>"
        f"<xmax>{b[2]:g}</xmax><ymax>{b[3]:g}</ymax></bndbox></object>"
        for kind, b in BOXES.items()
    )
    return f"<annotation><filename>{name}.png</filename>{objects}</annotation>".encode()


def voc_devkit() -> Files:
    files = pictures("VOCdevkit/VOC2012/JPEGImages/{name}.png")
    files |= {f"VOCdevkit/VOC2012/Annotations/{name}.xml": _voc(name) for _, name in _numbers()}
    for split in ("train", "val"):
        listed = "\n".join(name for found, name in _numbers() if found == split)
        files[f"VOCdevkit/VOC2012/ImageSets/Main/{split}.txt"] = listed.encode()
    return files


def voc_roboflow() -> Files:
    files = pictures("{split}/{name}.png", val="valid")
    return files | {f"{'valid' if s == 'val' else s}/{name}.xml": _voc(name) for s, name in _numbers()}


def coco(place: str, word: Callable[[str], str] = str) -> dict[str, bytes]:
    """COCO files, one a split, at ``place``."""
    files = {}
    for split in ("train", "val"):
        names = [name for found, name in _numbers() if found == split]
        document: dict[str, Any] = {
            "info": {"year": 2026, "images": [1, 2]},
            "images": [
                {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
                for number, name in enumerate(names)
            ],
            "annotations": [
                {
                    "id": 2 * number + index, "image_id": number, "category_id": index + 1, "iscrowd": 0,
                    "bbox": [BOXES[kind][0], BOXES[kind][1], BOXES[kind][2] - BOXES[kind][0], BOXES[kind][3] - BOXES[kind][1]],
                }
                for number in range(len(names))
                for index, kind in enumerate(NAMES)
            ],
            "categories": [{"id": index + 1, "name": kind} for index, kind in enumerate(NAMES)],
        }  # fmt: skip
        files[place.format(split=word(split))] = json.dumps(document).encode()
    return files


def coco_2017() -> Files:
    return pictures("{split}2017/{name}.png") | coco("annotations/instances_{split}2017.json")


def coco_roboflow() -> Files:
    place = "{split}/_annotations.coco.json"
    return pictures("{split}/{name}.png", val="valid") | coco(place, lambda s: "valid" if s == "val" else s)


def coco_flat() -> Files:
    return pictures("images/{name}.png") | coco("{split}.json")


def kitti_elsewhere() -> Files:
    files = healthy()
    return {
        n.replace("train/images/", "training/image_2/train").replace("train/labels/", "training/label_2/train")
        .replace("val/images/", "validation/image_2/val").replace("val/labels/", "validation/label_2/val"): b
        for n, b in files.items()
    }  # fmt: skip


def kitti_cvat() -> Files:
    files: Files = {"label_colors.txt": b"255 0 0 buoy\n0 255 0 gate\n"}
    files |= pictures("{split}/image_2/{name}.png")
    return files | {
        f"{split}/label_2/{name}.txt": labelled().replace(b"\n", b" 1\n") for split, name in _numbers()
    }


def coco_cvat() -> Files:
    return pictures("images/{split}/{name}.png") | coco("annotations/instances_{split}.json")


def voc_cvat() -> Files:
    return voc_devkit() | {"labelmap.txt": b"# label:color_rgb:parts:actions\nbuoy:255,0,0::\n"}


def coco_fiftyone() -> Files:
    return pictures("{split}/data/{name}.png") | coco("{split}/labels.json")


def voc_fiftyone() -> Files:
    files = pictures("{split}/data/{name}.png")
    return files | {f"{split}/labels/{name}.xml": _voc(name) for split, name in _numbers()}


def kitti_fiftyone() -> Files:
    files = pictures("{split}/data/{name}.png")
    return files | {f"{split}/labels/{name}.txt": labelled() for split, name in _numbers()}


def yolo_fiftyone() -> Files:
    files = yolo_v8()
    names = files.pop("set/data.yaml")
    return files | {"set/dataset.yaml": names}


EXPORTS: dict[str, Callable[[], Files]] = {
    "YOLO of Roboflow": yolo_roboflow,
    "YOLO v8": yolo_v8,
    "YOLO v8 with polygons": yolo_polygons,
    "YOLO of Darknet": yolo_darknet,
    "VOC's own folders": voc_devkit,
    "VOC of Roboflow": voc_roboflow,
    "COCO 2017": coco_2017,
    "COCO of Roboflow": coco_roboflow,
    "COCO beside one folder of pictures": coco_flat,
    "KITTI's own folders": kitti_elsewhere,
    "Darknet of Roboflow": darknet_roboflow,
    "KITTI of CVAT, 16 columns": kitti_cvat,
    "COCO of CVAT": coco_cvat,
    "VOC of CVAT": voc_cvat,
    "COCO of FiftyOne": coco_fiftyone,
    "VOC of FiftyOne": voc_fiftyone,
    "KITTI of FiftyOne": kitti_fiftyone,
    "YOLO of FiftyOne": yolo_fiftyone,
}
