"""The model zip that a Jetson loads: written the same for the same content, and checked before it is trusted.

Members are stored without compression (weights hardly compress), with a fixed time and order. ``SHA256SUMS``
lists every other member in the form that ``sha256sum -c`` reads.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectnet import network
from detectnet.bundle_members import BundleError, Member, is_safe_name, read_members, require
from detectnet.caffemodel import CaffeLayer, CaffemodelError, read_caffemodel
from detectnet.prototxt import Message, PrototxtError, parse_prototxt
from detectnet.sizes import IllegalSize, require_grid_size

__all__ = [
    "DEPLOY", "DESCRIPTION", "GRID_ONNX", "LABELS", "SSD_LABELS", "SSD_ONNX", "SUMS", "BundleError",
    "BundleReport", "Member", "check_bundle", "deploy_classes", "input_size", "write_bundle",
]  # fmt: skip

SUMS = "SHA256SUMS"
DEPLOY = "deploy.prototxt"
LABELS = "labels.txt"
DESCRIPTION = "model.json"
GRID_ONNX = "grid.onnx"
SSD_ONNX = {"trt8": "model_trt8.onnx", "trt10": "model_trt10.onnx"}
"""By flavour: for TensorRT below 10, and from 10 on."""
SSD_LABELS = "labels_onnx.txt"
MAX_TEXT_BYTES = 4 << 20
MAX_LABEL_LENGTH = 511
"""jetson-inference reads label lines of at most this length."""

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_TEXTS = (SUMS, DEPLOY, LABELS, DESCRIPTION)


@dataclass(frozen=True)
class BundleReport:
    """What a sound zip holds."""

    members: tuple[Member, ...]
    labels: tuple[str, ...]
    width: int
    height: int
    caffemodel: str
    description: Mapping[str, Any] = field(default_factory=dict)
    """``model.json``, or empty where a hand-made zip has none."""


def write_bundle(path: Path, members: Mapping[str, bytes]) -> None:
    """Write the zip with ``SHA256SUMS`` added; equal members give equal bytes.

    Raises:
        BundleError: a member's name is not safe.
    """
    require([f"{name!r} is no safe member name" for name in members if not is_safe_name(name)])
    ordered = {name: members[name] for name in sorted(members) if name != SUMS}
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in ordered.items())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, body in {**ordered, SUMS: sums.encode()}.items():
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.create_system = _UNIX
            info.external_attr = 0o100644 << 16
            archive.writestr(info, body)


def check_bundle(path: Path) -> BundleReport:
    """Look at every member of a zip, ours or hand-made.

    Raises:
        BundleError: it is cut off, unsafe, incomplete, or its parts do not fit each other.
    """
    members, contents = read_members(path, lambda name: name in _TEXTS or _is_caffemodel(name))
    require([*_large_texts(contents), *_sum_reasons(contents, members), *_missing_reasons(contents)])
    texts = _decoded(contents)
    weights_name = next(name for name in contents if _is_caffemodel(name))
    try:
        deploy = parse_prototxt(texts[DEPLOY])
        layers = read_caffemodel(contents[weights_name])
        description = json.loads(texts.get(DESCRIPTION, "{}"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise BundleError([f"{DESCRIPTION} is no JSON: {error}"]) from error
    except PrototxtError as error:
        raise BundleError([f"{DEPLOY}, {error}"]) from error
    except CaffemodelError as error:
        raise BundleError([f"{weights_name}: {error}"]) from error
    labels = tuple(texts[LABELS].removesuffix("\n").split("\n"))
    width, height = input_size(deploy) or (0, 0)
    require(
        [
            *_deploy_reasons(deploy, width, height),
            *_label_reasons(labels, deploy_classes(deploy)),
            *_weight_reasons(deploy, {layer.name: layer for layer in layers}, weights_name),
            *_description_reasons(description, width, height, labels),
        ]
    )
    return BundleReport(members, labels, width, height, weights_name, description)


def deploy_classes(deploy: Message) -> int | None:
    """How many coverage channels a deploy network has, or None where no convolution leads to ``coverage``."""
    layers = deploy.blocks("layer")
    wanted = network.COVERAGE
    for layer in reversed(layers):
        if wanted not in layer.texts("top"):
            continue
        number = layer.block("convolution_param").text("num_output")
        if layer.text("type") == "Convolution":
            return int(number) if number.isdecimal() else None
        wanted = layer.text("bottom")
    return None


def input_size(deploy: Message) -> tuple[int, int] | None:
    """Width and height of the ``data`` input, in any of Caffe's three ways to say it."""
    shapes = [layer.block("input_param").block("shape") for layer in deploy.blocks("layer")]
    shapes += deploy.blocks("input_shape")
    for dims in [*(shape.texts("dim") for shape in shapes), deploy.texts("input_dim")]:
        if len(dims) == 4 and all(dim.isdecimal() for dim in dims):
            return int(dims[3]), int(dims[2])
    return None


def _is_caffemodel(name: str) -> bool:
    return name.endswith(".caffemodel") and "/" not in name


def _large_texts(contents: Mapping[str, bytes]) -> list[str]:
    return [
        f"{name!r} has {len(contents[name])} bytes; at most {MAX_TEXT_BYTES} are taken"
        for name in _TEXTS
        if len(contents.get(name, b"")) > MAX_TEXT_BYTES
    ]


def _sum_reasons(contents: Mapping[str, bytes], members: tuple[Member, ...]) -> list[str]:
    if SUMS not in contents:
        return []
    lines = contents[SUMS].decode("utf-8", "replace").splitlines()
    # 64 digits, a blank, then a blank or a star, and the name.
    listed = {line[66:]: line[:64].lower() for line in lines if line.strip()}
    found = {member.name: member.sha256 for member in members if member.name != SUMS}
    reasons = [f"{name!r} is not in {SUMS}" for name in sorted(found.keys() - listed.keys())]
    reasons += [f"{name!r} is in {SUMS} and not in the zip" for name in sorted(listed.keys() - found.keys())]
    common = sorted(found.keys() & listed.keys())
    return reasons + [f"{name!r} differs from {SUMS}" for name in common if found[name] != listed[name]]


def _missing_reasons(contents: Mapping[str, bytes]) -> list[str]:
    reasons = [f"{name!r} is missing" for name in (DEPLOY, LABELS) if name not in contents]
    weights = sum(_is_caffemodel(name) for name in contents)
    if weights != 1:
        reasons.append(f"{weights} .caffemodel files at the top; exactly one is needed")
    return reasons


def _decoded(contents: Mapping[str, bytes]) -> dict[str, str]:
    texts = {}
    for name in _TEXTS:
        if name in contents:
            try:
                texts[name] = contents[name].decode()
            except UnicodeDecodeError as error:
                raise BundleError([f"{name!r} is no UTF-8 text: {error}"]) from error
    return texts


def _deploy_reasons(deploy: Message, width: int, height: int) -> list[str]:
    layers = deploy.blocks("layer")
    reasons = [
        f"{DEPLOY} has the Python layer {layer.text('name')!r}, which a Jetson cannot load; remove it"
        for layer in layers
        if layer.text("type") == "Python"
    ]
    tops = {top for layer in layers for top in layer.texts("top")}
    reasons += [
        f"{DEPLOY} has no output {name!r}" for name in (network.COVERAGE, network.BBOXES) if name not in tops
    ]
    if not (width and height):
        return [*reasons, f"{DEPLOY} does not say the size of its input"]
    try:
        require_grid_size(width, height)
    except IllegalSize as error:
        reasons.append(f"{DEPLOY}: {error}")
    return reasons


def _label_reasons(labels: tuple[str, ...], classes: int | None) -> list[str]:
    reasons = []
    if classes is not None and classes != len(labels):
        reasons.append(f"{LABELS} has {len(labels)} lines and the network {classes} classes")
    if any("\r" in label for label in labels):
        reasons.append(f"{LABELS} has Windows line ends; a Jetson shows them")
    reasons += [f"line {n} of {LABELS} is empty" for n, label in enumerate(labels, 1) if not label.strip()]
    long = [n for n, label in enumerate(labels, 1) if len(label.encode()) > MAX_LABEL_LENGTH]
    return reasons + [f"line {n} of {LABELS} is longer than {MAX_LABEL_LENGTH} bytes" for n in long]


def _weight_reasons(deploy: Message, weights: Mapping[str, CaffeLayer], filename: str) -> list[str]:
    reasons = []
    for layer in deploy.blocks("layer"):
        if layer.text("type") != "Convolution":
            continue
        name, outputs = layer.text("name"), layer.block("convolution_param").text("num_output")
        blobs = weights[name].blobs if name in weights else ()
        if not blobs:
            reasons.append(f"{filename} has no weights for {name}")
        elif str(blobs[0].shape[0]) != outputs:
            reasons.append(f"{name} has {blobs[0].shape[0]} outputs in {filename} and {outputs} in {DEPLOY}")
    return reasons


def _description_reasons(description: Any, width: int, height: int, labels: tuple[str, ...]) -> list[str]:
    if not isinstance(description, dict):
        return [f"{DESCRIPTION} is no JSON object"]
    told = description.get("network", {})
    if not isinstance(told, dict):
        return [f"network in {DESCRIPTION} is no JSON object"]
    found = {"width": width, "height": height, "classes": list(labels)}
    return [
        f"{DESCRIPTION} says the {what} is {told[what]!r}, the other files say {is_!r}"
        for what, is_ in found.items()
        if what in told and told[what] != is_
    ]
