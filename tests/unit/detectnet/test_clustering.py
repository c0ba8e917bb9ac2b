from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.clustering import (
    MAX_BOXES,
    ClusterOptions,
    FloatArray,
    cluster_detections,
    cluster_ground_truth,
    group_rectangles,
)
from detectnet.coverage import encode_targets

Rectangle = tuple[int, int, int, int]


def grids(
    votes: dict[tuple[int, int], tuple[float, float, float, float]], coverage: float = 0.9
) -> tuple[FloatArray, FloatArray]:
    """Coverage [1,10,20] and bboxes [4,10,20] where each cell (x, y) votes for a box in pixels."""
    covered, boxes = np.zeros((1, 10, 20), np.float32), np.zeros((4, 10, 20), np.float32)
    for (x, y), (left, top, right, bottom) in votes.items():
        covered[0, y, x] = coverage
        boxes[:, y, x] = [left - 16 * x, top - 16 * y, right - 16 * x, bottom - 16 * y]
    return covered, boxes


def agreeing(cells: int, box: tuple[float, float, float, float]) -> dict[tuple[int, int], tuple[float, ...]]:
    return {(3 + number, 2): box for number in range(cells)}


def are_neighbours(a: Rectangle, b: Rectangle, eps: float) -> bool:
    limit = eps * 0.5 * (min(a[2], b[2]) + min(a[3], b[3]))
    ends = (a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3])
    return max(abs(a[0] - b[0]), abs(a[1] - b[1]), abs(ends[0]), abs(ends[1])) <= limit


def closure(rectangles: list[Rectangle], eps: float) -> list[list[Rectangle]]:
    groups: list[list[Rectangle]] = []
    for rectangle in rectangles:
        near = [group for group in groups if any(are_neighbours(rectangle, known, eps) for known in group)]
        joined = [rectangle, *(known for group in near for known in group)]
        groups = [group for group in groups if group not in near] + [joined]
    return groups


def grouped_by_the_rules(rectangles: list[Rectangle], threshold: int, eps: float) -> list[tuple[int, ...]]:
    """groupRectangles from its description, single precision where OpenCV has it."""
    found = []
    for group in closure(rectangles, eps):
        share = np.float32(1) / np.float32(len(group))
        sums = np.sum(group, axis=0)
        mean = tuple(int(np.rint(np.float32(side) * share)) for side in sums)
        if len(group) > threshold:
            found.append((mean, len(group)))
    kept = []
    for index, ((x, y, w, h), count) in enumerate(found):
        inside = False
        for other, ((ox, oy, ow, oh), votes) in enumerate(found):
            dx, dy = int(np.rint(ow * eps)), int(np.rint(oh * eps))
            encloses = x >= ox - dx and y >= oy - dy and x + w <= ox + ow + dx and y + h <= oy + oh + dy
            inside |= other != index and encloses and (votes > max(3, count) or count < 3)
        if not inside:
            kept.append((x, y, w, h, count))
    return sorted(kept)


places = st.integers(0, 60)
sides = st.integers(20, 90)
rectangle_lists = st.lists(st.tuples(places, places, sides, sides), min_size=1, max_size=25)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(rectangle_lists, st.integers(1, 3), st.sampled_from([0.02, 0.1, 0.2, 0.5]))
def test_grouping_follows_its_description(rectangles: list[Rectangle], threshold: int, eps: float) -> None:
    grouped, weights = group_rectangles(rectangles, threshold, eps)

    found = sorted((*map(int, box), int(weight)) for box, weight in zip(grouped, weights, strict=True))
    assert found == grouped_by_the_rules(rectangles, threshold, eps)


def test_no_rectangle_makes_no_group() -> None:
    grouped, weights = group_rectangles([], 2, 0.02)

    assert grouped.shape == (0, 4)
    assert weights.shape == (0,)


@pytest.mark.parametrize("threshold", [0, -1])
def test_without_a_threshold_nothing_is_grouped(threshold: int) -> None:
    rectangles = [(10, 10, 50, 50), (10, 10, 50, 50), (200, 10, 50, 50)]

    grouped, weights = group_rectangles(rectangles, threshold, 0.02)

    assert grouped.tolist() == [list(rectangle) for rectangle in rectangles]
    assert weights.tolist() == [1, 1, 1]


def test_a_group_needs_more_members_than_the_threshold() -> None:
    rectangles = [(10, 10, 50, 50)] * 2

    assert len(group_rectangles(rectangles, 2, 0.02)[0]) == 0
    assert len(group_rectangles([*rectangles, (10, 10, 50, 50)], 2, 0.02)[0]) == 1


def test_means_are_rounded_half_to_even() -> None:
    grouped, _ = group_rectangles([(10, 11, 50, 50), (11, 12, 50, 50)], 1, 0.1)

    assert grouped.tolist() == [[10, 12, 50, 50]]


def test_a_chain_of_neighbours_is_one_group() -> None:
    rectangles = [(10 * step, 0, 100, 100) for step in range(5)]

    grouped, weights = group_rectangles(rectangles, 1, 0.1)

    assert grouped.tolist() == [[20, 0, 100, 100]]
    assert weights.tolist() == [5]


def test_three_agreeing_cells_make_a_box_with_the_logarithm_of_their_number() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (40, 30, 100, 90))))

    assert boxes.shape == (1, 5)
    np.testing.assert_allclose(boxes[0], [40, 30, 100, 90, math.log(3)], rtol=1e-3)


def test_two_cells_are_too_few() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(2, (40, 30, 100, 90))))

    assert boxes.shape == (0, 5)


def test_a_cell_at_the_threshold_votes() -> None:
    coverage, bboxes = grids(agreeing(3, (40, 30, 100, 90)), coverage=0.5)

    assert len(cluster_detections(coverage, bboxes, ClusterOptions(coverage_threshold=0.5))[0]) == 1
    assert len(cluster_detections(coverage, bboxes, ClusterOptions(coverage_threshold=0.51))[0]) == 0


@pytest.mark.parametrize(("bottom", "kept"), [(52, 1), (51, 0)])
def test_boxes_lower_than_twenty_two_pixels_are_dropped(bottom: float, kept: int) -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (40, 30, 100, bottom))))

    assert len(boxes) == kept


def test_a_narrow_box_is_kept() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (40, 30, 42, 90))))

    assert len(boxes) == 1


def test_coordinates_are_rounded_half_to_even_before_grouping() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (40.5, 31.5, 100.5, 91.5))))

    assert boxes[0, :4].tolist() == [40, 32, 100, 92]


def test_classes_do_not_vote_together() -> None:
    coverage, bboxes = grids(agreeing(4, (40, 30, 100, 90)))
    other = np.zeros_like(coverage)
    other[0, 2, 3:5] = coverage[0, 2, 3:5]
    coverage[0, 2, 3:5] = 0

    first, second = cluster_detections(np.concatenate([coverage, other]), bboxes)

    assert (len(first), len(second)) == (0, 0)


def test_of_too_many_boxes_the_surest_are_kept() -> None:
    coverage, bboxes = np.full((1, 40, 40), 0.9, np.float32), np.zeros((4, 40, 40), np.float32)
    bboxes[2:] = 30

    (boxes,) = cluster_detections(coverage, bboxes, ClusterOptions(group_threshold=0))

    assert boxes.shape == (MAX_BOXES, 5)
    assert (boxes[:, 4] == 0).all()


def test_a_network_that_ran_away_gives_no_box_and_no_warning() -> None:
    coverage, bboxes = grids(agreeing(4, (40, 30, 100, 90)))
    bboxes[0, 2, 3] = np.nan
    bboxes[1, 2, 4] = np.inf

    (boxes,) = cluster_detections(coverage, bboxes)

    assert len(boxes) == 0


def test_boxes_of_any_size_stay_finite() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (-1e9, -1e9, 1e9, 1e9))))

    assert np.isfinite(boxes).all()
    assert len(boxes) == 1


def test_values_have_the_steps_of_half_precision() -> None:
    (boxes,) = cluster_detections(*grids(agreeing(3, (1025, 30, 1201, 90))))

    assert boxes[0, 0] == 1025
    assert boxes[0, 4] == np.float32(np.float16(math.log(3)))
    assert boxes.dtype == np.float32


def test_ground_truth_is_what_the_grid_kept() -> None:
    boxes = np.array([[140, 60, 160, 80], [100, 40, 200, 100], [20, 20, 60, 70]], np.float32)
    targets = encode_targets(boxes, np.array([1, 0, 1]), 320, 160, 2)

    first, second = cluster_ground_truth(targets)

    assert first.tolist() == [[100, 40, 200, 100]]
    assert second.tolist() == [[20, 20, 60, 70]]


def test_an_empty_grid_has_no_truth() -> None:
    (boxes,) = cluster_ground_truth(np.zeros((9, 10, 20), np.float32))

    assert boxes.shape == (0, 4)


def test_a_perfect_network_finds_the_truth() -> None:
    boxes = np.array([[20, 20, 100, 90], [180, 30, 280, 140]], np.float32)
    targets = encode_targets(boxes, np.array([0, 0]), 320, 160, 1)

    (found,) = cluster_detections(targets[8:], targets[1:5])
    (truth,) = cluster_ground_truth(targets)

    assert sorted(found[:, :4].tolist()) == sorted(truth.tolist())
