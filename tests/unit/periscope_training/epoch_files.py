"""A small network's epoch files, made without torch: what the training program leaves at each interval."""

from __future__ import annotations

import functools
import hashlib
import io
from typing import Any

import numpy as np

from detectnet import network
from detectnet.caffemodel import detectnet_layers, write_caffemodel
from detectnet.means import mean_layers, mean_weights
from detectnet.onnx_graph import grid_onnx
from detectnet.prototxt import deploy_prototxt
from periscope import keys
from periscope.store import ObjectStore
from periscope_training.networks import onnx_network
from periscope_training.parity import network_input

WIDTH, HEIGHT, CLASSES = 64, 48, 2
CAFFEMODEL = "snapshot_iter_60.caffemodel"


def random_weights(coverage_bias: float) -> dict[str, np.ndarray]:
    """Caffe's xavier weights; the bias decides whether there are detections."""
    rng = np.random.default_rng(11)
    weights = {}
    for name, shape in network.parameter_shapes(CLASSES).items():
        limit = np.sqrt(3 / np.prod(shape[1:])) if len(shape) > 1 else 0.0
        weights[name] = rng.uniform(-limit, limit, shape).astype(np.float32)
    weights[f"{network.COVERAGE_HEAD}.weight"] *= 1e-3
    weights[f"{network.COVERAGE_HEAD}.bias"][:] = coverage_bias
    return weights


@functools.cache
def epoch_files(
    coverage_bias: float = 3.0, mean_pixel: tuple[float, float, float] | None = None
) -> dict[str, bytes]:
    """Files by name; onnxruntime stands in for PyTorch as the one that computed the stored outputs."""
    mean = None if mean_pixel is None else np.array(mean_pixel, np.float32).reshape(3, 1, 1)
    weights = random_weights(coverage_bias) | mean_weights(mean)
    layers = [*mean_layers(weights), *detectnet_layers(weights, CLASSES)]
    onnx = grid_onnx(weights, WIDTH, HEIGHT, CLASSES)
    images = np.random.default_rng(5).integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    outputs = [onnx_network(onnx)(network_input(image)) for image in images]
    parity = io.BytesIO()
    np.savez(
        parity,
        images=images,
        coverage=np.stack([coverage for coverage, _ in outputs]),
        bboxes=np.stack([bboxes for _, bboxes in outputs]),
    )
    return {
        "checkpoint.pt": b"of no concern here",
        CAFFEMODEL: write_caffemodel(layers),
        "deploy.prototxt": deploy_prototxt(WIDTH, HEIGHT, CLASSES, mean_pixel=mean is not None).encode(),
        "grid.onnx": onnx,
        "parity.npz": parity.getvalue(),
    }


def save_epoch_files(store: ObjectStore, job_id: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Put them where the training program does; return the checkpoint document's description of them."""
    described = {}
    for name, content in files.items():
        key = keys.attempt_epoch_file(job_id, 1, 60, name)
        store.put(key, content)
        sha256 = hashlib.sha256(content).hexdigest()
        described[name] = {"key": key, "sha256": sha256, "size_bytes": len(content)}
    return described
