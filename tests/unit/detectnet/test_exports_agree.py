from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from detectnet.caffe_runtime import CaffeNet, CaffeNetError
from detectnet.caffemodel import detectnet_layers, write_caffemodel
from detectnet.onnx_graph import grid_onnx
from detectnet.prototxt import deploy_prototxt
from detectnet.sizes import IllegalSize
from tests.unit.detectnet.networks import FloatArray, Weights, random_input, random_weights

pytestmark = pytest.mark.slow

SIZES = [(64, 48), (48, 112), (160, 96), (352, 176), (32, 32)]


def by_opencv(weights: Weights, image: FloatArray, classes: int) -> tuple[FloatArray, FloatArray]:
    height, width = image.shape[1:]
    caffemodel = write_caffemodel(detectnet_layers(weights, classes))
    return CaffeNet(deploy_prototxt(width, height, classes), caffemodel).run(image)


def by_onnxruntime(weights: Weights, image: FloatArray, classes: int) -> tuple[FloatArray, FloatArray]:
    height, width = image.shape[1:]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        grid_onnx(weights, width, height, classes), options, providers=["CPUExecutionProvider"]
    )
    coverage, bboxes = session.run(["coverage", "bboxes"], {"data": image[None]})
    return coverage[0], bboxes[0]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("classes", [1, 3])
def test_opencv_on_the_caffe_pair_equals_onnxruntime_on_the_grid(
    width: int, height: int, classes: int
) -> None:
    weights, image = random_weights(classes, seed=width), random_input(width, height)

    coverage, bboxes = by_opencv(weights, image, classes)
    onnx_coverage, onnx_bboxes = by_onnxruntime(weights, image, classes)

    assert coverage.shape == (classes, height // 16, width // 16)
    assert bboxes.shape == (4, height // 16, width // 16)
    np.testing.assert_allclose(coverage, onnx_coverage, rtol=1e-4)
    np.testing.assert_allclose(bboxes, onnx_bboxes, atol=0.01, rtol=1e-4)


def test_the_agreement_is_not_one_of_constants() -> None:
    coverage, bboxes = by_opencv(random_weights(1), random_input(160, 96), 1)

    assert np.ptp(coverage) > 0.05
    assert np.ptp(bboxes) > 0.5


def test_the_grid_graph_is_old_and_plain_enough_for_old_parsers() -> None:
    model = onnx.load_model_from_string(grid_onnx(random_weights(2), 64, 48, 2))
    kinds = {node.op_type for node in model.graph.node}

    assert model.ir_version == 6
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 11)]
    assert kinds == {"Add", "Concat", "Conv", "LRN", "MaxPool", "Relu", "Sigmoid"}
    assert not any(attribute.name == "ceil_mode" for node in model.graph.node for attribute in node.attribute)


def test_equal_weights_give_an_equal_graph() -> None:
    first, second = (grid_onnx(random_weights(2), 64, 48, 2) for _ in range(2))

    assert first == second


def test_an_illegal_size_is_refused() -> None:
    with pytest.raises(IllegalSize):
        grid_onnx(random_weights(1), 600, 400, 1)


@pytest.mark.parametrize(
    ("prototxt", "caffemodel"),
    [("layer {", b""), ("no prototxt", b""), (deploy_prototxt(64, 48, 1), b"no caffemodel")],
)
def test_a_pair_that_opencv_cannot_load_is_refused(prototxt: str, caffemodel: bytes) -> None:
    with pytest.raises(CaffeNetError):
        CaffeNet(prototxt, caffemodel)
