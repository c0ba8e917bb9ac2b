"""Would a stock jetson-inference load this zip, and what would it find? By its own rules, without a Jetson.

For every flavour that ``model.json`` offers, its command line is read as jetson-inference reads it: the
file's ending decides how the network is run and decoded, blobs are asked for by the names given or by
default, labels must fit the outputs, and from TensorRT 10 on outputs are read with their first dimension.
What loads is then run by OpenCV on the golden image and decoded by jetson-inference's rules. After
c/detectNet.cpp and c/tensorNet.cpp of dusty-nv/jetson-inference; the layers that TensorRT's Caffe parser
knows are those of its support matrix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from detectnet import bundle, network
from detectnet.bundle_members import read_members
from detectnet.caffe_runtime import CaffeNet, CaffeNetError
from detectnet.images import Image, decode_image
from detectnet.jetson import JetsonDetection, decode_caffe, decode_ssd, preprocess_caffe, preprocess_ssd
from detectnet.prototxt import Message, parse_prototxt

FloatArray = npt.NDArray[np.float32]

DEFAULTS = {"input-blob": "data", "output-cvg": "coverage", "output-bbox": "bboxes", "mean-pixel": "0.0"}
CAFFE_LAYERS = frozenset(
    {
        "Input",
        "Convolution",
        "ReLU",
        "Pooling",
        "LRN",
        "Concat",
        "Power",
        "Sigmoid",
        "Dropout",
        "Scale",
        "Softmax",
    }
)
ONNX_OPERATORS = frozenset(
    {
        "Add", "Clip", "Concat", "Conv", "Gather", "LRN", "MaxPool", "Mul", "ReduceMax", "Relu", "Reshape",
        "Sigmoid", "Sub", "Transpose",
    }
)  # fmt: skip
NEWEST_OPSET, NEWEST_IR = 11, 7
"""The parser of TensorRT 7.1 takes no newer ones."""
BACKGROUND = "BACKGROUND"
MOST_PX = 1.0
"""Between the sides of a box of the zip's ``golden/expected.json`` and of the one that is found here."""


@dataclass(frozen=True)
class FlavourReport:
    """One flavour under jetson-inference's rules."""

    name: str
    reasons: tuple[str, ...]
    """Why it would not load, or would find other things; empty when all is well."""
    found: tuple[JetsonDetection, ...] = ()
    """In the golden image; empty where there is none."""


def check_for_jetson(path: Path, report: bundle.BundleReport | None = None) -> list[FlavourReport]:
    """Every flavour of a sound zip; one without ``model.json`` has the Caffe pair alone.

    ``report`` is bundle.check_bundle's, where the caller has it.

    Raises:
        BundleError: the zip itself is refused.
    """
    report = report or bundle.check_bundle(path)
    _, files = read_members(path, lambda _: True)
    golden = _golden_image(files)
    expected = _expected(files)
    reports = []
    for name, flavour in _flavours(report).items():
        reasons, found = _check(name, flavour, files, golden)
        if golden is not None and not reasons and name in expected:
            reasons = _differences(found, expected[name])
        reports.append(FlavourReport(name, tuple(reasons), tuple(found)))
    return reports


def _flavours(report: bundle.BundleReport) -> dict[str, Mapping[str, Any]]:
    """Those that have a command line, which is what a robot runs."""
    told = report.description.get("flavours")
    if isinstance(told, dict):
        named: dict[str, Mapping[str, Any]] = {
            name: each for name, each in told.items() if isinstance(each, dict) and each.get("command_line")
        }
        if named:
            return named
    line = [
        f"--prototxt={bundle.DEPLOY}", f"--model={report.caffemodel}", f"--labels={bundle.LABELS}",
    ]  # fmt: skip
    return {"caffe": {"command_line": line, "tensorrt": {"below": "10"}}}


def _check(
    name: str, flavour: Mapping[str, Any], files: Mapping[str, bytes], golden: Image | None
) -> tuple[list[str], list[JetsonDetection]]:
    given = DEFAULTS | _arguments(flavour["command_line"])
    missing = [value for value in _named_files(given) if value not in files]
    if missing or "model" not in given:
        return [
            f"the command line of {name} names {', '.join(missing) or 'no model'}, which is not in the zip"
        ], []
    model = given["model"]
    if model.endswith((".caffemodel", ".caffe")):
        return _check_caffe(flavour, given, files, golden)
    if model.endswith(".onnx"):
        return _check_onnx(flavour, given, files, golden)
    return [f"{model} has no ending that jetson-inference knows: model format 'custom' not supported"], []


def _arguments(line: Sequence[str]) -> dict[str, str]:
    """``--name=value``; jetson-inference takes names with a dash or an underscore."""
    pairs = [argument[2:].partition("=") for argument in line if argument.startswith("--")]
    return {name.replace("_", "-"): value for name, _, value in pairs}


def _named_files(given: Mapping[str, str]) -> list[str]:
    return [given[name] for name in ("model", "prototxt", "labels") if name in given]


def _check_caffe(
    flavour: Mapping[str, Any], given: Mapping[str, str], files: Mapping[str, bytes], golden: Image | None
) -> tuple[list[str], list[JetsonDetection]]:
    if "prototxt" not in given:
        return ["a .caffemodel needs --prototxt"], []
    deploy = parse_prototxt(files[given["prototxt"]].decode())
    classes, size = bundle.deploy_classes(deploy) or 0, bundle.input_size(deploy) or (0, 0)
    layers = deploy.blocks("layer")
    reasons = []
    if not _ends_below_10(flavour):
        reasons.append("TensorRT 10 and later load no Caffe models; the flavour must say below 10")
    reasons += [
        f"TensorRT's Caffe parser does not know the layer type {kind}"
        for kind in sorted({layer.text("type") for layer in layers} - CAFFE_LAYERS)
    ]
    tops = {top for layer in layers for top in layer.texts("top")} | {network.INPUT}
    blobs = {given[name] for name in ("input-blob", "output-cvg", "output-bbox")}
    reasons += [f"the network has no blob {blob!r}" for blob in sorted(blobs - tops)]
    reasons += _mean_reasons(float(given["mean-pixel"]), layers)
    reasons += _label_reasons(_labels(given, files), classes, first=None)
    if reasons or golden is None:
        return reasons, []
    try:
        outputs = CaffeNet(files[given["prototxt"]], files[given["model"]]).run(
            preprocess_caffe(golden, *size)
        )
    except CaffeNetError as error:
        return [str(error)], []
    picture = (golden.shape[1], golden.shape[0])
    return [], decode_caffe(*outputs, image_size=picture, network_size=size, threshold=_threshold(given))


def _mean_reasons(given: float, layers: Sequence[Message]) -> list[str]:
    shifts = [
        layer.block("power_param").text("shift", "0") for layer in layers if layer.text("type") == "Power"
    ]
    subtracts = any(float(shift) == -network.MEAN_PIXEL for shift in shifts)
    if subtracts and given:
        return [
            f"the network subtracts {network.MEAN_PIXEL:g} itself, and --mean-pixel={given:g} would again"
        ]
    if not subtracts and given != network.MEAN_PIXEL:
        return [f"nothing subtracts DetectNet's mean: give --mean-pixel={network.MEAN_PIXEL:g}"]
    return []


def _check_onnx(
    flavour: Mapping[str, Any], given: Mapping[str, str], files: Mapping[str, bytes], golden: Image | None
) -> tuple[list[str], list[JetsonDetection]]:
    try:
        model = onnx.load_from_string(files[given["model"]])
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - the parser and the checker raise what they like
        return [f"{given['model']} is no sound ONNX file: {error}"], []
    inputs, outputs = _shapes(model.graph.input), _shapes(model.graph.output)
    reasons = _graph_reasons(model)
    if given["input-blob"] not in inputs:
        reasons.append(f"the network has no input {given['input-blob']!r}")
    wanted = [given["output-cvg"], given["output-bbox"]]
    reasons += [f"the network has no output {name!r}" for name in wanted if name not in outputs]
    if reasons:
        return reasons, []
    scores, boxes = (outputs[name] for name in wanted)
    is_new = not _ends_below_10(flavour)
    reasons += _output_reasons(scores, boxes, is_new=is_new)
    reasons += _label_reasons(_labels(given, files), scores[-1], first=BACKGROUND)
    if reasons or golden is None:
        return reasons, []
    _, _, height, width = inputs[given["input-blob"]]
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(files[given["model"]], np.uint8))
        net.setInput(preprocess_ssd(golden, width, height)[None], given["input-blob"])
        found = [np.asarray(output, np.float32) for output in net.forward(wanted)]
    except cv2.error as error:
        return [f"OpenCV cannot run {given['model']}: {error}"], []
    rows = [output.reshape(output.shape[-2:]) for output in found]
    picture = (golden.shape[1], golden.shape[0])
    return [], decode_ssd(*rows, image_size=picture, threshold=_threshold(given))


def _graph_reasons(model: Any) -> list[str]:
    unknown = sorted({node.op_type for node in model.graph.node} - ONNX_OPERATORS)
    reasons = [
        f"the operator {kind} is not among those that old parsers are known to take" for kind in unknown
    ]
    opset = max(entry.version for entry in model.opset_import)
    if opset > NEWEST_OPSET or model.ir_version > NEWEST_IR:
        reasons.append(
            f"opset {opset}, IR {model.ir_version} are newer than TensorRT 7's {NEWEST_OPSET}, {NEWEST_IR}"
        )
    sizes = [*_shapes(model.graph.input).values(), *_shapes(model.graph.output).values()]
    return reasons + (
        ["a size is not fixed; jetson-inference takes static shapes"]
        if any(0 in each for each in sizes)
        else []
    )


def _output_reasons(scores: Sequence[int], boxes: Sequence[int], *, is_new: bool) -> list[str]:
    """Below TensorRT 10 the batch's dimension is dropped from outputs, from 10 on it is not."""
    rank, version = (2, "TensorRT 10") if is_new else (3, "TensorRT below 10")
    if len(scores) != rank or len(boxes) != rank or (not is_new and scores[0] != 1):
        return [
            f"{version} reads outputs of rank {rank} rightly, and these are {list(scores)} and {list(boxes)}"
        ]
    if scores[-2] != boxes[-2] or boxes[-1] != 4:
        return [f"the outputs are no boxes with scores: {list(scores)} and {list(boxes)}"]
    return []


def _shapes(values: Any) -> dict[str, list[int]]:
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}


def _labels(given: Mapping[str, str], files: Mapping[str, bytes]) -> list[str]:
    return files[given["labels"]].decode().splitlines() if "labels" in given else []


def _label_reasons(labels: Sequence[str], classes: int, first: str | None) -> list[str]:
    reasons = []
    if len(labels) != classes:
        reasons.append(f"the labels have {len(labels)} lines and the network {classes} classes")
    if first is not None and (not labels or labels[0] != first):
        reasons.append(f"the first label of an ONNX network must be {first}")
    if first is None and BACKGROUND in labels:
        reasons.append(f"the labels of a Caffe DetectNet have no line {BACKGROUND}")
    return reasons


def _ends_below_10(flavour: Mapping[str, Any]) -> bool:
    below = str((flavour.get("tensorrt") or {}).get("below") or "")
    return below.partition(".")[0].isdigit() and int(below.partition(".")[0]) <= 10


def _threshold(given: Mapping[str, str]) -> float:
    return float(given.get("threshold") or given.get("confidence") or 0.5)


def _golden_image(files: Mapping[str, bytes]) -> Image | None:
    content = files.get("golden/image.png")
    return None if content is None else decode_image(content)


def _expected(files: Mapping[str, bytes]) -> dict[str, list[dict[str, Any]]]:
    content = files.get("golden/expected.json")
    flavours = {} if content is None else json.loads(content)["flavours"]
    return {name: flavour["boxes"] for name, flavour in flavours.items()}


def _differences(found: Sequence[JetsonDetection], expected: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(found) != len(expected):
        return [f"{len(found)} boxes are found in the golden image where {len(expected)} are expected"]
    return [
        f"the golden image's {box['label']} at {box['xyxy']} is not found there"
        for one, box in zip(found, expected, strict=True)
        if one.class_index != box["class"] or np.abs(np.subtract(one.xyxy, box["xyxy"])).max() > MOST_PX
    ]
