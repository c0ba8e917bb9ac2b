from __future__ import annotations

import pytest

from periscope_training.progress import ProgressRecords
from tests.fakes import MemoryStore


@pytest.fixture
def records(memory_store: MemoryStore) -> ProgressRecords:
    return ProgressRecords(memory_store)


def test_the_newest_record_is_the_one_with_the_highest_step(records: ProgressRecords) -> None:
    assert records.latest("01A") is None
    for step in (5, 1000, 90):
        records.save("01A", step, {"step": step, "attempt": 1})
    records.save("01B", 9999, {"step": 9999, "attempt": 1})

    assert records.latest("01A") == {"step": 1000, "attempt": 1}


def test_an_attempt_that_resumed_counts_though_the_one_before_had_come_further(
    records: ProgressRecords,
) -> None:
    for step in (5, 10, 15, 20):
        records.save("01A", step, {"step": step, "attempt": 1})
    records.save("01A", 12, {"step": 12, "attempt": 2})

    assert records.latest("01A") == {"step": 12, "attempt": 2}


def test_a_repeated_step_replaces_the_record(records: ProgressRecords) -> None:
    records.save("01A", 5, {"step": 5, "attempt": 1})
    assert records.latest("01A") == {"step": 5, "attempt": 1}

    records.save("01A", 5, {"step": 5, "attempt": 2})
    assert records.latest("01A") == {"step": 5, "attempt": 2}


def test_a_curve_has_at_most_the_points_asked_for(records: ProgressRecords) -> None:
    for step in range(100):
        records.save("01A", step, {"step": step})

    assert [record["step"] for record in records.curve("01A", 4)] == [0, 33, 66, 99]


def test_records_that_did_not_change_are_not_read_again(
    records: ProgressRecords, memory_store: MemoryStore
) -> None:
    for step in range(10):
        records.save("01A", step, {"step": step})
    records.curve("01A", 10)
    reads = memory_store.calls["get"]
    records.curve("01A", 10)

    assert memory_store.calls["get"] == reads


def test_what_is_no_number_is_not_kept(records: ProgressRecords) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.save("01A", 1, {"loss": float("nan")})
