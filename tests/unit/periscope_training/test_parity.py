from __future__ import annotations

import io

import numpy as np
import pytest

from periscope_training.parity import (
    BadParityFile,
    Network,
    Parity,
    ParityImages,
    load_parity_images,
    measure_parity,
    network_input,
)

rng = np.random.default_rng(7)
IMAGES = rng.integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
COVERAGE = rng.random((3, 2, 2, 3), dtype=np.float32)
BBOXES = rng.random((3, 4, 2, 3), dtype=np.float32) * 40
STORED = ParityImages(IMAGES, COVERAGE, BBOXES)


def npz(**arrays: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def replaying(coverage_error: float = 0.0, box_error: float = 0.0) -> Network:
    """A network that knows the stored outputs, and is wrong in one cell of the second image."""

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index = next(n for n in range(len(IMAGES)) if np.array_equal(network_input(IMAGES[n]), image))
        coverage, bboxes = COVERAGE[index].copy(), BBOXES[index].copy()
        if index == 1:
            coverage[1, 1, 2] += coverage_error
            bboxes[3, 0, 0] -= box_error
        return coverage, bboxes

    return run


def test_the_stored_file_is_read_back() -> None:
    stored = load_parity_images(npz(images=IMAGES, coverage=COVERAGE, bboxes=BBOXES))

    assert np.array_equal(stored.images, IMAGES)
    assert np.array_equal(stored.bboxes, BBOXES)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        npz(images=IMAGES, coverage=COVERAGE, bboxes=BBOXES)[:-40],
        npz(images=IMAGES, coverage=COVERAGE),
        npz(images=IMAGES.astype(np.float32), coverage=COVERAGE, bboxes=BBOXES),
        npz(images=IMAGES[:2], coverage=COVERAGE, bboxes=BBOXES),
        npz(images=IMAGES[:0], coverage=COVERAGE[:0], bboxes=BBOXES[:0]),
        npz(images=IMAGES, coverage=COVERAGE, bboxes=BBOXES[:, :3]),
        npz(images=IMAGES, coverage=COVERAGE, bboxes=BBOXES[:, :, :1]),
        npz(images=IMAGES, coverage=COVERAGE, bboxes=np.array([None])),
    ],
)
def test_a_file_that_proves_nothing_is_refused(content: bytes) -> None:
    with pytest.raises(BadParityFile):
        load_parity_images(content)


def test_the_networks_input_is_planar_bgr_without_any_scaling() -> None:
    planar = network_input(IMAGES[0])

    assert (planar.shape, planar.dtype) == ((3, 32, 48), np.float32)
    assert planar[2, 5, 7] == IMAGES[0][5, 7, 2]


def test_equal_outputs_are_in_parity() -> None:
    parity = measure_parity(STORED, replaying(), replaying())

    assert parity == Parity(3, 0.0, 0.0, 0.0, 0.0)
    assert parity.broken_limits() == []


@pytest.mark.parametrize(
    ("caffe", "onnx", "words"),
    [
        (
            replaying(coverage_error=0.01),
            replaying(),
            "OpenCV's coverage differ from PyTorch's by up to 0.01;",
        ),
        (replaying(box_error=0.5), replaying(), "OpenCV's boxes differ from PyTorch's by up to 0.5 px"),
        (replaying(), replaying(coverage_error=0.01), "onnxruntime's coverage"),
        (
            replaying(),
            replaying(box_error=float("nan")),
            "onnxruntime's boxes differ from PyTorch's by up to nan",
        ),
    ],
)
def test_one_wrong_cell_in_one_image_breaks_parity(caffe: Network, onnx: Network, words: str) -> None:
    (sentence,) = measure_parity(STORED, caffe, onnx).broken_limits()

    assert words in sentence


def test_small_differences_are_within_the_limits() -> None:
    parity = measure_parity(STORED, replaying(5e-5, 0.005), replaying(5e-5, 0.005))

    assert parity.broken_limits() == []
    assert parity.boxes_px == pytest.approx(0.005, abs=1e-4)


def test_outputs_of_another_shape_are_not_in_parity() -> None:
    parity = measure_parity(STORED, lambda _image: (COVERAGE[0, :1], BBOXES[0]), replaying())

    assert parity.broken_limits()
    assert parity.as_dict()["coverage"] is None
