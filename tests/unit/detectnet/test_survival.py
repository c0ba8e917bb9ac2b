"""All pictures at once give what each picture's own grid gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet.coverage import GroundTruthOptions, cells_owned
from detectnet.survival import pairs_within, without_cell

edges = st.one_of(
    st.integers(-2, 10).map(lambda cell: float(16 * cell)),
    st.floats(-40, 170, width=32),
    st.sampled_from([-1e6, 1e6, 15.999999, 16.000002, 96.0, 128.0]),
)
picture = st.lists(st.tuples(edges, edges, edges, edges), max_size=8)


@pytest.mark.slow
@given(st.lists(picture, max_size=5), st.sampled_from([4, 8, 16, 32]))
@settings(max_examples=300, deadline=None)
def test_equal_to_the_grid_of_each_picture(
    given_pictures: list[list[tuple[float, ...]]], stride: int
) -> None:
    options = GroundTruthOptions(stride=stride)
    boxes = np.array([box for one in given_pictures for box in one], np.float32).reshape(-1, 4)
    numbers = np.repeat(np.arange(len(given_pictures)), [len(one) for one in given_pictures])
    expected = [
        cells_owned(np.array(one, np.float32).reshape(-1, 4), 128, 96, options) == 0 for one in given_pictures
    ]

    found = without_cell(numbers.astype(np.int64), boxes, 128, 96, options)

    assert found.tolist() == [lost for one in expected for lost in one.tolist()]


def test_a_crowd_is_equal_too() -> None:
    rng = np.random.default_rng(7)
    corners = rng.uniform(-10, 120, (200, 2)).astype(np.float32)
    boxes = np.hstack([corners, corners + rng.uniform(1, 40, (200, 2)).astype(np.float32)])

    found = without_cell(np.zeros(200, np.int64), boxes, 128, 96)

    assert (found == (cells_owned(boxes, 128, 96) == 0)).all()
    assert 0 < found.sum() < 200


def test_pairs_are_all_of_a_group_and_none_of_two() -> None:
    groups = np.array([0, 0, 0, 2, 5, 5, 7, 7, 7, 7])

    found = [(a, b) for one, other in pairs_within(groups, 3) for a, b in zip(one, other, strict=True)]

    # The last group has more than three.
    assert sorted(found) == [(0, 1), (0, 2), (1, 2), (4, 5)]
