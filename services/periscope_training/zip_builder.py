"""Fetches an epoch's files, proves them, and makes the model zip in the local work folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from detectnet.bundle import DEPLOY, GRID_ONNX, BundleError, check_bundle, write_bundle
from detectnet.means import MEAN_FILE, NOT_FOR_ROBOTS
from periscope import keys
from periscope.blobs import hash_file
from periscope.store import ObjectStore
from periscope_training.epoch_files import EpochFileGone, read_committed
from periscope_training.model_zip import NO_GOLDEN_DETECTION, caffemodel_name, choose_golden, zip_members
from periscope_training.networks import BrokenNetwork, caffe_network, onnx_network
from periscope_training.parity import BadParityFile, Parity, ParityImages, load_parity_images, measure_parity
from periscope_training.publication import Body
from periscope_training.publish import BuiltZip, NotPublishable
from periscope_training.ssd_flavours import SsdFlavour, ssd_differences, ssd_flavours

PUBLICATIONS, DOWNLOADS = "publications", "downloads"
"""Folders of the work folder; what is in them is of use to the process that made it only."""
PARITY = "parity.npz"
NEEDED = (DEPLOY, GRID_ONNX, PARITY)


def remove_leftovers(work_dir: Path) -> None:
    """Remove the zips that an earlier process was killed over, half-made or half-sent."""
    for name in (PUBLICATIONS, DOWNLOADS):
        shutil.rmtree(work_dir / name, ignore_errors=True)


class ZipBuilder:
    """See :class:`periscope_training.publish.Builder`."""

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._built: dict[str, BuiltZip] = {}

    def build(self, publication_id: str, body: Body) -> BuiltZip:
        """Fetch, prove and zip, or take the zip that this process has made before."""
        known = self._built.get(publication_id)
        if known is not None and known.path.exists():
            return known
        spec = json.loads(self._store.get(keys.job_spec(body["job_id"])).body)
        files = self._fetch(body["files"])
        stored = _load_stored(files)
        parity = _prove(files, stored)
        ssd, parity = _make_ssd(files, stored, parity)
        golden = choose_golden(stored, (spec["network"]["width"], spec["network"]["height"]))
        path = self._write(publication_id, zip_members(spec, body, files, golden, ssd, stored.images))
        ref = hash_file(path)
        warnings = () if golden.detections else (NO_GOLDEN_DETECTION,)
        built = BuiltZip(path, ref.sha256, ref.size_bytes, parity.as_dict(), warnings)
        self._built[publication_id] = built
        return built

    def discard(self, publication_id: str) -> None:
        """Remove the local copy."""
        self._built.pop(publication_id, None)
        self._path(publication_id).unlink(missing_ok=True)

    def _path(self, publication_id: str) -> Path:
        return self._folder / f"{publication_id}.zip"

    def _write(self, publication_id: str, members: Mapping[str, bytes]) -> Path:
        path = self._path(publication_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        try:
            write_bundle(part, members)
            check_bundle(part)
        except BundleError as error:
            part.unlink(missing_ok=True)
            raise NotPublishable(f"The zip would be refused: {error}") from error
        part.replace(path)
        return path

    def _fetch(self, files: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
        if MEAN_FILE in files:
            raise NotPublishable(NOT_FOR_ROBOTS)
        try:
            names = [*NEEDED, caffemodel_name(files)]
            return {name: read_committed(self._store, name, files[name]) for name in names}
        except KeyError as error:
            raise NotPublishable(f"The epoch has no file {error}.") from error
        except EpochFileGone as error:
            raise NotPublishable(str(error)) from error


def _load_stored(files: Mapping[str, bytes]) -> ParityImages:
    try:
        return load_parity_images(files[PARITY])
    except BadParityFile as error:
        raise NotPublishable(str(error)) from error


def _prove(files: Mapping[str, bytes], stored: ParityImages) -> Parity:
    try:
        caffe = caffe_network(files[DEPLOY], files[caffemodel_name(files)])
        parity = measure_parity(stored, caffe, onnx_network(files[GRID_ONNX]))
    except BrokenNetwork as error:
        raise NotPublishable(str(error)) from error
    _require_equal(parity)
    return parity


def _make_ssd(
    files: Mapping[str, bytes], stored: ParityImages, parity: Parity
) -> tuple[dict[str, SsdFlavour], Parity]:
    """The SSD networks, and the parity with theirs added."""
    try:
        flavours = ssd_flavours(files[GRID_ONNX])
        scores, boxes = np.max([ssd_differences(stored, flavour) for flavour in flavours.values()], axis=0)
    except BrokenNetwork as error:
        raise NotPublishable(str(error)) from error
    parity = replace(parity, ssd_scores=float(scores), ssd_boxes_px=float(boxes))
    _require_equal(parity)
    return flavours, parity


def _require_equal(parity: Parity) -> None:
    broken = parity.broken_limits()
    if broken:
        raise NotPublishable(" ".join(broken), parity.as_dict())
