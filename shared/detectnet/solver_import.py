"""Reads a DIGITS or Caffe ``solver.prototxt``: solver, rates and length become training options.

DIGITS wrote percentages of the training as iterations, rounded up; here they are percentages again, to the
precision that the file still has. What a solver asks for and a training here does not do is told in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from detectnet.prototxt import Message, PrototxtError, parse_prototxt

SOLVERS: Mapping[str, str] = {
    "SGD": "sgd", "NESTEROV": "nesterov", "ADAGRAD": "adagrad", "RMSPROP": "rmsprop",
    "ADADELTA": "adadelta", "ADAM": "adam",
}  # fmt: skip
MOMENTA = {"momentum": 0.9, "momentum2": 0.999}
"""What trainings here use, as DIGITS's did; Caffe's default of ``momentum`` is 0."""
WITHOUT_MOMENTUM = ("adagrad", "rmsprop")


@dataclass(frozen=True)
class ImportedSolver:
    """Training options that the file decides, and what of it is not carried over."""

    options: dict[str, Any]
    max_iter: int
    remarks: tuple[str, ...]


def import_solver(text: str, epochs: float | None = None) -> ImportedSolver:
    """Read a solver; ``epochs`` is how long the training was, where something else tells.

    Without, an epoch is taken to be what lies between two snapshots: DIGITS's default.

    Raises:
        PrototxtError: it is no prototxt, or a number, the solver or the policy is not understood.
    """
    root = parse_prototxt(text)
    max_iter = int(_number(root, "max_iter"))
    if max_iter < 1:
        raise PrototxtError(root.line, f"max_iter is {max_iter}; a training has at least one iteration")
    solver, rate = _solver(root), _number(root, "base_lr")
    if rate <= 0:
        raise PrototxtError(root.line, f"base_lr is {rate:g}; a learning rate is above 0")
    options: dict[str, Any] = {
        "solver": solver,
        "learning_rate": rate,
        "lr_policy": _policy(root, max_iter / 100),
        "batch_accumulation": int(_number(root, "iter_size", 1)),
    }
    remarks = _remarks(root, solver)
    length, told = _length(root, max_iter, epochs)
    options["epochs"] = length
    remarks += told
    for field, name, kind in (
        ("weight_decay", "weight_decay", float),
        ("random_seed", "seed", int),
        ("clip_gradients", "clip_gradients", float),
    ):
        value = _number(root, field, -1)
        if value >= 0:
            options[name] = kind(value)
    return ImportedSolver(options, max_iter, tuple(remarks))


def _solver(root: Message) -> str:
    # `solver_type` is an enum, its successor `type` a string of the same names.
    name = root.text("solver_type") or root.text("type") or "SGD"
    found = SOLVERS.get(name.upper())
    if found is None:
        raise PrototxtError(root.line, f"the solver {name!r} is not known; there are {', '.join(SOLVERS)}")
    return found


def _policy(root: Message, scale: float) -> dict[str, Any]:
    """The policy in percent of training; ``scale`` is iterations a percent."""
    name = root.text("lr_policy", "fixed")

    def percent(field: str) -> float:
        return round(min(_number(root, field) / scale, 100.0), 4)

    def gamma() -> float:
        return _number(root, "gamma")

    made: dict[str, Callable[[], dict[str, Any]]] = {
        "fixed": dict,
        "step": lambda: {"step": percent("stepsize"), "gamma": gamma()},
        "multistep": lambda: {
            "values": [round(min(float(mark) / scale, 100.0), 4) for mark in root.texts("stepvalue")],
            "gamma": gamma(),
        },
        "exp": lambda: {"gamma": _significant(_power(root, gamma(), scale))},
        "inv": lambda: {"gamma": _significant(gamma() * scale), "power": _number(root, "power")},
        "poly": lambda: {"power": _number(root, "power")},
        "sigmoid": lambda: {"step": percent("stepsize"), "gamma": _significant(-gamma() * scale)},
    }
    if name not in made:
        raise PrototxtError(root.line, f"the policy {name!r} is not known; there are {', '.join(made)}")
    return {"name": name, **made[name]()}


def _length(root: Message, max_iter: int, epochs: float | None) -> tuple[int, list[str]]:
    if epochs is not None:
        return max(1, round(epochs)), []
    interval = _number(root, "snapshot", 0) or _number(root, "test_interval", 0)
    if not 0 < interval <= max_iter:
        told = "the solver does not say how many iterations an epoch has; give --epochs"
        raise PrototxtError(root.line, told)
    found = max(1, round(max_iter / interval))
    return found, [f"{found} epochs: taken from {interval:g} iterations between two snapshots"]


def _remarks(root: Message, solver: str) -> list[str]:
    told = []
    for field, wanted in MOMENTA.items():
        used = solver not in WITHOUT_MOMENTUM and (field == "momentum" or solver == "adam")
        given = _number(root, field, wanted)
        if used and not math.isclose(given, wanted):
            told.append(f"{field} {given:g} is not carried over: trainings here use {wanted:g}")
    if root.text("regularization_type", "L2") != "L2":
        told.append(f"regularization_type {root.text('regularization_type')} is not carried over: L2 is used")
    for field in ("rms_decay", "delta"):
        if root.text(field):
            told.append(f"{field} {root.text(field)} is not carried over: Caffe's default is used")
    return told


def _number(root: Message, field: str, default: float | None = None) -> float:
    text = root.text(field)
    if not text and default is not None:
        return default
    try:
        value = float(text)
    except ValueError as error:
        raise PrototxtError(root.line, f"{field} must be a number, not {text!r}") from error
    if not math.isfinite(value):
        raise PrototxtError(root.line, f"{field} must be a finite number, not {text!r}")
    return value


def _power(root: Message, gamma: float, scale: float) -> float:
    """``gamma`` of an iteration as that of a percent. Raises PrototxtError where that is no number."""
    try:
        if gamma >= 0:
            return float(gamma**scale)
    except OverflowError:
        pass
    raise PrototxtError(root.line, f"gamma {gamma:g} makes no learning rate: exp takes 0 to about 1")


def _significant(value: float) -> float:
    """Eight digits: what rounding to iterations left of a number that a person once typed."""
    return float(f"{value:.8g}")
