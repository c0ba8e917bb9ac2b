"""Networks with random weights, the same for the same seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectnet import network

FloatArray = npt.NDArray[np.float32]
Weights = dict[str, FloatArray]


def random_weights(classes: int, seed: int = 0) -> Weights:
    """Caffe's fillers, but random biases and a coverage that differs from cell to cell."""
    random = np.random.default_rng(seed)
    weights: Weights = {}
    for name, shape in network.parameter_shapes(classes).items():
        limit = np.sqrt(3 / np.prod(shape[1:])) if name.endswith(".weight") else 0.2
        weights[name] = random.uniform(-limit, limit, shape).astype(np.float32)
    weights[f"{network.COVERAGE_HEAD}.weight"] *= 4
    weights[f"{network.BBOX_HEAD}.weight"] *= 20
    return weights


def random_input(width: int, height: int, seed: int = 0) -> FloatArray:
    """A picture float32 [3,H,W], 0-255."""
    return np.random.default_rng(seed).integers(0, 256, (3, height, width)).astype(np.float32)
