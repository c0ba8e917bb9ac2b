from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.metrics import Counts, class_score, digits_map, iou_matrix, score_image

NOTHING = np.zeros((0, 4), np.float32)


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_overlap_by_hand() -> None:
    ious = iou_matrix(boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30)))

    np.testing.assert_allclose(ious, [[1, 50 / 150, 0]])


def test_boxes_without_area_overlap_nothing() -> None:
    assert iou_matrix(boxes((5, 5, 5, 5)), boxes((5, 5, 5, 5))).tolist() == [[0]]


@pytest.mark.parametrize(("bottom", "hits"), [(7, 1), (6.99, 0)])
def test_an_overlap_of_exactly_seven_tenths_is_a_hit(bottom: float, hits: int) -> None:
    assert score_image(boxes((0, 0, 10, 10)), boxes((0, 0, 10, bottom))).hits == hits


def test_hits_false_alarms_and_misses_by_hand() -> None:
    truth = boxes((0, 0, 100, 100), (200, 0, 300, 100), (400, 0, 500, 100))
    found = boxes((205, 0, 305, 100), (0, 0, 100, 90), (600, 0, 700, 100), (0, 200, 100, 300))

    counts = score_image(truth, found)

    assert counts == Counts(hits=2, false_alarms=2, misses=1)
    assert counts.precision == pytest.approx(0.5)
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.product == pytest.approx(1 / 3)


def test_a_detection_counts_once() -> None:
    truth = boxes((0, 0, 100, 100), (0, 0, 100, 100))

    assert score_image(truth, boxes((0, 0, 100, 100))) == Counts(1, 0, 1)


def test_the_first_fitting_detection_is_taken_and_not_the_best() -> None:
    truth = boxes((0, 0, 100, 100), (0, 0, 100, 80))
    found = boxes((0, 0, 100, 78), (0, 0, 100, 100))

    counts = score_image(truth, found)

    # The first box takes the first detection (0.78), so the second gets 0.8 from the other.
    assert counts == Counts(2, 0, 0)


def test_truth_is_served_in_its_order() -> None:
    truth = boxes((0, 0, 100, 80), (0, 0, 100, 100))
    found = boxes((0, 0, 100, 100), (0, 0, 100, 60))

    assert score_image(truth, found) == Counts(1, 1, 1)


def test_no_truth_and_no_detection_count_nothing() -> None:
    assert score_image(NOTHING, NOTHING) == Counts()
    assert score_image(NOTHING, boxes((0, 0, 9, 9))) == Counts(0, 1, 0)
    assert score_image(boxes((0, 0, 9, 9)), NOTHING) == Counts(0, 0, 1)


def test_nothing_divided_by_nothing_is_nothing() -> None:
    assert (Counts().precision, Counts().recall, Counts().product) == (0, 0, 0)


def test_digitss_figure_is_the_mean_over_batches_of_six() -> None:
    perfect, half = Counts(1, 0, 0), Counts(1, 1, 0)

    assert digits_map([perfect] * 6 + [half] * 6) == pytest.approx((1 + 0.5) / 2)


def test_the_last_batch_wraps_around_to_the_first_images() -> None:
    counts = [Counts(1, 0, 0)] * 6 + [Counts(0, 0, 1)]

    assert digits_map(counts) == pytest.approx((1 + 5 / 6) / 2)


def test_a_batch_of_empty_pictures_pulls_digitss_figure_down_and_the_pooled_one_not() -> None:
    score = class_score([Counts(1, 0, 0)] * 6 + [Counts()] * 6)

    assert score.digits_map == pytest.approx(0.5)
    assert score.pooled_map == pytest.approx(1.0)


def test_the_figures_of_a_class_by_hand() -> None:
    score = class_score([Counts(3, 1, 0), Counts(1, 0, 2)], batch=1)

    assert score.precision == pytest.approx(4 / 5)
    assert score.recall == pytest.approx(4 / 6)
    assert score.pooled_map == pytest.approx(4 / 5 * 4 / 6)
    assert score.digits_map == pytest.approx((3 / 4 * 1 + 1 * 1 / 3) / 2)


def test_fewer_pictures_than_a_batch_wrap_around_themselves() -> None:
    assert digits_map([Counts(1, 0, 0), Counts(0, 1, 0)]) == pytest.approx(0.5)


def test_no_picture_gives_nothing() -> None:
    assert digits_map([]) == 0


@settings(deadline=None, derandomize=True)
@given(st.lists(st.builds(Counts, *[st.integers(0, 9)] * 3), max_size=20))
def test_every_figure_is_a_ratio(counts: list[Counts]) -> None:
    score = class_score(counts)

    for figure in (score.precision, score.recall, score.digits_map, score.pooled_map):
        assert 0 <= figure <= 1
