"""A mean that is subtracted: in training, in every exported network, and by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from detectnet import means
from detectnet.caffe_runtime import CaffeNet
from detectnet.caffemodel import CaffemodelError, read_caffemodel, weights_of
from detectnet.jetson import preprocess_ssd
from detectnet.prototxt import deploy_prototxt, parse_prototxt
from detectnet.recipes import resolve_training
from detectnet.ssd_onnx import ssd_onnx, ssd_outputs
from detectnet.training_prototxt import train_val_prototxt
from detectnet_trainer.__main__ import main
from detectnet_trainer.augment import Draws, apply_to_image
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.checkpoint import dump_checkpoint, model_of_checkpoint
from detectnet_trainer.export import export_snapshot, raw_outputs
from detectnet_trainer.session import start_session
from tests.unit.detectnet_trainer.small_data import NAMES, folder_of, options, pictures, split_of
from tests.unit.detectnet_trainer.test_export import lively_network, scene

WIDTH, HEIGHT = 96, 64


def images(count: int = 3) -> npt.NDArray[np.uint8]:
    return np.stack([scene(index, WIDTH, HEIGHT) for index in range(count)])


def opencv_mean(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The mean picture [3,H,W] by OpenCV's accumulator, rounded."""
    total = np.zeros(pictures.shape[1:], np.float64)
    for picture in pictures:
        cv2.accumulate(picture, total)
    return np.rint(total / len(pictures)).astype(np.float32).transpose(2, 0, 1)


@pytest.mark.parametrize("count", [1, 3, 130])
def test_the_mean_picture_is_rounded_and_the_mean_pixel_is_its_mean(count: int) -> None:
    given = np.random.default_rng(count).integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)
    picture, pixel = means.mean_of(given, "image"), means.mean_of(given, "pixel")

    assert picture is not None
    assert pixel is not None
    np.testing.assert_array_equal(picture, opencv_mean(given))
    np.testing.assert_allclose(
        pixel.reshape(3), [channel.mean() for channel in opencv_mean(given)], rtol=1e-6
    )
    assert means.mean_of(given, "none") is None
    with pytest.raises(ValueError, match="none, image and pixel"):
        means.mean_of(given, "median")


def test_a_mean_file_is_read_as_it_was_written_and_another_file_is_refused() -> None:
    mean = opencv_mean(images())

    np.testing.assert_array_equal(means.read_mean(means.write_mean(mean)), mean)
    with pytest.raises(CaffemodelError, match=r"not \[1,3,H,W\]"):
        means.read_mean(means.write_mean(mean[:1]))


def test_a_mean_file_of_digits_has_its_shape_in_the_old_fields() -> None:
    # num, channels, height, width as varints of fields 1 to 4, then six packed floats.
    data = np.arange(6, dtype="<f4").tobytes()
    content = bytes([0x08, 1, 0x10, 3, 0x18, 1, 0x20, 2, 0x2A, len(data)]) + data

    np.testing.assert_array_equal(means.read_mean(content), np.arange(6, dtype=np.float32).reshape(3, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixel", "image"])
def test_every_export_computes_what_pytorch_computes_with_the_mean_subtracted(kind: str) -> None:
    given = images()
    mean = means.mean_of(given, kind)
    assert mean is not None
    model = lively_network(given)
    files = export_snapshot(model, 7, WIDTH, HEIGHT, mean).files
    expected = raw_outputs(model, given, mean)
    grid = onnxruntime.InferenceSession(files["grid.onnx"])
    ssd = onnxruntime.InferenceSession(ssd_onnx(files["grid.onnx"], 3))
    caffe = CaffeNet(files["deploy.prototxt"], files["snapshot_iter_7.caffemodel"])
    # A Caffe file holds a mean pixel; a mean picture must be taken off by whoever runs it.
    left_over = 0.0 if kind == "pixel" else means.read_mean(files[means.MEAN_FILE])

    assert np.abs(raw_outputs(model, given)[0] - expected[0]).max() > 0.01
    for index, image in enumerate(given):
        data = image.transpose(2, 0, 1).astype(np.float32)
        coverage, bboxes = grid.run(["coverage", "bboxes"], {"data": data[None]})
        by_opencv = caffe.run(data - left_over)
        scores, boxes = ssd.run(["scores", "boxes"], {"input_0": preprocess_ssd(image, WIDTH, HEIGHT)[None]})
        sure = np.clip(expected[0][index].astype(np.float64), 1e-12, 1 - 1e-12)
        own = ssd_outputs(np.log(sure / (1 - sure)).astype(np.float32), expected[1][index])
        for found in ((coverage[0], bboxes[0]), by_opencv):
            np.testing.assert_allclose(found[0], expected[0][index], atol=1e-4)
            np.testing.assert_allclose(found[1], expected[1][index], atol=0.01)
        np.testing.assert_allclose(scores[0], own[0], atol=1e-4)
        np.testing.assert_allclose(boxes[0], own[1], atol=1e-4)


def test_without_a_mean_the_files_are_what_they_always_were() -> None:
    assert means.mean_weights(None) == {}
    assert deploy_prototxt(64, 48, 2) == deploy_prototxt(64, 48, 2, mean_pixel=False)
    assert "subtract_mean" not in deploy_prototxt(64, 48, 2)


def test_the_mean_pixel_stands_where_digits_wrote_it_in_the_training_network() -> None:
    training = resolve_training("digits", {}, threads=1)
    layers = parse_prototxt(train_val_prototxt(64, 48, 1, training, mean_pixel=[99.5, 101.0, 98.25])).blocks(
        "layer"
    )
    told = {layer.text("name"): layer.block("transform_param").texts("mean_value") for layer in layers}

    assert told["train_data"] == told["val_data"] == ["99.5", "101", "98.25"]
    assert told["train_label"] == []
    assert told["train_transform"] == ["127"]


def test_batches_have_the_mean_subtracted_and_padding_keeps_the_colour_that_becomes_nothing() -> None:
    image = scene(1, WIDTH, HEIGHT)
    mean = np.full((1, 1, 3), 20, np.float32)
    still = Draws(0.0, 1.0, False, (WIDTH, HEIGHT), 0.0, (0, 0))
    moved = Draws(0.0, 1.0, False, (WIDTH, HEIGHT), 0.0, (-10, -10))

    np.testing.assert_allclose(apply_to_image(image, still, mean), image.astype(np.float32) - 20, atol=1e-3)
    np.testing.assert_array_equal(apply_to_image(image, moved, mean)[:10], 127)


@pytest.mark.slow
def test_a_training_subtracts_the_mean_of_its_own_pictures_everywhere_and_warns(tmp_path: Path) -> None:
    train, val = split_of(pictures(6), tmp_path), split_of(pictures(3, seed=1), tmp_path)
    session = start_session(train, val, NAMES, options(subtract_mean="image"))
    batch = next(iter(session.validation.validation_batches(3)))

    expected = val.images.astype(np.float32).transpose(0, 3, 1, 2) - opencv_mean(train.images)
    np.testing.assert_array_equal(batch.images.numpy(), expected)
    assert any("subtract_mean image" in warning for warning in session.warnings)
    _, _, kept = model_of_checkpoint(dump_checkpoint(session.trainer, session.training))
    np.testing.assert_array_equal(kept, opencv_mean(train.images))
    assert isinstance(session.validation, BatchMaker)
    assert torch.isfinite(batch.images).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pixel", "image"])
def test_evaluation_and_prediction_of_a_folder_subtract_the_mean(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = folder_of(tmp_path / "data"), tmp_path / "out"
    arguments = [
        "--size",
        "64x64",
        "--batch-size",
        "2",
        "--threads",
        "1",
        "--epochs",
        "1",
        "--subtract-mean",
        kind,
    ]
    assert main(["--json", "train", str(data), "--out", str(out), *arguments]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert main(["--json", "evaluate", str(out), str(data)]) == 0
    evaluated = json.loads(capsys.readouterr().out)

    assert evaluated["loss_coverage"] == pytest.approx(trained["loss_coverage"], rel=1e-5)
    assert (out / means.MEAN_FILE).exists() == (kind == "image")
    weights = weights_of(read_caffemodel((out / "snapshot_iter_3.caffemodel").read_bytes()))
    assert (means.mean_in(weights) is not None) == (kind == "pixel")
    picture = data / "val" / "images" / "0000.png"
    for decoder in ("digits", "jetson-caffe", "jetson-onnx"):
        assert main(["--json", "predict", str(out), str(picture), "--decoder", decoder]) == 0
