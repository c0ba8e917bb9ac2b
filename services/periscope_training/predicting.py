"""Tries a picture on an epoch's network, on the CPU by onnxruntime: boxes, grids, layers in between."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectnet import network
from detectnet.bundle import GRID_ONNX
from detectnet.caffemodel import read_caffemodel, weights_of
from detectnet.decoders import Decoder, Detection, Network, Size, decode, prepare
from detectnet.images import Image
from detectnet.layer_views import LayerView, view_layers, with_every_output
from detectnet.means import MEAN_FILE
from detectnet.onnx_graph import grid_onnx
from detectnet.sizes import STRIDE
from detectnet.ssd_onnx import BOXES, INPUT, SCORES, ssd_onnx
from periscope_training.epoch_files import CommittedEpoch, EpochFiles
from periscope_training.model_zip import caffemodel_name
from periscope_training.networks import Session
from periscope_training.session_cache import Loaded, SessionCache

FloatArray = npt.NDArray[np.float32]

CACHE_BYTES = 512 << 20
MEMORY_PER_PIXEL = 400
"""Bytes that a session holds for each pixel of its input while it runs, beside its weights."""
RUN_AT_ONCE = 2
"""Each run takes all the processors that there are; more at once only takes memory."""
MAX_FREE_SIDE = 4096


class PictureTooLarge(ValueError):
    """The picture cannot go through the network without being resized."""


@dataclass(frozen=True)
class Prediction:
    """What a network says of one picture."""

    detections: list[Detection]
    coverage: FloatArray
    """[C,GH,GW], 0-1: what the network saw, before any decoding; with ``jetson-onnx`` only the peaks."""
    network_size: Size


class Predictor:
    """The networks of all epochs; those used last stay loaded."""

    def __init__(self, files: EpochFiles, cache_bytes: int = CACHE_BYTES) -> None:
        self._files = files
        self._sessions: SessionCache[Session] = SessionCache(cache_bytes)
        self._running = threading.BoundedSemaphore(RUN_AT_ONCE)

    def predict(
        self,
        epoch: CommittedEpoch,
        image: Image,
        decoder: Decoder,
        threshold: float | None = None,
        *,
        resize: bool = True,
    ) -> Prediction:
        """Boxes of a picture [H,W,3] B,G,R in its own pixels.

        Without ``resize`` the network is built for the picture's own size, padded with black to whole cells.

        Raises:
            EpochFileGone: a file of the epoch is missing or damaged.
            PictureTooLarge: it shall not be resized, and has more than MAX_FREE_SIDE pixels a side, or the
                network subtracts a mean picture.
            BrokenNetwork: the network cannot be run.
        """
        size = epoch.size if resize else _whole_cells(image)
        given = image if resize else _padded(image, size)
        first, second = self.network(epoch, decoder, size)(prepare(given, size, decoder))
        given_size = (given.shape[1], given.shape[0])
        found = decode(
            (first, second), decoder, image_size=given_size, network_size=size, threshold=threshold
        )
        coverage = _grid_of(first, size) if decoder == "jetson-onnx" else first
        return Prediction(found, coverage, size)

    def layers(self, epoch: CommittedEpoch, image: Image) -> list[LayerView]:
        """Every layer's output for a picture, and every layer's weights, in the network's order.

        Raises EpochFileGone and BrokenNetwork.
        """
        grid = self._files.read(epoch, GRID_ONNX)
        extended, names = with_every_output(grid)
        with self._running:
            outputs = Session(extended, GRID_ONNX).run(
                names, {network.INPUT: prepare(image, epoch.size, "digits")[None]}
            )
        weights = weights_of(read_caffemodel(self._files.read(epoch, caffemodel_name(epoch.entry["files"]))))
        return view_layers(dict(zip(names, outputs, strict=True)), weights, len(epoch.classes))

    def network(self, epoch: CommittedEpoch, decoder: Decoder, size: Size | None = None) -> Network:
        """The epoch's network as the decoder needs it; loaded now, and run with the memory bound that holds.

        Raises EpochFileGone and BrokenNetwork.
        """
        wraps, chosen = decoder == "jetson-onnx", size or epoch.size
        key = (epoch.grid_sha256, chosen, wraps)
        session = self._sessions.get(key, lambda: self._load(epoch, chosen, wraps=wraps))
        grids = [network.COVERAGE, network.BBOXES]
        names, entry = ([SCORES, BOXES], INPUT) if wraps else (grids, network.INPUT)

        def run(given: FloatArray) -> tuple[FloatArray, FloatArray]:
            with self._running:
                first, second = session.run(names, {entry: given[None]})
            return first[0], second[0]

        return run

    def _load(self, epoch: CommittedEpoch, size: Size, *, wraps: bool) -> Loaded[Session]:
        content = self._grid(epoch, size)
        if wraps:
            content = ssd_onnx(content, 3)
        held = len(content) + MEMORY_PER_PIXEL * size[0] * size[1]
        return Loaded(Session(content, GRID_ONNX), held)

    def _grid(self, epoch: CommittedEpoch, size: Size) -> bytes:
        if size == epoch.size:
            return self._files.read(epoch, GRID_ONNX)
        if MEAN_FILE in epoch.entry["files"]:
            raise PictureTooLarge("the network subtracts a mean picture of its own size; let it resize")
        name = caffemodel_name(epoch.entry["files"])
        weights = weights_of(read_caffemodel(self._files.read(epoch, name)))
        return grid_onnx(weights, *size, len(epoch.classes))


def _whole_cells(image: Image) -> Size:
    height, width = image.shape[:2]
    if max(height, width) > MAX_FREE_SIDE:
        raise PictureTooLarge(
            f"the picture is {width}x{height}; without resizing it may have {MAX_FREE_SIDE} pixels a side"
        )
    return -(-width // STRIDE) * STRIDE, -(-height // STRIDE) * STRIDE


def _padded(image: Image, size: Size) -> Image:
    height, width = image.shape[:2]
    return np.pad(image, ((0, size[1] - height), (0, size[0] - width), (0, 0)))


def _grid_of(scores: FloatArray, size: Size) -> FloatArray:
    """Scores [N,C+1] of cells row by row as a grid [C,GH,GW], without the background."""
    return np.ascontiguousarray(scores[:, 1:].T.reshape(-1, size[1] // STRIDE, size[0] // STRIDE))
