"""The doctor's rules on made-up curves; real trainings that die are in tests/learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from detectnet.doctor import BoxSigns, Doctor, Signs
from detectnet.recipes import resolve_training

GOOD_BOXES = {
    "buoy": BoxSigns(100, low=0.0, small=0.0, cells=6),
    "gate": BoxSigns(80, low=0.1, small=0.0, cells=9),
}
ALIVE = Signs(
    epoch=1, step=100, loss_bbox=10.0, loss_coverage=5.0, empty_loss=8.0, constant_loss=7.5, max_coverage=0.8,
    recall={"buoy": 0.3, "gate": 0.2}, digits_map=0.1, boxes=GOOD_BOXES,
)  # fmt: skip
DEAD = replace(ALIVE, recall={"buoy": 0.0, "gate": 0.0}, digits_map=0.0)


def codes(signs: list[Signs], *, pretrained: bool = False, **options: Any) -> list[list[str]]:
    """What is said after each of the validations, an epoch apart unless they say otherwise."""
    doctor = Doctor(resolve_training("default", options, threads=1), pretrained=pretrained)
    placed = [replace(each, epoch=index + 1.0, step=100 * (index + 1)) for index, each in enumerate(signs)]
    return [[finding.code for finding in doctor.examine(each)] for each in placed]


def losses(coverage: list[float], bbox: list[float] | None = None, **more: Any) -> list[Signs]:
    boxes = bbox or [10.0 * 0.8**index for index in range(len(coverage))]
    return [replace(DEAD, loss_coverage=c, loss_bbox=b, **more) for c, b in zip(coverage, boxes, strict=True)]


def test_a_training_that_learns_hears_nothing() -> None:
    falling = [
        replace(ALIVE, loss_coverage=7.0 * 0.8**index, loss_bbox=9.0 * 0.9**index) for index in range(40)
    ]

    assert codes(falling) == [[]] * 40


def test_a_slow_beginning_is_no_illness() -> None:
    assert codes(losses([7.3, 7.0, 6.5, 6.0, 5.0], max_coverage=0.4)) == [[]] * 5


@pytest.mark.parametrize(
    ("options", "pretrained", "code"),
    [
        ({"initialisation": "xavier"}, False, "collapsed_from_original_weights"),
        ({"initialisation": "xavier"}, True, "collapsed"),
        ({"learning_rate": 1e-3}, False, "collapsed_from_learning_rate"),
        ({"learning_rate": 1e-3, "solver": "sgd"}, False, "collapsed"),
        ({}, False, "collapsed"),
    ],
)
def test_a_collapse_is_told_at_the_second_validation_with_its_likely_cause(
    options: dict[str, Any], pretrained: bool, code: str
) -> None:
    said = codes(losses([9.0, 8.02, 7.95, 8.0], max_coverage=0.0), pretrained=pretrained, **options)

    assert said == [[], [], [code], []]


def test_a_second_collapse_is_told_again() -> None:
    assert codes(losses([8.0, 8.0, 5.0, 8.0, 8.0], max_coverage=0.0)) == [
        [],
        ["collapsed"],
        [],
        [],
        ["collapsed"],
    ]


def test_patience_counts_epochs_and_not_validations() -> None:
    doctor = Doctor(resolve_training("default", {}, threads=1))
    resting = replace(DEAD, loss_coverage=8.0)
    said = [
        doctor.examine(replace(resting, epoch=epoch, loss_bbox=10 - epoch)) for epoch in (0.5, 1.0, 1.5, 2.0)
    ]

    assert [[finding.code for finding in each] for each in said] == [[], [], ["collapsed"], []]


def test_losses_that_do_not_move_are_a_rate_that_is_too_low() -> None:
    still = losses([7.40, 7.41, 7.40], [10.0, 10.1, 10.05])

    assert codes(still) == [[], [], ["learning_rate_too_low"]]
    assert codes(losses([7.40, 7.41, 7.40], [10.0, 9.0, 8.0]), learning_rate=5e-6)[-1] == [
        "learning_rate_too_low"
    ]


def test_one_guess_for_all_pictures_is_labels_that_do_not_fit_or_a_rate_that_is_too_high() -> None:
    guessing = losses([7.4, 7.45, 7.3], max_coverage=0.15)

    assert codes(guessing) == [[], [], ["labels_do_not_fit"]]
    assert codes(guessing, learning_rate=3e-3) == [[], [], ["learning_rate_too_high"]]
    early = Doctor(resolve_training("default", {}, threads=1))
    said = [
        early.examine(replace(each, epoch=index + 1.0, step=10 * index))
        for index, each in enumerate(guessing)
    ]
    assert said == [[], [], []]


def test_no_object_of_a_class_is_told_at_once() -> None:
    empty = {"buoy": BoxSigns(0, 0.0, 0.0, 0.0)}

    assert codes([replace(DEAD, boxes=empty, empty_loss=0.0, loss_coverage=0.0)]) == [["no_objects"]]


def test_boxes_that_cannot_be_found_are_told_by_class_while_the_class_is_not() -> None:
    boxes = {
        "buoy": BoxSigns(90, low=1.0, small=0.9, cells=1),
        "gate": BoxSigns(90, low=0.8, small=0.0, cells=4),
        "cell": BoxSigns(90, low=0.0, small=0.0, cells=2),
    }
    sick = replace(DEAD, boxes=boxes, recall=dict.fromkeys(boxes, 0.0))

    assert codes([sick])[0] == ["boxes_below_a_cell:buoy", "boxes_too_low:gate", "too_few_cells:cell"]
    assert codes([replace(sick, recall=dict.fromkeys(boxes, 0.2))]) == [[]]
    assert codes([replace(sick, max_coverage=0.2)])[0] == ["boxes_below_a_cell:buoy", "boxes_too_low:gate"]


def test_boxes_too_small_for_the_grid_explain_that_one_guess_is_made_for_all_pictures() -> None:
    small = {name: BoxSigns(90, low=1.0, small=1.0, cells=1) for name in GOOD_BOXES}
    guessing = losses([7.4, 7.45, 7.3], max_coverage=0.15)
    said = codes([replace(signs, boxes=small) for signs in guessing])

    assert said == [["boxes_below_a_cell:buoy", "boxes_below_a_cell:gate"], [], []]
    one = small | {"gate": GOOD_BOXES["gate"]}
    assert codes([replace(signs, boxes=one) for signs in guessing])[2] == ["labels_do_not_fit"]


def test_the_twenty_five_epochs_of_the_old_advice_are_kept() -> None:
    flat = losses([6.0 * 0.98**index for index in range(30)])
    said = codes(flat)

    assert said[23] == []
    assert said[24] == ["flat"]
    risen = [*flat[:10], replace(ALIVE, digits_map=0.02), *flat[11:]]
    assert not any(codes(risen))


def test_a_finding_says_what_to_do() -> None:
    doctor = Doctor(resolve_training("default", {"learning_rate": 1e-3}, threads=1))
    doctor.examine(replace(DEAD, loss_coverage=8.0))
    (finding,) = doctor.examine(replace(DEAD, loss_coverage=8.0, epoch=2.0, loss_bbox=9.0))

    assert "finds nothing anywhere" in str(finding)
    assert "for example 0.0002" in finding.advice
    assert set(finding.as_dict()) == {"code", "message", "advice"}
