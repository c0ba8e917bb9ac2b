"""Pictures through a small network over HTTP; what the answers say is computed by other means beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detectnet import network
from detectnet.caffe_runtime import CaffeNet
from detectnet.caffemodel import read_caffemodel, weights_of
from detectnet.clustering import cluster_detections
from detectnet.jetson import decode_caffe, decode_ssd, preprocess_caffe
from detectnet.ssd_onnx import ssd_outputs
from tests.unit.periscope_training.epoch_files import (
    CAFFEMODEL,
    HEIGHT,
    WIDTH,
    epoch_files,
    save_epoch_files,
)
from tests.unit.periscope_training.service import Service, committed_epoch

pytestmark = pytest.mark.slow

PICTURE = np.random.default_rng(3).integers(0, 256, (90, 130, 3), dtype=np.uint8)
"""Of another size than the network's input."""


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def decoded(body: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)


class Trained:
    """A job with one committed epoch of real files."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.job_id = self.service.create_job(input={"width": WIDTH, "height": HEIGHT})
        self.commit_with({})

    def commit_with(self, more: dict[str, bytes]) -> None:
        files = save_epoch_files(self.service.house.store, self.job_id, epoch_files() | more)
        self.service.commit(self.job_id, {**committed_epoch(1, 0.5), "files": files})

    def ask(self, verb: str, query: str = "", body: bytes = b"", epoch: str = "1") -> Any:
        path = f"/v1/jobs/{self.job_id}/epochs/{epoch}:{verb}{query}"
        more = {"data": body, "content_type": "image/png"} if body else {}
        return self.service.call("POST", path, "viewer", **more)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


@pytest.fixture(scope="module")
def caffe() -> CaffeNet:
    files = epoch_files()
    return CaffeNet(files["deploy.prototxt"], files[CAFFEMODEL])


def logits(coverage: np.ndarray) -> np.ndarray:
    return np.log(coverage.astype(np.float64) / (1 - coverage.astype(np.float64))).astype(np.float32)


def expected_boxes(caffe: CaffeNet, decoder: str) -> list[tuple[float, ...]]:
    """By OpenCV's Caffe importer in place of onnxruntime."""
    image_size = (PICTURE.shape[1], PICTURE.shape[0])
    if decoder == "digits":
        resized = cv2.resize(PICTURE, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
        grids = caffe.run(resized.transpose(2, 0, 1).astype(np.float32))
        ratio = np.array([PICTURE.shape[1] / WIDTH, PICTURE.shape[0] / HEIGHT] * 2)
        return [
            (index, *(row[:4] * ratio), row[4])
            for index, rows in enumerate(cluster_detections(*grids))
            for row in rows
        ]
    coverage, bboxes = caffe.run(preprocess_caffe(PICTURE, WIDTH, HEIGHT))
    if decoder == "jetson-caffe":
        found = decode_caffe(coverage, bboxes, image_size=image_size, network_size=(WIDTH, HEIGHT))
    else:
        found = decode_ssd(*ssd_outputs(logits(coverage), bboxes), image_size=image_size)
    return [(item.class_index, *item.xyxy, item.confidence) for item in found]


@pytest.mark.parametrize("decoder", ["digits", "jetson-caffe", "jetson-onnx"])
def test_boxes_are_those_of_the_caffe_pair_and_the_same_decoder(
    trained: Trained, caffe: CaffeNet, decoder: str
) -> None:
    answered = trained.ask("predict", f"?decoder={decoder}", png(PICTURE)).json

    found = [(box["class_index"], *box["xyxy"], box["confidence"]) for box in answered["boxes"]]
    expected = expected_boxes(caffe, decoder)
    if decoder != "digits":  # Random weights give no clusters of votes.
        assert expected
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=0.05)
    assert answered["image"] == {"width": 130, "height": 90}
    assert answered["network"] == {"width": WIDTH, "height": HEIGHT}
    assert answered["threshold"] == (0.6 if decoder == "digits" else 0.5)
    assert set(answered["max_coverage"]) == {"buoy", "gate"}


def test_the_surest_cell_is_told_though_no_box_comes_of_it(trained: Trained) -> None:
    answered = trained.ask("predict", "?threshold=0.99", png(PICTURE)).json

    assert answered["boxes"] == []
    assert 0.9 < answered["max_coverage"]["buoy"] < 0.99


def test_classes_can_be_switched_off_and_unknown_ones_are_named(trained: Trained) -> None:
    every = trained.ask("predict", "?decoder=jetson-caffe", png(PICTURE)).json["boxes"]
    gates = trained.ask("predict", "?decoder=jetson-caffe&labels=gate", png(PICTURE)).json["boxes"]
    unknown = trained.ask("predict", "?labels=whale", png(PICTURE))

    assert gates == [box for box in every if box["label"] == "gate"] != every
    assert (unknown.status_code, unknown.json["errors"][0]["pointer"]) == (422, "/labels")


def test_the_overlay_is_the_picture_with_the_boxes_drawn(trained: Trained) -> None:
    drawn = trained.ask("predict", "?decoder=jetson-caffe&view=overlay", png(PICTURE))
    plain = trained.ask("predict", "?decoder=jetson-caffe&view=overlay&threshold=1", png(PICTURE))

    assert (drawn.mimetype, decoded(drawn.data).shape) == ("image/png", PICTURE.shape)
    assert (decoded(plain.data) == PICTURE).all()
    assert (decoded(drawn.data) != PICTURE).any()


def test_the_heat_map_is_bright_where_the_coverage_is_high(trained: Trained, caffe: CaffeNet) -> None:
    black = np.zeros_like(PICTURE)
    shown = decoded(trained.ask("predict", "?view=coverage&labels=gate", png(black)).data)
    coverage, _ = caffe.run(np.zeros((3, HEIGHT, WIDTH), np.float32))

    levels = np.repeat((coverage[1] * 255).astype(np.uint8).reshape(-1, 1, 1), 3, axis=2)
    colours = (cv2.applyColorMap(levels[:, :, 0], cv2.COLORMAP_INFERNO) * 0.6).reshape(-1, 3)
    centres = [
        shown[int((row + 0.5) * 90 / coverage.shape[1]), int((column + 0.5) * 130 / coverage.shape[2])]
        for row in range(coverage.shape[1])
        for column in range(coverage.shape[2])
    ]
    np.testing.assert_allclose(np.array(centres, np.float64), colours, atol=1.5)


def test_a_picture_may_keep_its_own_size(trained: Trained) -> None:
    # The network for the usual size is loaded by then, and must not be taken for this one.
    assert trained.ask("predict", "?decoder=jetson-caffe", png(PICTURE)).status_code == 200
    answered = trained.ask("predict", "?resize=false&decoder=jetson-caffe", png(PICTURE)).json
    small = trained.ask("predict", "?resize=false", png(np.zeros((4, 5000, 3), np.uint8)))

    assert answered["network"] == {"width": 144, "height": 96}
    assert answered["boxes"]
    assert small.status_code == 422
    assert "4096" in small.json["detail"]


def test_a_picture_of_the_dataset_is_named_by_split_and_key(trained: Trained) -> None:
    trained.service.house.datasets.labelled["val", "dive/7"] = (png(PICTURE), "")

    named = trained.ask("predict", "?image=dive/7&split=val&decoder=jetson-caffe").json
    sent = trained.ask("predict", "?decoder=jetson-caffe", png(PICTURE)).json
    missing = trained.ask("predict", "?image=dive/8")

    assert named == sent
    assert missing.status_code == 422
    assert "dive/8" in missing.json["detail"]


@pytest.mark.parametrize(
    ("query", "body", "status", "words"),
    [
        ("", b"", 400, "send a picture"),
        ("?image=a", b"x", 400, "not both"),
        ("", b"no picture", 422, "PNG"),
        ("?decoder=yolo", b"x", 422, "decoder"),
        ("?treshold=0.5", b"x", 422, "treshold"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_with_a_reason(
    trained: Trained, query: str, body: bytes, status: int, words: str
) -> None:
    refused = trained.ask("predict", query, body)

    assert refused.status_code == status
    assert words in str(refused.json)


def test_an_epoch_that_is_not_there_is_not_found(trained: Trained) -> None:
    assert trained.ask("predict", "", png(PICTURE), epoch="2").status_code == 404
    assert trained.ask("predict", "", png(PICTURE), epoch="best").status_code == 200
    key = next(info.key for info in trained.service.house.store.list("jobs/") if "grid.onnx" in info.key)
    trained.service.house.store.put(key, b"damaged")
    damaged = trained.ask("predict", "?decoder=jetson-onnx", png(PICTURE))
    assert damaged.status_code == 404
    assert "SHA-256" in damaged.json["detail"]


def test_a_body_may_be_larger_here_than_elsewhere_and_not_without_bound(trained: Trained) -> None:
    large = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    assert len(png(large)) > 1 << 20

    assert trained.ask("predict", "", png(large)).status_code == 200
    assert trained.ask("predict", "", b"\0" * ((64 << 20) + 1)).status_code == 413


def test_every_layer_has_its_statistics(trained: Trained, caffe: CaffeNet) -> None:
    answered = trained.ask("layers", "", png(PICTURE)).json

    weights = weights_of(read_caffemodel(epoch_files()[CAFFEMODEL]))
    assert answered["parameters"] == sum(array.size for array in weights.values())
    by_name = {(entry["layer"], entry["kind"]): entry for entry in answered["layers"]}
    resized = cv2.resize(PICTURE, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    coverage, _ = caffe.run(resized.transpose(2, 0, 1).astype(np.float32))
    shown = by_name["coverage/sig", "activation"]
    assert shown["shape"] == list(coverage.shape)
    assert shown["mean"] == pytest.approx(float(coverage.mean()), abs=1e-5)
    assert shown["std"] == pytest.approx(float(coverage.std()), abs=1e-5)
    assert sum(shown["histogram"]["counts"]) == coverage.size
    assert len(shown["histogram"]["edges"]) == 21
    first = by_name["conv1/7x7_s2", "weights"]
    assert (first["shape"], first["parameters"]) == ([64, 3, 7, 7], 64 * 3 * 49)
    assert {name for name, kind in by_name if kind == "weights"} == {
        layer.name for layer in network.convolutions(2)
    }


def test_one_layer_is_shown_as_tiles(trained: Trained) -> None:
    filters = trained.ask("layers", "?layer=conv1/7x7_s2&kind=weights", png(PICTURE))
    unknown = trained.ask("layers", "?layer=conv9", png(PICTURE))

    image = decoded(filters.data)
    assert image.shape == (8 * 15, 8 * 15, 3)  # 64 filters of 7x7, doubled to be seen, a gap of 1 each.
    weights = weights_of(read_caffemodel(epoch_files()[CAFFEMODEL]))["conv1/7x7_s2.weight"]
    low, high = weights.min(), weights.max()
    expected = ((weights[9].transpose(1, 2, 0) - low) * 255 / (high - low)).astype(np.uint8)
    np.testing.assert_allclose(image[15:29:2, 15:29:2].astype(int), expected.astype(int), atol=1)
    assert unknown.status_code == 404
    assert "conv1/7x7_s2" in unknown.json["detail"]


@pytest.mark.slow
def test_a_mean_picture_belongs_to_one_size_of_input(trained: Trained) -> None:
    trained.commit_with({"mean.binaryproto": b"of this size"})

    refused = trained.ask("predict", "?resize=false", png(PICTURE))
    assert refused.status_code == 422
    assert "mean picture" in refused.json["detail"]
    assert trained.ask("predict", "", png(PICTURE)).status_code == 200
