"""Optimisers with Caffe's parameter groups: biases learn twice as fast and do not decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import nn, optim

from detectnet import network
from detectnet_trainer.model import DetectNet

MOMENTUM = 0.9
RMS_DECAY = 0.99
DELTA = 1e-8
"""Caffe's default against division by zero."""

# The learning rate is set before each step by set_learning_rate, so it starts at 0 everywhere.
SOLVERS: Mapping[str, Callable[..., optim.Optimizer]] = {
    "sgd": partial(optim.SGD, lr=0.0, momentum=MOMENTUM),
    "nesterov": partial(optim.SGD, lr=0.0, momentum=MOMENTUM, nesterov=True),
    "adagrad": partial(optim.Adagrad, lr=0.0, eps=DELTA),
    "rmsprop": partial(optim.RMSprop, lr=0.0, alpha=RMS_DECAY, eps=DELTA),
    "adadelta": partial(optim.Adadelta, lr=0.0, rho=MOMENTUM, eps=DELTA),
    "adam": partial(optim.Adam, lr=0.0, betas=(MOMENTUM, 0.999), eps=DELTA),
}
"""DIGITS's six, with its parameters."""


class UnknownSolver(ValueError):
    """There is no solver of this name."""


def make_solver(
    model: DetectNet, name: str, weight_decay: float, bbox_lr_mult: float = 1.0
) -> optim.Optimizer:
    """The optimiser; its learning rate is set before each step by :func:`set_learning_rate`.

    ``bbox_lr_mult`` multiplies the box head's rates on top of Caffe's multipliers.

    Raises:
        UnknownSolver: the name is none of SOLVERS.
    """
    if name not in SOLVERS:
        raise UnknownSolver(f"there is no solver {name!r}; there are {', '.join(SOLVERS)}")
    return SOLVERS[name](_groups(model, weight_decay, bbox_lr_mult))


def set_learning_rate(solver: optim.Optimizer, rate: float) -> None:
    """Give every group the base rate times its multiplier."""
    for group in solver.param_groups:
        group["lr"] = rate * group["lr_mult"]


def _groups(model: DetectNet, weight_decay: float, bbox_lr_mult: float) -> Iterable[dict[str, Any]]:
    by_rate: dict[tuple[float, float], list[nn.Parameter]] = {}
    for layer in network.convolutions(model.classes):
        weight, bias = model.weight_and_bias(layer.name)
        faster = bbox_lr_mult if layer.name == network.BBOX_HEAD else 1.0
        by_rate.setdefault((faster, weight_decay), []).append(weight)
        by_rate.setdefault((faster * layer.bias_lr_mult, 0.0), []).append(bias)
    return [
        {"params": parameters, "lr_mult": lr_mult, "weight_decay": decay}
        for (lr_mult, decay), parameters in by_rate.items()
    ]
