"""What the command ``detectnet`` does with what was trained: export, evaluate, predict."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detectnet.bundle import input_size
from detectnet.caffe_runtime import CaffeNet
from detectnet.caffemodel import read_caffemodel, weights_of
from detectnet.classes import ClassMap
from detectnet.clustering import ClusterOptions, cluster_detections
from detectnet.drawing import draw_boxes, encode_png
from detectnet.images import Image, decode_image, resize_image
from detectnet.jetson import DEFAULT_THRESHOLD, decode_caffe, preprocess_caffe
from detectnet.prototxt import parse_prototxt
from detectnet.sizes import require_grid_size
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.checkpoint import model_of_checkpoint, write_durably
from detectnet_trainer.dataset import BadData, build_folder_split
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import export_snapshot
from detectnet_trainer.model import DetectNet, load_weights

Found = list[tuple[npt.NDArray[np.float32], int, float]]
"""Box in pixels of the picture, class index, confidence."""


def export_checkpoint(checkpoint: Path, out: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Write the Caffe pair and the ONNX grid of a checkpoint for an input of ``size`` (width, height).

    Raises BadCheckpoint and IllegalSize.
    """
    require_grid_size(*size)
    model, step = model_of_checkpoint(checkpoint.read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    files = export_snapshot(model, step, *size).files
    for name, content in files.items():
        write_durably(out / name, content)
    return {"step": step, "classes": model.classes, "files": [str(out / name) for name in files]}


def evaluate_folder(model_folder: Path, folder: Path) -> dict[str, Any]:
    """Figures of an exported network on ``folder/val``, by PyTorch in full precision."""
    deploy, weights, labels = _load_pair(model_folder)
    size = _input_size(deploy)
    model = DetectNet(len(labels))
    missing = load_weights(model, weights_of(read_caffemodel(weights)))
    if missing:
        raise ValueError(f"the caffemodel has no {', '.join(missing[:3])}")
    with tempfile.TemporaryDirectory() as cache:
        split = build_folder_split(folder / "val", size, ClassMap(labels), Path(cache) / "val.npy")
        maker = BatchMaker(split, len(labels), None, 0)
        return evaluate(model, maker, tuple(labels), torch.device("cpu")).as_dict()


def predict_image(
    model_folder: Path, image_path: Path, decoder: str, threshold: float | None, out: Path | None
) -> dict[str, Any]:
    """Boxes of one picture by the exported Caffe pair, as DIGITS or as a Jetson decodes them."""
    deploy, weights, labels = _load_pair(model_folder)
    image = decode_image(image_path.read_bytes())
    net = CaffeNet(deploy, weights)
    width, height = _input_size(deploy)
    if decoder == "jetson-caffe":
        grids = net.run(preprocess_caffe(image, width, height))
        found = _jetson_boxes(grids, image, (width, height), threshold)
    else:
        resized = resize_image(image, width, height).transpose(2, 0, 1).astype(np.float32)
        found = _digits_boxes(net.run(resized), image, (width, height), threshold)
    if out is not None:
        out.write_bytes(encode_png(_drawn(image, found, labels)))
    boxes = [
        {"class": labels[index], "xyxy": [round(float(side), 2) for side in box], "confidence": confidence}
        for box, index, confidence in found
    ]
    return {"image": str(image_path), "decoder": decoder, "boxes": boxes}


def _jetson_boxes(grids: Any, image: Image, size: tuple[int, int], threshold: float | None) -> Found:
    image_size = (image.shape[1], image.shape[0])
    least = DEFAULT_THRESHOLD if threshold is None else threshold
    found = decode_caffe(*grids, image_size=image_size, network_size=size, threshold=least)
    return [(np.array(item.xyxy, np.float32), item.class_index, item.confidence) for item in found]


def _digits_boxes(grids: Any, image: Image, size: tuple[int, int], threshold: float | None) -> Found:
    options = ClusterOptions() if threshold is None else ClusterOptions(coverage_threshold=threshold)
    ratio = np.array([image.shape[1] / size[0], image.shape[0] / size[1]] * 2)
    coverage, bboxes = grids
    clustered = cluster_detections(coverage, bboxes, options)
    return [
        (np.asarray(row[:4] * ratio, np.float32), index, float(row[4]))
        for index, rows in enumerate(clustered)
        for row in rows
    ]


def _drawn(image: Image, found: Found, labels: list[str]) -> Image:
    indices = [index for _, index, _ in found]
    boxes = np.array([box for box, _, _ in found], np.float32)
    return draw_boxes(image, boxes, [labels[i] for i in indices], [score for *_, score in found], indices)


def _load_pair(folder: Path) -> tuple[str, bytes, list[str]]:
    """Deploy text, newest weights and labels of a folder. Raises BadData."""
    weights = sorted(
        folder.glob("snapshot_iter_*.caffemodel"), key=lambda path: int(path.stem.split("_")[-1])
    )
    if not weights:
        raise BadData(f"{folder} holds no snapshot_iter_<n>.caffemodel")
    labels = (folder / "labels.txt").read_text().splitlines()
    deploy = (folder / "deploy.prototxt").read_text()
    return deploy, weights[-1].read_bytes(), [name for name in labels if name]


def _input_size(deploy: str) -> tuple[int, int]:
    size = input_size(parse_prototxt(deploy))
    if size is None:
        raise BadData("deploy.prototxt does not say the size of its input")
    return size
