from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from detectnet.recipes import AUGMENTATION
from detectnet_trainer.augment import (
    Augmentation,
    Draws,
    apply_to_boxes,
    apply_to_image,
    draw,
    sample_generator,
)

SIZE = (320, 240)
PUBLISHED = Augmentation()


class Scripted(np.random.Generator):
    """Gives the numbers it was told, and counts them."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__(np.random.PCG64(0))
        self.numbers = numbers

    def random(self, *_: object, **__: object) -> float:  # type: ignore[override] # scalars only
        return self.numbers.pop(0)


def drawn(count: int, options: Augmentation = PUBLISHED) -> list[Draws]:
    return [draw(options, sample_generator(0, 0, index), SIZE) for index in range(count)]


def marked(centre: tuple[int, int], half: int = 12) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """A grey picture with one white block, and the block's box."""
    image = np.full((SIZE[1], SIZE[0], 3), 80, np.uint8)
    x, y = centre
    cv2.rectangle(image, (x - half, y - half), (x + half - 1, y + half - 1), (255, 255, 255), -1)
    return image, np.array([[x - half, y - half, x + half, y + half]], np.float32)


def block_in(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The box around what is white in the picture."""
    ys, xs = np.nonzero(pixels.min(axis=2) > 200)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float64)


def test_the_defaults_are_those_of_the_published_network_file() -> None:
    assert Augmentation.of_options(AUGMENTATION) == PUBLISHED


def test_draws_come_in_the_published_order_and_a_value_follows_success_only() -> None:
    numbers = [0.5, 0.75, 0.5, 0.25, 0.4, 0.3, 0.5, 0.9, 0.9, 0.25, 0.5]
    generator = Scripted(list(numbers))
    found = draw(PUBLISHED, generator, SIZE)

    assert generator.numbers == []
    assert found == Draws(
        hue_degrees=15.0,  # (2 * 0.75 - 1) * 30
        saturation=0.8,  # 1 - 0.25 * 0.8
        flip=True,
        scaled_size=(320, 240),  # 0.8 + 0.4 * 0.5
        rotation_degrees=0.0,  # its test drew 0.9
        offset=(round(0.25 * 32 - 16), round(0.5 * 32 - 16)),  # The crop's test drew 0.9 as well.
    )


def test_failed_tests_use_up_their_draw() -> None:
    generator = Scripted([0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5])
    found = draw(PUBLISHED, generator, SIZE)

    assert generator.numbers == []
    assert found == Draws(0.0, 1.0, False, SIZE, 0.0, (0, 0))


def test_ranges_are_the_published_ones() -> None:
    draws = drawn(2000)
    hues = [item.hue_degrees for item in draws]
    unscaled = [item.offset for item in draws if item.scaled_size == SIZE]
    widths = [item.scaled_size[0] for item in draws]

    assert -30 <= min(hues) < -28
    assert 28 < max(hues) <= 30
    assert 0.2 <= min(item.saturation for item in draws) < 0.22
    assert min(widths) in (256, 257)
    assert max(widths) in (383, 384)
    assert min(min(offset) for offset in unscaled) == -16
    assert max(max(offset) for offset in unscaled) == 16
    assert 0.45 < np.mean([item.flip for item in draws]) < 0.55
    assert {item.rotation_degrees for item in draws} == {0.0}


@pytest.mark.parametrize(("scale", "least", "most"), [(1.2, -16, 144), (0.8, -112, -16)])
def test_a_scaled_picture_is_cropped_or_padded_within_its_range(scale: float, least: int, most: int) -> None:
    options = Augmentation(scale_prob=1.0, scale_min=scale, scale_max=scale)
    draws = [draw(options, sample_generator(0, 0, index), (640, 640)) for index in range(1000)]
    lefts = [item.offset[0] for item in draws]

    assert min(lefts) in (least, least + 1)
    assert max(lefts) in (most, most - 1)


def test_without_a_crop_the_scaled_picture_is_centred() -> None:
    options = Augmentation(crop_prob=-1.0, scale_prob=1.0, scale_min=1.2, scale_max=1.2)

    assert {item.offset for item in drawn(20, options)} == {(32, 24)}


def test_a_samples_draws_depend_on_seed_epoch_and_index_only() -> None:
    reference = draw(PUBLISHED, sample_generator(5, 2, 7), SIZE)

    assert draw(PUBLISHED, sample_generator(5, 2, 7), SIZE) == reference
    for other in ((6, 2, 7), (5, 3, 7), (5, 2, 8)):
        assert draw(PUBLISHED, sample_generator(*other), SIZE) != reference


@pytest.mark.parametrize("centre", [(90, 70), (200, 150), (160, 120)])
@pytest.mark.parametrize(
    "change",
    [
        {"flip": True},
        {"scaled_size": (384, 288), "offset": (20, 30)},
        {"scaled_size": (256, 192), "offset": (-40, -30)},
        {"offset": (-16, 9)},
        {"rotation_degrees": 5.0, "offset": (10, 12)},
        {"flip": True, "scaled_size": (352, 264), "rotation_degrees": -4.0, "offset": (25, 5)},
    ],
    ids=["flip", "enlarge", "shrink", "shift", "rotate", "all"],
)
def test_a_drawn_block_moves_with_its_box(centre: tuple[int, int], change: dict[str, object]) -> None:
    values: dict[str, object] = {
        "hue_degrees": 0.0, "saturation": 1.0, "flip": False, "scaled_size": SIZE, "rotation_degrees": 0.0,
        "offset": (0, 0),
    }  # fmt: skip
    draws = Draws(**(values | change))  # type: ignore[arg-type] # a table of mixed types
    image, boxes = marked(centre)
    found = block_in(apply_to_image(image, draws))
    box = apply_to_boxes(boxes, draws, SIZE)[0]

    # The original's flip is one pixel off, and a turned block is a little larger than its box.
    assert np.abs(found - box).max() <= 2.6, (found, box)
    assert np.abs((found[:2] + found[2:]) / 2 - (box[:2] + box[2:]) / 2).max() <= 1.6


def test_the_flip_is_one_pixel_off_as_in_the_original() -> None:
    draws = Draws(0.0, 1.0, True, SIZE, 0.0, (0, 0))
    boxes = np.array([[10, 20, 50, 90]], np.float32)

    # width - left - box width - 1 = 320 - 10 - 40 - 1
    assert apply_to_boxes(boxes, draws, SIZE).tolist() == [[269, 20, 309, 90]]


def test_places_without_picture_have_the_mean_colour() -> None:
    image, _ = marked((160, 120))
    pixels = apply_to_image(image, Draws(0.0, 1.0, False, (256, 192), 0.0, (-40, -30)))

    assert np.unique(pixels[:30]).tolist() == [127]
    assert np.unique(pixels[:, :40]).tolist() == [127]
    assert np.unique(pixels[30 + 192 :]).tolist() == [127]
    assert np.unique(pixels[:, 40 + 256 :]).tolist() == [127]


def test_boxes_are_not_clipped() -> None:
    boxes = apply_to_boxes(
        np.array([[0, 0, 30, 30]], np.float32), Draws(0, 1, False, SIZE, 0, (16, 16)), SIZE
    )

    assert boxes.tolist() == [[-16, -16, 14, 14]]


def test_without_any_change_the_picture_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3)).astype(np.uint8)
    pixels = apply_to_image(image, Draws(0.0, 1.0, False, SIZE, 0.0, (0, 0)))

    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, image, atol=1e-3)


def test_hue_turns_the_colour_circle_and_keeps_the_value() -> None:
    blue = np.full((SIZE[1], SIZE[0], 3), (200, 0, 0), np.uint8)
    turned = apply_to_image(blue, Draws(30.0, 1.0, False, SIZE, 0.0, (0, 0)))[0, 0]

    # From blue by 30 degrees towards magenta: half red.
    np.testing.assert_allclose(turned, [200, 0, 100], atol=0.5)


def test_desaturation_pulls_towards_grey() -> None:
    blue = np.full((SIZE[1], SIZE[0], 3), (200, 0, 0), np.uint8)
    paler = apply_to_image(blue, Draws(0.0, 0.5, False, SIZE, 0.0, (0, 0)))[0, 0]

    np.testing.assert_allclose(paler, [200, 100, 100], atol=0.5)


def test_a_turned_picture_has_its_middle_in_the_middle_of_its_bounding_size() -> None:
    image, _ = marked((160, 120))
    block = block_in(apply_to_image(image, Draws(0.0, 1.0, False, SIZE, 5.0, (0, 0))))
    radians = np.deg2rad(5)
    bounding = (
        320 * np.cos(radians) + 240 * np.sin(radians),
        320 * np.sin(radians) + 240 * np.cos(radians),
    )

    assert block[0] + block[2] == pytest.approx(bounding[0], abs=2)
    assert block[1] + block[3] == pytest.approx(bounding[1], abs=2)
