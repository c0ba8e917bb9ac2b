from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from detectnet import network
from detectnet.memory import activation_count, parameter_count, training_memory
from detectnet.onnx_graph import grid_onnx
from detectnet.recipes import resolve_training

SIZE, CLASSES = (80, 48), 2


def test_the_parameters_are_those_of_the_published_network() -> None:
    assert parameter_count(1) == 5_978_677


def test_activations_are_what_the_layers_really_give() -> None:
    """Counted in onnxruntime's outputs; a ReLU works in place."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.parameter_shapes(CLASSES).items()}
    model = onnx.load_model_from_string(grid_onnx(weights, *SIZE, CLASSES))
    names = [node.output[0] for node in model.graph.node if node.op_type != "Relu"]
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in known
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = np.zeros((1, 3, SIZE[1], SIZE[0]), np.float32)
    outputs = session.run(names, {network.INPUT: image})

    assert activation_count(*SIZE, CLASSES) == image.size + sum(output.size for output in outputs)


def test_memory_grows_with_batch_and_precision_and_the_pictures_stay_as_bytes() -> None:
    images = {"train": 100, "val": 20}

    def device(**given: object) -> int:
        return training_memory(320, 192, 1, resolve_training("default", given, threads=1), images)["device"]

    assert device(batch_size=10) - device(batch_size=5) == device(batch_size=15) - device(batch_size=10)
    assert device(precision="fp32", batch_size=5) == device(precision="bf16", batch_size=10)
    host = training_memory(320, 192, 1, resolve_training("default", {}, threads=1), images)["host"]
    assert (
        host - 120 * 320 * 192 * 3
        == training_memory(320, 192, 1, resolve_training("default", {}, threads=1), {"train": 0, "val": 0})[
            "host"
        ]
    )
