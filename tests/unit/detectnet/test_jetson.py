from __future__ import annotations

import numpy as np

from detectnet.jetson import JetsonDetection, decode_caffe, preprocess_caffe

Votes = dict[tuple[int, int], tuple[float, tuple[float, float, float, float]]]
SIZE = (320, 160)


def decode(votes: Votes, image_size: tuple[int, int] = SIZE, threshold: float = 0.5) -> list[JetsonDetection]:
    coverage, bboxes = np.zeros((1, 10, 20), np.float32), np.zeros((4, 10, 20), np.float32)
    for (x, y), (covered, (left, top, right, bottom)) in votes.items():
        coverage[0, y, x] = covered
        bboxes[:, y, x] = [left - 16 * x, top - 16 * y, right - 16 * x, bottom - 16 * y]
    return decode_caffe(coverage, bboxes, image_size=image_size, network_size=SIZE, threshold=threshold)


def test_one_cell_at_the_threshold_is_a_detection() -> None:
    (found,) = decode({(3, 2): (0.5, (40, 30, 100, 90))})

    assert found == JetsonDetection((40, 30, 100, 90), 0, 0.5)


def test_a_cell_below_the_threshold_is_none() -> None:
    assert decode({(3, 2): (0.49, (40, 30, 100, 90))}) == []


def test_boxes_that_touch_become_their_union_with_the_first_cells_confidence() -> None:
    (found,) = decode({(3, 2): (0.625, (40, 30, 100, 90)), (4, 2): (0.875, (100, 20, 150, 60))})

    assert found.xyxy == (40, 20, 150, 90)
    assert found.confidence == 0.625


def test_boxes_a_pixel_apart_stay_two() -> None:
    found = decode({(3, 2): (0.6, (40, 30, 100, 90)), (4, 2): (0.9, (101, 20, 150, 60))})

    assert len(found) == 2


def test_a_merge_does_not_join_detections_that_stood_apart_before() -> None:
    found = decode(
        {
            (0, 0): (0.75, (0, 0, 40, 40)),
            (5, 0): (0.625, (80, 0, 120, 40)),
            (2, 1): (0.875, (30, 0, 90, 40)),
        }
    )

    assert [detection.xyxy for detection in found] == [(0, 0, 90, 40), (80, 0, 120, 40)]
    assert [detection.confidence for detection in found] == [0.75, 0.625]


def test_cells_are_read_row_by_row() -> None:
    (found,) = decode({(9, 1): (0.625, (40, 10, 100, 90)), (2, 2): (0.875, (40, 30, 100, 90))})

    assert found.confidence == 0.625


def test_classes_share_the_boxes_and_never_merge() -> None:
    coverage, bboxes = np.zeros((2, 10, 20), np.float32), np.zeros((4, 10, 20), np.float32)
    coverage[0, 2, 3], coverage[1, 2, 3] = 0.625, 0.875
    bboxes[:, 2, 3] = [-8, -8, 40, 40]

    found = decode_caffe(coverage, bboxes, image_size=SIZE, network_size=SIZE)

    assert [(detection.class_index, detection.confidence) for detection in found] == [(0, 0.625), (1, 0.875)]
    assert found[0].xyxy == found[1].xyxy == (40, 24, 88, 72)


def test_boxes_are_scaled_to_the_picture() -> None:
    (found,) = decode({(3, 2): (0.5, (40, 30, 100, 90))}, image_size=(640, 480))

    assert found.xyxy == (80, 90, 200, 270)


def test_the_largest_comes_first() -> None:
    found = decode({(0, 0): (0.9, (0, 0, 20, 20)), (10, 4): (0.6, (150, 50, 250, 120))})

    assert [detection.xyxy[0] for detection in found] == [150, 0]


def test_the_order_is_that_of_the_areas_before_clamping() -> None:
    found = decode({(0, 0): (0.9, (0, 0, 60, 60)), (19, 9): (0.6, (310, 150, 600, 400))})

    assert [detection.xyxy for detection in found] == [(310, 150, 319, 159), (0, 0, 60, 60)]


def test_boxes_are_clamped_to_the_last_pixel() -> None:
    (found,) = decode({(3, 2): (0.5, (-10, -20, 400, 160))})

    assert found.xyxy == (0, 0, 319, 159)


def test_a_box_left_of_the_picture_stays_there_as_on_the_robot() -> None:
    (found,) = decode({(0, 0): (0.5, (-60, 10, -20, 50))})

    assert found.xyxy == (0, 10, -20, 50)


def test_a_network_that_ran_away_gives_no_detection() -> None:
    coverage, bboxes = np.full((1, 10, 20), np.nan, np.float32), np.zeros((4, 10, 20), np.float32)
    sure, lost = np.ones((1, 10, 20), np.float32), np.full((4, 10, 20), np.nan, np.float32)

    assert decode_caffe(coverage, bboxes, image_size=SIZE, network_size=SIZE) == []
    assert decode_caffe(sure, lost, image_size=SIZE, network_size=SIZE) == []


def test_the_cell_size_is_rounded_down() -> None:
    coverage, bboxes = np.zeros((1, 3, 3), np.float32), np.zeros((4, 3, 3), np.float32)
    coverage[0, 0, 2] = 0.9
    bboxes[:, 0, 2] = [0, 0, 5, 5]

    (found,) = decode_caffe(coverage, bboxes, image_size=(50, 50), network_size=(50, 50))

    assert found.xyxy == (32, 0, 37, 5)


def test_the_input_is_blue_green_red_planes_of_nought_to_255() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:] = [10, 20, 255]

    planes = preprocess_caffe(image, 3, 2)

    assert planes.shape == (3, 2, 3)
    assert planes.dtype == np.float32
    assert [planes[channel, 0, 0] for channel in range(3)] == [10, 20, 255]


def test_pixels_are_taken_from_the_nearest_source_rounded_down() -> None:
    image = np.zeros((1, 7, 3), np.uint8)
    image[0, :, 0] = range(7)

    assert preprocess_caffe(image, 4, 1)[0, 0].tolist() == [0, 1, 3, 5]


def test_a_picture_of_the_right_size_is_taken_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)

    np.testing.assert_array_equal(preprocess_caffe(image, 48, 32), image.transpose(2, 0, 1))
