from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectnet.sizes import IllegalSize, grid_shape, nearest_sizes, require_grid_size


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [(640, 640, (40, 40)), (1248, 384, (24, 78)), (720, 480, (30, 45)), (32, 48, (3, 2))],
)
def test_the_grid_has_a_cell_every_sixteen_pixels(width: int, height: int, shape: tuple[int, int]) -> None:
    assert grid_shape(width, height) == shape


def test_a_size_that_does_not_divide_names_the_nearest_that_do() -> None:
    with pytest.raises(IllegalSize) as refused:
        require_grid_size(1920, 1080)

    assert "1920x1080" in str(refused.value)
    assert "1920x1072 and 1920x1088" in str(refused.value)


@pytest.mark.parametrize(("width", "height"), [(0, 32), (32, 0), (-16, 32), (8, 640)])
def test_a_size_without_a_cell_is_refused(width: int, height: int) -> None:
    with pytest.raises(IllegalSize, match="16"):
        grid_shape(width, height)


def test_a_side_of_one_cell_is_refused_because_opencv_cannot_run_it() -> None:
    with pytest.raises(IllegalSize, match="multiples of 16, from 32; the nearest are 640x32"):
        require_grid_size(640, 16)


@given(st.integers(-100, 5000), st.integers(-100, 5000))
def test_every_size_that_is_named_is_legal(width: int, height: int) -> None:
    for size in nearest_sizes(width, height):
        require_grid_size(*(int(side) for side in size.split("x")))
