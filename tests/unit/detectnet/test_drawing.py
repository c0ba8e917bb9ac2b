from __future__ import annotations

import numpy as np
import pytest

from detectnet.drawing import PALETTE, draw_boxes, encode_png
from detectnet.images import decode_image

SEA = np.full((80, 120, 3), 90, np.uint8)


def test_a_box_is_drawn_on_a_copy_in_its_classs_colour() -> None:
    drawn = draw_boxes(SEA, [[20, 30, 80, 60]], [""], class_indices=[1])

    assert (SEA == 90).all()
    assert tuple(drawn[45, 20]) == PALETTE[1]
    assert tuple(drawn[30, 50]) == PALETTE[1]
    assert tuple(drawn[45, 50]) == (90, 90, 90)


def test_classes_beyond_the_palette_begin_again() -> None:
    first, again = (
        draw_boxes(SEA, [[20, 30, 80, 60]], [""], class_indices=[index]) for index in (0, len(PALETTE))
    )

    np.testing.assert_array_equal(first, again)


def test_the_label_is_written_above_the_box_with_its_score() -> None:
    plain = draw_boxes(SEA, [[20, 30, 80, 60]], [""])
    named = draw_boxes(SEA, [[20, 30, 80, 60]], ["buoy"])
    scored = draw_boxes(SEA, [[20, 30, 80, 60]], ["buoy"], scores=[0.91])

    assert (plain[15:28] != named[15:28]).any()
    assert (named != scored).any()


def test_no_box_changes_nothing() -> None:
    np.testing.assert_array_equal(draw_boxes(SEA, [], []), SEA)


@pytest.mark.parametrize(
    "box", [(-50, -50, 20, 20), (100, 70, 500, 500), (-9, -9, 999, 999), (300, 300, 400, 400)]
)
def test_boxes_that_reach_out_of_the_picture_are_drawn_as_far_as_they_go(box: tuple[float, ...]) -> None:
    assert draw_boxes(SEA, [box], ["a long label that fits nowhere at all"]).shape == SEA.shape


def test_each_box_needs_a_label() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_boxes(SEA, [[0, 0, 9, 9], [1, 1, 8, 8]], ["one"])


def test_a_png_holds_the_same_pixels() -> None:
    np.testing.assert_array_equal(decode_image(encode_png(SEA)), SEA)
