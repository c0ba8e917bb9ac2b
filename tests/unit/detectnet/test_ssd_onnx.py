"""The networks for jetson-inference's ONNX path: the graph equals its description, and one object is few boxes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from detectnet.jetson import decode_ssd, preprocess_caffe, preprocess_ssd
from detectnet.onnx_graph import grid_onnx
from detectnet.ssd_onnx import NotAGrid, ssd_labels, ssd_onnx, ssd_outputs
from tests.unit.detectnet.networks import FloatArray, Weights, random_weights

SIZES = [(64, 48), (160, 96), (32, 32)]
OLD_AND_PLAIN = {
    "Add", "Clip", "Concat", "Conv", "Gather", "LRN", "MaxPool", "Mul", "ReduceMax", "Relu", "Reshape", "Sigmoid",
    "Sub", "Transpose",
}  # fmt: skip


def random_picture(width: int, height: int) -> np.ndarray:  # type: ignore[type-arg] # any picture
    return np.random.default_rng(width).integers(0, 256, (height, width, 3)).astype(np.uint8)


def run(content: bytes, inputs: dict[str, FloatArray], outputs: list[str]) -> list[FloatArray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    results: list[FloatArray] = session.run(outputs, inputs)
    return results


def logits_and_bboxes(weights: Weights, picture: np.ndarray, classes: int) -> tuple[FloatArray, FloatArray]:  # type: ignore[type-arg]
    """What comes before the sigmoid, by a grid network that shows it."""
    height, width = picture.shape[:2]
    model = onnx.load_model_from_string(grid_onnx(weights, width, height, classes))
    logits = next(node.input[0] for node in model.graph.node if node.op_type == "Sigmoid")
    shape = (1, classes, height // 16, width // 16)
    model.graph.output.append(helper.make_tensor_value_info(logits, TensorProto.FLOAT, shape))
    given = preprocess_caffe(picture, width, height)[None]
    found, bboxes = run(model.SerializeToString(), {"data": given}, [logits, "bboxes"])
    return found[0], bboxes[0]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("rank", [2, 3])
def test_the_graph_computes_what_its_description_says(
    width: int, height: int, classes: int, rank: Literal[2, 3]
) -> None:
    weights, picture = random_weights(classes, seed=width), random_picture(width, height)
    expected = ssd_outputs(*logits_and_bboxes(weights, picture, classes))

    content = ssd_onnx(grid_onnx(weights, width, height, classes), rank)
    found = run(content, {"input_0": preprocess_ssd(picture, width, height)[None]}, ["scores", "boxes"])

    cells = (width // 16) * (height // 16)
    batch = (1,) if rank == 3 else ()
    assert [each.shape for each in found] == [(*batch, cells, classes + 1), (*batch, cells, 4)]
    np.testing.assert_allclose(found[0].reshape(cells, -1), expected[0], atol=1e-3)
    np.testing.assert_allclose(found[1].reshape(cells, 4), expected[1], atol=1e-4)


def test_the_agreement_is_not_one_of_constants() -> None:
    weights, picture = random_weights(2, seed=160), random_picture(160, 96)
    scores, boxes = ssd_outputs(*logits_and_bboxes(weights, picture, 2))

    assert np.ptp(scores[:, 1:]) > 0.05
    assert np.ptp(boxes) > 0.5


def test_the_graph_is_old_and_plain_enough_for_old_parsers() -> None:
    model = onnx.load_model_from_string(ssd_onnx(grid_onnx(random_weights(2), 64, 48, 2), 3))

    assert {node.op_type for node in model.graph.node} <= OLD_AND_PLAIN
    assert (model.ir_version, model.opset_import[0].version) == (6, 11)
    assert all(dim.dim_value > 0 for value in model.graph.input for dim in value.type.tensor_type.shape.dim)


def test_equal_networks_are_equal_bytes() -> None:
    grid = grid_onnx(random_weights(1), 64, 48, 1)

    assert ssd_onnx(grid, 3) == ssd_onnx(grid, 3)


def test_another_graph_is_refused_by_its_inputs_and_outputs() -> None:
    already = ssd_onnx(grid_onnx(random_weights(1), 64, 48, 1), 3)

    with pytest.raises(NotAGrid, match="takes input_0 and gives scores, boxes"):
        ssd_onnx(already, 3)


def test_the_labels_begin_with_the_background() -> None:
    assert ssd_labels(["buoy", "gate"]) == "BACKGROUND\nbuoy\ngate\n"


def blob(rows: int, columns: int, top: int, left: int, size: int) -> tuple[FloatArray, FloatArray]:
    """Logits and boxes of one object, sure in the middle, all of whose cells say the same box."""
    ys, xs = np.mgrid[:rows, :columns].astype(np.float32)
    distance = np.hypot(ys - top, xs - left)
    logits = np.where(distance <= size, 6 - distance, -8).astype(np.float32)[None]
    corners = np.array([left - 2, top - 2, left + 3, top + 3], np.float32) * 16
    bboxes = corners.reshape(4, 1, 1) - np.stack([xs, ys, xs, ys]) * 16
    return logits, bboxes.astype(np.float32)


@given(top=st.integers(2, 9), left=st.integers(2, 9), size=st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_of_one_object_one_box_is_left(top: int, left: int, size: int) -> None:
    scores, boxes = ssd_outputs(*blob(12, 12, top, left, size))

    assert int((scores[:, 1] >= 0.5).sum()) == 1
    (found,) = decode_ssd(scores, boxes, image_size=(192, 192))
    expected = [
        max((left - 2) * 16, 0),
        max((top - 2) * 16, 0),
        min((left + 3) * 16, 191),
        min((top + 3) * 16, 191),
    ]
    assert found.xyxy == pytest.approx(expected, abs=0.01)


@given(st.lists(st.floats(-20, 20, width=32), min_size=24, max_size=24))
@settings(max_examples=200, deadline=None)
def test_the_surest_cell_of_a_class_is_always_kept_and_none_grows(values: list[float]) -> None:
    logits = np.array(values, np.float32).reshape(1, 4, 6)
    coverage = 1 / (1 + np.exp(-logits.astype(np.float64)))

    scores, _ = ssd_outputs(logits, np.zeros((4, 4, 6), np.float32))

    assert scores[:, 1].max() == pytest.approx(coverage.max(), abs=1e-6)
    assert (scores[:, 1] <= coverage.reshape(-1) + 1e-6).all()
    np.testing.assert_allclose(scores[:, 0], 1 - scores[:, 1], atol=1e-6)


def test_cells_side_by_side_that_are_equally_sure_stay_both() -> None:
    logits = np.full((1, 1, 2), 3.0, np.float32)

    scores, _ = ssd_outputs(logits, np.zeros((4, 1, 2), np.float32))

    assert (scores[:, 1] > 0.9).all()
