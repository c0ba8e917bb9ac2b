"""The wire's options, the recipes and the rules that the training program uses speak of the same things."""

from __future__ import annotations

from typing import get_args

import pytest

from detectnet.learning_rate import NAMES, solver_rate
from detectnet.recipes import AUGMENTATION, OPTIONS, RECIPES
from periscope.wire.jobs import JobRequest
from periscope.wire.training_options import Augmentation, RatePolicy, TrainingOptions

POLICIES = get_args(get_args(RatePolicy)[0])


def test_every_option_can_be_given_and_no_other() -> None:
    assert set(TrainingOptions.model_fields) == OPTIONS


def test_every_augmentation_parameter_can_be_given_and_no_other() -> None:
    assert set(Augmentation.model_fields) == set(AUGMENTATION)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_what_a_recipe_sets_could_also_be_asked_for(recipe: str) -> None:
    JobRequest.model_validate({"name": "a", "dataset": "d", **RECIPES[recipe]})


@pytest.mark.parametrize("model", POLICIES)
def test_every_policy_that_can_be_asked_for_can_be_computed(model: type) -> None:
    name = get_args(model.model_fields["name"].annotation)[0]
    policy = model(name=name).model_dump()

    assert 0 < solver_rate(policy, 0.01, 1000)(500) <= 0.01


def test_every_policy_can_be_asked_for() -> None:
    assert {get_args(model.model_fields["name"].annotation)[0] for model in POLICIES} == set(NAMES)
