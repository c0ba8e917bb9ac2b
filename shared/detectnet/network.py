"""DetectNet's layers as data: GoogLeNet without pool4, with a coverage head and a box head.

One table serves the PyTorch model, the prototxt writer, the caffemodel writer and the ONNX writer. Names are
Caffe's, so that published GoogLeNet weights match by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

INPUT = "data"
COVERAGE = "coverage"
BBOXES = "bboxes"
COVERAGE_HEAD = "cvg/classifier"
BBOX_HEAD = "bbox/regressor"
FEATURES = 1024
DROPOUT_RATIO = 0.4
MEAN_PIXEL = 127.0
"""Subtracted from every channel inside the network."""

LRN_SIZE, LRN_ALPHA, LRN_BETA, LRN_K = 5, 1e-4, 0.75, 1.0
BACKBONE_BIAS = 0.2


@dataclass(frozen=True)
class Convolution:
    """A convolution with bias; followed by a ReLU unless it is a head."""

    name: str
    bottom: str
    top: str
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    pad: int = 0
    relu: str | None = None
    """Name of the ReLU layer, which works in place."""
    weight_lr_mult: float = 1.0
    bias_lr_mult: float = 2.0
    bias_value: float = BACKBONE_BIAS


@dataclass(frozen=True)
class Pooling:
    """Max pooling; sizes are rounded up, as Caffe does."""

    name: str
    bottom: str
    top: str
    kernel: int
    stride: int
    pad: int = 0


@dataclass(frozen=True)
class Normalisation:
    """Local response normalisation across 5 channels, alpha 1e-4, beta 0.75, k 1."""

    name: str
    bottom: str
    top: str


@dataclass(frozen=True)
class Concatenation:
    """Channels of several layers, one after another."""

    name: str
    bottoms: tuple[str, ...]
    top: str


@dataclass(frozen=True)
class Shift:
    """Subtracts the mean pixel: Caffe's Power layer."""

    name: str
    bottom: str
    top: str


@dataclass(frozen=True)
class Dropout:
    """The identity outside training."""

    name: str
    bottom: str
    top: str


@dataclass(frozen=True)
class Sigmoid:
    """Turns the coverage head's output into 0-1."""

    name: str
    bottom: str
    top: str


Layer = Convolution | Pooling | Normalisation | Concatenation | Shift | Dropout | Sigmoid


@dataclass(frozen=True)
class Inception:
    """Output channels of one inception module's branches."""

    name: str
    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool_proj: int

    @property
    def outputs(self) -> int:
        """Channels of the concatenation."""
        return self.one + self.three + self.five + self.pool_proj


MODULES = (
    Inception("3a", 64, 96, 128, 16, 32, 32),
    Inception("3b", 128, 128, 192, 32, 96, 64),
    Inception("4a", 192, 96, 208, 16, 48, 64),
    Inception("4b", 160, 112, 224, 24, 64, 64),
    Inception("4c", 128, 128, 256, 24, 64, 64),
    Inception("4d", 112, 144, 288, 32, 64, 64),
    Inception("4e", 256, 160, 320, 32, 128, 128),
    Inception("5a", 256, 160, 320, 32, 128, 128),
    Inception("5b", 384, 192, 384, 48, 128, 128),
)
POOL_AFTER = {"3b": "pool3/3x3_s2"}


def layers(classes: int) -> tuple[Layer, ...]:
    """All layers from ``data`` (B,G,R, 0-255) to ``coverage`` and ``bboxes``, in order."""
    return (*_stem(), *_modules(), *_heads(classes))


def convolutions(classes: int) -> tuple[Convolution, ...]:
    """The 59 layers that have weights."""
    return tuple(layer for layer in layers(classes) if isinstance(layer, Convolution))


def parameter_shapes(classes: int) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter: ``<layer>.weight`` [out,in,kh,kw] and ``<layer>.bias`` [out]."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in convolutions(classes):
        shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        shapes[f"{layer.name}.bias"] = (layer.outputs,)
    return shapes


def pooled_side(side: int, kernel: int, stride: int, pad: int) -> int:
    """Side of a pooled map: rounded up, and no window may begin in the padding (Caffe's rule)."""
    pooled = -(-(side + 2 * pad - kernel) // stride) + 1
    if pad and (pooled - 1) * stride >= side + pad:
        pooled -= 1
    return pooled


def layer_shapes(width: int, height: int, classes: int) -> list[tuple[Layer, tuple[int, int, int]]]:
    """Each layer and its output's channels, rows and columns, in order."""
    sizes = {INPUT: (3, height, width)}
    shapes = []
    for layer in layers(classes):
        shape = _shape_after(layer, sizes)
        sizes[layer.top] = shape
        shapes.append((layer, shape))
    return shapes


def _shape_after(layer: Layer, sizes: Mapping[str, tuple[int, int, int]]) -> tuple[int, int, int]:
    match layer:
        case Concatenation(_, bottoms, _):
            channels = sum(sizes[bottom][0] for bottom in bottoms)
            _, height, width = sizes[bottoms[0]]
            return channels, height, width
        case Convolution():
            _, height, width = sizes[layer.bottom]
            return layer.outputs, _side(height, layer), _side(width, layer)
        case Pooling():
            channels, height, width = sizes[layer.bottom]
            rows, columns = (
                pooled_side(side, layer.kernel, layer.stride, layer.pad) for side in (height, width)
            )
            return channels, rows, columns
        case _:
            return sizes[layer.bottom]


def _side(side: int, layer: Convolution) -> int:
    return (side + 2 * layer.pad - layer.kernel) // layer.stride + 1


def _stem() -> Iterator[Layer]:
    yield Shift("deploy_transform", INPUT, "transformed_data")
    yield _conv("conv1/7x7_s2", "transformed_data", 3, 64, 7, "conv1/relu_7x7", stride=2, pad=3)
    yield Pooling("pool1/3x3_s2", "conv1/7x7_s2", "pool1/3x3_s2", 3, 2)
    yield Normalisation("pool1/norm1", "pool1/3x3_s2", "pool1/norm1")
    yield _conv("conv2/3x3_reduce", "pool1/norm1", 64, 64, 1, "conv2/relu_3x3_reduce")
    yield _conv("conv2/3x3", "conv2/3x3_reduce", 64, 192, 3, "conv2/relu_3x3", pad=1)
    yield Normalisation("conv2/norm2", "conv2/3x3", "conv2/norm2")
    yield Pooling("pool2/3x3_s2", "conv2/norm2", "pool2/3x3_s2", 3, 2)


def _modules() -> Iterator[Layer]:
    bottom, channels = "pool2/3x3_s2", 192
    for module in MODULES:
        yield from _inception(module, bottom, channels)
        bottom, channels = f"inception_{module.name}/output", module.outputs
        if module.name in POOL_AFTER:
            pool = POOL_AFTER[module.name]
            yield Pooling(pool, bottom, pool, 3, 2)
            bottom = pool


def _inception(module: Inception, bottom: str, channels: int) -> Iterator[Layer]:
    prefix = f"inception_{module.name}"

    def conv(branch: str, below: str, inputs: int, outputs: int, kernel: int) -> Convolution:
        name = f"{prefix}/{branch}"
        # The published network file gives this one bias the weights' learning rate.
        bias_lr_mult = 1.0 if name == "inception_5b/3x3_reduce" else 2.0
        return Convolution(
            name, below, name, inputs, outputs, kernel, pad=kernel // 2,
            relu=f"{prefix}/relu_{branch}", bias_lr_mult=bias_lr_mult,
        )  # fmt: skip

    yield conv("1x1", bottom, channels, module.one, 1)
    yield conv("3x3_reduce", bottom, channels, module.three_reduce, 1)
    yield conv("3x3", f"{prefix}/3x3_reduce", module.three_reduce, module.three, 3)
    yield conv("5x5_reduce", bottom, channels, module.five_reduce, 1)
    yield conv("5x5", f"{prefix}/5x5_reduce", module.five_reduce, module.five, 5)
    yield Pooling(f"{prefix}/pool", bottom, f"{prefix}/pool", 3, 1, 1)
    yield conv("pool_proj", f"{prefix}/pool", channels, module.pool_proj, 1)
    branches = tuple(f"{prefix}/{branch}" for branch in ("1x1", "3x3", "5x5", "pool_proj"))
    yield Concatenation(f"{prefix}/output", branches, f"{prefix}/output")


def _heads(classes: int) -> Iterator[Layer]:
    bottom = "pool5/drop_s1"
    yield Dropout(bottom, f"inception_{MODULES[-1].name}/output", bottom)
    yield Convolution(COVERAGE_HEAD, bottom, COVERAGE_HEAD, FEATURES, classes, 1, bias_value=0.0)
    yield Sigmoid("coverage/sig", COVERAGE_HEAD, COVERAGE)
    yield Convolution(BBOX_HEAD, bottom, BBOXES, FEATURES, 4, 1, bias_value=0.0)


def _conv(
    name: str, bottom: str, inputs: int, outputs: int, kernel: int, relu: str, stride: int = 1, pad: int = 0
) -> Convolution:
    return Convolution(name, bottom, name, inputs, outputs, kernel, stride, pad, relu)
