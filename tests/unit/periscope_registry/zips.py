"""Small model zips that the registry takes: a network of two layers with random weights."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from detectnet.bundle import write_bundle
from detectnet.caffemodel import CaffeLayer, write_caffemodel

LABELS = "buoy\ngate\n"
DEPLOY = """\
input: "data"
input_shape { dim: 1 dim: 3 dim: 32 dim: 64 }
layer {
  name: "deploy_transform" type: "Power" bottom: "data" top: "transformed_data" power_param { shift: -127 }
}
layer {
  name: "cvg/classifier" type: "Convolution" bottom: "transformed_data" top: "cvg/classifier"
  convolution_param { num_output: 2 kernel_size: 1 stride: 16 }
}
layer { name: "coverage/sig" type: "Sigmoid" bottom: "cvg/classifier" top: "coverage" }
layer {
  name: "bbox/regressor" type: "Convolution" bottom: "transformed_data" top: "bboxes"
  convolution_param { num_output: 4 kernel_size: 1 stride: 16 }
}
"""


def model_files(seed: int, weight_bytes: int = 0) -> dict[str, bytes]:
    """Members of a zip; each seed has other weights. ``weight_bytes`` of ballast make it larger."""
    random = np.random.default_rng(seed)

    def layer(name: str, outputs: int) -> CaffeLayer:
        weights = random.standard_normal((outputs, 3, 1, 1)).astype(np.float32)
        return CaffeLayer(name, "Convolution", ("data",), (name,), (weights, np.zeros(outputs, np.float32)))

    layers = [layer("cvg/classifier", 2), layer("bbox/regressor", 4)]
    files = {
        "deploy.prototxt": DEPLOY.encode(),
        "labels.txt": LABELS.encode(),
        "model.json": json.dumps({"name": "buoys", "seed": seed}).encode(),
        "snapshot_iter_60.caffemodel": write_caffemodel(layers),
    }
    return files | ({"ballast.bin": random.bytes(weight_bytes)} if weight_bytes else {})


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """The zip as the project writes it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        write_bundle(path, files)
        return path.read_bytes()


def model_zip(seed: int, weight_bytes: int = 0) -> bytes:
    """A sound zip."""
    return zip_of(model_files(seed, weight_bytes))


def foreign_zip(files: Mapping[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as another program writes it, without checks and sums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return buffer.getvalue()
