"""DetectNet as an ONNX graph, written node by node from the layer table: no exporter in between.

Opset 11, IR 6, static batch 1, native LRN and explicit padding, so that old TensorRT parsers read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from detectnet import means, network
from detectnet.sizes import require_grid_size

FloatArray = npt.NDArray[np.float32]

OPSET = 11
IR_VERSION = 6


def grid_onnx(weights: Mapping[str, FloatArray], width: int, height: int, classes: int) -> bytes:
    """The raw network: ``data`` [1,3,H,W] B,G,R 0-255 to ``coverage`` [1,C,GH,GW] and ``bboxes`` [1,4,GH,GW].

    A mean among the weights is subtracted first. Equal arguments give equal bytes. Raises IllegalSize,
    KeyError for a missing parameter, and ValueError for a mean picture of another size.
    """
    require_grid_size(width, height)
    mean = means.mean_in(weights)
    if mean is not None and mean.shape[1:] not in ((1, 1), (height, width)):
        raise ValueError(f"the mean picture is {mean.shape[2]}x{mean.shape[1]}, the input {width}x{height}")
    rows, columns = height // 16, width // 16
    graph = helper.make_graph(
        _nodes(width, height, classes, subtracts_mean=mean is not None),
        "DetectNet",
        [_value(network.INPUT, (1, 3, height, width))],
        [
            _value(network.COVERAGE, (1, classes, rows, columns)),
            _value(network.BBOXES, (1, 4, rows, columns)),
        ],
        _initializers(weights, classes, mean),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="periscope"
    )
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _nodes(width: int, height: int, classes: int, *, subtracts_mean: bool) -> list[Any]:
    nodes: list[Any] = []
    blobs = {network.INPUT: network.INPUT}
    """The newest tensor of each Caffe blob: ReLU works in place there, ONNX wants new names."""
    if subtracts_mean:
        nodes.append(helper.make_node("Sub", [network.INPUT, "mean"], [means.TOP], name=means.LAYER))
        blobs[network.INPUT] = means.TOP
    sizes = {network.INPUT: (width, height)}
    for layer, (_, rows, columns) in network.layer_shapes(width, height, classes):
        sizes[layer.top] = (columns, rows)
        match layer:
            case network.Dropout(_, bottom, top):
                blobs[top] = blobs[bottom]
                continue
            case network.Concatenation(_, bottoms, _):
                inputs = [blobs[bottom] for bottom in bottoms]
            case _:
                inputs = [blobs[layer.bottom]]
        nodes.append(_node(layer, inputs, sizes))
        blobs[layer.top] = layer.top
        if isinstance(layer, network.Convolution) and layer.relu is not None:
            nodes.append(helper.make_node("Relu", [layer.top], [layer.relu], name=layer.relu))
            blobs[layer.top] = layer.relu
    return nodes


def _node(layer: network.Layer, inputs: list[str], sizes: Mapping[str, tuple[int, int]]) -> Any:
    match layer:
        case network.Convolution(name, _, top, _, _, kernel, stride, pad):
            return helper.make_node(
                "Conv", [*inputs, f"{name}.weight", f"{name}.bias"], [top], name=name,
                kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4,
            )  # fmt: skip
        case network.Pooling(name, bottom, top, kernel, stride, pad):
            ends = [
                _end_pad(before, after, kernel, stride, pad)
                for before, after in zip(reversed(sizes[bottom]), reversed(sizes[top]), strict=True)
            ]
            return helper.make_node(
                "MaxPool", inputs, [top], name=name,
                kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad, pad, *ends],
            )  # fmt: skip
        case network.Normalisation(name, _, top):
            return helper.make_node(
                "LRN", inputs, [top], name=name, size=network.LRN_SIZE,
                alpha=network.LRN_ALPHA, beta=network.LRN_BETA, bias=network.LRN_K,
            )  # fmt: skip
        case network.Concatenation(name, _, top):
            return helper.make_node("Concat", inputs, [top], name=name, axis=1)
        case network.Sigmoid(name, _, top):
            return helper.make_node("Sigmoid", inputs, [top], name=name)
        case network.Shift(name, _, top):
            return helper.make_node("Add", [*inputs, "minus_mean_pixel"], [top], name=name)
        case network.Dropout():
            raise TypeError("dropout has no node at inference")


def _end_pad(before: int, after: int, kernel: int, stride: int, pad: int) -> int:
    """Padding at the end that makes a rounded-down pooling as large as Caffe's rounded-up one."""
    return max(0, (after - 1) * stride + kernel - pad - before)


def _initializers(weights: Mapping[str, FloatArray], classes: int, mean: FloatArray | None) -> list[Any]:
    arrays = {name: np.asarray(weights[name], np.float32) for name in network.parameter_shapes(classes)}
    arrays["minus_mean_pixel"] = np.full((1, 1, 1, 1), -network.MEAN_PIXEL, np.float32)
    if mean is not None:
        arrays["mean"] = mean[None]
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _value(name: str, shape: tuple[int, ...]) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
