from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet import image_files
from detectnet.images import Image, ImageError, decode_image, pad_image, resize_image, scale_boxes

SUFFIXES = [".png", ".jpg", ".bmp", ".ppm"]


def picture(width: int = 40, height: int = 30) -> Image:
    across = np.linspace(0, 255, width, dtype=np.uint8)
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = across
    image[:, :, 2] = 255 - across
    return image


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    done, body = cv2.imencode(suffix, image)
    assert done
    return body.tobytes()


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm"])
def test_lossless_pictures_come_back_as_blue_green_red(suffix: str) -> None:
    decoded = decode_image(encoded(picture(), suffix))

    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, picture())


def test_a_jpeg_comes_back_nearly_the_same() -> None:
    difference = decode_image(encoded(picture(), ".jpg")).astype(int) - picture()

    assert np.abs(difference).mean() < 6


def test_grey_becomes_three_equal_channels() -> None:
    decoded = decode_image(encoded(picture()[:, :, 0]))

    np.testing.assert_array_equal(decoded, np.repeat(picture()[:, :, :1], 3, axis=2))


def test_transparent_pixels_are_put_on_white() -> None:
    image = np.zeros((2, 3, 4), np.uint8)
    image[0, :, 3] = 255
    image[1, :, 3] = 51

    decoded = decode_image(encoded(image))

    assert (decoded[0] == 0).all()
    assert (decoded[1] == 204).all()


def test_sixteen_bits_a_channel_are_refused_with_advice() -> None:
    with pytest.raises(ImageError, match="16 bits a channel; save it with 8"):
        decode_image(encoded(picture().astype(np.uint16)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_a_picture_that_is_cut_off_is_refused(suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    body = encoded(noise, suffix)

    with pytest.raises(ImageError, match=r"cut off|bytes of"):
        decode_image(body[: int(len(body) * share)])


@pytest.mark.parametrize(
    "body", [b"", b"GIF89a", b"no picture", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"P6"]
)
def test_what_is_no_picture_is_refused(body: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(body)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bytes_after_the_end_of_a_picture_do_no_harm(suffix: str) -> None:
    decoded = decode_image(encoded(picture(), suffix) + bytes(10_000))

    assert decoded.shape == (30, 40, 3)


def test_a_thumbnail_inside_a_cut_off_jpeg_does_not_hide_the_cut() -> None:
    body = encoded(picture(400, 300), ".jpg")
    thumbnail = encoded(picture(8, 8), ".jpg")
    with_thumbnail = body[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + body[2:]

    assert decode_image(with_thumbnail).shape == (300, 400, 3)
    with pytest.raises(ImageError, match="cut off"):
        decode_image(with_thumbnail[:-40])


def test_a_small_file_that_asks_for_many_pixels_is_not_decoded() -> None:
    with pytest.raises(ImageError, match="30000x30000, more than"):
        decode_image(png_of_size(30_000, 30_000))


def test_a_header_without_pixels_behind_it_is_refused() -> None:
    with pytest.raises(ImageError):
        decode_image(png_of_size(64, 64))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_size_is_read_without_decoding(suffix: str) -> None:
    assert image_files.require_sound_file(encoded(picture(64, 48), suffix)) == (64, 48)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.sampled_from(SUFFIXES), st.integers(0, 2000), st.integers(1, 255))
def test_a_damaged_picture_is_decoded_or_refused_and_nothing_else(suffix: str, at: int, flip: int) -> None:
    body = bytearray(encoded(picture(), suffix))
    body[at % len(body)] ^= flip

    try:
        decoded = decode_image(bytes(body))
    except ImageError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.shape[2] == 3


def test_padding_puts_the_picture_at_the_top_left_of_black() -> None:
    padded = pad_image(picture(40, 30), 64, 48)

    assert padded.shape == (48, 64, 3)
    np.testing.assert_array_equal(padded[:30, :40], picture())
    assert not padded[30:].any()
    assert not padded[:, 40:].any()


def test_a_picture_larger_than_the_padding_is_refused() -> None:
    with pytest.raises(ImageError, match="40x30, larger than the padding 64x16"):
        pad_image(picture(), 64, 16)


def test_resizing_squashes_without_keeping_the_aspect() -> None:
    assert resize_image(picture(40, 30), 16, 64).shape == (64, 16, 3)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    np.testing.assert_array_equal(resize_image(picture(), 40, 30), picture())


def test_boxes_follow_the_picture() -> None:
    boxes = np.array([[10, 20, 30, 40]], np.float32)

    np.testing.assert_allclose(scale_boxes(boxes, (100, 200), (50, 400)), [[5, 40, 15, 80]])
