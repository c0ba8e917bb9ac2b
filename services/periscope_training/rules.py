"""From a job request and a dataset's manifest to the spec that the training program obeys. No I/O, no HTTP.

Whatever can be known to fail is refused here, before a job exists, naming the field and what would do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detectnet.description import describe_network
from detectnet.learning_rate import BadPolicy, preview
from detectnet.network_import import ImportedNetwork, import_network
from detectnet.prototxt import PrototxtError
from detectnet.recipes import UnknownOption, UnknownRecipe, resolve_training
from detectnet.sizes import IllegalSize, require_grid_size
from periscope_training.datasets import Ingest

STRIDE = 16
"""Pixels of the network's input per grid cell, in both directions."""

Spec = dict[str, Any]


class UnusableRequest(ValueError):
    """A job cannot be made of this request; ``pointer`` is the JSON pointer of the field to change."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(frozen=True)
class JobWish:
    """What someone asks for, in plain values."""

    name: str
    recipe: str
    options: Mapping[str, Any]
    """Over the recipe's; only those that were given."""
    input_size: tuple[int, int] | None
    """Width and height in pixels; None takes the dataset's."""
    allow_findings: frozenset[str] = frozenset()
    """Codes of error findings of the dataset that shall not keep the job from starting."""
    classes: int | None = None
    """How many the given network has; None takes the dataset's."""


def build_spec(
    job_id: str, wish: JobWish, manifest: Mapping[str, Any], *, request_sha256: str, threads: int
) -> Spec:
    """The job's spec, with every option resolved.

    ``manifest`` is the dataset version's. Raises UnusableRequest.
    """
    _require_trainable(manifest)
    _require_sound(manifest, wish.allow_findings)
    _require_class_count(wish.classes, manifest)
    width, height = _network_size(wish.input_size, manifest)
    return {
        "job_id": job_id,
        "name": wish.name,
        "request_sha256": request_sha256,
        "dataset": {
            "id": manifest["dataset_id"],
            "version": manifest["version"],
            "images": {split: manifest["splits"][split]["images"] for split in ("train", "val")},
            "findings": [
                {name: finding[name] for name in ("code", "severity", "count", "message")}
                for finding in manifest.get("findings", [])
            ],
        },
        "network": {
            "width": width,
            "height": height,
            "stride": STRIDE,
            "classes": list(manifest["classes"]),
        },
        "training": resolve_wish(wish, threads),
        "options_of_dataset": {
            name: manifest["options"].get(name) for name in ("pad", "resize", "val_min_box_size")
        },
    }


def read_network(text: str) -> ImportedNetwork:
    """A prototxt of the request. Raises UnusableRequest naming layer and line."""
    try:
        return import_network(text)
    except PrototxtError as error:
        raise UnusableRequest("/network", f"The network cannot be used: {error}.") from error


def described_network(text: str, size: tuple[int, int] | None) -> dict[str, Any]:
    """A prototxt's layers, shapes and parameters; ``size`` (width, height) counts where it names none.

    Raises UnusableRequest naming layer and line.
    """
    if (read_network(text).size or size) is None:
        raise UnusableRequest(
            "/input", 'The network names no size: give one, such as {"width": 640, "height": 640}.'
        )
    try:
        return describe_network(text, size)
    except IllegalSize as error:
        raise UnusableRequest("/input", f"{error}.") from error


def request_digest(request: Mapping[str, Any]) -> str:
    """SHA-256 of a request's content: equal for equal requests, however they were written."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _require_trainable(manifest: Mapping[str, Any]) -> None:
    name, splits = f"Version {manifest['version']} of the dataset", manifest["splits"]
    if not manifest["classes"]:
        raise UnusableRequest("/dataset", f"{name} has no classes, so there is nothing to learn.")
    if not splits.get("train", {}).get("images"):
        raise UnusableRequest("/dataset", f"{name} has no training images.")
    if not splits["train"].get("boxes"):
        raise UnusableRequest("/dataset", f"{name} has no boxes in its training images: label some objects.")
    if not splits.get("val", {}).get("images"):
        raise UnusableRequest(
            "/dataset",
            f"{name} has no validation images; without them nobody can tell whether the network learns. "
            "Put some images and labels into val/images and val/labels.",
        )


def _require_sound(manifest: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Versions that were made before the lint have no findings."""
    blocking = [
        finding
        for finding in manifest.get("findings", [])
        if finding["severity"] == "error" and finding["code"] not in allowed
    ]
    if blocking:
        told = " ".join(f"{item['code']}: {item['message']}. {item['advice']}" for item in blocking)
        codes = ", ".join(f'"{item["code"]}"' for item in blocking)
        raise UnusableRequest(
            "/allow_findings",
            f"Version {manifest['version']} of the dataset would waste the training. {told} "
            f"To train in spite of it, list {codes} in allow_findings.",
        )


def _require_class_count(given: int | None, manifest: Mapping[str, Any]) -> None:
    names = manifest["classes"]
    if given is not None and given != len(names):
        raise UnusableRequest(
            "/network",
            f"The network has {given} class(es) and the dataset {len(names)} ({', '.join(names)}). Change "
            "num_output of cvg/classifier and the object_class entries, or map the dataset's classes.",
        )


def _network_size(wished: tuple[int, int] | None, manifest: Mapping[str, Any]) -> tuple[int, int]:
    width, height = wished or _size_of_images(manifest)
    try:
        require_grid_size(width, height, STRIDE)
    except IllegalSize as error:
        source = "" if wished else " That is the size of the dataset's images; give another as input."
        raise UnusableRequest("/input", f"{error}.{source}") from error
    return width, height


def _size_of_images(manifest: Mapping[str, Any]) -> tuple[int, int]:
    fixed = manifest["options"].get("resize") or manifest["options"].get("pad")
    sizes = [fixed] if fixed else manifest["image_sizes"]
    distinct = sorted({(size["width"], size["height"]) for size in sizes})
    if len(distinct) != 1:
        shown = ", ".join(f"{width}x{height}" for width, height in distinct[:3])
        raise UnusableRequest(
            "/input",
            f"The dataset's images have {len(distinct)} sizes ({shown}, ...): say which size the network "
            'shall have, for example {"width": 640, "height": 640}.',
        )
    return distinct[0]


def require_usable(ingest: Ingest) -> Ingest:
    """The ingest itself, when a version came or can still come of it. Raises UnusableRequest."""
    if ingest.state in ("FAILED", "CANCELLED"):
        told = f": {ingest.trouble}" if ingest.trouble else "."
        raise UnusableRequest(
            "/dataset_ingest", f"The ingest of the dataset {ingest.state}, so no version comes of it{told}"
        )
    return ingest


def resolve_wish(wish: JobWish, threads: int) -> dict[str, Any]:
    """All training options of a wish. Raises UnusableRequest."""
    try:
        training = resolve_training(wish.recipe, wish.options, threads=threads)
    except UnknownRecipe as error:
        raise UnusableRequest("/recipe", str(error)) from error
    except UnknownOption as error:
        raise UnusableRequest("/augmentation", str(error)) from error
    _require_sound_rate(training)
    augmentation = training["augmentation"]
    if augmentation is not None and augmentation["scale_min"] > augmentation["scale_max"]:
        raise UnusableRequest("/augmentation/scale_min", "scale_min must not be above scale_max.")
    if training["validation_interval_epochs"] > training["epochs"]:
        raise UnusableRequest(
            "/validation_interval_epochs", "validation_interval_epochs must not be above epochs."
        )
    return training


def _require_sound_rate(training: Mapping[str, Any]) -> None:
    try:
        preview(training["lr_policy"], training["learning_rate"])
    except BadPolicy as error:
        raise UnusableRequest("/lr_policy", f"{error}.") from error
