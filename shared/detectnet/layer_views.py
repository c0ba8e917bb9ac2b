"""What each layer makes of a picture: shapes, statistics, and tiles to look at, as DIGITS showed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from detectnet import network
from detectnet.images import Image

FloatArray = npt.NDArray[np.float32]

HISTOGRAM_BINS = 20
MAX_TILES = 1024
TILE_GAP_PX = 1
LEAST_TILE_PX = 8
"""A filter of 1x1 would not be seen."""

Kind = Literal["activation", "weights", "bias"]


@dataclass(frozen=True)
class LayerView:
    """One array of one layer: its output for a picture, its weights, or its bias."""

    layer: str
    kind: Kind
    values: FloatArray
    """Activations [C,H,W], weights [out,in,kh,kw], biases [out]."""

    @property
    def parameters(self) -> int:
        """Numbers that training changes; 0 for an activation."""
        return 0 if self.kind == "activation" else int(self.values.size)

    def statistics(self) -> dict[str, Any]:
        """Mean, standard deviation and a histogram of 20 bins, over all numbers that are finite."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        counts, edges = np.histogram(finite, HISTOGRAM_BINS) if finite.size else (np.zeros(0), np.zeros(0))
        return {
            "layer": self.layer,
            "kind": self.kind,
            "shape": list(self.values.shape),
            "parameters": self.parameters,
            "not_finite": int(self.values.size - finite.size),
            "mean": float(finite.mean()) if finite.size else None,
            "std": float(finite.std()) if finite.size else None,
            "min": float(finite.min()) if finite.size else None,
            "max": float(finite.max()) if finite.size else None,
            "histogram": {
                "counts": [int(count) for count in counts],
                "edges": [float(edge) for edge in edges],
            },
        }


def with_every_output(grid: bytes) -> tuple[bytes, list[str]]:
    """A grid network that also gives every layer's output, and the names of its outputs in order."""
    model = onnx.load_model_from_string(grid)
    given = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in given
    )
    return model.SerializeToString(), names


def view_layers(
    outputs: Mapping[str, FloatArray], weights: Mapping[str, FloatArray], classes: int
) -> list[LayerView]:
    """Layers in order, from outputs [1,C,H,W] by name and parameters by ``<layer>.weight`` and ``.bias``."""
    views: list[LayerView] = []
    for layer in network.layers(classes):
        if isinstance(layer, network.Convolution):
            views += [
                LayerView(layer.name, "weights", weights[f"{layer.name}.weight"]),
                LayerView(layer.name, "bias", weights[f"{layer.name}.bias"]),
            ]
        top = getattr(layer, "top", "")
        shown = getattr(layer, "relu", None) or top
        found = outputs.get(shown, outputs.get(top))
        if found is not None:
            views.append(LayerView(layer.name, "activation", found[0]))
    return views


def tiles(values: FloatArray) -> Image:
    """Maps side by side in a square, dark for low and bright for high: [n,h,w] or [out,in,kh,kw] as BGR.

    Filters with three inputs are shown in their colours, others by their mean over the inputs; a bias is one
    row of tiles. At most the first MAX_TILES are shown.
    """
    maps = _maps(np.nan_to_num(values, posinf=0.0, neginf=0.0))[:MAX_TILES]
    low, high = float(maps.min()), float(maps.max())
    scaled = ((maps - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)
    coloured = [tile if tile.ndim == 3 else _viridis(tile) for tile in scaled]
    return _in_a_square([_enlarged(tile) for tile in coloured])


def _maps(values: FloatArray) -> FloatArray:
    if values.ndim == 1:
        return values[:, None, None]
    if values.ndim == 4:
        return values.transpose(0, 2, 3, 1) if values.shape[1] == 3 else values.mean(axis=1)
    return values


def _viridis(tile: npt.NDArray[np.uint8]) -> Image:
    return np.asarray(cv2.applyColorMap(tile, cv2.COLORMAP_VIRIDIS), np.uint8)


def _enlarged(tile: Image) -> Image:
    factor = max(1, math.ceil(LEAST_TILE_PX / min(tile.shape[:2])))
    return np.repeat(np.repeat(tile, factor, axis=0), factor, axis=1)


def _in_a_square(shown: Sequence[Image]) -> Image:
    columns = math.ceil(math.sqrt(len(shown)))
    rows = math.ceil(len(shown) / columns)
    height, width = (side + TILE_GAP_PX for side in shown[0].shape[:2])
    canvas = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, tile in enumerate(shown):
        top, left = (index // columns) * height, (index % columns) * width
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas
