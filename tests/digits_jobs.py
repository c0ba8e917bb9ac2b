"""Jobs as DIGITS left them: a folder's files, with the network's weights drawn at random."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from detectnet import network
from detectnet.caffemodel import CaffeLayer, write_caffemodel
from detectnet.prototxt import deploy_prototxt
from detectnet.recipes import resolve_training
from detectnet.training_prototxt import SolverSteps, solver_prototxt, train_val_prototxt
from tests.unit.detectnet.networks import random_weights

SIZE = (320, 160)
STEPS = SolverSteps(max_step=6000, validation_interval=60, validation_steps=10, display_interval=7)
JOB_ID = "20170504-190602-879f"
CLUSTER = """\
layer {
  name: "cluster" type: "Python" bottom: "coverage" bottom: "bboxes" top: "bbox-list"
  python_param {
    module: "caffe.layers.detectnet.clustering" layer: "ClusterDetections" param_str: "320, 160, 16, 0.6, 2, 0.02, 22, 2"
  }
}
"""


def caffemodel(classes: int) -> bytes:
    """Weights as Caffe wrote them: one layer for each convolution."""
    weights = random_weights(classes)
    layers = []
    for layer in network.layers(classes):
        if isinstance(layer, network.Convolution):
            blobs = (weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"])
            layers.append(CaffeLayer(layer.name, "Convolution", (layer.bottom,), (layer.top,), blobs))
    return write_caffemodel(layers)


def job_files(classes: int = 2, iteration: int = 6000, **given: Any) -> dict[str, bytes]:
    """The files of a download; ``given`` are training options."""
    training = resolve_training("digits", {"epochs": 100, **given}, threads=1)
    train_val = train_val_prototxt(*SIZE, classes, training)
    info = {
        "id": JOB_ID, "job id": JOB_ID, "name": "buoys and gates", "status": "Done", "framework": "caffe",
        "image dimensions": [SIZE[1], SIZE[0], 3], "digits version": "6.1.1", "dataset_id": "20170504-180000-aaaa",
    }  # fmt: skip
    return {
        "original.prototxt": train_val.encode(),
        "train_val.prototxt": train_val.encode(),
        "deploy.prototxt": (deploy_prototxt(*SIZE, classes) + CLUSTER).encode(),
        "solver.prototxt": solver_prototxt(training, STEPS).encode(),
        "info.json": json.dumps(info, indent=4, sort_keys=True).encode(),
        f"snapshot_iter_{iteration}.caffemodel": caffemodel(classes),
    }


def as_tar_gz(files: dict[str, bytes]) -> bytes:
    """The download, flat as DIGITS made it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()
