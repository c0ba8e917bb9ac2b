from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.kitti import KittiObject, LabelError, format_label, parse_label

LINE = "Buoy 0.00 0 0.00 10.50 20.00 110.00 70.25 1 2 3 4 5 6.5 0.1"
hundredths = st.integers(-100_000, 100_000).map(lambda number: number / 100)
triples = st.tuples(hundredths, hundredths, hundredths)
kitti_objects = st.builds(
    KittiObject,
    type=st.from_regex(r"[a-z][a-z0-9_?-]{0,20}", fullmatch=True),
    xyxy=st.tuples(hundredths, hundredths, hundredths, hundredths),
    truncated=hundredths,
    occluded=st.integers(-1, 3),
    alpha=hundredths,
    dimensions=triples,
    location=triples,
    rotation_y=hundredths,
    score=st.none() | hundredths,
)


def with_column(column: int, text: str) -> str:
    fields = LINE.split()
    fields[column] = text
    return " ".join(fields)


def test_a_line_becomes_an_object_with_a_lower_cased_type() -> None:
    (found,) = parse_label(LINE, "a.txt")

    assert found.type == "buoy"
    assert found.xyxy == (10.5, 20.0, 110.0, 70.25)
    assert found.dimensions == (1, 2, 3)
    assert found.location == (4, 5, 6.5)
    assert found.rotation_y == 0.1
    assert found.score is None
    assert found.line_number == 1


def test_a_sixteenth_column_is_the_score_and_more_are_ignored() -> None:
    (found,) = parse_label(f"{LINE} 0.75 whatever", "a.txt")

    assert found.score == 0.75


@pytest.mark.parametrize("text", ["", "\n", "  \n\n"])
def test_an_empty_file_is_a_picture_without_objects(text: str) -> None:
    assert parse_label(text, "a.txt") == []


def test_tabs_runs_of_blanks_and_windows_line_ends_are_read() -> None:
    spread = LINE.replace(" ", "\t  ") + "\r\n"

    assert parse_label(spread, "a.txt") == parse_label(LINE, "a.txt")


def test_blank_lines_count_in_the_line_number() -> None:
    found = parse_label(f"\n{LINE}\n\n{LINE}\n", "a.txt")

    assert [item.line_number for item in found] == [2, 4]


def test_a_word_where_a_number_belongs_is_told_with_file_line_column_and_advice() -> None:
    with pytest.raises(LabelError) as refused:
        parse_label(f"{LINE}\n{with_column(6, 'wide')}\n", "labels/0007.txt")

    assert (refused.value.filename, refused.value.line) == ("labels/0007.txt", 2)
    assert "right is 'wide'" in refused.value.message
    assert "write a number" in refused.value.message
    assert str(refused.value).startswith("labels/0007.txt, line 2: ")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("column", [1, 4, 13])
def test_numbers_that_are_not_finite_are_refused(column: int, text: str) -> None:
    with pytest.raises(LabelError, match="not a finite number"):
        parse_label(with_column(column, text), "a.txt")


@pytest.mark.parametrize("columns", [1, 5, 14])
def test_fewer_than_fifteen_columns_are_refused(columns: int) -> None:
    with pytest.raises(LabelError, match=f"{columns} columns where KITTI has 15"):
        parse_label(" ".join(LINE.split()[:columns]), "a.txt")


def test_a_class_name_with_a_blank_is_told_by_what_it_shifts() -> None:
    with pytest.raises(LabelError, match="truncated is 'gate'"):
        parse_label(f"red gate {LINE.split(' ', 1)[1]}", "a.txt")


def test_occlusion_may_be_written_with_a_decimal_point() -> None:
    (found,) = parse_label(with_column(2, "2.0"), "a.txt")

    assert found.occluded == 2


def test_boxes_are_neither_ordered_nor_cut() -> None:
    (found,) = parse_label(with_column(4, "999.0"), "a.txt")

    assert found.xyxy[0] > found.xyxy[2]


@given(st.lists(kitti_objects, max_size=5))
def test_what_is_written_reads_back_the_same(objects: list[KittiObject]) -> None:
    read = parse_label(format_label(objects), "a.txt")

    assert [(item.type, item.xyxy, item.location, item.score) for item in read] == [
        (item.type, item.xyxy, item.location, item.score) for item in objects
    ]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(LabelError):
        parse_label(text, "a.txt")
