"""DetectNet's online augmentation: the same draws in the same order and ranges as NVIDIA/caffe's transform.

A sample's draws depend on seed, epoch and sample index only, never on which worker makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.images import Image
from detectnet.network import MEAN_PIXEL

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """Parameters by their names in the network file; the values are those of the published one."""

    crop_prob: float = 1.0
    shift_x: int = 32
    shift_y: int = 32
    flip_prob: float = 0.5
    rotation_prob: float = 0.0
    max_rotate_degree: float = 5.0
    scale_prob: float = 0.4
    scale_min: float = 0.8
    scale_max: float = 1.2
    hue_rotation_prob: float = 0.8
    hue_rotation: float = 30.0
    """Degrees."""
    desaturation_prob: float = 0.8
    desaturation_max: float = 0.8

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> Augmentation:
        """From a job's options, which name every parameter. Raises TypeError for an unknown one."""
        return cls(**{**options, "shift_x": int(options["shift_x"]), "shift_y": int(options["shift_y"])})


@dataclass(frozen=True)
class Draws:
    """What chance decided for one picture."""

    hue_degrees: float
    saturation: float
    """Factor; 1 leaves the colours."""
    flip: bool
    scaled_size: tuple[int, int]
    rotation_degrees: float
    offset: tuple[int, int]
    """Left and top of the crop in the scaled picture; negative pads."""


def sample_generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of one sample in one epoch."""
    return np.random.default_rng([seed, epoch, index])


def draw(options: Augmentation, generator: np.random.Generator, size: tuple[int, int]) -> Draws:
    """Draw for a picture of ``size`` (width, height), which is also the network's input size."""

    def succeeds(probability: float) -> bool:
        # A draw is used up even when nothing comes of it.
        return bool(generator.random() <= probability)

    width, height = size
    hue = saturation = rotation = 0.0
    if succeeds(options.hue_rotation_prob):
        hue = float(np.clip((2 * generator.random() - 1) * options.hue_rotation, -180, 180))
    saturation = 1.0
    if succeeds(options.desaturation_prob):
        saturation = 1 - generator.random() * options.desaturation_max
    flip = succeeds(options.flip_prob)
    scaled = size
    if succeeds(options.scale_prob):
        factor = options.scale_min + (options.scale_max - options.scale_min) * generator.random()
        scaled = (round(width * factor), round(height * factor))
    if succeeds(options.rotation_prob):
        rotation = (2 * generator.random() - 1) * options.max_rotate_degree
    before = _rotated_size(scaled, rotation)
    if succeeds(options.crop_prob):
        share_x, share_y = generator.random(), generator.random()
        shift_x, shift_y = options.shift_x, options.shift_y
    else:
        share_x = share_y = 0.5
        shift_x = shift_y = 0
    offset = (
        round(share_x * (before[0] - width + shift_x) - shift_x // 2),
        round(share_y * (before[1] - height + shift_y) - shift_y // 2),
    )
    return Draws(hue, saturation, flip, scaled, rotation, offset)


def apply_to_image(image: Image, draws: Draws, mean: FloatArray | None = None) -> FloatArray:
    """The augmented picture float32 [H,W,3], 0-255, of the same size; empty places have the mean colour.

    ``mean`` [1,1,3] or [H,W,3] is subtracted before the picture is moved, and is not added again.
    """
    height, width = image.shape[:2]
    pixels: FloatArray = np.asarray(image, np.float32) / np.float32(255)
    if draws.hue_degrees or draws.saturation < 1 - 1 / 255:
        pixels = _shift_colours(pixels, draws.hue_degrees, draws.saturation)
    pixels = pixels - np.float32(MEAN_PIXEL / 255)
    if mean is not None:
        pixels = pixels - mean / np.float32(255)
    if draws.flip:
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    if draws.scaled_size != (width, height):
        pixels = np.asarray(cv2.resize(pixels, draws.scaled_size, interpolation=cv2.INTER_CUBIC), np.float32)
    if draws.rotation_degrees:
        matrix, size = _rotation(draws.scaled_size, draws.rotation_degrees)
        pixels = np.asarray(cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    return _crop(pixels, draws.offset, (width, height)) * np.float32(255) + np.float32(MEAN_PIXEL)


def apply_to_boxes(boxes_xyxy: FloatArray, draws: Draws, size: tuple[int, int]) -> FloatArray:
    """Boxes [n,4] moved along with the picture of ``size`` (width, height); not clipped.

    A flip sets left to width - left - box width - 1, as the original does.
    """
    boxes = boxes_xyxy.astype(np.float64)
    if draws.flip:
        boxes[:, [0, 2]] = size[0] - boxes[:, [2, 0]] - 1
    boxes *= np.array([draws.scaled_size[0] / size[0], draws.scaled_size[1] / size[1]] * 2)
    if draws.rotation_degrees:
        matrix, _ = _rotation(draws.scaled_size, draws.rotation_degrees)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        moved = centres @ matrix[:, :2].T + matrix[:, 2]
        boxes += np.tile(moved - centres, 2)
    return (boxes - np.tile(np.array(draws.offset, np.float64), 2)).astype(np.float32)


def _shift_colours(pixels: FloatArray, hue_degrees: float, saturation: float) -> FloatArray:
    hsv = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV), np.float32)
    hsv[:, :, 0] = (hsv[:, :, 0] + hue_degrees) % 360
    hsv[:, :, 1] *= saturation
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.float32)


def _rotated_size(size: tuple[int, int], degrees: float) -> tuple[int, int]:
    return size if not degrees else _rotation(size, degrees)[1]


def _rotation(size: tuple[int, int], degrees: float) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """Matrix [2,3] of the turn about the centre into the bounding size, and that size."""
    width, height = size
    radians = np.deg2rad(abs(degrees))
    bound_width = round(width * np.cos(radians) + height * np.sin(radians))
    bound_height = round(width * np.sin(radians) + height * np.cos(radians))
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    matrix[:, 2] += (bound_width - width) / 2, (bound_height - height) / 2
    return matrix, (int(bound_width), int(bound_height))


def _crop(pixels: FloatArray, offset: tuple[int, int], size: tuple[int, int]) -> FloatArray:
    width, height = size
    canvas = np.zeros((height, width, 3), np.float32)
    left, top = offset
    source = pixels[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    y, x = max(-top, 0), max(-left, 0)
    visible = source[: max(height - y, 0), : max(width - x, 0)]
    canvas[y : y + visible.shape[0], x : x + visible.shape[1]] = visible
    return canvas
