"""A trained network as files that others load: Caffe pair, ONNX grid, and proof of what it computes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from detectnet import means
from detectnet.caffemodel import detectnet_layers, write_caffemodel
from detectnet.onnx_graph import grid_onnx
from detectnet.prototxt import deploy_prototxt
from detectnet_trainer.dataset import Split
from detectnet_trainer.model import DetectNet, weights_of

FloatArray = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]

PARITY_IMAGES = 8


@dataclass(frozen=True)
class Snapshot:
    """File names and contents of one epoch's export."""

    files: dict[str, bytes]


def export_snapshot(
    model: DetectNet, step: int, width: int, height: int, mean: FloatArray | None = None
) -> Snapshot:
    """The caffemodel, ``deploy.prototxt`` and ``grid.onnx``; equal weights give equal bytes.

    A ``mean`` pixel [3,1,1] is in all of them. A mean picture [3,H,W] is in ``grid.onnx`` only; beside the
    Caffe pair, which cannot hold it, comes ``mean.binaryproto``.
    """
    weights = weights_of(model) | means.mean_weights(mean)
    layers = [*means.mean_layers(weights), *detectnet_layers(weights, model.classes)]
    has_pixel, has_picture = means.BIAS in weights, means.PICTURE in weights
    deploy = deploy_prototxt(width, height, model.classes, mean_pixel=has_pixel)
    files = {
        f"snapshot_iter_{step}.caffemodel": write_caffemodel(layers),
        "deploy.prototxt": deploy.encode(),
        "grid.onnx": grid_onnx(weights, width, height, model.classes),
    }
    if has_picture and mean is not None:
        files[means.MEAN_FILE] = means.write_mean(mean)
    return Snapshot(files)


def network_input(images: Images, mean: FloatArray | None = None) -> FloatArray:
    """Pictures uint8 [n,H,W,3] as the network takes them: float32 [n,3,H,W], less the mean."""
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    return given if mean is None else given - mean


def parity_file(model: DetectNet, split: Split, mean: FloatArray | None = None) -> bytes:
    """``parity.npz``: pictures of the split with PyTorch's own raw outputs, for checking every export.

    ``images`` uint8 [n,H,W,3], ``coverage`` float32 [n,C,GH,GW], ``bboxes`` float32 [n,4,GH,GW], n at most 8.
    """
    chosen = np.unique(np.linspace(0, len(split) - 1, min(PARITY_IMAGES, len(split))).astype(np.int64))
    images = np.stack([split.images[index] for index in chosen])
    coverage, bboxes = raw_outputs(model, images, mean)
    buffer = io.BytesIO()
    np.savez(buffer, images=images, coverage=coverage, bboxes=bboxes)
    return buffer.getvalue()


def raw_outputs(
    model: DetectNet, images: Images, mean: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Coverage [n,C,GH,GW] and bboxes [n,4,GH,GW], in full precision.

    ``images`` are uint8 [n,H,W,3], B,G,R, at the network's size.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with torch.inference_mode():
        batch = torch.from_numpy(network_input(images, mean))
        coverage, bboxes = model(batch.to(device))
    model.train(training)
    return coverage.cpu().numpy(), bboxes.cpu().numpy()
