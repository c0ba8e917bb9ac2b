"""A DIGITS job as a recipe and as a zip that the registry takes. On plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectnet import means
from detectnet.bundle import DEPLOY, LABELS
from detectnet.caffemodel import CaffemodelError, read_caffemodel, write_caffemodel
from detectnet.network_import import ImportedNetwork, import_network
from detectnet.network_remarks import box_rate, network_remarks
from detectnet.prototxt import Message, PrototxtError, deploy_prototxt, parse_prototxt
from detectnet.sizes import IllegalSize
from detectnet.solver_import import ImportedSolver, import_solver
from periscope_cli.digits_archive import DigitsFiles, NotDigits

NETWORKS = ("train_val.prototxt", "original.prototxt", "deploy.prototxt")
"""Where the network is read, the file that says most first: DIGITS wrote the form's batch sizes into it."""
INFO_KEPT = ("job id", "name", "creation time", "digits version", "caffe version", "dataset_id")

Document = dict[str, Any]


@dataclass(frozen=True)
class ImportedJob:
    """What becomes of a DIGITS job."""

    recipe: Document
    """Fields of a job request."""
    members: Mapping[str, bytes]
    """Of the model's zip; empty where there is no snapshot, or none that a robot can use."""
    lineage: Document
    remarks: tuple[str, ...]
    """What was assumed, and what is not carried over, a sentence each."""


def import_digits(files: DigitsFiles, classes: Sequence[str], epochs: int | None = None) -> ImportedJob:
    """Take a job over; ``classes`` in coverage order, which object-detection jobs of DIGITS do not name.

    Raises:
        NotDigits: no network is there, it is not DetectNet's, or the classes do not fit it.
    """
    network, source = _network(files)
    labels = list(classes) or files.texts.get(LABELS, "").split()
    if len(labels) != network.classes:
        given = f"{len(labels)} were given ({', '.join(labels)})" if labels else "none is named in the job"
        raise NotDigits(
            f"the network of {source} has {network.classes} class(es), {given}; name them by --classes A,B, "
            f"in the order of the dataset's custom classes without dontcare"
        )
    remarks: list[str] = []
    recipe: Document = {"recipe": "digits", **network.options()}
    if network.size is not None:
        recipe["input"] = {"width": network.size[0], "height": network.size[1]}
    solver = _solver(files, epochs)
    if solver is not None:
        recipe |= solver.options
        remarks += solver.remarks
    else:
        remarks.append(
            "solver.prototxt is not there: solver and learning rate are those of the recipe digits"
        )
    remarks += network_remarks(files.texts[source])
    faster = box_rate(files.texts[source])
    if faster is not None:
        recipe["bbox_lr_mult"] = faster
    mean = _mean(files.texts[source])
    recipe["subtract_mean"] = mean.kind
    members, told = _members(files, network, labels, mean)
    remarks += told
    return ImportedJob(recipe, members, _lineage(files), tuple(remarks))


def _network(files: DigitsFiles) -> tuple[ImportedNetwork, str]:
    for name in NETWORKS:
        if name in files.texts:
            try:
                return import_network(files.texts[name]), name
            except PrototxtError as error:
                raise NotDigits(f"{name}, {error}") from error
    raise NotDigits(f"there is none of {', '.join(NETWORKS)}: this is no DIGITS job with a Caffe network")


def _solver(files: DigitsFiles, epochs: int | None) -> ImportedSolver | None:
    if "solver.prototxt" not in files.texts:
        return None
    text = files.texts["solver.prototxt"]
    length: float | None = epochs
    try:
        if length is None and files.epoch and files.snapshots:
            # DIGITS named a download after its epoch, and the snapshot after its iteration: together they
            # tell how many epochs all iterations are.
            length = (
                files.epoch * float(parse_prototxt(text).text("max_iter", "0")) / next(iter(files.snapshots))
            )
        return import_solver(text, length or None)
    except (PrototxtError, ValueError, ZeroDivisionError) as error:
        raise NotDigits(f"solver.prototxt, {error}") from error


@dataclass(frozen=True)
class _Mean:
    kind: str
    pixel: tuple[float, ...] = ()


def _mean(text: str) -> _Mean:
    """What the data layers of the training subtracted; ``text`` is the network's prototxt."""
    for layer in parse_prototxt(text).blocks("layer"):
        found = _mean_of(layer)
        if found is not None:
            return found
    return _Mean("none")


def _mean_of(layer: Message) -> _Mean | None:
    if layer.text("type") != "Data":
        return None
    transform = layer.block("transform_param")
    if transform.text("mean_file"):
        return _Mean("image")
    values = transform.texts("mean_value")
    if not values:
        return None
    try:
        pixel = tuple(float(value) for value in values)
    except ValueError as error:
        raise NotDigits(f"layer {layer.text('name')!r}: mean_value must be numbers") from error
    return _Mean("pixel", pixel * 3 if len(pixel) == 1 else pixel)


def _members(
    files: DigitsFiles, network: ImportedNetwork, labels: list[str], mean: _Mean
) -> tuple[dict[str, bytes], list[str]]:
    if not files.snapshots:
        return {}, ["no snapshot_iter_N.caffemodel is there: a recipe, but no model"]
    if mean.kind == "image":
        return {}, ["a recipe, but no model: " + means.NOT_FOR_ROBOTS]
    if network.size is None:
        return {}, ["a recipe, but no model: no prototxt says the size of the input"]
    [(iteration, weights)] = files.snapshots.items()
    try:
        deploy = deploy_prototxt(*network.size, network.classes, mean_pixel=mean.kind == "pixel")
        layers = read_caffemodel(weights)
    except IllegalSize as error:
        return {}, [f"a recipe, but no model: {error}"]
    except CaffemodelError as error:
        raise NotDigits(f"snapshot_iter_{iteration}.caffemodel: {error}") from error
    if mean.kind == "pixel":
        picture = np.asarray(mean.pixel, np.float32).reshape(3, 1, 1)
        layers = [*means.mean_layers(means.mean_weights(picture)), *layers]
        weights = write_caffemodel(layers)
    members = {
        DEPLOY: deploy.encode(),
        LABELS: "".join(f"{label}\n" for label in labels).encode(),
        f"snapshot_iter_{iteration}.caffemodel": weights,
    }
    for name in ("train_val.prototxt", "solver.prototxt", "info.json"):
        if name in files.texts:
            members[name] = files.texts[name].encode()
    return members, ["deploy.prototxt is written anew: without the Python layer, which no robot loads"]


def _lineage(files: DigitsFiles) -> Document:
    try:
        info = json.loads(files.texts.get("info.json", "{}"))
    except ValueError as error:
        raise NotDigits(f"info.json is no JSON: {error}") from error
    kept = {
        name.replace(" ", "_"): info[name] for name in INFO_KEPT if isinstance(info, dict) and name in info
    }
    lineage: Document = {"imported_from": "DIGITS", **kept}
    if files.epoch is not None:
        lineage["epoch"] = files.epoch
    for iteration in files.snapshots:
        lineage["iteration"] = iteration
    return lineage
