"""Solvers of DIGITS read back into the options that they were written from."""

from __future__ import annotations

from typing import Any

import pytest

from detectnet.prototxt import PrototxtError
from detectnet.recipes import resolve_training
from detectnet.solver_import import import_solver
from detectnet.training_prototxt import SolverSteps, solver_prototxt

STEPS = SolverSteps(max_step=6000, validation_interval=60, validation_steps=10, display_interval=7)
POLICIES: list[dict[str, Any]] = [
    {"name": "fixed"},
    {"name": "step", "step": 33.0, "gamma": 0.1},
    {"name": "multistep", "values": [50.0, 85.0], "gamma": 0.5},
    {"name": "exp", "gamma": 0.95},
    {"name": "inv", "gamma": 0.1, "power": 0.5},
    {"name": "poly", "power": 3.0},
    {"name": "sigmoid", "step": 50.0, "gamma": 0.1},
]
SOLVERS = ["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"]


def written(steps: SolverSteps = STEPS, **given: Any) -> str:
    return solver_prototxt(resolve_training("digits", given, threads=1), steps)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: str(policy["name"]))
def test_every_policy_comes_back_in_percent(policy: dict[str, Any]) -> None:
    found = import_solver(written(lr_policy=policy)).options["lr_policy"]

    assert set(found) == set(policy)
    assert all(
        value == policy[name] if name == "name" else value == pytest.approx(policy[name])
        for name, value in found.items()
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_comes_back(solver: str) -> None:
    found = import_solver(written(solver=solver))
    assert found.options["solver"] == solver
    assert not [remark for remark in found.remarks if "momentum" in remark]


def test_rates_batches_seed_and_clipping_come_back() -> None:
    given = {
        "learning_rate": 2.5e-4, "weight_decay": 1e-8, "batch_accumulation": 4, "seed": 7, "clip_gradients": 10.0,
    }  # fmt: skip
    found = import_solver(written(**given)).options
    assert {name: found[name] for name in given} == pytest.approx(given)


def test_an_epoch_is_what_lies_between_two_snapshots_unless_something_tells() -> None:
    guessed = import_solver(written())
    assert guessed.options["epochs"] == 100
    assert any("between two snapshots" in remark for remark in guessed.remarks)
    told = import_solver(written(), epochs=30)
    assert (told.options["epochs"], told.remarks) == (30, ())


def test_the_solver_that_nvidia_published_for_kitti_is_read() -> None:
    text = """
        net: "train_val.prototxt" test_iter: 185 test_interval: 1280 base_lr: 0.0002 lr_policy: "step" gamma: 0.1
        stepsize: 12000 display: 20 max_iter: 38000 momentum: 0.9 momentum2: 0.999 weight_decay: 0.00000001
        snapshot: 0 solver_mode: GPU type: "Adam"
    """
    found = import_solver(text)
    assert found.options["solver"] == "adam"
    assert found.options["lr_policy"] == {"name": "step", "step": pytest.approx(31.5789), "gamma": 0.1}
    assert found.options["epochs"] == 30


def test_what_is_not_carried_over_is_said() -> None:
    text = written().replace("momentum: 0.9", "momentum: 0.5") + 'regularization_type: "L1"\ndelta: 0.1\n'
    told = " ".join(import_solver(text, 30).remarks)
    assert "momentum 0.5 is not carried over" in told
    assert "regularization_type L1" in told
    assert "delta 0.1" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "max_iter must be a number"),
        ("max_iter: 0", "at least one iteration"),
        ("max_iter: nan", "finite"),
        ("max_iter: 10 base_lr: -0.1", "a learning rate is above 0"),
        ('max_iter: 1000 base_lr: 1 lr_policy: "exp" gamma: 1e300', "makes no learning rate"),
        ('max_iter: 1000 base_lr: 1 lr_policy: "exp" gamma: -0.9', "makes no learning rate"),
        ("max_iter: 10 base_lr: 1 solver_type: LBFGS", "the solver 'LBFGS' is not known"),
        ('max_iter: 10 base_lr: 1 lr_policy: "cosine"', "the policy 'cosine' is not known"),
        ('max_iter: 10 base_lr: 1 lr_policy: "fixed"', "give --epochs"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(PrototxtError, match=words):
        import_solver(text)
