from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.learning_rate import NAMES, BadPolicy, preview_rate, solver_policy, solver_rate

BASE = 0.01
DEFAULTS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "step": {"step": 33.0, "gamma": 0.1},
    "multistep": {"values": [50.0, 85.0], "gamma": 0.5},
    "exp": {"gamma": 0.95},
    "inv": {"gamma": 0.1, "power": 0.5},
    "poly": {"power": 3.0},
    "sigmoid": {"step": 50.0, "gamma": 0.1},
}
"""DIGITS's form."""

EXPECTED = {
    "fixed": [1, 1, 1, 1, 1],
    "step": [1, 0.1, 0.1, 0.01, 0.001],
    "multistep": [1, 1, 0.5, 0.25, 0.25],
    "exp": [1, 0.95**33, 0.95**50, 0.95**85, 0.95**100],
    "inv": [1, 4.3**-0.5, 6**-0.5, 9.5**-0.5, 11**-0.5],
    "poly": [1, 0.67**3, 0.5**3, 0.15**3, 0],
    "sigmoid": [1 / (1 + math.exp(exponent)) for exponent in (-5, -1.7, 0, 3.5, 5)],
}
"""By hand, at 0, 33, 50, 85 and 100 %, in parts of the base rate."""


def policy(name: str, **parameters: Any) -> dict[str, Any]:
    return {"name": name, **DEFAULTS[name], **parameters}


@pytest.mark.parametrize("name", NAMES)
def test_the_solver_has_the_rates_worked_out_by_hand(name: str) -> None:
    rate = solver_rate(policy(name), BASE, 1000)

    assert [rate(step) / BASE for step in (0, 330, 500, 850, 1000)] == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_preview_has_the_rates_worked_out_by_hand(name: str) -> None:
    rate = preview_rate(policy(name), BASE)

    assert [rate(percent) / BASE for percent in (0, 33, 50, 85, 100)] == pytest.approx(EXPECTED[name])


@pytest.mark.parametrize("name", ["fixed", "exp", "inv", "poly"])
@pytest.mark.parametrize("max_step", [7, 100, 137, 54_321])
def test_smooth_policies_agree_with_their_preview_for_any_length(name: str, max_step: int) -> None:
    solver, preview = solver_rate(policy(name), BASE, max_step), preview_rate(policy(name), BASE)

    for step in range(0, max_step, max(max_step // 50, 1)):
        assert solver(step) == pytest.approx(preview(100 * step / max_step))


def test_percentages_become_steps_rounded_up() -> None:
    assert solver_policy(policy("step"), 60).stepsize == 20
    assert solver_policy(policy("multistep"), 137).stepvalues == (69, 117)
    assert solver_policy(policy("sigmoid"), 7).stepsize == 4


def test_a_step_policy_falls_exactly_at_its_step() -> None:
    rate = solver_rate(policy("step"), BASE, 60)

    assert [rate(step) / BASE for step in (19, 20, 39, 40)] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_an_exponential_rate_ends_where_digits_ended() -> None:
    assert solver_rate(policy("exp"), 1e-4, 5000)(5000) == pytest.approx(0.0059e-4, rel=0.01)
    assert solver_rate(policy("exp", gamma=0.99), 1e-4, 5000)(5000) == pytest.approx(0.366e-4, rel=0.01)


def test_after_the_last_step_a_polynomial_rate_stays_nought() -> None:
    assert solver_rate(policy("poly"), BASE, 100)(150) == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "cosine"}, "no learning-rate policy 'cosine'; there are fixed, step"),
        ({}, "no learning-rate policy"),
        ({"name": "exp"}, "'exp' needs gamma as a number"),
        ({"name": "exp", "gamma": "0.95"}, "gamma as a number"),
        ({"name": "exp", "gamma": math.nan}, "gamma as a number"),
        ({"name": "exp", "gamma": 0}, "gamma above 0"),
        ({"name": "step", "step": 0, "gamma": 0.1}, "step above 0"),
        ({"name": "multistep", "values": "50,85", "gamma": 0.5}, "a list of percentages"),
        ({"name": "multistep", "values": [50, None], "gamma": 0.5}, "a list of percentages"),
        ({"name": "multistep", "values": [math.inf], "gamma": 0.5}, "a list of percentages"),
        ({"name": "inv", "gamma": -0.1, "power": 0.5}, "gamma of 0 or more"),
        ({"name": "poly", "power": -1}, "power of 0 or more"),
    ],
)
def test_a_bad_policy_is_refused_by_solver_and_preview(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(BadPolicy, match=message):
        solver_rate(wrong, BASE, 100)
    with pytest.raises(BadPolicy, match=message):
        preview_rate(wrong, BASE)


def test_a_training_without_steps_is_refused() -> None:
    with pytest.raises(BadPolicy, match="0 steps"):
        solver_rate(policy("exp"), BASE, 0)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(NAMES), st.integers(1, 100_000), st.floats(0, 1))
def test_with_the_forms_defaults_no_rate_rises_above_the_base(name: str, max_step: int, share: float) -> None:
    rate = solver_rate(policy(name), BASE, max_step)(round(share * max_step))

    assert 0 <= rate <= BASE
