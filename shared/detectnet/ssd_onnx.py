"""DetectNet in the form that jetson-inference takes an ONNX file for: an SSD network that decodes itself.

A stock detectnet decodes every ``.onnx`` as SSD: scores with the background first, boxes as shares of the
picture. So the grid's graph gets its input converted, its boxes made absolute, and of each neighbourhood of
cells only the peak kept: the robot merges boxes only where they nearly coincide, so one object would be many.

Only arithmetic is used for the peaks, no comparison: old TensorRT parsers and half precision take it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from detectnet import network
from detectnet.sizes import STRIDE

FloatArray = npt.NDArray[np.float32]
Rank = Literal[2, 3]

INPUT, SCORES, BOXES = "input_0", "scores", "boxes"
BACKGROUND = "BACKGROUND"
"""The first line of the labels; the robot never reports it."""
HALF_RANGE = 127.5
PEAK_WINDOW = 3
PEAK_SHARPNESS = 100.0
"""A cell whose logit is lower than its best neighbour's by 1/100 or more is silenced. Differences of logits
stay far below what half precision holds."""


class NotAGrid(ValueError):
    """The ONNX file is not one of our grid networks."""


def ssd_onnx(grid: bytes, rank: Rank) -> bytes:
    """Wrap a grid network (:func:`detectnet.onnx_graph.grid_onnx`) for a stock jetson-inference.

    ``input_0`` [1,3,H,W] R,G,B in -1 to 1; ``scores`` [1,N,C+1] and ``boxes`` [1,N,4] x1,y1,x2,y2 in 0 to 1,
    N = GH x GW cells row by row. With ``rank`` 2 the outputs are [N,C+1] and [N,4]: from TensorRT 10 on
    jetson-inference does not drop the batch of outputs. Equal arguments give equal bytes.

    Raises:
        NotAGrid: the file is no ONNX, or its graph has other inputs or outputs.
    """
    try:
        model = onnx.load_model_from_string(grid)
    except DecodeError as error:
        raise NotAGrid(f"the file is no ONNX: {error}") from error
    (height, width), classes = _shape_of(model)
    wrapped = _Wrapping(width, height, classes, _logits_of(model))
    graph = helper.make_graph(
        [*wrapped.input_nodes(), *model.graph.node, *wrapped.output_nodes()],
        "DetectNet as SSD",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (1, 3, height, width))],
        [
            _value(SCORES, rank, wrapped.cells, classes + 1),
            _value(BOXES, rank, wrapped.cells, 4),
        ],
        [*model.graph.initializer, *wrapped.constants(rank)],
    )
    result = helper.make_model(graph, opset_imports=model.opset_import, producer_name=model.producer_name)
    result.ir_version = model.ir_version
    onnx.checker.check_model(result, full_check=True)
    return bytes(result.SerializeToString(deterministic=True))


def ssd_labels(names: tuple[str, ...] | list[str]) -> str:
    """The labels file that goes with it."""
    return "".join(f"{name}\n" for name in (BACKGROUND, *names))


def ssd_outputs(logits: FloatArray, bboxes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same on numpy: scores [N,C+1] and boxes [N,4] from logits [C,GH,GW] and bboxes [4,GH,GW]."""
    classes, rows, columns = logits.shape
    padded = np.pad(logits, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    shifted = [padded[:, y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    lower = np.max(shifted, axis=0) - logits
    peaks = np.maximum(0, 1 - PEAK_SHARPNESS * lower) / (1 + np.exp(-logits.astype(np.float64)))
    columns_first = peaks.reshape(classes, -1).T
    scores = np.concatenate([1 - columns_first.max(axis=1, keepdims=True), columns_first], axis=1)
    absolute = bboxes + _origins(rows, columns)[0]
    shares = np.clip(absolute / _extent(columns * STRIDE, rows * STRIDE)[0], 0, 1)
    return scores.astype(np.float32), shares.reshape(4, -1).T.astype(np.float32)


class _Wrapping:
    """Nodes and constants around the grid's own."""

    def __init__(self, width: int, height: int, classes: int, logits: str) -> None:
        self._size = (width, height)
        self._classes = classes
        self._logits = logits
        self._rows, self._columns = height // STRIDE, width // STRIDE

    @property
    def cells(self) -> int:
        return self._rows * self._columns

    def input_nodes(self) -> list[Any]:
        return [
            helper.make_node("Gather", [INPUT, "ssd/bgr"], ["ssd/reversed"], name="ssd/reverse", axis=1),
            helper.make_node("Mul", ["ssd/reversed", "ssd/half_range"], ["ssd/scaled"], name="ssd/scale"),
            helper.make_node("Add", ["ssd/scaled", "ssd/half_range"], [network.INPUT], name="ssd/shift"),
        ]

    def output_nodes(self) -> list[Any]:
        return [*self._peaks(), *self._scores(), *self._boxes()]

    def constants(self, rank: Rank) -> list[Any]:
        flat = {3: (1,), 2: ()}[rank]
        arrays: dict[str, npt.NDArray[Any]] = {
            "ssd/bgr": np.array([2, 1, 0], np.int64),
            "ssd/half_range": np.full((1, 1, 1, 1), HALF_RANGE, np.float32),
            "ssd/sharpness": np.full((1, 1, 1, 1), PEAK_SHARPNESS, np.float32),
            "ssd/one": np.ones((1, 1, 1, 1), np.float32),
            "ssd/one_column": np.ones((1, 1, 1), np.float32),
            "ssd/origins": _origins(self._rows, self._columns),
            "ssd/inverse_extent": 1 / _extent(*self._size),
            "ssd/zero": np.zeros((), np.float32),
            "ssd/all": np.ones((), np.float32),
            "ssd/score_rows": np.array([1, self._classes, self.cells], np.int64),
            "ssd/box_rows": np.array([1, 4, self.cells], np.int64),
            "ssd/score_shape": np.array([*flat, self.cells, self._classes + 1], np.int64),
            "ssd/box_shape": np.array([*flat, self.cells, 4], np.int64),
        }
        return [numpy_helper.from_array(array, name) for name, array in arrays.items()]

    def _peaks(self) -> list[Any]:
        """Coverage times 1 - sharpness x (best of 3x3 - own), at least 0: 0 beside a surer cell."""
        window: dict[str, Any] = {
            "kernel_shape": [PEAK_WINDOW] * 2,
            "strides": [1, 1],
            "pads": [PEAK_WINDOW // 2] * 4,
        }
        return [
            helper.make_node("MaxPool", [self._logits], ["ssd/best"], name="ssd/best", **window),
            helper.make_node("Sub", ["ssd/best", self._logits], ["ssd/lower"], name="ssd/lower"),
            helper.make_node("Mul", ["ssd/lower", "ssd/sharpness"], ["ssd/penalty"], name="ssd/penalty"),
            helper.make_node("Sub", ["ssd/one", "ssd/penalty"], ["ssd/rest"], name="ssd/rest"),
            helper.make_node("Relu", ["ssd/rest"], ["ssd/kept"], name="ssd/kept"),
            helper.make_node("Mul", [network.COVERAGE, "ssd/kept"], ["ssd/peaks"], name="ssd/peaks"),
        ]

    def _scores(self) -> list[Any]:
        """[1,C,GH,GW] to rows of cells, with 1 - the best class as background before them."""
        return [
            helper.make_node(
                "Reshape", ["ssd/peaks", "ssd/score_rows"], ["ssd/by_class"], name="ssd/by_class"
            ),
            helper.make_node(
                "Transpose", ["ssd/by_class"], ["ssd/by_cell"], name="ssd/by_cell", perm=[0, 2, 1]
            ),
            helper.make_node(
                "ReduceMax", ["ssd/by_cell"], ["ssd/surest"], name="ssd/surest", axes=[2], keepdims=1
            ),
            helper.make_node("Sub", ["ssd/one_column", "ssd/surest"], ["ssd/nothing"], name="ssd/nothing"),
            helper.make_node(
                "Concat", ["ssd/nothing", "ssd/by_cell"], ["ssd/all_scores"], name="ssd/all", axis=2
            ),
            helper.make_node("Reshape", ["ssd/all_scores", "ssd/score_shape"], [SCORES], name=SCORES),
        ]

    def _boxes(self) -> list[Any]:
        """Corners relative to cells to shares of the picture."""
        return [
            helper.make_node("Add", [network.BBOXES, "ssd/origins"], ["ssd/corners"], name="ssd/corners"),
            helper.make_node("Mul", ["ssd/corners", "ssd/inverse_extent"], ["ssd/shares"], name="ssd/shares"),
            helper.make_node(
                "Clip", ["ssd/shares", "ssd/zero", "ssd/all"], ["ssd/inside"], name="ssd/inside"
            ),
            helper.make_node("Reshape", ["ssd/inside", "ssd/box_rows"], ["ssd/by_side"], name="ssd/by_side"),
            helper.make_node("Transpose", ["ssd/by_side"], ["ssd/by_box"], name="ssd/by_box", perm=[0, 2, 1]),
            helper.make_node("Reshape", ["ssd/by_box", "ssd/box_shape"], [BOXES], name=BOXES),
        ]


def _shape_of(model: Any) -> tuple[tuple[int, int], int]:
    """Height and width of the input, and the number of classes."""
    inputs, outputs = (
        {value.name: _dims(value) for value in side} for side in (model.graph.input, model.graph.output)
    )
    given, coverage = inputs.get(network.INPUT, ()), outputs.get(network.COVERAGE, ())
    if len(given) != 4 or len(coverage) != 4 or len(outputs.get(network.BBOXES, ())) != 4:
        raise NotAGrid(
            f"the graph takes {', '.join(inputs)} and gives {', '.join(outputs)}; a grid network takes "
            f"{network.INPUT} and gives {network.COVERAGE} and {network.BBOXES}"
        )
    return (given[2], given[3]), coverage[1]


def _dims(value: Any) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def _logits_of(model: Any) -> str:
    """The tensor before the coverage's sigmoid: near 1 its differences are lost."""
    for node in model.graph.node:
        if node.op_type == "Sigmoid" and list(node.output) == [network.COVERAGE]:
            return str(node.input[0])
    raise NotAGrid(f"no sigmoid leads to {network.COVERAGE}")


def _origins(rows: int, columns: int) -> FloatArray:
    """The cells' top-left corners, for both corners of a box: [1,4,GH,GW], pixels."""
    ys, xs = np.mgrid[:rows, :columns].astype(np.float32) * STRIDE
    return np.stack([xs, ys, xs, ys])[None]


def _extent(width: int, height: int) -> FloatArray:
    return np.array([width, height, width, height], np.float32).reshape(1, 4, 1, 1)


def _value(name: str, rank: Rank, cells: int, columns: int) -> Any:
    shape = (cells, columns) if rank == 2 else (1, cells, columns)
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
