"""Learning-rate policies as DIGITS offered them, in percent of training, and as Caffe's solver computes them.

DIGITS wrote percentages into the solver as iterations, rounded up; ``solver_rate`` follows that to the step,
``preview_rate`` is the smooth curve that its form drew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NAMES = ("fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid")


class BadPolicy(ValueError):
    """The policy does not exist, or a parameter of it is missing or makes no sense."""


Rate = Callable[[int], float]


@dataclass(frozen=True)
class SolverPolicy:
    """A policy in Caffe's own parameters, which count in steps; 0 or empty where the policy has none."""

    name: str
    max_step: int
    gamma: float = 0.0
    power: float = 0.0
    stepsize: int = 0
    stepvalues: tuple[int, ...] = ()

    def rate(self, base: float, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        match self.name:
            case "step":
                return float(base * self.gamma ** (step // self.stepsize))
            case "multistep":
                return float(base * self.gamma ** sum(mark <= step for mark in self.stepvalues))
            case "exp":
                return float(base * self.gamma**step)
            case "inv":
                return float(base * (1 + self.gamma * step) ** -self.power)
            case "poly":
                return float(base * (1 - min(step, self.max_step) / self.max_step) ** self.power)
            case "sigmoid":
                return base / (1 + math.exp(min(-self.gamma * (step - self.stepsize), 700.0)))
            case _:
                return base


def solver_policy(policy: Mapping[str, Any], max_step: int) -> SolverPolicy:
    """What DIGITS writes into the solver for a training of ``max_step`` steps.

    Raises:
        BadPolicy: unknown name, a parameter that is missing or makes no sense, or no step at all.
    """
    if max_step < 1:
        raise BadPolicy(f"a training of {max_step} steps has no learning rate")
    name, scale = _name(policy), max_step / 100
    match name:
        case "step":
            stepsize = math.ceil(_positive(policy, "step") * scale)
            return SolverPolicy(name, max_step, gamma=_number(policy, "gamma"), stepsize=stepsize)
        case "multistep":
            marks = tuple(math.ceil(mark * scale) for mark in _marks(policy))
            return SolverPolicy(name, max_step, gamma=_number(policy, "gamma"), stepvalues=marks)
        case "exp":
            return SolverPolicy(name, max_step, gamma=_positive(policy, "gamma") ** (1 / scale))
        case "inv":
            gamma, power = _not_negative(policy, "gamma") / scale, _number(policy, "power")
            return SolverPolicy(name, max_step, gamma=gamma, power=power)
        case "poly":
            return SolverPolicy(name, max_step, power=_not_negative(policy, "power"))
        case "sigmoid":
            stepsize = math.ceil(_number(policy, "step") * scale)
            return SolverPolicy(name, max_step, gamma=-_number(policy, "gamma") / scale, stepsize=stepsize)
        case _:
            return SolverPolicy(name, max_step)


def solver_rate(policy: Mapping[str, Any], base: float, max_step: int) -> Rate:
    """The learning rate as a function of the step, from 0. Raises BadPolicy."""
    solver = solver_policy(policy, max_step)
    return lambda step: solver.rate(base, step)


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


def preview(policy: Mapping[str, Any], base: float) -> list[float]:
    """The learning rate at 0, 1, ... 100 percent of training. Raises BadPolicy, also where it has no end."""
    rate = preview_rate(policy, base)
    try:
        values = [rate(percent) for percent in range(101)]
    except OverflowError:
        values = [math.inf]
    if not all(math.isfinite(value) for value in values):
        raise BadPolicy(
            f"the learning-rate policy {policy['name']!r} leaves all numbers behind on the way; "
            "a gamma above 1 lets the rate grow with every step"
        )
    return values


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
