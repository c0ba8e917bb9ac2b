"""Learning-rate policies as DIGITS offered them, in percent of training, and as Caffe's solver computes them.

DIGITS wrote percentages into the solver as iterations, rounded up; ``solver_rate`` follows that to the step,
``preview_rate`` is the smooth curve that its form drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

NAMES = ("fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid")


class BadPolicy(ValueError):
    """The policy does not exist, or a parameter of it is missing or makes no sense."""


Rate = Callable[[int], float]


def solver_rate(policy: Mapping[str, Any], base: float, max_step: int) -> Rate:
    """The learning rate as a function of the step, from 0; ``max_step`` is the training's length.

    Raises:
        BadPolicy: unknown name, a parameter that is missing or makes no sense, or no step at all.
    """
    if max_step < 1:
        raise BadPolicy(f"a training of {max_step} steps has no learning rate")
    name, scale = _name(policy), max_step / 100
    if name == "step":
        stepsize, gamma = math.ceil(_positive(policy, "step") * scale), _number(policy, "gamma")
        return lambda step: base * gamma ** (step // stepsize)
    if name == "multistep":
        marks = [math.ceil(mark * scale) for mark in _marks(policy)]
        gamma = _number(policy, "gamma")
        return lambda step: base * gamma ** sum(mark <= step for mark in marks)
    if name == "exp":
        per_step = _positive(policy, "gamma") ** (1 / scale)
        return lambda step: float(base * per_step**step)
    if name == "inv":
        per_step, power = _not_negative(policy, "gamma") / scale, _number(policy, "power")
        return lambda step: float(base * (1 + per_step * step) ** -power)
    if name == "poly":
        power = _not_negative(policy, "power")
        return lambda step: float(base * (1 - min(step, max_step) / max_step) ** power)
    if name == "sigmoid":
        per_step, middle = _number(policy, "gamma") / scale, math.ceil(_number(policy, "step") * scale)
        return lambda step: base / (1 + math.exp(min(per_step * (step - middle), 700.0)))
    return lambda _: base


def preview_rate(policy: Mapping[str, Any], base: float) -> Callable[[float], float]:
    """The learning rate as a function of percent of training, 0-100. Raises BadPolicy."""
    name = _name(policy)
    if name == "step":
        step, gamma = _positive(policy, "step"), _number(policy, "gamma")
        return lambda percent: float(base * gamma ** math.floor(percent / step))
    if name == "multistep":
        marks, gamma = _marks(policy), _number(policy, "gamma")
        return lambda percent: base * gamma ** sum(mark <= percent for mark in marks)
    if name == "exp":
        gamma = _positive(policy, "gamma")
        return lambda percent: float(base * gamma**percent)
    if name == "inv":
        gamma, power = _not_negative(policy, "gamma"), _number(policy, "power")
        return lambda percent: float(base * (1 + gamma * percent) ** -power)
    if name == "poly":
        power = _not_negative(policy, "power")
        return lambda percent: float(base * (1 - percent / 100) ** power)
    if name == "sigmoid":
        gamma, step = _number(policy, "gamma"), _number(policy, "step")
        return lambda percent: base / (1 + math.exp(min(gamma * (percent - step), 700.0)))
    return lambda _: base


def _name(policy: Mapping[str, Any]) -> str:
    name = str(policy.get("name"))
    if name not in NAMES:
        raise BadPolicy(f"there is no learning-rate policy {name!r}; there are {', '.join(NAMES)}")
    return name


def _number(policy: Mapping[str, Any], parameter: str) -> float:
    value = policy.get(parameter)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise BadPolicy(f"the learning-rate policy {policy['name']!r} needs {parameter} as a number")
    return float(value)


def _positive(policy: Mapping[str, Any], parameter: str) -> float:
    value = _number(policy, parameter)
    if value <= 0:
        raise BadPolicy(f"the learning-rate policy {policy['name']!r} needs {parameter} above 0")
    return value


def _not_negative(policy: Mapping[str, Any], parameter: str) -> float:
    value = _number(policy, parameter)
    if value < 0:
        raise BadPolicy(f"the learning-rate policy {policy['name']!r} needs {parameter} of 0 or more")
    return value


def _marks(policy: Mapping[str, Any]) -> list[float]:
    values = policy.get("values")
    if not isinstance(values, list) or not all(
        isinstance(value, int | float) and math.isfinite(value) for value in values
    ):
        raise BadPolicy("the learning-rate policy 'multistep' needs values, a list of percentages")
    return [float(value) for value in values]
