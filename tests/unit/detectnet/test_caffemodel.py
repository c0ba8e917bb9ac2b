from __future__ import annotations

import contextlib
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectnet import network
from detectnet.caffemodel import (
    CaffeLayer,
    CaffemodelError,
    detectnet_layers,
    read_caffemodel,
    weights_of,
    write_caffemodel,
)
from detectnet.prototxt import deploy_prototxt
from tests.unit.detectnet.networks import random_weights

SMALL = [
    CaffeLayer(
        "a", "Convolution", ("data",), ("a",), (np.ones((2, 3, 1, 1), np.float32), np.zeros(2, np.float32))
    ),
    CaffeLayer("b", "ReLU", ("a",), ("b",), ()),
]


def field(number: int, content: bytes | int | list[float]) -> bytes:
    """One protobuf field; a list is written as single floats, one by one."""
    if isinstance(content, list):
        return b"".join(bytes([number << 3 | 5]) + struct.pack("<f", value) for value in content)
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all bytes but the last have their highest bit set."""
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


def test_what_is_written_reads_back_the_same() -> None:
    weights = random_weights(1)

    layers = read_caffemodel(write_caffemodel(detectnet_layers(weights, 1)))

    assert [layer.name for layer in layers] == [layer.name for layer in network.convolutions(1)]
    assert {layer.type for layer in layers} == {"Convolution"}
    read = weights_of(layers)
    assert read.keys() == weights.keys()
    for name, values in weights.items():
        np.testing.assert_array_equal(read[name], values)
    assert sum(values.size for values in read.values()) == 5_978_677


def test_opencv_reads_the_same_weights() -> None:
    weights = random_weights(1)
    content = write_caffemodel(detectnet_layers(weights, 1))
    deploy = deploy_prototxt(64, 64, 1).encode()

    loaded = cv2.dnn.readNetFromCaffe(np.frombuffer(deploy, np.uint8), np.frombuffer(content, np.uint8))

    count = 0
    for layer in network.convolutions(1):
        # OpenCV names the box head after its blob.
        index = max(loaded.getLayerId(layer.name), loaded.getLayerId(layer.top))
        weight, bias = loaded.getParam(index, 0), loaded.getParam(index, 1)
        np.testing.assert_array_equal(weight, weights[f"{layer.name}.weight"])
        np.testing.assert_array_equal(bias.ravel(), weights[f"{layer.name}.bias"])
        count += weight.size + bias.size
    assert count == 5_978_677


def test_equal_weights_give_equal_bytes() -> None:
    first, second = (write_caffemodel(detectnet_layers(random_weights(2), 2)) for _ in range(2))

    assert first == second


def test_weights_in_another_memory_order_give_the_same_bytes() -> None:
    turned = [
        CaffeLayer(
            layer.name, layer.type, layer.bottoms, layer.tops, tuple(map(np.asfortranarray, layer.blobs))
        )
        for layer in SMALL
    ]

    assert write_caffemodel(turned) == write_caffemodel(SMALL)


def test_names_and_wiring_are_kept() -> None:
    first, second = read_caffemodel(write_caffemodel(SMALL))

    assert (first.name, first.type, first.bottoms, first.tops) == ("a", "Convolution", ("data",), ("a",))
    assert second.blobs == ()


def test_a_weight_of_the_wrong_shape_is_refused() -> None:
    weights = random_weights(2)

    with pytest.raises(CaffemodelError, match=r"cvg/classifier.weight has the shape \(2, 1024, 1, 1\)"):
        detectnet_layers(weights, 3)


def test_a_missing_weight_is_refused() -> None:
    weights = random_weights(1)
    del weights["inception_4a/3x3.bias"]

    with pytest.raises(KeyError, match="inception_4a/3x3"):
        detectnet_layers(weights, 1)


def test_old_files_with_four_dimensions_and_single_values_are_read() -> None:
    blob = field(1, 1) + field(2, 2) + field(3, 1) + field(4, 3) + field(5, [1, 2, 3, 4, 5, 6])
    bias = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 2) + field(5, struct.pack("<2f", 7, 8))
    layer = (
        field(4, b"conv1")
        + field(5, 4)
        + field(2, b"data")
        + field(3, b"conv1")
        + field(6, blob)
        + field(6, bias)
    )

    (read,) = read_caffemodel(field(2, layer))

    assert (read.name, read.bottoms, read.tops) == ("conv1", ("data",), ("conv1",))
    assert read.blobs[0].tolist() == [[[[1, 2, 3]], [[4, 5, 6]]]]
    assert weights_of([read])["conv1.bias"].tolist() == [7, 8]


def test_double_precision_and_sides_written_one_by_one_are_read() -> None:
    blob = field(7, field(1, 2) + field(1, 1)) + field(8, struct.pack("<2d", 0.5, 0.25))

    (read,) = read_caffemodel(bytes([0xA2, 0x06, len(blob) + 2]) + field(7, blob))

    assert read.blobs[0].tolist() == [[0.5], [0.25]]


def doubles(count: int) -> bytes:
    """Numbers of double precision, each with a tag of its own."""
    return (bytes([8 << 3 | 1]) + struct.pack("<d", 0.5)) * count


@pytest.mark.parametrize(
    "numbers",
    [field(5, [0.5] * 40_000), doubles(40_000), field(5, struct.pack("<f", 0.5)) * 40_000],
    ids=["unpacked floats", "unpacked doubles", "packed one by one"],
)
def test_reading_takes_little_more_memory_than_the_file_however_its_numbers_are_written(
    numbers: bytes,
) -> None:
    blob = field(1, 1) + field(2, 1) + field(3, 1) + field(4, 40_000) + numbers
    content = field(2, field(4, b"conv1") + field(6, blob))
    tracemalloc.start()
    try:
        (read,) = read_caffemodel(content)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (read.blobs[0] == 0.5).all()
    assert read.blobs[0].shape == (1, 1, 1, 40_000)
    assert peak_bytes < 3 * len(content)


def test_a_file_of_empty_layers_or_blobs_is_refused_before_it_unfolds() -> None:
    with pytest.raises(CaffemodelError, match="more than 10000 layers"):
        read_caffemodel(field(2, b"") * 10_001)
    with pytest.raises(CaffemodelError, match="more than 32 blobs"):
        read_caffemodel(field(2, field(6, field(5, struct.pack("<f", 1))) * 33))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"<html>", b"\xff" * 40, bytes(100)])
def test_what_is_no_caffemodel_is_refused(content: bytes) -> None:
    with pytest.raises(CaffemodelError):
        read_caffemodel(content)


def test_a_blob_with_fewer_values_than_its_shape_is_refused() -> None:
    blob = field(7, field(1, b"\x03")) + field(5, struct.pack("<2f", 1, 2))

    with pytest.raises(CaffemodelError, match=r"shape \(3,\) holds 2 values"):
        read_caffemodel(bytes([0xA2, 0x06, len(blob) + 2]) + field(7, blob))


@pytest.mark.parametrize("dims", [b"\x00", b"\x00" + b"\xff" * 9 + b"\x01", b"\x01" * 9])
def test_a_shape_without_values_or_with_too_many_sides_is_refused(dims: bytes) -> None:
    values = struct.pack("<f", 1) if b"\x00" not in dims else b""
    blob = field(7, field(1, dims)) + field(5, values)

    with pytest.raises(CaffemodelError, match="a blob of shape"):
        read_caffemodel(bytes([0xA2, 0x06, len(blob) + 2]) + field(7, blob))


def test_a_shape_beyond_all_numbers_is_refused() -> None:
    huge = b"\xff" * 8 + b"\x7f"
    blob = field(7, field(1, huge + huge)) + field(5, b"")

    with pytest.raises(CaffemodelError, match="holds 0 values"):
        read_caffemodel(bytes([0xA2, 0x06, len(blob) + 2]) + field(7, blob))


def test_a_file_cut_off_anywhere_in_its_last_layer_is_refused() -> None:
    content = write_caffemodel(SMALL[:1])

    for length in range(len(content)):
        if length == len(write_caffemodel([])):
            continue
        with pytest.raises(CaffemodelError):
            read_caffemodel(content[:length])


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: write_caffemodel(SMALL)[:40] + tail))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(CaffemodelError):
        read_caffemodel(content)
