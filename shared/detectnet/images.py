"""Pictures as arrays: decoding, padding and resizing as DIGITS did. uint8 [H,W,3], B,G,R."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from detectnet.image_files import ImageError, require_sound_file

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]

__all__ = [
    "IMAGE_SUFFIXES", "Boxes", "Image", "ImageError",
    "decode_image", "pad_image", "resize_image", "scale_boxes",
]  # fmt: skip

BAND_ROWS = 64
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm")


def decode_image(body: bytes) -> Image:
    """Decode a file's bytes. Transparent pixels are put on white, as DIGITS does; EXIF turns nothing.

    Raises:
        ImageError: no picture, a truncated one, or one too large.
    """
    require_sound_file(body)
    # Unchanged also means that an EXIF orientation is not applied: boxes belong to the stored pixels.
    try:
        decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"the picture does not decode: {error}") from error
    if decoded is None or decoded.size == 0:
        raise ImageError("the picture does not decode; save it again as PNG or JPEG")
    if decoded.dtype != np.uint8:
        raise ImageError(f"the picture has {decoded.dtype.itemsize * 8} bits a channel; save it with 8")
    if decoded.ndim == 2:
        return np.ascontiguousarray(cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if decoded.shape[2] == 4:
        return _on_white(np.asarray(decoded, np.uint8))
    return np.ascontiguousarray(decoded, dtype=np.uint8)


def pad_image(image: Image, width: int, height: int) -> Image:
    """Put the picture at the top left of a black canvas; boxes stay as they are.

    Raises:
        ImageError: the picture is larger than the canvas.
    """
    image_height, image_width = image.shape[:2]
    if image_width > width or image_height > height:
        raise ImageError(
            f"the picture is {image_width}x{image_height}, larger than the padding {width}x{height}; "
            "pad to at least the largest picture"
        )
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[:image_height, :image_width] = image
    return canvas


def resize_image(image: Image, width: int, height: int) -> Image:
    """Squash to a size, bilinear, without keeping the aspect."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def scale_boxes(boxes_xyxy: Boxes, from_size: tuple[int, int], to_size: tuple[int, int]) -> Boxes:
    """Scale boxes [n,4] along with a picture that goes from (width, height) to (width, height)."""
    ratio_x, ratio_y = to_size[0] / from_size[0], to_size[1] / from_size[1]
    ratios = np.array([ratio_x, ratio_y, ratio_x, ratio_y])
    return np.asarray(boxes_xyxy * ratios, np.float32)


def _on_white(image: Image) -> Image:
    done = np.empty((*image.shape[:2], 3), np.uint8)
    # Band by band: as floats the whole would take nine times the picture's memory.
    for top in range(0, len(image), BAND_ROWS):
        band = image[top : top + BAND_ROWS]
        alpha = band[:, :, 3:].astype(np.float32) / 255
        done[top : top + BAND_ROWS] = np.rint(band[:, :, :3] * alpha + 255 * (1 - alpha))
    return done
