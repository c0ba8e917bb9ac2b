"""Reads a DIGITS or Caffe DetectNet prototxt: its size, classes, batches and augmentation become a recipe.

The network itself must be DetectNet's: each layer with weights, pooling or normalisation is compared with the
table in :mod:`detectnet.network`. What another network would be trained as is nobody's guess, so a layer that
is not understood, or differs, is refused by its name and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from detectnet import network
from detectnet.coverage import DEFAULT_OPTIONS
from detectnet.prototxt import Message, PrototxtError, parse_prototxt

PUBLISHED_AUGMENTATION_DEFAULTS = {
    "crop_prob": 1.0, "shift_x": 0, "shift_y": 0, "flip_prob": 0.33, "rotation_prob": 0.33,
    "max_rotate_degree": 1.0, "scale_prob": 0.33, "scale_min": 0.7, "scale_max": 1.0,
    "hue_rotation_prob": 0.33, "hue_rotation": 15.0, "desaturation_prob": 0.33, "desaturation_max": 0.5,
}  # fmt: skip
"""What NVIDIA/caffe's proto file sets for a field that the prototxt leaves out."""
GROUND_TRUTH_DEFAULTS = {
    "stride": "4", "scale_cvg": "0.5", "gridbox_type": "GRIDBOX_MAX", "min_cvg_len": "50",
    "obj_norm": "false", "crop_bboxes": "true", "coverage_type": "RECTANGULAR",
}  # fmt: skip
TRAINING_TYPES = frozenset(
    {
        "Data", "Input", "DetectNetTransformation", "Slice", "Eltwise", "L1Loss", "EuclideanLoss",
        "Python", "ReLU", "Silence",
    }
)  # fmt: skip
"""Layers around the network: data, targets, losses and figures, which the training program does itself."""
PYTHON_LAYERS = ("ClusterDetections", "ClusterGroundtruth", "ScoreDetections", "mAP")
LOSS_WEIGHTS = {"bbox_loss": 2.0, "coverage_loss": 1.0}


class NotDetectNet(PrototxtError):
    """The network is not DetectNet, or asks for what is not done here; ``layer`` is the layer's name."""

    def __init__(self, line: int, layer: str, message: str) -> None:
        super().__init__(line, f"layer {layer!r}: {message}" if layer else message)
        self.layer = layer


@dataclass(frozen=True)
class ImportedNetwork:
    """What a prototxt says beyond DetectNet's own layers; None where it is silent, as a deploy file is."""

    classes: int
    size: tuple[int, int] | None  # Width and height of the input, in pixels.
    batch_size: int | None
    val_batch_size: int | None
    augmentation: dict[str, float] | None  # Every parameter.

    def options(self) -> dict[str, Any]:
        """Training options that the file decides."""
        given = {"batch_size": self.batch_size, "val_batch_size": self.val_batch_size}
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return options if self.augmentation is None else {**options, "augmentation": self.augmentation}


def import_network(text: str) -> ImportedNetwork:
    """Read a prototxt: of DIGITS's form, a train_val or a deploy file.

    Raises PrototxtError, and NotDetectNet naming the layer and its line.
    """
    root = parse_prototxt(text)
    layers = [(layer.text("name"), layer) for layer in root.blocks("layer")]
    if root.blocks("layers"):
        raise NotDetectNet(
            root.blocks("layers")[0].line,
            "",
            "`layers` is Caffe's old form; upgrade_net_proto_text makes it new",
        )
    classes = _classes(layers)
    _require_table(layers, classes)
    transforms = [(name, layer) for name, layer in layers if layer.text("type") == "DetectNetTransformation"]
    for name, layer in transforms:
        _require_ground_truth(name, layer, classes)
    size = _one_size(root, layers)
    train_batch, val_batch = (_batch(layers, phase) for phase in ("TRAIN", "TEST"))
    return ImportedNetwork(classes, size, train_batch, val_batch, _augmentation(transforms))


def _classes(layers: list[tuple[str, Message]]) -> int:
    for name, layer in layers:
        if name == network.COVERAGE_HEAD:
            return _whole(name, layer.line, layer.block("convolution_param").text("num_output"))
    raise NotDetectNet(
        1, "", f"no layer {network.COVERAGE_HEAD!r}; a DetectNet has it, and bbox/regressor beside it"
    )


def _require_table(layers: list[tuple[str, Message]], classes: int) -> None:
    table = {layer.name: layer for layer in network.layers(classes)}
    by_top = {getattr(layer, "top", ""): layer.name for layer in table.values()}
    seen = set()
    for name, layer in layers:
        kind = layer.text("type")
        expected = table.get(name)
        if expected is None and kind in ("Power", "Dropout") and layer.text("top") in by_top:
            expected = table[by_top[layer.text("top")]]
        if expected is not None:
            _require_like(name, layer, expected)
            seen.add(expected.name)
        elif kind == "Python":
            _require_python(name, layer)
        elif kind not in TRAINING_TYPES and not (kind == "Concat" and name.endswith("-block")):
            raise NotDetectNet(layer.line, name, f"the type {kind!r} is not understood here")
        _require_loss_weight(name, layer)
    missing = [
        name for name, layer in table.items() if name not in seen and not isinstance(layer, network.Shift)
    ]
    if missing:
        raise NotDetectNet(1, missing[0], f"is missing; DetectNet has it ({len(missing)} missing in all)")


def _require_python(name: str, layer: Message) -> None:
    kind = layer.block("python_param").text("layer")
    if kind not in PYTHON_LAYERS:
        known = ", ".join(PYTHON_LAYERS)
        raise NotDetectNet(layer.line, name, f"Python code {kind!r} is not run here; built in are {known}")


def _require_loss_weight(name: str, layer: Message) -> None:
    wanted = LOSS_WEIGHTS.get(name)
    if wanted is not None and not _equal_numbers(layer.text("loss_weight", "1"), f"{wanted:g}"):
        raise NotDetectNet(
            layer.line, name, f"loss_weight is {layer.text('loss_weight', '1')}, not {wanted:g}"
        )


def _require_like(name: str, layer: Message, expected: network.Layer) -> None:
    kinds: dict[type, tuple[str, Callable[..., Iterator[tuple[str, float, float]]]]] = {
        network.Convolution: ("Convolution", _convolution),
        network.Pooling: ("Pooling", _pooling),
        network.Normalisation: ("LRN", _normalisation),
        network.Shift: ("Power", _shift),
        network.Dropout: ("Dropout", _dropout),
        network.Concatenation: ("Concat", lambda *_: iter(())),
        network.Sigmoid: ("Sigmoid", lambda *_: iter(())),
    }
    kind, fields = kinds[type(expected)]
    if layer.text("type") != kind:
        raise NotDetectNet(layer.line, name, f"has the type {layer.text('type')!r}, not {kind!r}")
    bottoms = expected.bottoms if isinstance(expected, network.Concatenation) else (expected.bottom,)
    for what, given, wanted in (
        ("bottom", tuple(layer.texts("bottom")), tuple(bottoms)),
        ("top", tuple(layer.texts("top")), (expected.top,)),
    ):
        if given != wanted:
            raise NotDetectNet(layer.line, name, f"{what} is {', '.join(given)}, not {', '.join(wanted)}")
    for field, found, value in fields(name, layer, expected):
        if abs(found - value) > 1e-9 * max(1.0, abs(value)):
            raise NotDetectNet(layer.line, name, f"{field} is {found:g}, not {value:g}")


def _convolution(
    name: str, layer: Message, expected: network.Convolution
) -> Iterator[tuple[str, float, float]]:
    block = layer.block("convolution_param")
    for field, default, value in (
        ("num_output", None, expected.outputs),
        ("kernel_size", None, expected.kernel),
        ("stride", 1.0, expected.stride),
        ("pad", 0.0, expected.pad),
        ("group", 1.0, 1),
        ("dilation", 1.0, 1),
    ):
        yield field, _number(name, block, field, default), value


def _pooling(name: str, layer: Message, expected: network.Pooling) -> Iterator[tuple[str, float, float]]:
    block = layer.block("pooling_param")
    if block.text("pool", "MAX") != "MAX":
        raise NotDetectNet(layer.line, name, f"pool is {block.text('pool')}, not MAX")
    yield "kernel_size", _number(name, block, "kernel_size", None), expected.kernel
    yield "stride", _number(name, block, "stride", 1.0), expected.stride
    yield "pad", _number(name, block, "pad", 0.0), expected.pad


def _normalisation(name: str, layer: Message, _: network.Normalisation) -> Iterator[tuple[str, float, float]]:
    block = layer.block("lrn_param")
    yield "local_size", _number(name, block, "local_size", 5.0), network.LRN_SIZE
    yield "alpha", _number(name, block, "alpha", 1.0), network.LRN_ALPHA
    yield "beta", _number(name, block, "beta", 0.75), network.LRN_BETA
    yield "k", _number(name, block, "k", 1.0), network.LRN_K


def _shift(name: str, layer: Message, _: network.Shift) -> Iterator[tuple[str, float, float]]:
    yield "shift", _number(name, layer.block("power_param"), "shift", 0.0), -network.MEAN_PIXEL


def _dropout(name: str, layer: Message, _: network.Dropout) -> Iterator[tuple[str, float, float]]:
    given = _number(name, layer.block("dropout_param"), "dropout_ratio", 0.5)
    yield "dropout_ratio", given, network.DROPOUT_RATIO


def _require_ground_truth(name: str, layer: Message, classes: int) -> None:
    block = layer.block("detectnet_groundtruth_param")
    wanted = {
        "stride": f"{DEFAULT_OPTIONS.stride}",
        "scale_cvg": f"{DEFAULT_OPTIONS.scale_cvg:g}",
        "gridbox_type": "GRIDBOX_MIN",
        "coverage_type": "RECTANGULAR",
        "min_cvg_len": f"{DEFAULT_OPTIONS.min_cvg_len:g}",
        "obj_norm": "true",
        "crop_bboxes": "false",
    }
    for field, value in wanted.items():
        given = block.text(field, GROUND_TRUTH_DEFAULTS[field])
        if given != value and not _equal_numbers(given, value):
            raise NotDetectNet(block.line, name, f"{field} is {given}; targets are made with {value} here")
    mean = layer.block("transform_param").text("mean_value", "0")
    if not _equal_numbers(mean, f"{network.MEAN_PIXEL:g}"):
        raise NotDetectNet(layer.line, name, f"mean_value is {mean}, not {network.MEAN_PIXEL:g}")
    entries = block.blocks("object_class")
    targets = [_whole(name, entry.line, entry.text("dst", "0")) for entry in entries] or [0]
    if max(targets) + 1 != classes:
        raise NotDetectNet(
            block.line,
            name,
            f"object_class names {max(targets) + 1} classes, {network.COVERAGE_HEAD!r} has {classes} outputs",
        )


def _one_size(root: Message, layers: list[tuple[str, Message]]) -> tuple[int, int] | None:
    """The size that all who name one agree on; DIGITS left it to the user to keep them alike."""
    found: list[tuple[int, str, tuple[int, int]]] = []
    for name, layer in layers:
        truth = layer.block("detectnet_groundtruth_param")
        if truth.texts("image_size_x"):
            sides = (truth.text(f"image_size_{axis}") for axis in "xy")
            width, height = (_whole(name, truth.line, side) for side in sides)
            found.append((truth.line, name, (width, height)))
        given = layer.block("input_param").block("shape").texts("dim")
        dims = [_whole(name, layer.line, side) for side in given]
        if len(dims) == 4:
            found.append((layer.line, name, (dims[3], dims[2])))
        parameters = re.match(r"\s*(\d+)\s*,\s*(\d+)\s*,", layer.block("python_param").text("param_str"))
        if parameters is not None:
            found.append((layer.line, name, (int(parameters[1]), int(parameters[2]))))
    given = root.texts("input_dim") or root.block("input_shape").texts("dim")
    dims = [_whole("input", 1, side) for side in given]
    if len(dims) == 4:
        found.append((1, "input", (dims[3], dims[2])))
    for line, name, (width, height) in found[1:]:
        _, first, (first_width, first_height) = found[0]
        if (width, height) != (first_width, first_height):
            told = f"the size is {width}x{height} here and {first_width}x{first_height} in {first!r}"
            raise NotDetectNet(line, name, told)
    return found[0][2] if found else None


def _batch(layers: list[tuple[str, Message]], phase: str) -> int | None:
    for name, layer in layers:
        phases = {rule.text("phase") for rule in layer.blocks("include")}
        sizes = layer.block("data_param").texts("batch_size")
        if layer.text("type") == "Data" and sizes and phases <= {phase}:
            return _whole(name, layer.line, sizes[-1])
    return None


def _augmentation(transforms: list[tuple[str, Message]]) -> dict[str, float] | None:
    for name, layer in transforms:
        if {rule.text("phase") for rule in layer.blocks("include")} <= {"TRAIN"}:
            block = layer.block("detectnet_augmentation_param")
            return {
                field: _number(name, block, field, default)
                for field, default in PUBLISHED_AUGMENTATION_DEFAULTS.items()
            }
    return None


def _number(name: str, block: Message, field: str, default: float | None) -> float:
    text = block.text(field)
    if not text and default is not None:
        return default
    try:
        return float(text)
    except ValueError as error:
        raise NotDetectNet(block.line, name, f"{field} must be a number, not {text!r}") from error


def _whole(name: str, line: int, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise NotDetectNet(line, name, f"expected a whole number, not {text!r}")
    return int(text)


def _equal_numbers(first: str, second: str) -> bool:
    try:
        return float(first) == float(second)
    except ValueError:
        return False
