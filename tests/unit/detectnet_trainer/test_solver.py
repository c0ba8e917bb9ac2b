from __future__ import annotations

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
