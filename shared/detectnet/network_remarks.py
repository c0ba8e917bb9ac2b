"""What a DetectNet prototxt says that a training here does otherwise, told in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from detectnet import network
from detectnet.clustering import DEFAULT_CLUSTERING
from detectnet.prototxt import Message, parse_prototxt

CLUSTERING = (
    # Place in ClusterDetections' param_str, what it is, and its value here.
    (3, "coverage threshold", DEFAULT_CLUSTERING.coverage_threshold),
    (4, "group size", DEFAULT_CLUSTERING.group_threshold),
    (5, "eps", DEFAULT_CLUSTERING.eps),
    (6, "lowest box", DEFAULT_CLUSTERING.min_height),
)
CONVOLUTIONS = {layer.name: layer for layer in network.layers(1) if isinstance(layer, network.Convolution)}
TOLD_LAYERS = 3


def network_remarks(text: str) -> list[str]:
    """A sentence for each difference. Raises PrototxtError where it is no prototxt."""
    layers = parse_prototxt(text).blocks("layer")
    return [*dict.fromkeys(told for layer in layers for told in _clustering(layer)), *_rates(layers)]


def _clustering(layer: Message) -> Iterator[str]:
    block = layer.block("python_param")
    if block.text("layer") != "ClusterDetections":
        return
    given = re.split(r"\s*,\s*", block.text("param_str").strip())
    for place, what, wanted in CLUSTERING:
        if place < len(given) and (number := _number(given[place])) is not None and number != wanted:
            lost = f"ClusterDetections' {what} {given[place]} is not carried over"
            yield f"{lost}: boxes are found with {wanted:g} here"


def box_rate(text: str) -> float | None:
    """The option ``bbox_lr_mult``: how much faster the box head learns; None where the file does not say."""
    for layer in parse_prototxt(text).blocks("layer"):
        if layer.text("name") == network.BBOX_HEAD and (given := _given_rates(layer)):
            rate = given[0] or 0.0
            return rate if rate > 0 and _are_usual(layer, given, rate) else None
    return None


def _rates(layers: list[Message]) -> Iterator[str]:
    frozen, other = [], []
    for layer in layers:
        given = _given_rates(layer)
        if not given:
            continue
        faster = given[0] or 1.0 if layer.text("name") == network.BBOX_HEAD else 1.0
        if not any(given):
            frozen.append(layer.text("name"))
        elif not _are_usual(layer, given, faster):
            other.append(layer.text("name"))
    if frozen:
        yield f"lr_mult 0 of {_listed(frozen)} is not carried over: trainings here train every layer"
    if other:
        yield f"lr_mult of {_listed(other)} is not carried over: DetectNet's own is used"


def _given_rates(layer: Message) -> list[float | None]:
    """Of weights and bias, where they stand there."""
    if layer.text("name") not in CONVOLUTIONS:
        return []
    return [_number(param.text("lr_mult", "1")) for param in layer.blocks("param")]


def _are_usual(layer: Message, given: list[float | None], faster: float) -> bool:
    usual = CONVOLUTIONS[layer.text("name")]
    wanted = [faster * usual.weight_lr_mult, faster * usual.bias_lr_mult]
    return given == wanted[: len(given)]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - TOLD_LAYERS} more" if len(names) > TOLD_LAYERS else ""
    return ", ".join(names[:TOLD_LAYERS]) + more


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
