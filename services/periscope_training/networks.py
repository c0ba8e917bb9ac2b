"""Runs exported networks on the CPU: OpenCV for the Caffe pair, onnxruntime for the grid ONNX."""

from __future__ import annotations

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


def onnx_network(content: bytes) -> Network:
    """The grid ONNX under onnxruntime. Raises BrokenNetwork, now or when it is run."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BrokenNetwork(f"onnxruntime cannot load grid.onnx: {error}") from error

    def run(image: Float32) -> tuple[Float32, Float32]:
        try:
            coverage, bboxes = session.run([network.COVERAGE, network.BBOXES], {network.INPUT: image[None]})
        except Exception as error:
            raise BrokenNetwork(f"onnxruntime cannot run grid.onnx: {error}") from error
        return np.asarray(coverage[0], np.float32), np.asarray(bboxes[0], np.float32)

    return run
