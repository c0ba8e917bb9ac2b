"""The mAP-zero doctor: while the curves stay flat it says why, in words, with what to do.

It looks at numbers that the training has anyway: losses, the highest coverage anywhere, the sizes of the
labelled boxes, the options. Rules only; who trains hands in one :class:`Signs` for each validation and tells
people the findings. A finding is given once, and again only after it was gone in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RESTING = 0.01
"""Part of a loss within which it counts as equal to another."""
STILL = 0.02
"""A training whose losses have moved by less than this part has not moved."""
GUESSES_ALIKE = 0.93
"""From this part of the best constant answer's loss upwards a network tells no picture from another."""
LEAST_STEPS = 100
"""Fewer steps prove nothing about what can be learnt."""
PATIENCE_EPOCHS = 2.0
FLAT_EPOCHS = 25.0
"""DIGITS's users were told to wait 25 to 30 epochs for mAP to leave zero, and to change something then."""
VOTES = 3
"""Cells that DIGITS's clustering wants to agree on an object."""
HIGH_RATE = {"adam": 8e-4, "rmsprop": 8e-4, "adagrad": 1e-2, "sgd": 3e-3, "nesterov": 3e-3}
LOW_RATE = {"adam": 1e-5, "rmsprop": 1e-5, "adagrad": 1e-4, "sgd": 1e-6, "nesterov": 1e-6}
"""Base rates from which the rate itself is the first suspect, from random weights. Adam's were tried
(docs/benchmarks.md); the others are estimates, and only choose the words."""


@dataclass(frozen=True)
class Finding:
    """One reason why nothing is found."""

    code: str
    message: str
    advice: str

    def __str__(self) -> str:
        """For a log."""
        return f"{self.message}. {self.advice}"

    def as_dict(self) -> dict[str, str]:
        """For the record of an epoch."""
        return {"code": self.code, "message": self.message, "advice": self.advice}


@dataclass(frozen=True)
class BoxSigns:
    """A class's labelled boxes at the network's size."""

    count: int
    low: float
    """Share of boxes that are lower than the clustering keeps."""
    small: float
    """Share with both sides below one cell."""
    cells: float
    """Median of covered cells."""


@dataclass(frozen=True)
class Signs:
    """What one validation shows."""

    epoch: float
    step: int
    loss_bbox: float
    loss_coverage: float
    empty_loss: float
    """``loss_coverage`` of a network that finds nothing anywhere."""
    constant_loss: float
    """``loss_coverage`` of the best answer that is the same in every cell of every picture."""
    max_coverage: float
    """The highest coverage in any cell of any picture."""
    recall: Mapping[str, float]
    digits_map: float
    boxes: Mapping[str, BoxSigns]
    """By class, of the training pictures."""


class Doctor:
    """Follows one training."""

    def __init__(self, training: Mapping[str, Any], *, pretrained: bool = False) -> None:
        self._training = training
        self._pretrained = pretrained
        self._seen: list[Signs] = []
        self._told: set[str] = set()

    def examine(self, signs: Signs) -> list[Finding]:
        """What is new to say after a validation; several only where each has a cause of its own."""
        self._seen.append(signs)
        about_boxes = list(_about_boxes(signs))
        # Boxes that no grid can hold explain by themselves that nothing is told apart.
        explained = len(about_boxes) >= sum(box.count > 0 for box in signs.boxes.values())
        found = [*about_boxes, *self._about_learning(signs, explained=explained)]
        fresh = [finding for finding in found if finding.code not in self._told]
        self._told = {finding.code for finding in found}
        return fresh

    def _about_learning(self, signs: Signs, *, explained: bool) -> Iterator[Finding]:
        """The first reason that fits: each would explain what the later ones look at."""
        if not any(box.count for box in signs.boxes.values()) or not signs.empty_loss:
            return
        if self._has_collapsed():
            yield self._collapse(signs)
        elif self._stands_still():
            yield self._standstill(signs)
        elif explained:
            return
        elif self._guesses_alike():
            yield self._guessing(signs)
        elif signs.epoch >= FLAT_EPOCHS and max(seen.digits_map for seen in self._seen) == 0:
            yield Finding(
                "flat",
                f"digits_map has not left zero in {signs.epoch:g} epochs, though the losses do move",
                "Waiting longer than 25 to 30 epochs seldom helps. Look at boxes drawn over the pictures; "
                "begin with pretrained weights; choose a larger input",
            )

    def _since(self, is_so: Callable[[Signs], bool]) -> float:
        """For how many epochs every validation has been so, the last one included; negative if it is not."""
        since = None
        for seen in reversed(self._seen):
            if not is_so(seen):
                break
            since = seen.epoch
        return -1.0 if since is None else self._seen[-1].epoch - since

    def _has_collapsed(self) -> bool:
        def rests(seen: Signs) -> bool:
            return abs(seen.loss_coverage - seen.empty_loss) <= RESTING * seen.empty_loss

        return self._since(rests) >= 1.0

    def _collapse(self, signs: Signs) -> Finding:
        message = (
            f"loss_coverage has stayed at {signs.empty_loss:.3f}: that of a network which finds nothing "
            f"anywhere (highest coverage {signs.max_coverage:.2g})"
        )
        if self._training["initialisation"] == "xavier" and not self._pretrained:
            return Finding(
                "collapsed_from_original_weights",
                f"{message}. The original initialisation does that from random weights",
                "Start again with initialisation lsuv, or with pretrained weights; it seldom recovers",
            )
        if self._rate_is_high():
            return Finding(
                "collapsed_from_learning_rate",
                f"{message}. The learning rate {self._training['learning_rate']:g} is high enough to kill it",
                f"Start again with a lower one, for example {self._training['learning_rate'] / 5:.1g}",
            )
        return Finding(
            "collapsed",
            message,
            "It seldom recovers. Start again with a lower learning rate or with pretrained weights, and look "
            "at the boxes drawn over the pictures",
        )

    def _rate_is_high(self) -> bool:
        return bool(self._training["learning_rate"] >= HIGH_RATE.get(self._training["solver"], float("inf")))

    def _stands_still(self) -> bool:
        first, last = self._seen[0], self._seen[-1]
        moved = max(
            _part_moved(first.loss_coverage, last.loss_coverage), _part_moved(first.loss_bbox, last.loss_bbox)
        )
        return last.epoch - first.epoch >= PATIENCE_EPOCHS and moved < STILL and last.digits_map == 0

    def _standstill(self, signs: Signs) -> Finding:
        rate = self._training["learning_rate"]
        return Finding(
            "learning_rate_too_low",
            f"neither loss has moved by {STILL:.0%} between epochs {self._seen[0].epoch:g} and "
            f"{signs.epoch:g} at a learning rate of {rate:g}",
            "Choose a higher one: the recipe default has 4e-4 with Adam",
        )

    def _guesses_alike(self) -> bool:
        def knows_nothing(seen: Signs) -> bool:
            return seen.loss_coverage >= GUESSES_ALIKE * seen.constant_loss and seen.digits_map == 0

        return self._seen[-1].step >= LEAST_STEPS and self._since(knows_nothing) >= PATIENCE_EPOCHS

    def _guessing(self, signs: Signs) -> Finding:
        message = (
            f"after {signs.step} steps the network answers no better than with one guess for every picture"
        )
        rate = self._training["learning_rate"]
        if rate <= LOW_RATE.get(self._training["solver"], 0.0):
            return self._standstill(signs)
        if self._rate_is_high():
            return Finding(
                "learning_rate_too_high",
                f"{message}; the learning rate {rate:g} throws it about",
                f"Start again with a lower one, for example {rate / 5:.1g}",
            )
        return Finding(
            "labels_do_not_fit",
            f"{message}: what the labels mark is not what is seen there",
            "Look at boxes drawn over the pictures: are labels shifted to other pictures, made for another "
            "size, or with their columns in another order?",
        )


def _about_boxes(signs: Signs) -> Iterator[Finding]:
    if not any(box.count for box in signs.boxes.values()):
        yield Finding(
            "no_objects",
            "none of the labelled objects is of a class of this training: the class map is empty",
            "Compare the classes with the first column of the labels; dontcare objects teach nothing",
        )
        return
    for name, box in signs.boxes.items():
        if box.count and not signs.recall.get(name):
            yield from _about_class(name, box, signs)


def _about_class(name: str, box: BoxSigns, signs: Signs) -> Iterator[Finding]:
    larger = "Train at a larger input, or cut the pictures around the objects"
    if box.small > 0.5:
        yield Finding(
            f"boxes_below_a_cell:{name}",
            f"{box.small:.0%} of the {name} boxes are smaller than a grid cell of 16 pixels at this input",
            larger,
        )
    elif box.low > 0.5:
        yield Finding(
            f"boxes_too_low:{name}",
            f"{box.low:.0%} of the {name} boxes are lower than the 22 pixels that DIGITS's clustering keeps",
            larger,
        )
    elif box.cells < VOTES and signs.max_coverage > 0.5:
        yield Finding(
            f"too_few_cells:{name}",
            f"half of the {name} boxes cover {box.cells:g} cells; DIGITS's clustering wants {VOTES} to agree",
            f"{larger}. A Jetson's decoder takes one cell, so look at its figures too",
        )


def _part_moved(before: float, after: float) -> float:
    return abs(after - before) / abs(before) if before else 0.0
