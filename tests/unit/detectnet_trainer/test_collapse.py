from __future__ import annotations

from detectnet_trainer.collapse import CollapseAlarm
from detectnet_trainer.evaluate import Evaluation


def evaluation(loss_coverage: float, empty: float = 8.0) -> Evaluation:
    return Evaluation(1.0, loss_coverage, empty, {})


def warnings(losses: list[float], interval: float = 1.0) -> list[bool]:
    alarm = CollapseAlarm()
    return [
        alarm.check(evaluation(loss), (index + 1) * interval) is not None for index, loss in enumerate(losses)
    ]


def test_the_alarm_comes_at_the_second_epoch_on_the_all_zero_loss() -> None:
    assert warnings([9.0, 8.02, 7.95, 8.0]) == [False, False, True, False]


def test_it_counts_epochs_not_validations() -> None:
    assert warnings([8.0, 8.0, 8.0, 8.0], interval=0.5) == [False, False, True, False]


def test_a_training_that_moves_gives_no_alarm() -> None:
    assert not any(warnings([8.0, 7.8, 8.0, 7.8, 8.0]))


def test_a_second_collapse_is_told_again() -> None:
    assert warnings([8.0, 8.0, 5.0, 8.0, 8.0]) == [False, True, False, False, True]


def test_a_validation_set_without_objects_gives_no_alarm() -> None:
    alarm = CollapseAlarm()

    assert [alarm.check(evaluation(0.0, empty=0.0), epoch) for epoch in (1, 2, 3)] == [None] * 3


def test_the_warning_says_since_when_and_what_to_do() -> None:
    alarm = CollapseAlarm()
    alarm.check(evaluation(8.0), 1)
    warning = alarm.check(evaluation(8.0), 2)

    assert warning is not None
    assert "8.000 since epoch 1" in warning
    assert "lower learning rate" in warning
