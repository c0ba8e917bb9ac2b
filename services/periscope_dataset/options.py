"""What the options of an ingest mean: DIGITS's defaults where wished for, notes on what does nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from detectnet.sizes import require_grid_size
from periscope_dataset.class_mapping import ClassMapping

DIGITS_PAD = {"width": 1248, "height": 384}
WITHOUT_EFFECT = {
    "channel_conversion": "pictures are kept as they came and trained on in colour, as DetectNet wants",
    "feature_encoding": "pictures are kept as they came, byte for byte",
    "label_encoding": "labels are kept as text",
    "encoder_batch_size": "nothing is encoded",
    "encoder_threads": "as many work as there are cores",
    "backend": "pictures and labels are kept in tar shards of the object store",
    "force_same_shape": "the training job's input says the size; pictures of several sizes are a finding",
}
"""DIGITS's options that change nothing here, and why."""


class BadOptions(ValueError):
    """An option makes no sense; the text says which and what would."""


def understood(asked: Mapping[str, Any], given: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Options as an ingest keeps them, and notes for who asked; ``given`` are the names that were sent.

    Raises:
        BadOptions: a size or the list of classes makes no sense, or two options contradict each other.
    """
    options = {name: value for name, value in asked.items() if name not in WITHOUT_EFFECT}
    notes = [f"{name} has no effect: {why}" for name, why in WITHOUT_EFFECT.items() if name in given]
    custom = options.pop("custom_classes")
    if custom is not None:
        if options["classes"] is not None:
            raise BadOptions("classes and custom_classes say the same; give one of both")
        options["classes"] = [name.strip() for name in custom.split(",") if name.strip()]
    if options.pop("defaults") == "digits":
        options |= _as_in_digits(options, given)
    if options["unlabelled"] and options["val_ratio"] is not None:
        raise BadOptions("unlabelled pictures are all a test set; leave val_ratio out")
    _require_sound(options)
    return options, notes


def inherited(asked: Mapping[str, Any], given: Collection[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, and the base version's options where nothing was given."""
    by_other_name = {"classes"} if "custom_classes" in given else set()
    kept = {name: base[name] for name in asked if name in base and name not in {*given, *by_other_name}}
    return {**asked, **kept}


def _as_in_digits(options: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if "pad" not in given:
        changed["pad"] = dict(DIGITS_PAD)
    if isinstance(options["classes"], list):
        changed["classes"] = {
            "names": options["classes"], "merge": {}, "dontcare": [], "drop": [], "unknown": "dontcare",
        }  # fmt: skip
    return changed


def _require_sound(options: Mapping[str, Any]) -> None:
    """What would only fail hours later is said at once."""
    try:
        if options["resize"]:
            require_grid_size(options["resize"]["width"], options["resize"]["height"])
        ClassMapping.of(options["classes"])
    except ValueError as error:
        raise BadOptions(str(error)) from error
