from __future__ import annotations

import json

import pytest

from detectnet.recipes import AUGMENTATION, OPTIONS, RECIPES, UnknownOption, UnknownRecipe, resolve_training


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_resolved_recipe_leaves_no_option_open_but_those_that_are_off(recipe: str) -> None:
    options = resolve_training(recipe, {}, threads=2)

    assert set(options) == OPTIONS | {"recipe"}
    assert {name for name, value in options.items() if value is None} <= {"augmentation", "clip_gradients"}
    assert json.loads(json.dumps(options)) == options


def test_given_values_replace_the_recipes() -> None:
    options = resolve_training("default", {"epochs": 3, "threads": 7}, threads=2)

    assert (options["epochs"], options["threads"]) == (3, 7)


def test_weight_decay_follows_the_learning_rate_as_in_digits() -> None:
    assert resolve_training("digits", {"learning_rate": 0.5}, threads=1)["weight_decay"] == 0.005
    assert resolve_training("digits", {"weight_decay": 0.0}, threads=1)["weight_decay"] == 0.0


def test_a_partial_augmentation_is_filled_from_the_network_files_values() -> None:
    options = resolve_training("default", {"augmentation": {"flip_prob": 0.1}}, threads=1)

    assert options["augmentation"] == {**AUGMENTATION, "flip_prob": 0.1}


def test_augmentation_can_be_switched_off() -> None:
    assert resolve_training("digits", {"augmentation": None}, threads=1)["augmentation"] is None


def test_changing_a_resolved_recipe_does_not_change_the_table() -> None:
    resolve_training("digits", {}, threads=1)["lr_policy"]["gamma"] = 99

    assert RECIPES["digits"]["lr_policy"]["gamma"] == 0.1


def test_what_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(UnknownRecipe, match="default, digits"):
        resolve_training("digitz", {}, threads=1)
    with pytest.raises(UnknownOption, match="'epoch'"):
        resolve_training("default", {"epoch": 3}, threads=1)
    with pytest.raises(UnknownOption, match="'flip'"):
        resolve_training("default", {"augmentation": {"flip": 1}}, threads=1)
