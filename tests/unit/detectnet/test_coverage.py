from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.coverage import (
    BBOX,
    COVERAGE_START,
    FOREGROUND,
    OBJ,
    SIZE,
    FloatArray,
    GroundTruthOptions,
    covers_a_cell,
    encode_targets,
    writing_order,
)
from detectnet.kitti import KittiObject, parse_label
from detectnet.sizes import IllegalSize

Box = tuple[float, float, float, float]


def encode(
    boxes: list[Box], labels: list[int] | None = None, classes: int = 1, **options: object
) -> FloatArray:
    return encode_targets(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels if labels is not None else [0] * len(boxes), np.int64),
        320,
        160,
        classes,
        GroundTruthOptions(**options),  # type: ignore[arg-type]
    )


def foreground_cells(targets: FloatArray) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for y, x in np.argwhere(targets[FOREGROUND] == 1)}


def slow_targets(boxes: list[Box], labels: list[int], classes: int) -> FloatArray:
    """The same by a walk over all cells, straight from the rules."""
    targets = np.zeros((8 + classes, 10, 20), np.float32)
    for (left, top, right, bottom), label in zip(boxes, labels, strict=True):
        wide, high = right - left, bottom - top
        if label < 0 or wide <= 0 or high <= 0:
            continue
        covered_w = min(wide, max(20.0, 0.4 * wide))
        covered_h = min(high, max(20.0, 0.4 * high))
        x0, y0 = (left + right) / 2 - covered_w / 2, (top + bottom) / 2 - covered_h / 2
        for y in range(max(math.floor(y0 / 16), 0), min(math.ceil((y0 + covered_h) / 16), 10)):
            for x in range(max(math.floor(x0 / 16), 0), min(math.ceil((x0 + covered_w) / 16), 20)):
                overlap_w = min(x0 + covered_w, x * 16 + 16) - max(x0, x * 16)
                overlap_h = min(y0 + covered_h, y * 16 + 16) - max(y0, y * 16)
                if overlap_w > 0 and overlap_h > 0 and overlap_w * overlap_h / 256 > 1.19e-7:
                    corners = [left - x * 16, top - y * 16, right - x * 16, bottom - y * 16]
                    norm = 256 / (covered_w * covered_h)
                    targets[:8, y, x] = [1, *corners, 1 / wide, 1 / high, norm]
                    targets[8:, y, x] = 0
                    targets[8 + label, y, x] = 1
    return targets


@pytest.mark.parametrize(
    ("wide", "high", "norm", "covered"),
    [(100, 50, 0.32, (40, 20)), (30, 30, 0.64, (20, 20)), (12, 12, 256 / 144, (12, 12))],
)
def test_the_worked_numbers(wide: int, high: int, norm: float, covered: tuple[int, int]) -> None:
    left, top = 160 - wide / 2, 80 - high / 2
    targets = encode([(left, top, left + wide, top + high)])
    written = targets[FOREGROUND] == 1

    np.testing.assert_allclose(targets[OBJ][written], norm, rtol=1e-6)
    np.testing.assert_allclose(targets[SIZE][0][written], 1 / wide, rtol=1e-6)
    np.testing.assert_allclose(targets[SIZE][1][written], 1 / high, rtol=1e-6)
    across = {x for x, _ in foreground_cells(targets)}
    assert across == set(range((160 - covered[0] // 2) // 16, -(-(160 + covered[0] // 2) // 16)))


def test_a_targets_shape_is_eight_and_the_classes_by_the_grid() -> None:
    targets = encode([], classes=3)

    assert targets.shape == (11, 10, 20)
    assert targets.dtype == np.float32
    assert not targets.any()


def test_corners_are_pixels_from_the_cells_top_left_corner() -> None:
    targets = encode([(100, 40, 200, 90)])

    assert foreground_cells(targets) == {(x, y) for x in (8, 9, 10) for y in (3, 4)}
    np.testing.assert_allclose(targets[BBOX, 4, 9], [100 - 144, 40 - 64, 200 - 144, 90 - 64])


def test_coverage_is_one_and_not_the_share_of_the_cell() -> None:
    targets = encode([(100, 40, 200, 90)])

    assert set(np.unique(targets[COVERAGE_START])) == {0.0, 1.0}


def test_each_class_has_its_channel() -> None:
    targets = encode([(0, 0, 40, 40), (200, 80, 240, 120)], labels=[1, 0], classes=2)

    assert targets[COVERAGE_START + 1, 1, 1] == 1
    assert targets[COVERAGE_START, 1, 1] == 0
    assert targets[COVERAGE_START, 6, 13] == 1


def test_dontcare_leaves_plain_background() -> None:
    assert not encode([(100, 40, 200, 90)], labels=[-1]).any()


def test_dontcare_does_not_overwrite_what_lies_under_it() -> None:
    alone = encode([(100, 40, 200, 90)])

    np.testing.assert_array_equal(encode([(100, 40, 200, 90), (90, 30, 210, 100)], labels=[0, -1]), alone)


def test_the_later_box_takes_the_whole_cell() -> None:
    targets = encode([(100, 40, 200, 90), (120, 50, 180, 80)], labels=[0, 1], classes=2)

    assert targets[COVERAGE_START, 4, 9] == 0
    assert targets[COVERAGE_START + 1, 4, 9] == 1
    np.testing.assert_allclose(targets[SIZE, 4, 9], [1 / 60, 1 / 30])


def test_an_object_may_vanish_under_another() -> None:
    targets = encode([(140, 60, 160, 80), (100, 40, 200, 100)], labels=[1, 0], classes=2)

    assert not targets[COVERAGE_START + 1].any()


def test_the_nearest_object_is_written_last() -> None:
    objects = [KittiObject("buoy", (0, 0, 1, 1), location=(0, 0, z)) for z in (5.0, 1.0, 9.0)]

    assert writing_order(objects) == [2, 0, 1]


def test_the_first_line_of_the_label_file_wins_among_equals() -> None:
    line = "{} 0 0 0 100 40 200 90 0 0 0 0 0 0 0"
    objects = parse_label("\n".join(line.format(name) for name in ("buoy", "gate")), "a.txt")
    order = writing_order(objects)
    targets = encode(
        [objects[index].xyxy for index in order],
        [("buoy", "gate").index(objects[index].type) for index in order],
        classes=2,
    )

    assert targets[COVERAGE_START].any()
    assert not targets[COVERAGE_START + 1].any()


def test_a_box_outside_the_picture_covers_nothing() -> None:
    boxes = [(-100, 0, -50, 50), (330, 20, 380, 60), (10, 170, 60, 220)]

    assert not encode(boxes).any()  # type: ignore[arg-type]


def test_a_box_that_reaches_out_keeps_its_corners_unless_boxes_are_cropped() -> None:
    box = [(-40.0, 20.0, 60.0, 70.0)]
    kept, cropped = encode(box), encode(box, crop_bboxes=True)

    assert kept[BBOX, 2, 0].tolist() == [-40, -12, 60, 38]
    assert cropped[BBOX, 2, 1].tolist() == [-16, -12, 44, 38]
    assert cropped[SIZE, 2, 1][0] == pytest.approx(1 / 60)


@pytest.mark.parametrize("box", [(50, 50, 50, 90), (50, 90, 90, 50), (90, 90, 50, 50), (5, 5, 5, 5)])
def test_boxes_without_area_vanish(box: Box) -> None:
    assert not encode([box]).any()


def test_the_smallest_box_covers_a_cell() -> None:
    assert foreground_cells(encode([(20, 20, 21, 21)])) == {(1, 1)}


def test_a_rectangle_that_ends_on_a_cells_edge_leaves_the_next_cell_alone() -> None:
    assert foreground_cells(encode([(32, 32, 48, 48)])) == {(2, 2)}


def test_with_gridbox_max_the_rectangle_has_a_largest_side() -> None:
    targets = encode([(20, 10, 300, 150)], gridbox="max", max_cvg_len=50.0)

    assert foreground_cells(targets) == {(x, y) for x in (8, 9, 10, 11) for y in (3, 4, 5, 6)}
    np.testing.assert_allclose(targets[OBJ, 4, 9], 256 / (50 * 50), rtol=1e-6)


def test_without_obj_norm_the_norm_is_at_least_one() -> None:
    large, small = encode([(100, 40, 200, 90)], obj_norm=False), encode([(100, 40, 112, 52)], obj_norm=False)

    assert large[OBJ].max() == 1
    assert small[OBJ].max() == pytest.approx(256 / 144)


def test_an_illegal_size_is_refused() -> None:
    with pytest.raises(IllegalSize):
        encode_targets(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), 600, 1080, 1)


def test_whether_a_box_covers_a_cell_is_told_for_each_alone() -> None:
    boxes = np.array([[0, 0, 40, 40], [0, 0, 40, 40], [-50, 0, -10, 40]], np.float32)

    assert covers_a_cell(boxes, 320, 160).tolist() == [True, True, False]


coordinates = st.integers(-400, 1600).map(lambda quarter: quarter / 4)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(
        st.tuples(st.tuples(coordinates, coordinates, coordinates, coordinates), st.integers(-1, 1)),
        max_size=6,
    )
)
def test_it_equals_a_walk_over_all_cells(objects: list[tuple[Box, int]]) -> None:
    boxes, labels = [box for box, _ in objects], [label for _, label in objects]

    np.testing.assert_allclose(encode(boxes, labels, 2), slow_targets(boxes, labels, 2), rtol=1e-5, atol=1e-5)
