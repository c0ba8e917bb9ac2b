from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from periscope_registry.rules import OutOfRange, add_reports, byte_range, content_etag, move_alias

AT = "2026-11-01T12:00:00.000000Z"


def alias_at(version: int) -> dict[str, Any]:
    return {"alias": "latest", "version": version, "history": [{"version": version, "at": AT, "by": "me"}]}


def test_a_move_of_an_alias_is_noted_with_its_author() -> None:
    moved = move_alias(alias_at(1), 2, "you", AT)

    assert moved["version"] == 2
    assert moved["history"][-1] == {"version": 2, "at": AT, "by": "you"}


def test_a_move_to_where_the_alias_is_changes_nothing() -> None:
    assert move_alias(alias_at(1), 1, "you", AT) == alias_at(1)


def test_an_aliases_history_is_bounded() -> None:
    body = alias_at(1)
    for version in range(2, 300):
        body = move_alias(body, version, "me", AT)

    assert [entry["version"] for entry in body["history"]] == list(range(200, 300))


def test_a_report_that_is_sent_twice_counts_once() -> None:
    first, second = {"id": "a" * 8}, {"id": "b" * 8}
    kept, new = add_reports([], [first, first, second], AT)
    again, none = add_reports(kept, [first], AT)

    assert ([report["id"] for report in new], none) == (["a" * 8, "b" * 8], [])
    assert [report["id"] for report in again] == ["a" * 8, "b" * 8]


def test_kept_reports_are_bounded() -> None:
    kept: list[dict[str, Any]] = []
    for number in range(300):
        kept, _ = add_reports(kept, [{"id": f"{number:08d}"}], AT)

    assert [int(report["id"]) for report in kept] == list(range(200, 300))


def test_equal_content_has_equal_etags_whatever_its_order() -> None:
    assert content_etag({"a": 1, "b": [2]}) == content_etag({"b": [2], "a": 1})
    assert content_etag({"a": 1}) != content_etag({"a": 2})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, 99)),
        ("bytes=10-", (10, 99)),
        ("bytes=10-19", (10, 19)),
        ("bytes=10-1000", (10, 99)),
        ("bytes=99-", (99, 99)),
        ("bytes=-10", (90, 99)),
        ("bytes=-1000", (0, 99)),
        ("bytes=20-10", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("bytes=x-", None),
        ("items=0-1", None),
        ("bytes=٣-", None),
    ],
)
def test_a_range_header_means_these_bytes(header: str | None, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(OutOfRange):
        byte_range(header, 100)


@given(st.text(max_size=30), st.integers(1, 10**12))
def test_any_range_header_gives_a_range_within_the_zip(text: str, size: int) -> None:
    try:
        found = byte_range("bytes=" + text, size)
    except OutOfRange:
        return

    assert found is None or 0 <= found[0] <= found[1] < size
