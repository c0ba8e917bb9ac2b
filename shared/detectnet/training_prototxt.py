"""The two Caffe files of a training: ``train_val.prototxt`` and ``solver.prototxt``, as DIGITS zips held.

Nothing here reads them. They tell a Caffe user how the network was trained, in the words of Caffe, and Caffe
would train by them; where its data are, DIGITS's folder names stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detectnet import network
from detectnet.clustering import DEFAULT_CLUSTERING
from detectnet.coverage import DEFAULT_OPTIONS, GroundTruthOptions
from detectnet.learning_rate import SolverPolicy, solver_policy
from detectnet.prototxt import block_text, layer_text
from detectnet.sizes import STRIDE, require_grid_size

TRAIN_VAL = "train_val.prototxt"
SOLVER = "solver.prototxt"

TRAIN = "include { phase: TRAIN }"
VAL = 'include { phase: TEST stage: "val" }'
TEST = "include { phase: TEST }"
MOMENTUM = 0.9
NO_MOMENTUM = ("adagrad", "rmsprop")
BBOX_LOSS_WEIGHT = 2
_SOLVER_TYPES = {"nesterov": "NESTEROV", "nag": "NESTEROV"}


@dataclass(frozen=True)
class SolverSteps:
    """How a training is cut into steps."""

    max_step: int
    validation_interval: int
    """Steps between validations, which are also between snapshots."""
    validation_steps: int
    """Batches of one validation."""
    display_interval: int


def train_val_prototxt(
    width: int,
    height: int,
    classes: int,
    training: Mapping[str, Any],
    options: GroundTruthOptions = DEFAULT_OPTIONS,
    mean_pixel: Sequence[float] = (),
) -> str:
    """The training and validation network of resolved training options. Raises IllegalSize.

    ``mean_pixel`` (B,G,R) is subtracted where the pictures are read, as DIGITS wrote it.
    """
    require_grid_size(width, height, options.stride)
    faster = training.get("bbox_lr_mult", 1.0)
    layers = [_with_rates(layer, faster) for layer in network.layers(classes)[1:]]
    return "".join(
        [
            'name: "DetectNet"\n',
            *_data_layers(training["batch_size"], training["val_batch_size"], mean_pixel),
            *_transforms(_ground_truth(width, height, classes, options), training["augmentation"]),
            *_label_layers(),
            *(layer_text(layer) for layer in layers),
            *_loss_layers(),
            *_score_layers(width, height, classes),
        ]
    )


def _with_rates(layer: network.Layer, bbox_lr_mult: float) -> network.Layer:
    """The layer as it learns: the box head faster than Caffe's table has it."""
    if not isinstance(layer, network.Convolution) or layer.name != network.BBOX_HEAD:
        return layer
    weight, bias = bbox_lr_mult * layer.weight_lr_mult, bbox_lr_mult * layer.bias_lr_mult
    return replace(layer, weight_lr_mult=weight, bias_lr_mult=bias)


def solver_prototxt(training: Mapping[str, Any], steps: SolverSteps) -> str:
    """The solver of resolved training options, learning-rate policy in steps. Raises BadPolicy."""
    solver = str(training["solver"]).lower()
    snapshot = 0 if steps.validation_interval >= steps.max_step else steps.validation_interval
    fields: list[tuple[str, object]] = [
        ("net", f'"{TRAIN_VAL}"'),
        ("test_state", '{ stage: "val" }'),
        ("test_iter", steps.validation_steps),
        ("test_interval", steps.validation_interval),
        ("base_lr", training["learning_rate"]),
        ("display", steps.display_interval),
        ("max_iter", steps.max_step),
        *_policy_fields(solver_policy(training["lr_policy"], steps.max_step)),
        *([] if solver in NO_MOMENTUM else [("momentum", MOMENTUM)]),
        ("weight_decay", training["weight_decay"]),
        *([("clip_gradients", training["clip_gradients"])] if training.get("clip_gradients") else []),
        ("snapshot", snapshot),
        ("snapshot_prefix", '"snapshot"'),
        ("random_seed", training["seed"]),
        ("solver_type", _SOLVER_TYPES.get(solver, solver.upper())),
        ("iter_size", training["batch_accumulation"]),
    ]
    return "".join(f"{name}: {value}\n" for name, value in fields)


def _policy_fields(policy: SolverPolicy) -> list[tuple[str, object]]:
    fields: list[tuple[str, object]] = [("lr_policy", f'"{policy.name}"')]
    fields += [("gamma", policy.gamma)] if policy.name not in ("fixed", "poly") else []
    fields += [("power", policy.power)] if policy.name in ("inv", "poly") else []
    fields += [("stepsize", policy.stepsize)] if policy.name in ("step", "sigmoid") else []
    return fields + [("stepvalue", mark) for mark in policy.stepvalues]


def _data_layers(train_batch: int, val_batch: int, mean_pixel: Sequence[float]) -> list[str]:
    values = " ".join(f"mean_value: {value:g}" for value in mean_pixel)
    mean = [f"transform_param {{ {values} }}"] if values else []
    return [
        block_text(
            f"{stage}_{name}",
            "Data",
            [],
            [top],
            f'data_param {{ backend: LMDB source: "{stage}_db/{folder}" batch_size: {batch} }}',
            *(mean if name == "data" else []),
            rule,
        )
        for stage, batch, rule in (("train", train_batch, TRAIN), ("val", val_batch, VAL))
        for name, top, folder in (("data", "data", "features"), ("label", "label", "labels"))
    ]


def _ground_truth(width: int, height: int, classes: int, options: GroundTruthOptions) -> str:
    # Class 0 is dontcare in a DIGITS data set, so the first class is 1 there and 0 in the coverage.
    objects = " ".join(f"object_class {{ src: {index + 1} dst: {index} }}" for index in range(classes))
    longest = f" max_cvg_len: {options.max_cvg_len:g}" if options.gridbox == "max" else ""
    return (
        f"detectnet_groundtruth_param {{ stride: {options.stride} scale_cvg: {options.scale_cvg:g} "
        f"gridbox_type: GRIDBOX_{options.gridbox.upper()} coverage_type: RECTANGULAR "
        f"min_cvg_len: {options.min_cvg_len:g}{longest} obj_norm: {_truth(options.obj_norm)} "
        f"image_size_x: {width} image_size_y: {height} crop_bboxes: {_truth(options.crop_bboxes)} "
        f"{objects} }}"
    )


def _transforms(ground_truth: str, augmentation: Mapping[str, float] | None) -> list[str]:
    mean = f"transform_param {{ mean_value: {network.MEAN_PIXEL:g} }}"
    # Caffe's own defaults augment; without augmentation each probability must be given as none.
    given = augmentation or dict.fromkeys(
        ("crop_prob", "flip_prob", "rotation_prob", "scale_prob", "hue_rotation_prob", "desaturation_prob"), 0
    )
    fields = " ".join(f"{name}: {value:g}" for name, value in given.items())
    ends = ["data", "label"], ["transformed_data", "transformed_label"]
    kind = "DetectNetTransformation"
    augmented = f"detectnet_augmentation_param {{ {fields} }}"
    return [
        block_text("train_transform", kind, *ends, ground_truth, augmented, mean, TRAIN),
        block_text("val_transform", kind, *ends, ground_truth, mean, VAL),
    ]


def _label_layers() -> list[str]:
    tops = ["foreground-label", "bbox-label", "size-label", "obj-label", "coverage-label"]
    points = "slice_param { slice_dim: 1 slice_point: 1 slice_point: 5 slice_point: 7 slice_point: 8 }"
    return [
        block_text("slice-label", "Slice", ["transformed_label"], tops, points, TRAIN, VAL),
        _repeated("coverage-block", "foreground-label", 4),
        _repeated("size-block", "size-label", 2),
        _repeated("obj-block", "obj-label", 4),
        _product("bb-label-norm", ["bbox-label", "size-block"], "bbox-label-norm"),
        _product("bb-obj-norm", ["bbox-label-norm", "obj-block"], "bbox-obj-label-norm"),
    ]


def _loss_layers() -> list[str]:
    weight = f"loss_weight: {BBOX_LOSS_WEIGHT}"
    boxes = ["bboxes-obj-masked-norm", "bbox-obj-label-norm"]
    coverage = [network.COVERAGE, "coverage-label"]
    return [
        _product("bbox_mask", [network.BBOXES, "coverage-block"], "bboxes-masked"),
        _product("bbox-norm", ["bboxes-masked", "size-block"], "bboxes-masked-norm"),
        _product("bbox-obj-norm", ["bboxes-masked-norm", "obj-block"], "bboxes-obj-masked-norm"),
        block_text("bbox_loss", "L1Loss", boxes, ["loss_bbox"], weight, TRAIN, VAL),
        block_text("coverage_loss", "EuclideanLoss", coverage, ["loss_coverage"], TRAIN, VAL),
    ]


def _score_layers(width: int, height: int, classes: int) -> list[str]:
    size = f"{width}, {height}, {STRIDE}"
    how = DEFAULT_CLUSTERING
    limits = f"{how.coverage_threshold:g}, {how.group_threshold}, {how.eps:g}, {how.min_height}"
    cluster = _python("clustering", "ClusterDetections", f"{size}, {limits}, {classes}")
    cluster_truth = _python("clustering", "ClusterGroundtruth", f"{size}, {classes}")
    suffixes = [""] if classes == 1 else [f"-class{index}" for index in range(classes)]
    found = [f"bbox-list{suffix}" for suffix in suffixes]
    truth = [f"bbox-list-label{suffix}" for suffix in suffixes]
    layers = [
        block_text("cluster", "Python", [network.COVERAGE, network.BBOXES], found, cluster, TEST),
        block_text("cluster_gt", "Python", ["coverage-label", "bbox-label"], truth, cluster_truth, VAL),
    ]
    for suffix, pair in zip(suffixes, zip(truth, found, strict=True), strict=True):
        scored = f"bbox-list-scored{suffix}"
        figures = [f"{name}{suffix}" for name in ("mAP", "precision", "recall")]
        score = _python("mean_ap", "ScoreDetections")
        layers += [
            block_text(f"score{suffix}", "Python", pair, [scored], score, VAL),
            block_text(f"mAP{suffix}", "Python", [scored], figures, _python("mean_ap", "mAP", size), VAL),
        ]
    return layers


def _repeated(name: str, bottom: str, times: int) -> str:
    return block_text(name, "Concat", [bottom] * times, [name], "concat_param { concat_dim: 1 }", TRAIN, VAL)


def _product(name: str, bottoms: Sequence[str], top: str) -> str:
    return block_text(name, "Eltwise", bottoms, [top], "eltwise_param { operation: PROD }", TRAIN, VAL)


def _python(module: str, layer: str, parameters: str = "") -> str:
    told = f' param_str: "{parameters}"' if parameters else ""
    return f'python_param {{ module: "caffe.layers.detectnet.{module}" layer: "{layer}"{told} }}'


def _truth(value: bool) -> str:
    return "true" if value else "false"
