"""The members of a model zip, from an epoch's files: values in, bytes out, equal bytes for an equal epoch.

Nothing of when, where or for which model name the zip is made goes in, so the same epoch published twice is
the same zip. What each member is for stands in ``docs/`` and in ``model.json`` itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectnet import bundle, network
from detectnet.caffemodel import read_caffemodel, weights_of
from detectnet.drawing import encode_png
from detectnet.jetson import DEFAULT_THRESHOLD, JetsonDetection, decode_caffe
from detectnet.means import mean_in
from detectnet.plan import make_plan
from detectnet.ssd_onnx import BOXES, INPUT, SCORES, ssd_labels
from detectnet.training_prototxt import SOLVER, TRAIN_VAL, SolverSteps, solver_prototxt, train_val_prototxt
from periscope_training.parity import ParityImages
from periscope_training.ssd_flavours import SsdFlavour

FORMAT = 1
CAFFEMODEL_SUFFIX = ".caffemodel"
GOLDEN_IMAGE = "golden/image.png"
CALIBRATION = "calibration"
NO_IMAGES: npt.NDArray[np.uint8] = np.zeros((0, 0, 0, 3), np.uint8)
GOLDEN_EXPECTED = "golden/expected.json"
INFO = "info.json"
NO_GOLDEN_DETECTION = (
    "None of the snapshot's validation images has a detection at the robot's threshold of 0.5, so the zip's "
    "golden image proves nothing on the robot. Train longer, or publish a better epoch."
)


@dataclass(frozen=True)
class Golden:
    """The image that a robot tries a new model on, and what it must find."""

    image: npt.NDArray[np.uint8]
    """uint8 [H,W,3] BGR at the network's size."""
    detections: tuple[JetsonDetection, ...]
    """By PyTorch's outputs and the robot's decoder, in pixels of the image."""


def choose_golden(stored: ParityImages, network_size: tuple[int, int]) -> Golden:
    """The stored image with the surest detection; the first one, where no image has any."""
    candidates = [
        Golden(
            image,
            tuple(decode_caffe(coverage, bboxes, image_size=network_size, network_size=network_size)),
        )
        for image, coverage, bboxes in zip(stored.images, stored.coverage, stored.bboxes, strict=True)
    ]
    return max(
        candidates, key=lambda golden: max((found.confidence for found in golden.detections), default=0.0)
    )


def zip_members(
    spec: Mapping[str, Any],
    epoch: Mapping[str, Any],
    files: Mapping[str, bytes],
    golden: Golden,
    ssd: Mapping[str, SsdFlavour],
    calibration: npt.NDArray[np.uint8] = NO_IMAGES,
) -> dict[str, bytes]:
    """Every member but SHA256SUMS.

    ``spec`` is the job's, ``epoch`` has number, step and metrics, ``files`` the epoch's files by name,
    ``ssd`` the networks for jetson-inference's ONNX path by flavour, ``calibration`` pictures [n,H,W,3] B,G,R
    at the network's size that an INT8 calibrator may look at.
    """
    caffemodel = caffemodel_name(files)
    return {
        **{bundle.SSD_ONNX[name]: flavour.content for name, flavour in ssd.items()},
        bundle.SSD_LABELS: ssd_labels(spec["network"]["classes"]).encode(),
        bundle.DEPLOY: files[bundle.DEPLOY],
        caffemodel: files[caffemodel],
        bundle.LABELS: "".join(f"{name}\n" for name in spec["network"]["classes"]).encode(),
        bundle.GRID_ONNX: files[bundle.GRID_ONNX],
        bundle.DESCRIPTION: as_json(describe(spec, epoch, caffemodel, len(calibration))),
        TRAIN_VAL: _train_val(spec, _mean_pixel(spec, files[caffemodel])).encode(),
        SOLVER: _solver(spec).encode(),
        INFO: as_json(digits_info(spec, epoch, caffemodel)),
        **{f"{CALIBRATION}/{index}.png": encode_png(image) for index, image in enumerate(calibration)},
        GOLDEN_IMAGE: encode_png(golden.image),
        GOLDEN_EXPECTED: as_json(expected_boxes(spec, golden, ssd)),
    }


def caffemodel_name(files: Mapping[str, Any]) -> str:
    """The one weights file. Raises KeyError when there is none."""
    for name in files:
        if name.endswith(CAFFEMODEL_SUFFIX):
            return name
    raise KeyError(CAFFEMODEL_SUFFIX)


def describe(
    spec: Mapping[str, Any], epoch: Mapping[str, Any], caffemodel: str, calibration_images: int
) -> dict[str, Any]:
    """``model.json``: how to run the model where, how good it is, and where it comes from."""
    return {
        "format": FORMAT,
        "network": {"name": "DetectNet", **spec["network"]},
        "thresholds": {"coverage": DEFAULT_THRESHOLD},
        "flavours": {
            "caffe": _with_python(_caffe_flavour(caffemodel)),
            "trt8": _with_python(_ssd_flavour("trt8", {"from": "7", "below": "10"})),
            # jetson-inference's reading of outputs from TensorRT 10 on is known from its source only.
            "trt10": _with_python(_ssd_flavour("trt10", {"from": "10"})) | {"tried_on_a_device": False},
            "grid": _grid_flavour(),
        },
        # Speed says nothing of the model, and differs between runs that train the same one.
        "metrics": {name: epoch["metrics"][name] for name in ("train", "val")},
        "lineage": {
            "job_id": spec["job_id"],
            "job_name": spec["name"],
            "epoch": epoch["epoch"],
            "step": epoch["step"],
            "dataset": spec["dataset"],
            "training": spec["training"],
        },
        "golden": {"image": GOLDEN_IMAGE, "expected": GOLDEN_EXPECTED},
        "calibration": {
            "images": [f"{CALIBRATION}/{index}.png" for index in range(calibration_images)],
            "caffe": "the pixels as they are: B,G,R, 0-255, planar",
            "onnx": "R,G,B, (value / 255 - 0.5) / 0.5, planar",
        },
    }


def _caffe_flavour(caffemodel: str) -> dict[str, Any]:
    return {
        "tensorrt": {"below": "10"},
        "prototxt": bundle.DEPLOY,
        "model": caffemodel,
        "labels": bundle.LABELS,
        "command_line": [
            "detectnet",
            f"--prototxt={bundle.DEPLOY}",
            f"--model={caffemodel}",
            f"--labels={bundle.LABELS}",
            f"--input-blob={network.INPUT}",
            f"--output-cvg={network.COVERAGE}",
            f"--output-bbox={network.BBOXES}",
            "--mean-pixel=0.0",
            f"--threshold={DEFAULT_THRESHOLD}",
        ],
    }


def _with_python(flavour: dict[str, Any]) -> dict[str, Any]:
    """The same for a program in Python, in the one form that old and new jetson-inference take."""
    arguments = [item for item in flavour["command_line"][1:] if not item.startswith("--threshold")]
    return {
        **flavour,
        "python": f"jetson_inference.detectNet(argv={arguments!r}, threshold={DEFAULT_THRESHOLD})",
    }


def _ssd_flavour(name: str, tensorrt: Mapping[str, str]) -> dict[str, Any]:
    return {
        "tensorrt": dict(tensorrt),
        "model": bundle.SSD_ONNX[name],
        "labels": bundle.SSD_LABELS,
        "command_line": [
            "detectnet",
            f"--model={bundle.SSD_ONNX[name]}",
            f"--labels={bundle.SSD_LABELS}",
            f"--input-blob={INPUT}",
            f"--output-cvg={SCORES}",
            f"--output-bbox={BOXES}",
            f"--threshold={DEFAULT_THRESHOLD}",
        ],
    }


def _grid_flavour() -> dict[str, Any]:
    # A stock detectnet would decode this file as an SSD network, so no command line is given.
    return {
        "model": bundle.GRID_ONNX,
        "input": {"name": network.INPUT, "order": "BGR", "range": [0, 255]},
        "outputs": {"coverage": network.COVERAGE, "bboxes": network.BBOXES},
    }


def _mean_pixel(spec: Mapping[str, Any], caffemodel: bytes) -> list[float]:
    """The mean that the network subtracts, B,G,R; empty where it subtracts none."""
    if spec["training"].get("subtract_mean", "none") == "none":
        return []
    mean = mean_in(weights_of(read_caffemodel(caffemodel)))
    return [] if mean is None else [float(value) for value in mean.reshape(3)]


def _train_val(spec: Mapping[str, Any], mean_pixel: Sequence[float]) -> str:
    size, training = spec["network"], spec["training"]
    classes = len(size["classes"])
    return train_val_prototxt(size["width"], size["height"], classes, training, mean_pixel=mean_pixel)


def _solver(spec: Mapping[str, Any]) -> str:
    images, training = spec["dataset"]["images"], spec["training"]
    plan = make_plan(images["train"], training)
    validation_steps = math.ceil(images["val"] / training["val_batch_size"])
    steps = SolverSteps(plan.max_step, plan.validation_interval, validation_steps, plan.display_interval)
    return solver_prototxt(training, steps)


def expected_boxes(spec: Mapping[str, Any], golden: Golden, ssd: Mapping[str, SsdFlavour]) -> dict[str, Any]:
    """``golden/expected.json``: the boxes that each flavour must find in the golden image."""
    found = {"caffe": golden.detections} | {
        name: flavour.detect(golden.image) for name, flavour in ssd.items()
    }
    classes = spec["network"]["classes"]
    flavours = {
        name: {
            "threshold": DEFAULT_THRESHOLD,
            "boxes": [_box(detection, classes) for detection in detections],
        }
        for name, detections in found.items()
    }
    return {"image": GOLDEN_IMAGE, "flavours": flavours}


def _box(found: JetsonDetection, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "class": found.class_index,
        "label": classes[found.class_index],
        "confidence": round(found.confidence, 4),
        "xyxy": [round(side, 2) for side in found.xyxy],
    }


def digits_info(spec: Mapping[str, Any], epoch: Mapping[str, Any], caffemodel: str) -> dict[str, Any]:
    """``info.json`` with the keys that a DIGITS download has, for tools that read those."""
    return {
        "id": spec["job_id"],
        "job id": spec["job_id"],
        "name": spec["name"],
        "status": "Done",
        "dataset_id": spec["dataset"]["id"],
        "username": "",
        "image dimensions": [spec["network"]["height"], spec["network"]["width"], 3],
        "mean file": None,
        "snapshot file": caffemodel,
        "deploy file": bundle.DEPLOY,
        "train_val file": TRAIN_VAL,
        "solver file": SOLVER,
        "model file": TRAIN_VAL,
        "labels file": bundle.LABELS,
        "framework": "caffe",
        "epoch": epoch["epoch"],
    }


def as_json(value: Mapping[str, Any]) -> bytes:
    """JSON for people: sorted, indented, one way only."""
    return (json.dumps(value, indent=4, sort_keys=True, allow_nan=False) + "\n").encode()
