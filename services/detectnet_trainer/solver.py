"""Optimisers with Caffe's formulas and parameter groups: biases learn twice as fast and do not decay.

Three of the six are PyTorch's own, which compute the same. The other three differ from PyTorch's: Caffe keeps
the learning rate inside the momentum, so a rate that falls brakes more slowly, and Adam adds its delta to the
uncorrected root.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn, optim

from detectnet import network
from detectnet_trainer.model import DetectNet

MOMENTUM, MOMENTUM_2 = 0.9, 0.999
RMS_DECAY = 0.99
DELTA = 1e-8
"""Caffe's default against division by zero."""


class CaffeSolver(optim.Optimizer):
    """What sgd, nesterov and adam share: L2 decay, and one list of tensors for each group.

    ``rule`` takes rate, step (from 1), gradients and the states' tensors, changes the states in place and
    returns what is to be subtracted from the parameters. ``states`` names the tensors, which begin at zero.
    """

    def __init__(self, params: Iterable[dict[str, Any]], rule: Rule, states: tuple[str, ...]) -> None:
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0, "step": 0})
        self._rule = rule
        self._states = states

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # nothing here needs a closure
        """Change every parameter that has a gradient. Raises TypeError for a ``closure``."""
        if closure is not None:
            raise TypeError("Caffe's solvers look at a loss once for each step")
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            group["step"] += 1
            gradients: list[Tensor] = [parameter.grad for parameter in parameters]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
            kept = [[self._state(parameter, name) for parameter in parameters] for name in self._states]
            updates = self._rule(group["lr"], group["step"], gradients, *kept)
            torch._foreach_sub_(parameters, updates)

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        found: Tensor = state[name]
        return found


Tensors = list[Tensor]
Rule = Callable[..., Any]


def _sgd(rate: float, _step: int, gradients: Tensors, history: Tensors) -> Tensors:
    torch._foreach_mul_(history, MOMENTUM)
    torch._foreach_add_(history, gradients, alpha=rate)
    return history


def _nesterov(rate: float, step: int, gradients: Tensors, history: Tensors) -> Tensors:
    before = torch._foreach_mul(history, -MOMENTUM)
    _sgd(rate, step, gradients, history)
    torch._foreach_add_(before, history, alpha=1 + MOMENTUM)
    return list(before)


def _adam(rate: float, step: int, gradients: Tensors, first: Tensors, second: Tensors) -> Tensors:
    torch._foreach_lerp_(first, gradients, 1 - MOMENTUM)
    torch._foreach_mul_(second, MOMENTUM_2)
    torch._foreach_addcmul_(second, gradients, gradients, 1 - MOMENTUM_2)
    correction = math.sqrt(1 - MOMENTUM_2**step) / (1 - MOMENTUM**step)
    roots = torch._foreach_sqrt(second)
    torch._foreach_add_(roots, DELTA)
    updates = torch._foreach_div(first, roots)
    torch._foreach_mul_(updates, rate * correction)
    return list(updates)


# The learning rate is set before each step by set_learning_rate, so it starts at 0 everywhere.
SOLVERS: Mapping[str, Callable[..., optim.Optimizer]] = {
    "sgd": partial(CaffeSolver, rule=_sgd, states=("history",)),
    "nesterov": partial(CaffeSolver, rule=_nesterov, states=("history",)),
    "adagrad": partial(optim.Adagrad, lr=0.0, eps=DELTA),
    "rmsprop": partial(optim.RMSprop, lr=0.0, alpha=RMS_DECAY, eps=DELTA),
    "adadelta": partial(optim.Adadelta, lr=0.0, rho=MOMENTUM, eps=DELTA),
    "adam": partial(CaffeSolver, rule=_adam, states=("first", "second")),
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
