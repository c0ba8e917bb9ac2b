from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from detectnet_trainer.model import DetectNet
from detectnet_trainer.solver import SOLVERS, UnknownSolver, make_solver, set_learning_rate


def rate_of(solver: torch.optim.Optimizer, parameter: torch.Tensor) -> tuple[float, float]:
    """Learning rate and weight decay of one parameter."""
    for group in solver.param_groups:
        if any(parameter is one for one in group["params"]):
            return group["lr"], group["weight_decay"]
    raise AssertionError("the solver does not know the parameter")


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_biases_learn_twice_as_fast_and_do_not_decay(name: str) -> None:
    model = DetectNet(1)
    solver = make_solver(model, name, 0.5)
    set_learning_rate(solver, 0.25)
    weight, bias = model.weight_and_bias("inception_4a/3x3")
    _, odd = model.weight_and_bias("inception_5b/3x3_reduce")

    assert rate_of(solver, weight) == (0.25, 0.5)
    assert rate_of(solver, bias) == (0.5, 0.0)
    assert rate_of(solver, odd) == (0.25, 0.0)


def test_every_parameter_learns() -> None:
    model = DetectNet(2)
    solver = make_solver(model, "adam", 0.0)

    assert sum(len(group["params"]) for group in solver.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_each_solver_goes_downhill(name: str) -> None:
    model = DetectNet(1)
    solver = make_solver(model, name, 0.0)
    weight, _ = model.weight_and_bias("bbox/regressor")
    before = weight.detach().clone()
    set_learning_rate(solver, 0.01)
    weight.sum().backward()  # type: ignore[no-untyped-call] # torch's stub
    solver.step()

    assert (weight < before).all()


def test_an_unknown_solver_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownSolver, match="adadelta"):
        make_solver(DetectNet(1), "lion", 0.0)


def test_the_box_head_alone_learns_faster() -> None:
    model = DetectNet(1)
    solver = make_solver(model, "adam", 0.5, bbox_lr_mult=20.0)
    set_learning_rate(solver, 0.1)

    rates = {id(parameter): group["lr"] for group in solver.param_groups for parameter in group["params"]}
    weight, bias = model.weight_and_bias("bbox/regressor")
    other, other_bias = model.weight_and_bias("cvg/classifier")

    assert rates[id(weight)] == pytest.approx(2.0)
    assert rates[id(bias)] == pytest.approx(4.0)
    assert rates[id(other)] == pytest.approx(0.1)
    assert rates[id(other_bias)] == pytest.approx(0.2)


class CaffeFormulas:
    """The six solvers as Caffe's sources have them, one number at a time in double precision."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value, self.a, self.b, self.count = name, value, 0.0, 0.0, 0

    def step(self, rate: float, gradient: float, decay: float) -> None:
        self.count += 1
        gradient += decay * self.value
        self.value -= getattr(self, f"_{self.name}")(rate, gradient)

    def _sgd(self, rate: float, gradient: float) -> float:
        self.a = 0.9 * self.a + rate * gradient
        return self.a

    def _nesterov(self, rate: float, gradient: float) -> float:
        before, self.a = self.a, 0.9 * self.a + rate * gradient
        return 1.9 * self.a - 0.9 * before

    def _adagrad(self, rate: float, gradient: float) -> float:
        self.a += gradient**2
        return rate * gradient / (self.a**0.5 + 1e-8)

    def _rmsprop(self, rate: float, gradient: float) -> float:
        self.a = 0.99 * self.a + 0.01 * gradient**2
        return rate * gradient / (self.a**0.5 + 1e-8)

    def _adadelta(self, rate: float, gradient: float) -> float:
        self.a = 0.9 * self.a + 0.1 * gradient**2
        update = gradient * ((self.b + 1e-8) / (self.a + 1e-8)) ** 0.5
        self.b = 0.9 * self.b + 0.1 * update**2
        return rate * update

    def _adam(self, rate: float, gradient: float) -> float:
        self.a = 0.9 * self.a + 0.1 * gradient
        self.b = 0.999 * self.b + 0.001 * gradient**2
        correction = (1 - 0.999**self.count) ** 0.5 / (1 - 0.9**self.count)
        return rate * correction * self.a / (self.b**0.5 + 1e-8)


def followed(name: str, gradients: list[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A weight of the box head after each step, by the solver and by the formulas, while the rate changes."""
    model = DetectNet(1).double()
    solver = make_solver(model, name, 0.25)
    weight, _ = model.weight_and_bias("bbox/regressor")
    with torch.no_grad():
        weight.fill_(0.5)
    formulas = CaffeFormulas(name, 0.5)
    seen = []
    for count, gradient in enumerate(gradients):
        rate = 0.1 / (1 + count // 3)
        set_learning_rate(solver, rate)
        weight.grad = torch.full_like(weight, gradient)
        solver.step()
        formulas.step(rate, gradient, 0.25)
        seen.append((float(weight.detach()[0, 0, 0, 0]), formulas.value))
    ours, theirs = np.array(seen).T
    return ours, theirs


@pytest.mark.parametrize("name", sorted(SOLVERS))
@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_each_solver_computes_caffes_formula_while_the_rate_falls(name: str, scale: float) -> None:
    gradients = [scale * value for value in np.random.default_rng(3).normal(0, 2, 9)]
    ours, theirs = followed(name, gradients)

    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
