"""The named recipes and the one place where training options get their values.

A recipe is a complete set of options; what a caller gives replaces single values. The result is what a
job's spec carries under ``training``, so the training program fills nothing in by itself. Values only:
whether a number makes sense is checked by whoever took it from a person.

Units: learning-rate policies count in percent of training, as DIGITS does. Angles are degrees, shifts are
pixels of the network's input, probabilities and scales are ratios.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

AUGMENTATION: Mapping[str, float] = {
    "crop_prob": 1.0,
    "shift_x": 32,
    "shift_y": 32,
    "flip_prob": 0.5,
    "rotation_prob": 0.0,
    "max_rotate_degree": 5.0,
    "scale_prob": 0.4,
    "scale_min": 0.8,
    "scale_max": 1.2,
    "hue_rotation_prob": 0.8,
    "hue_rotation": 30.0,
    "desaturation_prob": 0.8,
    "desaturation_max": 0.8,
}
"""The augmentation of DetectNet's published network file; a partial ``augmentation`` is filled from it."""

WEIGHT_DECAY_PER_LEARNING_RATE = 0.01
"""DIGITS writes a weight decay of a hundredth of the base learning rate."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "epochs": 18,
        "batch_size": 5,
        "batch_accumulation": 1,
        "solver": "adam",
        "learning_rate": 4e-4,
        "lr_policy": {"name": "poly", "power": 1.0},
        "bbox_lr_mult": 20.0,
        "initialisation": "lsuv",
        "subtract_mean": "none",
        "clip_gradients": None,
        "augmentation": None,
        "precision": "bf16",
        "seed": 0,
        "validation_interval_epochs": 1.0,
        "val_batch_size": 6,
    },
    "digits": {
        "epochs": 30,
        "batch_size": 10,
        "batch_accumulation": 1,
        "solver": "sgd",
        "learning_rate": 0.01,
        "lr_policy": {"name": "step", "step": 33.0, "gamma": 0.1},
        "bbox_lr_mult": 1.0,
        "initialisation": "xavier",
        "subtract_mean": "none",
        "clip_gradients": None,
        "augmentation": dict(AUGMENTATION),
        "precision": "fp32",
        "seed": 0,
        "validation_interval_epochs": 1.0,
        "val_batch_size": 6,
    },
}
"""``initialisation``: ``xavier`` is Caffe's fillers (backbone bias 0.2, head bias 0); ``lsuv`` scales every
convolution to unit output on a few images and starts the coverage head at N(0, 0.001) with bias -3, without
which training from random weights tends to end at zero coverage everywhere. ``bbox_lr_mult`` is how much
faster than the rest the box head learns: its outputs are tens of pixels, far from where it begins.
``subtract_mean`` is ``none`` (the network subtracts 127 itself), ``pixel`` or ``image``: DIGITS's option, for
repeating old trainings. ``clip_gradients``, Caffe's name for it, is the largest L2 norm of all gradients
together; None lets them be."""

OPTIONS = frozenset(RECIPES["default"]) | {"weight_decay", "threads"}
"""Every option that may be given over a recipe."""


class UnknownRecipe(ValueError):
    """No recipe of this name exists."""


class UnknownOption(ValueError):
    """The option, or the augmentation parameter, does not exist."""


def resolve_training(recipe: str, given: Mapping[str, Any], *, threads: int) -> dict[str, Any]:
    """All training options: the recipe's, replaced by the ``given`` ones.

    ``threads`` counts when none are given: it belongs to the machine, not to a recipe, and it is kept with
    the job because another thread count gives other weights.

    Raises:
        UnknownRecipe: ``recipe`` is none of RECIPES
        UnknownOption: ``given`` or its augmentation names something else than OPTIONS and AUGMENTATION
    """
    if recipe not in RECIPES:
        raise UnknownRecipe(f"There is no recipe {recipe!r}; there are {', '.join(sorted(RECIPES))}.")
    _require_known("training option", given, OPTIONS)
    options = {"threads": threads, **copy.deepcopy(dict(RECIPES[recipe])), **copy.deepcopy(dict(given))}
    if options["augmentation"] is not None:
        _require_known("augmentation parameter", options["augmentation"], AUGMENTATION)
        options["augmentation"] = {**AUGMENTATION, **options["augmentation"]}
    if options.get("weight_decay") is None:
        options["weight_decay"] = options["learning_rate"] * WEIGHT_DECAY_PER_LEARNING_RATE
    return {"recipe": recipe, **options}


def _require_known(what: str, given: Mapping[str, Any], known: Mapping[str, Any] | frozenset[str]) -> None:
    for name in given:
        if name not in known:
            raise UnknownOption(f"There is no {what} {name!r}; there are {', '.join(sorted(known))}.")
