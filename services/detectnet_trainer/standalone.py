"""What the command ``detectnet`` does with what was trained: export, evaluate, predict."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detectnet import means
from detectnet.bundle import input_size
from detectnet.caffe_runtime import CaffeNet
from detectnet.caffemodel import read_caffemodel, weights_of
from detectnet.classes import ClassMap
from detectnet.decoders import Decoder, Detection, Network, default_threshold, detect, prepare
from detectnet.drawing import draw_boxes, encode_png
from detectnet.images import Image, decode_image
from detectnet.judging import figures, see_picture
from detectnet.layer_views import tiles, view_layers
from detectnet.prototxt import parse_prototxt
from detectnet.samples import BadData, InputOptions
from detectnet.sizes import require_grid_size
from detectnet.ssd_onnx import HALF_RANGE, ssd_outputs
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.checkpoint import model_of_checkpoint, write_durably
from detectnet_trainer.dataset import build_folder_split, read_kitti_folder
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import export_snapshot
from detectnet_trainer.model import DetectNet, load_weights

FloatArray = npt.NDArray[np.float32]

LEAST = 1e-12
"""Coverage nearer than this to 0 or 1 has no logit in single precision."""


def export_checkpoint(checkpoint: Path, out: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Write the Caffe pair and the ONNX grid of a checkpoint for an input of ``size`` (width, height).

    Raises BadCheckpoint and IllegalSize.
    """
    require_grid_size(*size)
    model, step, mean = model_of_checkpoint(checkpoint.read_bytes())
    out.mkdir(parents=True, exist_ok=True)
    files = export_snapshot(model, step, *size, mean).files
    for name, content in files.items():
        write_durably(out / name, content)
    return {"step": step, "classes": model.classes, "files": [str(out / name) for name in files]}


def evaluate_folder(model_folder: Path, folder: Path) -> dict[str, Any]:
    """Figures of an exported network on ``folder/val``, by PyTorch in full precision."""
    deploy, weights, labels = _load_pair(model_folder)
    size = _input_size(deploy)
    model = DetectNet(len(labels))
    given = weights_of(read_caffemodel(weights))
    missing = load_weights(model, given)
    if missing:
        raise ValueError(f"the caffemodel has no {', '.join(missing[:3])}")
    with tempfile.TemporaryDirectory() as cache:
        split = build_folder_split(folder / "val", size, ClassMap(labels), Path(cache) / "val.npy")
        picture = _mean_picture(model_folder)
        mean = means.mean_in(given) if picture is None else picture
        maker = BatchMaker(split, len(labels), None, 0, mean)
        return evaluate(model, maker, tuple(labels), torch.device("cpu")).as_dict()


def judge_folder(
    model_folder: Path, folder: Path, decoder: Decoder, threshold: float | None
) -> dict[str, Any]:
    """Figures of an exported Caffe pair on ``folder/val``, by OpenCV and a decoder; see judging."""
    deploy, weights, labels = _load_pair(model_folder)
    network = _network(_less(_mean_picture(model_folder), CaffeNet(deploy, weights).run), decoder)
    options = InputOptions(*_input_size(deploy), ClassMap(labels))
    least = default_threshold(decoder) if threshold is None else threshold
    seen = [
        see_picture(network, source, options, decoder, least) for source in read_kitti_folder(folder / "val")
    ]
    return {"decoder": decoder, "threshold": least, "images": len(seen), **figures(seen, labels)}


def predict_image(
    model_folder: Path, image_path: Path, decoder: Decoder, threshold: float | None, out: Path | None
) -> dict[str, Any]:
    """Boxes of one picture by the exported Caffe pair, as DIGITS or as a Jetson decodes them."""
    deploy, weights, labels = _load_pair(model_folder)
    image = decode_image(image_path.read_bytes())
    size = _input_size(deploy)
    network = _network(_less(_mean_picture(model_folder), CaffeNet(deploy, weights).run), decoder)
    found = detect(network, image, size, decoder, threshold)
    if out is not None:
        out.write_bytes(encode_png(_drawn(image, found, labels)))
    boxes = [
        {
            "class": labels[item.class_index],
            "xyxy": [round(side, 2) for side in item.xyxy],
            "confidence": item.confidence,
        }
        for item in found
    ]
    return {"image": str(image_path), "decoder": decoder, "boxes": boxes}


def view_picture(model_folder: Path, image_path: Path, out: Path) -> dict[str, Any]:
    """What every layer makes of a picture: statistics, and tiles as PNG files in the folder ``out``."""
    deploy, weights, labels = _load_pair(model_folder)
    given = weights_of(read_caffemodel(weights))
    model, mean = DetectNet(len(labels)), means.mean_in(given)
    load_weights(model, given)
    picture = _mean_picture(model_folder)
    pixels = prepare(decode_image(image_path.read_bytes()), _input_size(deploy), "digits")
    with torch.inference_mode():
        blobs = model.eval().blobs(
            torch.from_numpy(pixels - _or_zero(mean if picture is None else picture))[None]
        )
    outputs = {name: blob.float().numpy() for name, blob in blobs.items()}
    out.mkdir(parents=True, exist_ok=True)
    layers = []
    for view in view_layers(outputs, given, len(labels)):
        path = out / f"{view.layer.replace('/', '_')}-{view.kind}.png"
        path.write_bytes(encode_png(tiles(view.values)))
        layers.append({**view.statistics(), "tiles": str(path)})
    return {
        "image": str(image_path),
        "parameters": sum(each["parameters"] for each in layers),
        "layers": layers,
    }


def _or_zero(mean: FloatArray | None) -> FloatArray:
    return np.zeros((3, 1, 1), np.float32) if mean is None else mean


def _mean_picture(folder: Path) -> FloatArray | None:
    path = folder / means.MEAN_FILE
    return means.read_mean(path.read_bytes()) if path.exists() else None


def _less(mean: FloatArray | None, net: Network) -> Network:
    """The Caffe pair with the mean picture that it cannot hold itself subtracted before it."""
    return net if mean is None else lambda given: net(given - mean)


def _network(net: Network, decoder: Decoder) -> Network:
    """The Caffe pair in the form that the decoder looks at; SSD outputs are made of its grids."""
    if decoder != "jetson-onnx":
        return net

    def run(given: FloatArray) -> tuple[FloatArray, FloatArray]:
        # What the SSD graph does with its input: R,G,B in -1 to 1 become B,G,R in 0-255.
        coverage, bboxes = net(np.ascontiguousarray(given[::-1] * HALF_RANGE + HALF_RANGE))
        sure = np.clip(coverage.astype(np.float64), LEAST, 1 - LEAST)
        return ssd_outputs(np.log(sure / (1 - sure)).astype(np.float32), bboxes)

    return run


def _drawn(image: Image, found: list[Detection], labels: list[str]) -> Image:
    indices = [item.class_index for item in found]
    boxes = np.array([item.xyxy for item in found], np.float32).reshape(-1, 4)
    scores = [item.confidence for item in found]
    return draw_boxes(image, boxes, [labels[index] for index in indices], scores, indices)


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
