"""Weights to begin with: Caffe files by layer name, and torchvision's GoogLeNet by folding its batch norms.

Both give backbone and heads under Caffe's names. What a file does not have, or has in another shape because
the number of classes is another, keeps its first values.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectnet import network
from detectnet.caffemodel import CaffemodelError, read_caffemodel, weights_of
from detectnet.samples import BadData

FloatArray = npt.NDArray[np.float32]
Weights = dict[str, FloatArray]

BATCH_NORM_EPS = 1e-3
TORCHVISION_SCALE = 127.5
"""torchvision's weights see (v - 127.5) / 127.5 of values 0-255; DetectNet's see v - 127."""
HEADS = (network.COVERAGE_HEAD, network.BBOX_HEAD)
_BRANCHES = {
    "branch1": "1x1",
    "branch2.0": "3x3_reduce",
    "branch2.1": "3x3",
    "branch3.0": "5x5_reduce",
    "branch3.1": "5x5",
    "branch4.1": "pool_proj",
}


def read_weights(content: bytes) -> Weights:
    """``<layer>.weight`` and ``<layer>.bias`` of a .caffemodel or of torchvision's GoogLeNet, by its bytes.

    Raises BadData.
    """
    if content.startswith(b"PK\x03\x04"):
        return fold_googlenet(_state_dict(content))
    try:
        return weights_of(read_caffemodel(content))
    except CaffemodelError as error:
        raise BadData(f"the pretrained weights cannot be read: {error}") from error


def fitting(weights: Mapping[str, FloatArray], classes: int) -> tuple[Weights, list[str]]:
    """The parameters that a network of so many classes takes, and in words what is left out.

    Raises BadData where a layer of the backbone has another shape, as Caffe does, or none fits at all.
    """
    shapes = network.parameter_shapes(classes)
    taken: Weights = {}
    told: list[str] = []
    for name, shape in shapes.items():
        given = weights.get(name)
        if given is None:
            continue
        if given.shape == shape:
            taken[name] = given
        elif name.rpartition(".")[0] in HEADS:
            told.append(f"{name} of the pretrained weights is for {given.shape[0]} outputs and is not taken")
        else:
            raise BadData(f"{name} of the pretrained weights has the shape {given.shape}, not {shape}")
    if not taken:
        raise BadData("no layer of the pretrained weights has the name of one of DetectNet's")
    layers = {name.rpartition(".")[0] for name in taken}
    told.append(f"{len(layers)} of {len(shapes) // 2} layers begin with pretrained weights")
    return taken, told


def fold_googlenet(state: Mapping[str, Tensor]) -> Weights:
    """57 layers from torchvision's state dict: convolution and batch norm in one, 3x3 padded to 5x5.

    The first layer is turned from R,G,B to B,G,R and to values 0-255 less 127. Raises BadData.
    """
    pairs = {"conv1": "conv1/7x7_s2", "conv2": "conv2/3x3_reduce", "conv3": "conv2/3x3"}
    for module in network.MODULES:
        for branch, name in _BRANCHES.items():
            pairs[f"inception{module.name}.{branch}"] = f"inception_{module.name}/{name}"
    weights: Weights = {}
    for theirs, ours in pairs.items():
        try:
            weight, bias = _folded(state, theirs)
        except KeyError as error:
            raise BadData(f"the file is not torchvision's GoogLeNet: it has no {error}") from error
        if ours.endswith("/5x5"):
            weight = torch.nn.functional.pad(weight, (1, 1, 1, 1))
        if ours == "conv1/7x7_s2":
            bias = bias + weight.sum((1, 2, 3)) * (network.MEAN_PIXEL / TORCHVISION_SCALE - 1)
            weight = weight.flip(1) / TORCHVISION_SCALE
        weights[f"{ours}.weight"] = weight.float().numpy()
        weights[f"{ours}.bias"] = bias.float().numpy()
    return weights


def _folded(state: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    gamma, beta, mean, variance = (
        state[f"{name}.bn.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + BATCH_NORM_EPS)
    return state[f"{name}.conv.weight"].double() * scale.reshape(-1, 1, 1, 1), beta - mean * scale


def _state_dict(content: bytes) -> Mapping[str, Tensor]:
    try:
        # Weights only: nothing in the file is run.
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadData(f"the pretrained weights cannot be read: {error}") from error
    if not isinstance(loaded, Mapping):
        raise BadData("the file holds no state dict; save model.state_dict() of torchvision's GoogLeNet")
    return loaded
