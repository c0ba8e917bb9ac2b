"""How much memory a training takes, estimated from the layer list before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from detectnet import network

FLOAT_BYTES = 4
STATES = {"sgd": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adadelta": 2, "adam": 2}
"""Numbers that a solver keeps for each parameter."""
FRAMEWORK_BYTES = 600 << 20
"""What CUDA and the libraries hold before the first image."""
WORKSPACE = 1.25
"""Convolutions want room for themselves."""


def parameter_count(classes: int) -> int:
    """Numbers that training changes."""
    return sum(math.prod(shape) for shape in network.parameter_shapes(classes).values())


def activation_count(width: int, height: int, classes: int) -> int:
    """Numbers that one image leaves behind on its way forward, all of which the way back needs."""
    return 3 * height * width + sum(
        math.prod(shape)
        for layer, shape in network.layer_shapes(width, height, classes)
        if not isinstance(layer, network.Dropout)
    )


def training_memory(
    width: int, height: int, classes: int, training: Mapping[str, Any], images: Mapping[str, int]
) -> dict[str, int]:
    """Bytes on the device for a step, and on the host for the decoded pictures of both splits.

    ``training`` are resolved options. An estimate to choose a batch size by, no promise: the training program
    halves the batch's pieces by itself when the device runs out.
    """
    width_of_number = 2 if training["precision"] in ("bf16", "fp16") else FLOAT_BYTES
    activations = activation_count(width, height, classes) * width_of_number * training["batch_size"]
    parameters = parameter_count(classes) * FLOAT_BYTES * (2 + STATES[training["solver"]])
    pictures = sum(images.values()) * width * height * 3
    return {
        "device": int(2 * activations * WORKSPACE) + parameters + FRAMEWORK_BYTES,
        "host": pictures + FRAMEWORK_BYTES,
    }
