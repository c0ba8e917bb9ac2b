"""Runs exported networks on the CPU: OpenCV for the Caffe pair, onnxruntime for the grid ONNX."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from detectnet import network
from detectnet.caffe_runtime import CaffeNet, CaffeNetError
from periscope_training.parity import Float32, Network

QUIET = 3
"""onnxruntime's log level for errors only."""


class BrokenNetwork(ValueError):
    """The exported files cannot be loaded or run."""


def caffe_network(prototxt: bytes, caffemodel: bytes) -> Network:
    """The Caffe pair under OpenCV. Raises BrokenNetwork, now or when it is run."""
    try:
        net = CaffeNet(prototxt, caffemodel)
    except CaffeNetError as error:
        raise BrokenNetwork(str(error)) from error

    def run(image: Float32) -> tuple[Float32, Float32]:
        try:
            return net.run(image)
        except CaffeNetError as error:
            raise BrokenNetwork(str(error)) from error

    return run


class Session:
    """An ONNX file under onnxruntime. Raises BrokenNetwork where it cannot be loaded."""

    def __init__(self, content: bytes, name: str) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = QUIET
        self._name = name
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BrokenNetwork(f"onnxruntime cannot load {name}: {error}") from error

    def input_shape(self, name: str) -> tuple[int, ...]:
        """The shape that an input must have."""
        found = next(given for given in self._session.get_inputs() if given.name == name)
        return tuple(found.shape)

    def run(self, outputs: list[str], inputs: Mapping[str, Float32]) -> list[Float32]:
        """The named outputs. Raises BrokenNetwork."""
        try:
            results = self._session.run(outputs, dict(inputs))
        except Exception as error:
            raise BrokenNetwork(f"onnxruntime cannot run {self._name}: {error}") from error
        return [np.asarray(result, np.float32) for result in results]


def onnx_network(content: bytes) -> Network:
    """The grid ONNX under onnxruntime. Raises BrokenNetwork, now or when it is run."""
    session = Session(content, "grid.onnx")

    def run(image: Float32) -> tuple[Float32, Float32]:
        coverage, bboxes = session.run([network.COVERAGE, network.BBOXES], {network.INPUT: image[None]})
        return coverage[0], bboxes[0]

    return run
