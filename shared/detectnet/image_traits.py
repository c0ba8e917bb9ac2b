"""What makes a picture look other than in training: a turned EXIF, colours for print. And its hash."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np

from detectnet.images import Image

HASH_SIDE = 8
FLAT = 2.0
"""Grey levels of standard deviation; below, a picture has nothing to be recognised by."""
_ORIENTATION = 0x0112
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA


def jpeg_traits(body: bytes) -> tuple[str, ...]:
    """``exif_rotated`` and ``cmyk`` where they are true of a JPEG file; nothing for other files."""
    traits = []
    for marker, content in _segments(body):
        if marker == 0xE1 and content.startswith(b"Exif\0\0") and _orientation(content[6:]) not in (0, 1):
            traits.append("exif_rotated")
        if marker in _FRAMES and len(content) > 5 and content[5] == 4:
            traits.append("cmyk")
    return tuple(traits)


def perceptual_hash(image: Image) -> int | None:
    """64 bits that hardly change with size and compression; None for a picture without any detail.

    The signs of the 8x8 lowest frequencies against their median.
    """
    grey = cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    if float(grey.std()) < FLAT:
        return None
    low = cv2.dct(grey.astype(np.float32))[:HASH_SIDE, :HASH_SIDE].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _segments(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents up to the first scan."""
    if not body.startswith(b"\xff\xd8"):
        return
    position = 2
    while position + 4 <= len(body) and body[position] == 0xFF:
        marker = body[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack_from(">H", body, position + 2)
        if marker == _SCAN or length < 2:
            return
        yield marker, body[position + 4 : position + 2 + length]
        position += 2 + length


def _orientation(tiff: bytes) -> int:
    """EXIF's orientation, 1 to 8; 0 where there is none, or the block is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 0
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for number in range(count):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * number)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 0
    except struct.error:
        return 0
    return 0
