"""Caffe's network files: a reader of the text format, and DetectNet's deploy file as a Jetson loads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from detectnet import means, network
from detectnet.sizes import require_grid_size

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*|[,;])|(?P<brace>[{}])|(?P<colon>:)|(?P<string>"[^"\n]*"|'[^'\n]*')|(?P<word>[^\s{}:#,;"']+)"""
)
MAX_DEPTH = 50


class PrototxtError(ValueError):
    """The text is no prototxt; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


@dataclass
class Message:
    """A block of fields; a name may occur several times. ``line`` is where the block begins."""

    line: int = 1
    fields: list[tuple[str, str | Message]] = field(default_factory=list)

    def texts(self, name: str) -> list[str]:
        """All plain values of a field, without quotes."""
        return [value for key, value in self.fields if key == name and isinstance(value, str)]

    def text(self, name: str, default: str = "") -> str:
        """The last plain value of a field."""
        return (self.texts(name) or [default])[-1]

    def blocks(self, name: str) -> list[Message]:
        """All blocks of a name."""
        return [value for key, value in self.fields if key == name and isinstance(value, Message)]

    def block(self, name: str) -> Message:
        """The first block of a name, or an empty one."""
        return (self.blocks(name) or [Message(self.line)])[0]


def parse_prototxt(text: str) -> Message:
    """Read protobuf's text format. Raises PrototxtError naming the line."""
    root = Message()
    open_blocks = [root]
    tokens = _tokens(text)
    for kind, word, line in tokens:
        if word == "}" and kind == "brace":
            open_blocks.pop()
            if not open_blocks:
                raise PrototxtError(line, "a closing brace too many")
            continue
        if kind != "word":
            raise PrototxtError(line, f"expected a field's name, found {word!r}")
        value = _read_value(word, tokens, line)
        open_blocks[-1].fields.append((word, value))
        if isinstance(value, Message):
            open_blocks.append(value)
            if len(open_blocks) > MAX_DEPTH:
                raise PrototxtError(line, f"blocks are nested deeper than {MAX_DEPTH}")
    if len(open_blocks) > 1:
        raise PrototxtError(open_blocks[-1].line, "this block is never closed")
    return root


def _read_value(name: str, tokens: Iterator[tuple[str, str, int]], line: int) -> str | Message:
    """What follows a field's name: a plain value, or the beginning of a block."""
    kind, text, line = _next(tokens, line)
    if kind != "colon" and text != "{":
        raise PrototxtError(line, f"expected ':' or '{{' after {name!r}, found {text!r}")
    if kind == "colon":
        kind, text, line = _next(tokens, line)
    if text == "{":
        return Message(line)
    if kind not in ("word", "string"):
        raise PrototxtError(line, f"expected a value for {name!r}, found {text!r}")
    return text[1:-1] if kind == "string" else text


def deploy_prototxt(width: int, height: int, classes: int, *, mean_pixel: bool = False) -> str:
    """The inference network: ``data`` in, ``coverage`` and ``bboxes`` out, and no Python layer.

    A stock jetson-inference (TensorRT below 10) and OpenCV load it as it is. With ``mean_pixel`` its first
    layer is the convolution that means.mean_layers gives weights. Raises IllegalSize.
    """
    require_grid_size(width, height)
    shape = " ".join(f"dim: {side}" for side in (1, 3, height, width))
    data = f"input_param {{ shape {{ {shape} }} }}"
    first = block_text(network.INPUT, "Input", [], [network.INPUT], data)
    shift, *others = network.layers(classes)
    if mean_pixel:
        first += block_text(means.LAYER, "Convolution", [network.INPUT], [means.TOP],
                            "convolution_param { num_output: 3 kernel_size: 1 }")  # fmt: skip
        shift = network.Shift(shift.name, means.TOP, shift.top)
    return 'name: "DetectNet"\n' + first + "".join(layer_text(layer) for layer in (shift, *others))


def layer_text(layer: network.Layer) -> str:
    """One layer of the table as prototxt, with the ReLU that follows it."""
    match layer:
        case network.Shift(name, bottom, top):
            shift = f"power_param {{ shift: {-network.MEAN_PIXEL:g} }}"
            return block_text(name, "Power", [bottom], [top], shift)
        case network.Convolution():
            return _convolution(layer)
        case network.Pooling(name, bottom, top, kernel, stride, pad):
            sides = f"pool: MAX kernel_size: {kernel} stride: {stride}" + (f" pad: {pad}" if pad else "")
            return block_text(name, "Pooling", [bottom], [top], f"pooling_param {{ {sides} }}")
        case network.Normalisation(name, bottom, top):
            parameters = (
                f"local_size: {network.LRN_SIZE} alpha: {network.LRN_ALPHA:g} beta: {network.LRN_BETA:g}"
            )
            return block_text(name, "LRN", [bottom], [top], f"lrn_param {{ {parameters} }}")
        case network.Concatenation(name, bottoms, top):
            return block_text(name, "Concat", bottoms, [top])
        case network.Dropout(name, bottom, top):
            ratio = f"dropout_param {{ dropout_ratio: {network.DROPOUT_RATIO:g} }}"
            return block_text(name, "Dropout", [bottom], [top], ratio)
        case network.Sigmoid(name, bottom, top):
            return block_text(name, "Sigmoid", [bottom], [top])


def _convolution(layer: network.Convolution) -> str:
    sides = f"num_output: {layer.outputs} kernel_size: {layer.kernel}"
    sides += f" pad: {layer.pad}" if layer.pad else ""
    sides += f" stride: {layer.stride}" if layer.stride > 1 else ""
    fillers = (
        'weight_filler { type: "xavier" } '
        f'bias_filler {{ type: "constant" value: {layer.bias_value:g} }}'
    )  # fmt: skip
    text = block_text(
        layer.name,
        "Convolution",
        [layer.bottom],
        [layer.top],
        f"param {{ lr_mult: {layer.weight_lr_mult:g} decay_mult: 1 }}",
        f"param {{ lr_mult: {layer.bias_lr_mult:g} decay_mult: 0 }}",
        f"convolution_param {{ {sides} {fillers} }}",
    )
    return text if layer.relu is None else text + block_text(layer.relu, "ReLU", [layer.top], [layer.top])


def block_text(
    name: str, layer_type: str, bottoms: Sequence[str], tops: Sequence[str], *parameters: str
) -> str:
    """A layer as prototxt; ``parameters`` are whole fields, a line each."""
    lines = [f'name: "{name}"', f'type: "{layer_type}"']
    lines += [f'bottom: "{bottom}"' for bottom in bottoms]
    lines += [f'top: "{top}"' for top in tops]
    return "layer {\n" + "".join(f"  {line}\n" for line in [*lines, *parameters]) + "}\n"


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and line of each token."""
    position, line = 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PrototxtError(
                line, f"cannot read {text[position : position + 20]!r}; is a quote left open?"
            )
        kind = match.lastgroup or "skip"
        if kind != "skip":
            yield kind, match.group(), line
        line += match.group().count("\n")
        position = match.end()


def _next(tokens: Iterator[tuple[str, str, int]], line: int) -> tuple[str, str, int]:
    try:
        return next(tokens)
    except StopIteration:
        raise PrototxtError(line, "the text ends in the middle of a field") from None
