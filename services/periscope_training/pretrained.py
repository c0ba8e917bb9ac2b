"""The document of a pretrained model: weights under a name, for jobs to begin with. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from detectnet import network
from detectnet.caffemodel import CaffemodelError, read_caffemodel
from periscope.clock import to_rfc3339

KIND = "pretrained"

Format = Literal["caffemodel", "torchvision"]
Body = dict[str, Any]

TORCH_START = b"PK\x03\x04"
"""A file of torch.save is a zip."""


class NotWeights(ValueError):
    """The file holds nothing that a DetectNet could begin with; the message says why."""


def recognise(content: bytes) -> tuple[Format, int]:
    """What kind of file it is, and how many of the network's 57 backbone layers it names.

    Of a torchvision file only the training program can tell the layers: -1. Raises NotWeights.
    """
    if content.startswith(TORCH_START):
        return "torchvision", -1
    try:
        found = {layer.name for layer in read_caffemodel(content)}
    except CaffemodelError as error:
        raise NotWeights(
            f"The file is no .caffemodel ({error}), and no file of torchvision's GoogLeNet either."
        ) from error
    known = {layer.name for layer in network.convolutions(1)}
    if not found & known:
        raise NotWeights(
            "No layer of the file has the name of a layer of DetectNet, so nothing would be taken from it. "
            f"It has {', '.join(sorted(found)[:5]) or 'none'}; wanted are names like inception_3a/1x1."
        )
    return "caffemodel", len(found & known)


def new_pretrained(name: str, file: Mapping[str, Any], source: Mapping[str, Any], now: datetime) -> Body:
    """The document; ``file`` has ``format``, ``layers``, ``sha256`` and ``size_bytes`` of the blob."""
    return {"name": name, **file, "source": dict(source), "created_at": to_rfc3339(now)}


def weights_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a job's spec carries under ``weights``."""
    return {key: body[key] for key in ("name", "format", "sha256", "size_bytes")}
