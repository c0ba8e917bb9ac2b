"""The alarm for a training that died: a network which finds nothing anywhere, and stays there.

DetectNet's coverage loss has a resting place at zero coverage in every cell. Its loss there is known from
the labels alone, so a training that rests there can be told from one that is only slow.
"""

from __future__ import annotations

from detectnet_trainer.evaluate import Evaluation

TOLERANCE = 0.01
"""Part of the all-zero loss within which a loss counts as equal to it."""
PATIENCE_EPOCHS = 1.0
"""Validations so far apart, and all between them, must agree before the alarm is given."""


class CollapseAlarm:
    """Watches the validations of one training; gives its warning once for each collapse."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._given = False

    def check(self, evaluation: Evaluation, epoch: float) -> str | None:
        """The warning, when the coverage loss has rested at that of an empty answer for two validations."""
        empty = evaluation.all_zero_coverage_loss
        if not empty or abs(evaluation.loss_coverage - empty) > TOLERANCE * empty:
            self._since, self._given = None, False
            return None
        if self._since is None:
            self._since = epoch
        if self._given or epoch - self._since < PATIENCE_EPOCHS:
            return None
        self._given = True
        return (
            f"loss_coverage has stayed at {empty:.3f} since epoch {self._since:g}: that of a network which "
            "finds nothing anywhere. It seldom recovers; start again with a lower learning rate, with the "
            "initialisation lsuv, or with pretrained weights, and look at the labels' boxes"
        )
