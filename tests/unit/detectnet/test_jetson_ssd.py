"""jetson-inference's decoding of SSD networks, case by case as its source reads."""

from __future__ import annotations

import numpy as np
import pytest

from detectnet.jetson import JetsonDetection, decode_ssd, preprocess_caffe, preprocess_ssd

SIZE = (100, 200)


def decode(*rows: tuple[list[float], list[float]], threshold: float = 0.5) -> list[JetsonDetection]:
    """Rows of scores (background first) and boxes as shares of the picture."""
    scores = np.array([scores for scores, _ in rows], np.float32)
    boxes = np.array([box for _, box in rows], np.float32)
    return decode_ssd(scores, boxes, image_size=SIZE, threshold=threshold)


def test_a_row_counts_for_its_best_class_and_the_background_never_does() -> None:
    (found,) = decode(([0.99, 0.2, 0.6], [0.1, 0.1, 0.5, 0.5]))

    assert (found.class_index, found.confidence) == (1, pytest.approx(0.6))
    assert found.xyxy == pytest.approx((10, 20, 50, 100))


@pytest.mark.parametrize(("score", "count"), [(0.5, 1), (0.4999, 0)])
def test_the_threshold_itself_is_enough(score: float, count: int) -> None:
    assert len(decode(([0, score], [0.1, 0.1, 0.5, 0.5]))) == count


def test_boxes_that_nearly_coincide_become_their_union_with_the_higher_score() -> None:
    (found,) = decode(([0, 0.6], [0.1, 0.1, 0.5, 0.5]), ([0, 0.9], [0.12, 0.1, 0.52, 0.5]))

    assert found.confidence == pytest.approx(0.9)
    assert found.xyxy == pytest.approx((10, 20, 52, 100))


def test_the_overlap_is_measured_by_the_larger_box() -> None:
    # The small one lies wholly inside, and is less than three quarters of the large one.
    inside = ([0.0, 0.6], [0.1, 0.1, 0.35, 0.5])

    assert len(decode(([0, 0.9], [0.1, 0.1, 0.5, 0.5]), inside)) == 2


def test_three_quarters_exactly_stay_two() -> None:
    assert len(decode(([0, 0.9], [0.0, 0.0, 0.5, 0.5]), ([0, 0.9], [0.0, 0.0, 0.375, 0.5]))) == 2


def test_classes_never_merge() -> None:
    assert len(decode(([0, 0.9, 0], [0.1, 0.1, 0.5, 0.5]), ([0, 0, 0.9], [0.1, 0.1, 0.5, 0.5]))) == 2


def test_the_largest_comes_first_and_boxes_are_held_inside_the_picture() -> None:
    found = decode(([0, 0.9], [0.0, 0.0, 0.1, 0.1]), ([0, 0.6], [0.2, 0.2, 1.0, 1.0]))

    assert [each.xyxy for each in found] == [
        pytest.approx((20, 40, 99, 199)),
        pytest.approx((0, 0, 10, 20)),
    ]


def test_rows_that_are_no_numbers_are_left_out() -> None:
    assert decode(([0, 0.9], [np.nan, 0.1, 0.5, 0.5])) == []


def test_the_input_is_red_green_blue_between_minus_one_and_one() -> None:
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[:, :, 0], picture[:, :, 2] = 255, 51

    given = preprocess_ssd(picture, 2, 2)

    np.testing.assert_allclose(given[:, 0, 0], [-0.6, -1, 1], atol=1e-6)


def test_the_network_gets_back_the_pixels_that_the_caffe_path_gives() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)

    back = preprocess_ssd(picture, 32, 16)[::-1] * 127.5 + 127.5

    np.testing.assert_allclose(back, preprocess_caffe(picture, 32, 16), atol=1e-4)
