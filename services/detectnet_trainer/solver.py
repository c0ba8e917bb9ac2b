"""Optimisers with Caffe's parameter groups: biases learn twice as fast and do not decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from detectnet import network
from detectnet_trainer.model import DetectNet

MOMENTUM = 0.9
ADAM_BETAS = (0.9, 0.999)
ADAM_EPS = 1e-8
SOLVERS = ("adam", "sgd")


class UnknownSolver(ValueError):
    """There is no solver of this name."""


def make_solver(model: DetectNet, name: str, weight_decay: float) -> torch.optim.Optimizer:
    """The optimiser; its learning rate is set before each step by :func:`set_learning_rate`.

    Raises:
        UnknownSolver: the name is none of SOLVERS.
    """
    groups = _groups(model, weight_decay)
    if name == "adam":
        return torch.optim.Adam(groups, lr=0.0, betas=ADAM_BETAS, eps=ADAM_EPS)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=MOMENTUM)
    raise UnknownSolver(f"there is no solver {name!r}; there are {', '.join(SOLVERS)}")


def set_learning_rate(solver: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the base rate times its multiplier."""
    for group in solver.param_groups:
        group["lr"] = rate * group["lr_mult"]


def _groups(model: DetectNet, weight_decay: float) -> Iterable[dict[str, Any]]:
    by_rate: dict[tuple[float, float], list[nn.Parameter]] = {}
    for layer in network.convolutions(model.classes):
        weight, bias = model.weight_and_bias(layer.name)
        by_rate.setdefault((1.0, weight_decay), []).append(weight)
        by_rate.setdefault((layer.bias_lr_mult, 0.0), []).append(bias)
    return [
        {"params": parameters, "lr_mult": lr_mult, "weight_decay": decay}
        for (lr_mult, decay), parameters in by_rate.items()
    ]
