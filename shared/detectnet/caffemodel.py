"""Caffe's weight files, read and written as protobuf wire format: no Caffe and no generated classes.

Fields, from caffe.proto: NetParameter.name 1, .layers (V1) 2, .layer 100; LayerParameter.name 1, .type 2,
.bottom 3, .top 4, .blobs 7; V1LayerParameter.name 4, .blobs 6; BlobProto.num..width 1-4, .data 5,
.shape 7, .double_data 8; BlobShape.dim 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet import network

FloatArray = npt.NDArray[np.float32]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DIMENSIONS = 8
MAX_LAYERS = 10_000
MAX_BLOBS = 32
"""Of one layer. Both are far above any network's; a file of empty ones is refused, as it would unfold."""


class CaffemodelError(ValueError):
    """The bytes are no Caffe weight file."""


@dataclass(frozen=True)
class CaffeLayer:
    """A layer's name, wiring and blobs (weights first, then bias)."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[FloatArray, ...]


def write_caffemodel(layers: Sequence[CaffeLayer], name: str = "DetectNet") -> bytes:
    """The file's bytes; equal layers give equal bytes."""
    return b"".join([_bytes_field(1, name.encode()), *(_bytes_field(100, _layer(layer)) for layer in layers)])


def read_caffemodel(content: bytes) -> list[CaffeLayer]:
    """Layers with their blobs, of new and of V1 files, in file order.

    Raises:
        CaffemodelError: the bytes are cut off or something else.
    """
    layers = []
    for field, _, value in _fields(memoryview(content)):
        if field == 100 and isinstance(value, memoryview):
            layers.append(_read_layer(value, name=1, layer_type=2, bottom=3, top=4, blobs=7))
        elif field == 2 and isinstance(value, memoryview):
            layers.append(_read_layer(value, name=4, layer_type=0, bottom=2, top=3, blobs=6))
        if len(layers) > MAX_LAYERS:
            raise CaffemodelError(f"the file has more than {MAX_LAYERS} layers; is it a .caffemodel?")
    if not layers:
        raise CaffemodelError("the file holds no layer; is it a .caffemodel?")
    return layers


def detectnet_layers(weights: Mapping[str, FloatArray], classes: int) -> list[CaffeLayer]:
    """DetectNet's layers with weights, from ``<layer>.weight`` and ``<layer>.bias``.

    Raises:
        KeyError: a parameter is missing.
        CaffemodelError: one has the wrong shape.
    """
    shapes = network.parameter_shapes(classes)
    for parameter, shape in shapes.items():
        if weights[parameter].shape != shape:
            raise CaffemodelError(f"{parameter} has the shape {weights[parameter].shape}, not {shape}")
    return [
        CaffeLayer(
            conv.name,
            "Convolution",
            (conv.bottom,),
            (conv.top,),
            (weights[f"{conv.name}.weight"], weights[f"{conv.name}.bias"]),
        )
        for conv in network.convolutions(classes)
    ]


def weights_of(layers: Sequence[CaffeLayer]) -> dict[str, FloatArray]:
    """``<layer>.weight`` and ``<layer>.bias`` of all layers that have them."""
    weights: dict[str, FloatArray] = {}
    for layer in layers:
        for suffix, blob in zip(("weight", "bias"), layer.blobs, strict=False):
            weights[f"{layer.name}.{suffix}"] = blob.reshape(-1) if suffix == "bias" else blob
    return weights


def write_blob(blob: FloatArray) -> bytes:
    """A BlobProto of its own, such as ``mean.binaryproto``."""
    return _blob(blob)


def read_blob(content: bytes) -> FloatArray:
    """An array out of a BlobProto, with new or old fields for its shape. Raises CaffemodelError."""
    return _read_blob(memoryview(content))


def _layer(layer: CaffeLayer) -> bytes:
    parts = [_bytes_field(1, layer.name.encode()), _bytes_field(2, layer.type.encode())]
    parts += [_bytes_field(3, bottom.encode()) for bottom in layer.bottoms]
    parts += [_bytes_field(4, top.encode()) for top in layer.tops]
    parts += [_bytes_field(7, _blob(blob)) for blob in layer.blobs]
    return b"".join(parts)


def _blob(blob: FloatArray) -> bytes:
    shape = _bytes_field(1, b"".join(_varint(side) for side in blob.shape))
    data = np.ascontiguousarray(blob, dtype="<f4").tobytes()
    return _bytes_field(7, shape) + _bytes_field(5, data)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_layer(
    content: memoryview, *, name: int, layer_type: int, bottom: int, top: int, blobs: int
) -> CaffeLayer:
    texts: dict[int, list[str]] = {name: [], layer_type: [], bottom: [], top: []}
    arrays = []
    for field, wire, value in _fields(content):
        if wire == BYTES and isinstance(value, memoryview):
            if field == blobs:
                arrays.append(_read_blob(value))
                if len(arrays) > MAX_BLOBS:
                    raise CaffemodelError(f"a layer has more than {MAX_BLOBS} blobs; is it a .caffemodel?")
            elif field in texts:
                texts[field].append(bytes(value).decode("utf-8", "replace"))
    names, types = texts[name], texts[layer_type]
    return CaffeLayer(
        names[-1] if names else "",
        types[-1] if types else "",
        tuple(texts[bottom]),
        tuple(texts[top]),
        tuple(arrays),
    )


def _read_blob(content: memoryview) -> FloatArray:
    dims: list[int] = []
    legacy: dict[int, int] = {}
    # One buffer for all pieces: unpacked files tag every number; an array for each takes many times that.
    numbers = {"<f4": bytearray(), "<f8": bytearray()}
    for field, wire, value in _fields(content):
        if field == 7 and isinstance(value, memoryview):
            dims = _read_shape(value)
        elif field in (1, 2, 3, 4) and isinstance(value, int):
            legacy[field] = value
        elif field in (5, 8) and isinstance(value, memoryview):
            kind = "<f8" if field == 8 or wire == FIXED64 else "<f4"
            if len(value) % np.dtype(kind).itemsize:
                raise CaffemodelError("a blob's data is cut off")
            numbers[kind] += value
    # A file has one kind of them.
    kind = "<f8" if numbers["<f8"] else "<f4"
    data = np.frombuffer(numbers[kind], kind).astype(np.float32, copy=False)
    shape = dims or [legacy.get(field, 1) for field in (1, 2, 3, 4)]
    if len(shape) > MAX_DIMENSIONS or min(shape) < 1 or math.prod(shape) != data.size:
        raise CaffemodelError(f"a blob of shape {tuple(shape)} holds {data.size} values")
    return data.reshape(shape)


def _read_shape(content: memoryview) -> list[int]:
    dims: list[int] = []
    for field, _, value in _fields(content):
        if field != 1:
            continue
        if isinstance(value, int):
            dims.append(value)
            continue
        position = 0
        while position < len(value):
            dim, position = _read_varint(value, position)
            dims.append(dim)
    return dims


def _fields(content: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of each field."""
    position = 0
    while position < len(content):
        tag, position = _read_varint(content, position)
        wire = tag & 7
        if wire == VARINT:
            number, position = _read_varint(content, position)
            yield tag >> 3, wire, number
            continue
        if wire == BYTES:
            length, position = _read_varint(content, position)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise CaffemodelError("the bytes are no protobuf message; is it a .caffemodel?")
        if position + length > len(content):
            raise CaffemodelError("the file is cut off; copy it again")
        yield tag >> 3, wire, content[position : position + length]
        position += length


def _read_varint(content: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise CaffemodelError("the file is cut off; copy it again")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise CaffemodelError("the bytes are no protobuf message; is it a .caffemodel?")
