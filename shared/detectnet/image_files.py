"""What a picture file says about itself before it is decoded: its size, and whether it is all there.

Decoders fill what is missing of a cut-off file with grey and say nothing, and a file of a few kilobytes may
ask for gigabytes of pixels. Only the formats that DIGITS took are known: PNG, JPEG, BMP, PPM.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

MAX_PIXELS = 100_000_000
"""A picture of more is not decoded; it would take 300 MB and more."""

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN = 0xDA
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_PNG_SAMPLES = {0: 1, 2: 3}
"""By colour type; the others may have transparency, and come as four."""
_PPM_HEADER = re.compile(rb"P([2356])(?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})")


class ImageError(ValueError):
    """A picture that cannot be used; the text says why."""


def require_sound_file(body: bytes) -> tuple[int, int]:
    """Width and height in pixels, of a picture file's bytes.

    Raises:
        ImageError: an unknown format, a file that is cut off, or one with more than MAX_PIXELS.
    """
    for start, read_size in _FORMATS.items():
        if body.startswith(start):
            width, height = read_size(body)
            if width < 1 or height < 1:
                raise ImageError(f"the picture is {width}x{height}; save it again as PNG or JPEG")
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"the picture is {width}x{height}, more than {MAX_PIXELS} pixels; make it smaller"
                )
            return width, height
    raise ImageError("the file is no PNG, JPEG, BMP or PPM picture; save it again as PNG or JPEG")


def decoding_bytes(body: bytes) -> int:
    """At most so much memory is taken while ``decode_image`` works on a sound file. Raises as before."""
    width, height = require_sound_file(body)
    return width * height * _pixel_bytes(body)


def _pixel_bytes(body: bytes) -> int:
    """Of a pixel as the decoder gives it, and of three more bytes where that is not the form asked for."""
    if body.startswith(b"\x89PNG"):
        depth, kind = body[24], body[25]
        samples = _PNG_SAMPLES.get(kind, 4)
        return (samples * 2 if depth > 8 else samples) + (3 if samples != 3 else 0)
    if body.startswith(b"\xff\xd8"):
        return 4
    return 7


def _png_size(body: bytes) -> tuple[int, int]:
    position = 8
    while position + 12 <= len(body):
        (length,) = struct.unpack_from(">I", body, position)
        kind = body[position + 4 : position + 8]
        position += 12 + length
        if kind == b"IEND" and position <= len(body):
            width, height = struct.unpack_from(">II", body, 16)
            return width, height
    raise ImageError("the PNG file is cut off; copy it again")


def _jpeg_size(body: bytes) -> tuple[int, int]:
    """Walks the segments to the first scan; a thumbnail in a segment has an end mark of its own."""
    size = None
    position = 2
    while position + 4 <= len(body) and body[position] == 0xFF:
        marker = body[position + 1]
        if marker == 0xFF or marker in _JPEG_ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", body, position + 2)
        if marker in _JPEG_SIZES and position + 9 <= len(body):
            height, width = struct.unpack_from(">HH", body, position + 5)
            size = (width, height)
        position += 2 + length
        if marker == _JPEG_SCAN:
            if size is None or body.rfind(b"\xff\xd9", position) < 0:
                break
            return size
    raise ImageError("the JPEG file is cut off; copy it again")


def _bmp_size(body: bytes) -> tuple[int, int]:
    if len(body) < 26:
        raise ImageError("the BMP file is cut off; copy it again")
    (promised,) = struct.unpack_from("<I", body, 2)
    if len(body) < promised:
        raise ImageError(f"the BMP file has {len(body)} bytes of {promised}; copy it again")
    width, height = struct.unpack_from("<ii", body, 18)
    return width, abs(height)


def _ppm_size(body: bytes) -> tuple[int, int]:
    header = _PPM_HEADER.match(body)
    if header is None:
        raise ImageError("the PPM file's header cannot be read; save it again as PNG")
    kind, width, height = (int(part) for part in header.groups())
    # Digits and blanks, of the text kinds, take at least as many bytes as the samples of the binary ones.
    needed = width * height * (3 if kind in (3, 6) else 1)
    if len(body) - header.end() < needed:
        raise ImageError("the PPM file is cut off; copy it again")
    return width, height


_FORMATS: dict[bytes, Callable[[bytes], tuple[int, int]]] = {
    b"\x89PNG\r\n\x1a\n": _png_size,
    b"\xff\xd8": _jpeg_size,
    b"BM": _bmp_size,
    b"P2": _ppm_size,
    b"P3": _ppm_size,
    b"P5": _ppm_size,
    b"P6": _ppm_size,
}
