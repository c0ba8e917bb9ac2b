from __future__ import annotations

from typing import Any

import pytest

from detectnet.plan import make_plan


def options(**changes: Any) -> dict[str, Any]:
    return {
        "epochs": 9,
        "batch_size": 5,
        "batch_accumulation": 1,
        "validation_interval_epochs": 1.0,
        **changes,
    }


def test_the_last_batch_of_an_epoch_may_be_short() -> None:
    plan = make_plan(301, options())

    assert (plan.steps_per_epoch, plan.max_step) == (61, 549)


def test_accumulated_batches_are_one_step() -> None:
    assert make_plan(300, options(batch_accumulation=2)).steps_per_epoch == 30


@pytest.mark.parametrize(
    ("interval_epochs", "steps"),
    [(1.0, 60), (0.5, 30), (0.001, 1), (2.5, 150), (9.0, 540), (99.0, 540), (0.0, 540)],
)
def test_an_interval_is_rounded_down_to_steps_and_lies_within_the_training(
    interval_epochs: float, steps: int
) -> None:
    assert make_plan(300, options(validation_interval_epochs=interval_epochs)).validation_interval == steps


@pytest.mark.parametrize(("images", "batch", "steps"), [(300, 5, 7), (20, 5, 1), (100_000, 10, 500)])
def test_the_curve_has_about_eight_points_an_epoch(images: int, batch: int, steps: int) -> None:
    assert make_plan(images, options(batch_size=batch)).display_interval == steps


def test_a_validation_follows_the_last_step_in_any_case() -> None:
    plan = make_plan(300, options(validation_interval_epochs=2.5))

    assert [step for step in range(1, plan.max_step + 1) if plan.validates_at(step)] == [150, 300, 450, 540]
    assert plan.epoch_of(150) == 2.5
