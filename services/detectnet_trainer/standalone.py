"""What the command ``detectnet`` does with folders and pictures on this machine."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Mapping
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
from detectnet.images import IMAGE_SUFFIXES, Image, decode_image, resize_image
from detectnet.jetson import DEFAULT_THRESHOLD, decode_caffe, preprocess_caffe
from detectnet.prototxt import deploy_prototxt, parse_prototxt
from detectnet.recipes import resolve_training
from detectnet.sizes import require_grid_size
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.checkpoint import load_checkpoint, save_checkpoint
from detectnet_trainer.dataset import (
    BadData,
    InputOptions,
    Split,
    build_split,
    class_names_of_folder,
    read_kitti_folder,
)
from detectnet_trainer.engine import StepReport
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import export_snapshot
from detectnet_trainer.model import DetectNet, load_weights
from detectnet_trainer.session import start_session

CHECKPOINT = "checkpoint.pt"
DESCRIPTION = "training.json"

Say = Callable[[str], None]


def train_folder(
    folder: Path,
    out: Path,
    size: tuple[int, int],
    classes: str | None,
    recipe: str,
    overrides: Mapping[str, Any],
    say: Say,
) -> dict[str, Any]:
    """Train on a KITTI folder; goes on where an earlier run into the same ``out`` stopped.

    Returns the last validation's figures. Raises BadData, IllegalSize and what a session raises.
    """
    require_grid_size(*size)
    out.mkdir(parents=True, exist_ok=True)
    class_map = ClassMap(classes.split(",") if classes else class_names_of_folder(folder))
    training = resolve_training(recipe, overrides, threads=os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(dir=out) as cache:
        splits = [load_split(folder / name, size, class_map, Path(cache)) for name in ("train", "val")]
        session = start_session(splits[0], splits[1], class_map.names, training)
        for warning in session.warnings:
            say(warning)
        if (out / CHECKPOINT).exists():
            load_checkpoint(session.trainer, session.training, out / CHECKPOINT)
            say(f"going on after step {session.trainer.step}")
        _describe(out, size, class_map, training)
        last: dict[str, Any] = {}

        def after_step(report: StepReport) -> bool:
            if session.trainer.plan.validates_at(report.step):
                figures = evaluate(
                    session.trainer.model, session.validation, session.names, session.device,
                    training["val_batch_size"],
                ).as_dict()  # fmt: skip
                _save_epoch(out, session.trainer.model, report, size, figures)
                save_checkpoint(session.trainer, session.training, out / CHECKPOINT)
                last.update(step=report.step, epoch=report.epoch, **figures)
                say(_line(report, figures))
            return True

        session.trainer.run(after_step)
    return last


def evaluate_folder(model_folder: Path, folder: Path) -> dict[str, Any]:
    """Figures of an exported network on ``folder/val``, by PyTorch in full precision."""
    _, weights, labels = _load_pair(model_folder)
    description = json.loads((model_folder / DESCRIPTION).read_text())
    size = (description["width"], description["height"])
    model = DetectNet(len(labels))
    missing = load_weights(model, weights_of(read_caffemodel(weights)))
    if missing:
        raise ValueError(f"the caffemodel has no {', '.join(missing[:3])}")
    with tempfile.TemporaryDirectory() as cache:
        split = load_split(folder / "val", size, ClassMap(labels), Path(cache))
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
        found = _jetson_boxes(grids, image, (width, height), threshold or DEFAULT_THRESHOLD)
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


def load_split(folder: Path, size: tuple[int, int], classes: ClassMap, cache: Path) -> Split:
    """A KITTI folder's pictures at the network's size. Raises BadData."""
    count = sum(1 for path in (folder / "images").rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    options = InputOptions(size[0], size[1], classes)
    return build_split(read_kitti_folder(folder), count, options, cache / f"{folder.name}.npy")


Found = list[tuple[npt.NDArray[np.float32], int, float]]


def _jetson_boxes(grids: Any, image: Image, size: tuple[int, int], threshold: float) -> Found:
    image_size = (image.shape[1], image.shape[0])
    found = decode_caffe(*grids, image_size=image_size, network_size=size, threshold=threshold)
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
    labels = (folder / "labels.txt").read_text().split("\n")
    deploy = (folder / "deploy.prototxt").read_text()
    return deploy, weights[-1].read_bytes(), [name for name in labels if name]


def _input_size(deploy: str) -> tuple[int, int]:
    size = input_size(parse_prototxt(deploy))
    if size is None:
        raise BadData("deploy.prototxt does not say the size of its input")
    return size


def _describe(out: Path, size: tuple[int, int], classes: ClassMap, training: Mapping[str, Any]) -> None:
    (out / "labels.txt").write_text("".join(f"{name}\n" for name in classes.names))
    (out / "deploy.prototxt").write_text(deploy_prototxt(*size, len(classes.names)))
    description = {"width": size[0], "height": size[1], "classes": classes.names, "training": training}
    (out / DESCRIPTION).write_text(json.dumps(description, indent=2))


def _save_epoch(
    out: Path, model: DetectNet, report: StepReport, size: tuple[int, int], figures: Mapping[str, Any]
) -> None:
    for name, content in export_snapshot(model, report.step, *size).files.items():
        (out / name).write_bytes(content)
    curves = out / "curves.csv"
    is_new = not curves.exists()
    with curves.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(["epoch", "step", "learning_rate", "loss_bbox", "loss_coverage", "digits_map"])
        writer.writerow(
            [report.epoch, report.step, report.learning_rate]
            + [figures[name] for name in ("loss_bbox", "loss_coverage", "digits_map")]
        )


def _line(report: StepReport, figures: Mapping[str, Any]) -> str:
    per_class = "  ".join(
        f"{name} P {score['precision']:.2f} R {score['recall']:.2f} digits_map {score['digits_map']:.2f}"
        for name, score in figures["classes"].items()
    )
    losses = f"loss_bbox {figures['loss_bbox']:.3f} loss_coverage {figures['loss_coverage']:.3f}"
    return f"epoch {report.epoch:g}: {losses}  {per_class}"
