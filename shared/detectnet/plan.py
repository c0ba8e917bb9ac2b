"""How a training is cut into steps: epochs, validations and points of the curve, by DIGITS's rules.

A validation also saves a snapshot. Whether it comes after each epoch, several times in one or only at the end
follows from ``validation_interval_epochs``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POINTS_PER_EPOCH = 8
DISPLAY_IMAGES = 5000
"""A point of the curve comes at the latest after this many images."""


@dataclass(frozen=True)
class Plan:
    """How long a training is, in steps."""

    steps_per_epoch: int
    epochs: int
    validation_interval: int
    """Steps between validations."""
    display_interval: int
    """Steps between points of the training curve, as DIGITS spaces them."""

    @property
    def max_step(self) -> int:
        """The step at which the training is complete."""
        return self.steps_per_epoch * self.epochs

    def epoch_of(self, step: int) -> float:
        """Epochs done after a step; fractional."""
        return step / self.steps_per_epoch

    def validates_at(self, step: int) -> bool:
        """Whether a validation follows the step; one always follows the last."""
        return step % self.validation_interval == 0 or step == self.max_step


def make_plan(images: int, training: Mapping[str, Any]) -> Plan:
    """The plan of resolved training options for a number of training images."""
    effective = training["batch_size"] * training["batch_accumulation"]
    steps = math.ceil(images / effective)
    max_step = steps * training["epochs"]
    wanted = training["validation_interval_epochs"] * steps
    interval = 1 if 0 < wanted <= 1 else math.floor(wanted) if 1 < wanted < max_step else max_step
    display = max(
        1, min(max_step // (POINTS_PER_EPOCH * training["epochs"]), math.ceil(DISPLAY_IMAGES / effective))
    )
    return Plan(steps, training["epochs"], interval, display)
