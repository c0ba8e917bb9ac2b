"""PyTorch, OpenCV's Caffe importer and onnxruntime on one network and real photographs."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from detectnet.caffe_runtime import CaffeNet
from detectnet.images import decode_image, resize_image
from detectnet_trainer.export import Snapshot, export_snapshot, parity_file, raw_outputs
from detectnet_trainer.initialise import initialise
from detectnet_trainer.model import DetectNet
from tests.unit.detectnet_trainer.small_data import pictures, split_of

pytestmark = pytest.mark.slow

PHOTOGRAPHS = Path(__file__).resolve().parents[4] / "shared" / "data" / "bccd-kitti" / "val" / "images"
"""Beside the checkout on some machines; elsewhere a drawn scene serves."""

SIZES = [(320, 240), (176, 352)]


def scene(index: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Something with edges, gradients and noise, as a photograph has."""
    rng = np.random.default_rng(index)
    ramp = np.linspace(30, 220, width)[None, :, None] * np.array([0.5, 0.8, 1.0])
    pixels = np.broadcast_to(ramp, (height, width, 3)) + rng.normal(0, 8, (height, width, 3))
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    for _ in range(6):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.circle(image, centre, int(rng.integers(8, 50)), colour, -1, cv2.LINE_AA)
    return image


def photographs(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Three pictures [3,H,W,3]."""
    found = sorted(PHOTOGRAPHS.glob("*.jpg"))[:3] if PHOTOGRAPHS.is_dir() else []
    images = [resize_image(decode_image(path.read_bytes()), width, height) for path in found]
    return np.stack(images or [scene(index, width, height) for index in range(3)])


def lively_network(images: npt.NDArray[np.uint8]) -> DetectNet:
    """Scaled by LSUV, with heads that give coverages from 0 to 1 and boxes of many pixels."""
    model = DetectNet(3)
    batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32))
    initialise(model, "lsuv", batch, 0)
    with torch.no_grad():
        weight, bias = model.weight_and_bias("cvg/classifier")
        weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        bias.zero_()
        model.weight_and_bias("bbox/regressor")[0].mul_(60)
    return model.eval()


def opencv_outputs(snapshot: Snapshot, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], ...]:
    net = CaffeNet(snapshot.files["deploy.prototxt"], snapshot.files["snapshot_iter_7.caffemodel"])
    return net.run(image.transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_opencv_on_the_caffe_pair_equals_pytorch(width: int, height: int) -> None:
    images = photographs(width, height)
    model = lively_network(images)
    snapshot = export_snapshot(model, 7, width, height)
    coverage, bboxes = raw_outputs(model, images)

    assert np.ptp(coverage) > 0.5
    assert np.ptp(bboxes) > 100
    for index, image in enumerate(images):
        found = opencv_outputs(snapshot, image)
        assert np.abs(found[0] - coverage[index]).max() < 1e-4
        assert np.abs(found[1] - bboxes[index]).max() < 0.01


def test_onnxruntime_on_the_grid_equals_pytorch() -> None:
    images = photographs(320, 240)
    model = lively_network(images)
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = 1
    grid = export_snapshot(model, 7, 320, 240).files["grid.onnx"]
    session = onnxruntime.InferenceSession(grid, session_options, providers=["CPUExecutionProvider"])
    coverage, bboxes = raw_outputs(model, images)

    for index, image in enumerate(images):
        data = image.transpose(2, 0, 1).astype(np.float32)[None]
        found = session.run(["coverage", "bboxes"], {"data": data})
        assert np.abs(found[0][0] - coverage[index]).max() < 1e-4
        assert np.abs(found[1][0] - bboxes[index]).max() < 0.01


def test_equal_weights_give_equal_files() -> None:
    model = DetectNet(2)

    assert export_snapshot(model, 7, 64, 48).files == export_snapshot(model, 7, 64, 48).files


def test_a_snapshot_has_the_names_that_others_look_for() -> None:
    assert set(export_snapshot(DetectNet(1), 1200, 64, 48).files) == {
        "snapshot_iter_1200.caffemodel",
        "deploy.prototxt",
        "grid.onnx",
    }


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (20, 8)])
def test_the_parity_file_holds_up_to_eight_pictures_with_raw_outputs(
    tmp_path: Path, count: int, kept: int
) -> None:
    split = split_of(pictures(count), tmp_path)
    model = DetectNet(2).eval()
    with np.load(io.BytesIO(parity_file(model, split))) as stored:
        images, coverage, bboxes = stored["images"], stored["coverage"], stored["bboxes"]
    expected = raw_outputs(model, images)

    assert images.shape == (kept, 64, 64, 3)
    assert images.dtype == np.uint8
    assert coverage.shape == (kept, 2, 4, 4)
    assert bboxes.shape == (kept, 4, 4, 4)
    assert coverage.dtype == bboxes.dtype == np.float32
    np.testing.assert_array_equal(coverage, expected[0])
