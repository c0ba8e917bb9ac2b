"""The model zip that a Jetson loads: written the same for the same content, and checked before it is trusted.

Members are stored without compression (weights hardly compress), with a fixed time and order. ``SHA256SUMS``
lists every other member in the form that ``sha256sum -c`` reads.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectnet import network
from detectnet.caffemodel import CaffemodelError, read_caffemodel
from detectnet.prototxt import Message, PrototxtError, parse_prototxt

SUMS = "SHA256SUMS"
DEPLOY = "deploy.prototxt"
LABELS = "labels.txt"
DESCRIPTION = "model.json"
GRID_ONNX = "grid.onnx"
MAX_MEMBERS = 200
MAX_MEMBER_BYTES = 1 << 30
MAX_TOTAL_BYTES = 2 << 30
MAX_RATIO = 100
MAX_LABEL_LENGTH = 511
"""jetson-inference reads label lines of at most this length."""

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_UNIX_LINK = 0o120000
_UNIX_TYPE = 0o170000


class BundleError(ValueError):
    """The zip is refused; ``reasons`` says everything that is wrong with it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Member:
    """One file of the zip."""

    name: str
    sha256: str
    size_bytes: int


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
    unsafe = [f"{name!r} is no safe member name" for name in members if not _SAFE_NAME.fullmatch(name)]
    if unsafe:
        raise BundleError(unsafe)
    ordered = dict(sorted(members.items()))
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in ordered.items())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, body in {**ordered, SUMS: sums.encode()}.items():
            info = zipfile.ZipInfo(name, _FIXED_TIME)
            info.external_attr = 0o644 << 16
            archive.writestr(info, body)


def check_bundle(path: Path) -> BundleReport:
    """Look at every member of a zip, ours or hand-made.

    Raises:
        BundleError: it is cut off, unsafe, incomplete, or its parts do not fit each other.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = _safe_infos(archive)
            contents = {name: _read(archive, info) for name, info in infos.items()}
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BundleError([f"the zip cannot be read: {error}; copy or upload it again"]) from error
    members = tuple(
        Member(name, hashlib.sha256(body).hexdigest(), len(body)) for name, body in sorted(contents.items())
    )
    _require([*_sum_reasons(contents, members), *_missing_reasons(contents)])
    return _report(contents, members)


def deploy_classes(deploy: Message) -> int | None:
    """How many coverage channels a deploy network has, or None where it has no coverage head."""
    for layer in deploy.blocks("layer"):
        if layer.text("name") == network.COVERAGE_HEAD:
            number = layer.block("convolution_param").text("num_output")
            return int(number) if number.isdigit() else None
    return None


def input_size(deploy: Message) -> tuple[int, int] | None:
    """Width and height of the ``data`` input, in any of Caffe's three ways to say it."""
    shapes = [layer.block("input_param").block("shape") for layer in deploy.blocks("layer")]
    shapes += deploy.blocks("input_shape")
    for dims in [*(shape.texts("dim") for shape in shapes), deploy.texts("input_dim")]:
        if len(dims) == 4 and all(dim.isdigit() for dim in dims):
            return int(dims[3]), int(dims[2])
    return None


def _safe_infos(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    reasons = []
    if len(infos) > MAX_MEMBERS:
        reasons.append(f"{len(infos)} members; at most {MAX_MEMBERS} are taken")
    names = [info.filename for info in infos]
    reasons += [
        f"{name!r} occurs twice" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        reasons.append(f"{total} bytes when unpacked; at most {MAX_TOTAL_BYTES} are taken")
    for info in infos[:MAX_MEMBERS]:
        reasons += _info_reasons(info)
    _require(reasons)
    return {info.filename: info for info in infos}


def _info_reasons(info: zipfile.ZipInfo) -> list[str]:
    reasons = []
    if not _SAFE_NAME.fullmatch(info.filename):
        reasons.append(f"{info.filename!r} is no safe member name (no '..', no leading '/', plain letters)")
    if (info.external_attr >> 16) & _UNIX_TYPE == _UNIX_LINK:
        reasons.append(f"{info.filename!r} is a link; only plain files are taken")
    if info.file_size > MAX_MEMBER_BYTES:
        reasons.append(f"{info.filename!r} has {info.file_size} bytes; at most {MAX_MEMBER_BYTES} are taken")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        reasons.append(f"{info.filename!r} is packed in a way that robots do not read; store or deflate it")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        reasons.append(f"{info.filename!r} unpacks to more than {MAX_RATIO} times its size")
    return reasons


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as file:
        body = file.read(info.file_size + 1)
    if len(body) != info.file_size:
        raise BundleError([f"{info.filename!r} is longer than the zip says"])
    return body


def _sum_reasons(contents: Mapping[str, bytes], members: tuple[Member, ...]) -> list[str]:
    if SUMS not in contents:
        return []
    listed = {}
    for line in contents[SUMS].decode("utf-8", "replace").splitlines():
        sha256, _, name = line.partition("  ")
        listed[name] = sha256
    found = {member.name: member.sha256 for member in members if member.name != SUMS}
    reasons = [f"{name!r} is not in {SUMS}" for name in sorted(found.keys() - listed.keys())]
    reasons += [f"{name!r} is in {SUMS} and not in the zip" for name in sorted(listed.keys() - found.keys())]
    common = sorted(found.keys() & listed.keys())
    return reasons + [f"{name!r} differs from {SUMS}" for name in common if found[name] != listed[name]]


def _missing_reasons(contents: Mapping[str, bytes]) -> list[str]:
    reasons = [f"{name!r} is missing" for name in (DEPLOY, LABELS) if name not in contents]
    weights = _caffemodels(contents)
    if len(weights) != 1:
        reasons.append(f"{len(weights)} .caffemodel files; exactly one is needed")
    return reasons


def _report(contents: Mapping[str, bytes], members: tuple[Member, ...]) -> BundleReport:
    deploy, labels, weights = contents[DEPLOY], contents[LABELS], _caffemodels(contents)[0]
    try:
        parsed = parse_prototxt(deploy.decode())
        layers = read_caffemodel(contents[weights])
        description = json.loads(contents.get(DESCRIPTION, b"{}"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError([f"a text of the zip cannot be read: {error}"]) from error
    except PrototxtError as error:
        raise BundleError([f"{DEPLOY}, {error}"]) from error
    except CaffemodelError as error:
        raise BundleError([f"{weights}: {error}"]) from error
    names = tuple(labels.decode("utf-8", "replace").splitlines())
    size = input_size(parsed)
    reasons = [*_deploy_reasons(parsed, names), *_label_reasons(labels, names)]
    reasons += [] if size else [f"{DEPLOY} does not say the size of its input"]
    known = {layer.name for layer in layers if layer.blobs}
    wanted = {layer.text("name") for layer in parsed.blocks("layer") if layer.text("type") == "Convolution"}
    reasons += [f"{weights} has no weights for {name}" for name in sorted(wanted - known)[:5]]
    _require(reasons)
    width, height = size or (0, 0)
    return BundleReport(members, names, width, height, weights, description)


def _deploy_reasons(deploy: Message, labels: tuple[str, ...]) -> list[str]:
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
    classes = deploy_classes(deploy)
    if classes is not None and classes != len(labels):
        reasons.append(f"{LABELS} has {len(labels)} lines and the network {classes} classes")
    return reasons


def _label_reasons(content: bytes, labels: tuple[str, ...]) -> list[str]:
    reasons = [f"{LABELS} has Windows line ends; a Jetson shows them"] if b"\r" in content else []
    reasons += [f"line {n} of {LABELS} is empty" for n, label in enumerate(labels, 1) if not label.strip()]
    long = [n for n, label in enumerate(labels, 1) if len(label.encode()) > MAX_LABEL_LENGTH]
    return reasons + [f"line {n} of {LABELS} is longer than {MAX_LABEL_LENGTH} bytes" for n in long]


def _caffemodels(contents: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name in contents if name.endswith(".caffemodel") and "/" not in name)


def _require(reasons: list[str]) -> None:
    if reasons:
        raise BundleError(reasons)
