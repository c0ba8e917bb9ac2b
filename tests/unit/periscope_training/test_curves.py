from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from periscope_training.curves import NoSuchEpoch, best_epoch, find_epoch, progress_ratio, remaining_s, thin

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def epoch(number: float, digits_map: float, pooled_map: float = 0.0) -> dict:
    return {
        "epoch": number,
        "step": round(number * 60),
        "metrics": {"val": {"digits_map": digits_map, "pooled_map": pooled_map}},
    }


EPOCHS = [epoch(1, 0.1), epoch(2.5, 0.7), epoch(3.3333333, 0.2)]


def test_the_best_epoch_has_the_highest_digits_map() -> None:
    assert best_epoch(EPOCHS) == EPOCHS[1]
    assert best_epoch([]) is None


def test_of_equal_epochs_the_pooled_map_and_then_the_later_one_wins() -> None:
    assert best_epoch([epoch(1, 0.5, 0.4), epoch(2, 0.5, 0.3)])["epoch"] == 1
    assert best_epoch([epoch(1, 0.0), epoch(2, 0.0)])["epoch"] == 2


@pytest.mark.parametrize(
    ("which", "index"), [("best", 1), ("latest", 2), ("1", 0), ("1.0", 0), ("2.5", 1), ("3.333", 2)]
)
def test_an_epoch_is_found_by_name_and_by_number(which: str, index: int) -> None:
    assert find_epoch(EPOCHS, which) is EPOCHS[index]


@pytest.mark.parametrize("which", ["2", "3.33", "first", "nan", "inf", ""])
def test_an_unknown_epoch_is_answered_with_those_there_are(which: str) -> None:
    with pytest.raises(NoSuchEpoch, match=re.escape("it has: 1, 2.5, 3.333")):
        find_epoch(EPOCHS, which)


@pytest.mark.parametrize("which", ["best", "latest", "1"])
def test_a_job_without_epochs_has_nothing_to_publish(which: str) -> None:
    with pytest.raises(NoSuchEpoch, match="none yet"):
        find_epoch([], which)


def test_progress_is_a_ratio() -> None:
    assert [progress_ratio(*pair) for pair in [(0, 10), (5, 10), (12, 10), (1, 0)]] == [0, 0.5, 1, 0]


def test_the_expected_end_comes_nearer_between_two_records() -> None:
    record = {"eta_s": 60, "at": (NOW - timedelta(seconds=20)).isoformat()}

    assert remaining_s(record, NOW) == 40
    assert remaining_s(record, NOW + timedelta(hours=1)) == 0
    assert remaining_s(record, NOW - timedelta(hours=1)) == 60, "a clock that runs behind adds no time"
    assert remaining_s({"eta_s": None, "at": record["at"]}, NOW) is None


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(0, 5, []), (3, 5, [0, 1, 2]), (11, 3, [0, 5, 10]), (11, 2, [0, 10]), (5, 1, [4]), (5, 0, [])],
)
def test_thinning_keeps_the_first_and_the_last(count: int, limit: int, expected: list[int]) -> None:
    assert thin(range(count), limit) == expected
