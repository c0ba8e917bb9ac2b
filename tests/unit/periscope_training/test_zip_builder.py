from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest

from detectnet.bundle import check_bundle
from detectnet.jetson import decode_ssd, preprocess_ssd
from detectnet.means import write_mean
from detectnet.prototxt import parse_prototxt
from detectnet.recipes import resolve_training
from periscope import keys
from periscope_training.model_zip import NO_GOLDEN_DETECTION
from periscope_training.publish import NotPublishable
from periscope_training.zip_builder import ZipBuilder
from tests.fakes import MemoryStore
from tests.unit.periscope_training.epoch_files import (
    CAFFEMODEL,
    HEIGHT,
    WIDTH,
    epoch_files,
    random_weights,
    save_epoch_files,
)
from tests.unit.periscope_training.service import committed_epoch

pytestmark = pytest.mark.slow

SPEC = {
    "job_id": "01JOB",
    "name": "dive",
    "dataset": {"id": "01DATASET", "version": 3, "images": {"train": 300, "val": 60}},
    "network": {"width": WIDTH, "height": HEIGHT, "stride": 16, "classes": ["buoy", "gate"]},
    "training": resolve_training("default", {"epochs": 9}, threads=2),
}


@pytest.fixture
def builder(memory_store: MemoryStore, tmp_path: Path) -> ZipBuilder:
    memory_store.put(keys.job_spec("01JOB"), json.dumps(SPEC).encode())
    return ZipBuilder(memory_store, tmp_path / "zips")


def publication(store: MemoryStore, files: dict[str, bytes]) -> dict[str, Any]:
    return {"job_id": "01JOB", **committed_epoch(1, 0.5), "files": save_epoch_files(store, "01JOB", files)}


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_is_one_that_a_robot_can_use(builder: ZipBuilder, memory_store: MemoryStore) -> None:
    built = builder.build("01PUB", publication(memory_store, epoch_files()))

    report = check_bundle(built.path)
    assert (report.labels, report.width, report.height) == (("buoy", "gate"), WIDTH, HEIGHT)
    assert report.caffemodel == CAFFEMODEL
    assert set(members(built.path)) == {
        "SHA256SUMS",
        "deploy.prototxt",
        "calibration/0.png",
        "calibration/1.png",
        "golden/expected.json",
        "golden/image.png",
        "grid.onnx",
        "info.json",
        "labels.txt",
        "labels_onnx.txt",
        "model.json",
        "model_trt10.onnx",
        "model_trt8.onnx",
        "solver.prototxt",
        "train_val.prototxt",
        CAFFEMODEL,
    }


def test_opencv_computes_what_was_stored(builder: ZipBuilder, memory_store: MemoryStore) -> None:
    parity = builder.build("01PUB", publication(memory_store, epoch_files())).parity

    assert parity["images"] == 2
    assert parity["coverage"] < 1e-4
    assert parity["boxes_px"] < 0.01
    assert parity["ssd_scores"] < 1e-4
    assert parity["ssd_boxes_px"] < 0.01


def test_the_description_says_how_to_run_the_model_and_where_it_comes_from(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    built = builder.build("01PUB", publication(memory_store, epoch_files()))
    files = members(built.path)
    description = json.loads(files["model.json"])

    assert files["labels.txt"] == b"buoy\ngate\n"
    assert f"--model={CAFFEMODEL}" in description["flavours"]["caffe"]["command_line"]
    assert description["lineage"]["dataset"] == SPEC["dataset"]
    assert description["metrics"]["val"]["digits_map"] == 0.5
    assert json.loads(files["info.json"])["image dimensions"] == [HEIGHT, WIDTH, 3]


def test_the_solver_tells_in_caffes_words_how_the_network_was_trained(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    files = members(builder.build("01PUB", publication(memory_store, epoch_files())).path)
    solver = parse_prototxt(files["solver.prototxt"].decode())

    assert (solver.text("max_iter"), solver.text("test_interval"), solver.text("test_iter")) == (
        "540",
        "60",
        "10",
    )
    assert "detectnet_augmentation_param" in files["train_val.prototxt"].decode()


def test_the_golden_image_has_detections_that_the_zips_own_network_finds(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    from detectnet.caffe_runtime import CaffeNet
    from detectnet.jetson import decode_caffe, preprocess_caffe

    built = builder.build("01PUB", publication(memory_store, epoch_files()))
    files = members(built.path)
    expected = json.loads(files["golden/expected.json"])["flavours"]["caffe"]["boxes"]
    image = cv2.imdecode(np.frombuffer(files["golden/image.png"], np.uint8), cv2.IMREAD_COLOR)
    outputs = CaffeNet(files["deploy.prototxt"], files[CAFFEMODEL]).run(
        preprocess_caffe(image, WIDTH, HEIGHT)
    )
    found = decode_caffe(*outputs, image_size=(WIDTH, HEIGHT), network_size=(WIDTH, HEIGHT))

    assert expected
    assert [box["class"] for box in expected] == [detection.class_index for detection in found]
    for box, detection in zip(expected, found, strict=True):
        assert box["xyxy"] == pytest.approx(detection.xyxy, abs=0.02)


@pytest.mark.parametrize(("flavour", "shape"), [("trt8", (1, -1, 3)), ("trt10", (-1, 3))])
def test_a_robots_onnx_path_finds_the_golden_boxes_by_the_zip_alone(
    flavour: str, shape: tuple[int, ...], builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    files = members(builder.build("01PUB", publication(memory_store, epoch_files())).path)
    described = json.loads(files["model.json"])["flavours"][flavour]
    expected = json.loads(files["golden/expected.json"])["flavours"][flavour]["boxes"]
    image = cv2.imdecode(np.frombuffer(files["golden/image.png"], np.uint8), cv2.IMREAD_COLOR)
    session = onnxruntime.InferenceSession(files[described["model"]], providers=["CPUExecutionProvider"])

    # As a stock detectnet is told on its command line: names of blobs, and labels with the background first.
    told = dict(word.removeprefix("--").split("=") for word in described["command_line"][1:])
    given = {told["input-blob"]: preprocess_ssd(image, WIDTH, HEIGHT)[None]}
    scores, boxes = session.run([told["output-cvg"], told["output-bbox"]], given)
    found = decode_ssd(scores.reshape(-1, 3), boxes.reshape(-1, 4), image_size=(WIDTH, HEIGHT))

    assert scores.reshape(shape).shape == scores.shape
    assert files[told["labels"]] == b"BACKGROUND\nbuoy\ngate\n"
    assert expected
    assert [box["class"] for box in expected] == [detection.class_index for detection in found]
    for box, detection in zip(expected, found, strict=True):
        assert box["xyxy"] == pytest.approx(detection.xyxy, abs=0.02)


def test_the_same_epoch_is_the_same_zip(
    memory_store: MemoryStore, builder: ZipBuilder, tmp_path: Path
) -> None:
    body = publication(memory_store, epoch_files())
    other = ZipBuilder(memory_store, tmp_path / "elsewhere")
    first, second = builder.build("01PUB", body), other.build("01OTHER", {**body, "model": "another"})

    assert first.sha256 == second.sha256
    assert first.path.read_bytes() == second.path.read_bytes()


def test_weights_that_are_not_the_trained_ones_are_caught_with_the_numbers(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    from detectnet.caffemodel import detectnet_layers, write_caffemodel

    weights = random_weights(3.0)
    weights["bbox/regressor.bias"][2] += 0.05
    wrong = {**epoch_files(), CAFFEMODEL: write_caffemodel(detectnet_layers(weights, 2))}

    with pytest.raises(NotPublishable, match=r"OpenCV's boxes .* 0\.05 px; the limit is 0\.01 px") as refused:
        builder.build("01PUB", publication(memory_store, wrong))
    assert refused.value.parity is not None
    assert refused.value.parity["boxes_px"] == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("grid.onnx", b"no protobuf", "onnxruntime cannot load"),
        (CAFFEMODEL, b"\xff\xff\xff", "OpenCV cannot"),
        ("deploy.prototxt", b"layer {", "OpenCV cannot"),
        ("parity.npz", b"", "parity.npz cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_named(
    builder: ZipBuilder, memory_store: MemoryStore, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(NotPublishable, match=words):
        builder.build("01PUB", publication(memory_store, {**epoch_files(), name: content}))


def test_a_file_that_changed_in_the_store_is_not_published(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    body = publication(memory_store, epoch_files())
    memory_store.put(body["files"]["grid.onnx"]["key"], b"another")
    with pytest.raises(NotPublishable, match="SHA-256 differs"):
        builder.build("01PUB", body)

    memory_store.delete(body["files"]["grid.onnx"]["key"])
    with pytest.raises(NotPublishable, match="not in the store any more"):
        builder.build("01PUB", body)


def test_an_epoch_without_weights_is_not_published(builder: ZipBuilder, memory_store: MemoryStore) -> None:
    body = publication(memory_store, epoch_files())
    del body["files"][CAFFEMODEL]

    with pytest.raises(NotPublishable, match="has no file"):
        builder.build("01PUB", body)


def test_a_network_that_detects_nothing_is_published_with_a_warning(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    built = builder.build("01PUB", publication(memory_store, epoch_files(coverage_bias=-3.0)))

    assert built.warnings == (NO_GOLDEN_DETECTION,)
    expected = json.loads(members(built.path)["golden/expected.json"])
    assert {name: flavour["boxes"] for name, flavour in expected["flavours"].items()} == {
        "caffe": [],
        "trt8": [],
        "trt10": [],
    }


def test_a_discarded_zip_is_gone_and_can_be_built_again(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    body = publication(memory_store, epoch_files())
    built = builder.build("01PUB", body)
    reads = memory_store.calls["get"]
    assert builder.build("01PUB", body) == built
    assert memory_store.calls["get"] == reads, "what this process has built it does not fetch again"

    builder.discard("01PUB")
    assert not built.path.exists()
    assert builder.build("01PUB", body).sha256 == built.sha256
    builder.discard("01PUB")
    builder.discard("01PUB")


def test_every_flavour_has_its_call_in_python_too(builder: ZipBuilder, memory_store: MemoryStore) -> None:
    zipped = members(builder.build("01PUB", publication(memory_store, epoch_files())).path)
    flavours = json.loads(zipped["model.json"])["flavours"]
    for name in ("caffe", "trt8", "trt10"):
        (call,) = [
            node for node in ast.walk(ast.parse(flavours[name]["python"])) if isinstance(node, ast.Call)
        ]
        given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        line = flavours[name]["command_line"]

        assert ast.unparse(call.func) == "jetson_inference.detectNet"
        assert [*given["argv"], f"--threshold={given['threshold']}"] == line[1:]


def test_the_zip_holds_pictures_for_an_int8_calibrator(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    zipped = members(builder.build("01PUB", publication(memory_store, epoch_files())).path)
    told = json.loads(zipped["model.json"])["calibration"]

    assert told["images"] == ["calibration/0.png", "calibration/1.png"]
    for name in told["images"]:
        image = cv2.imdecode(np.frombuffer(zipped[name], np.uint8), cv2.IMREAD_UNCHANGED)
        assert image.shape == (HEIGHT, WIDTH, 3)


def test_a_network_with_a_mean_picture_is_not_made_into_a_zip_for_robots(
    builder: ZipBuilder, memory_store: MemoryStore
) -> None:
    files = epoch_files() | {"mean.binaryproto": write_mean(np.zeros((3, HEIGHT, WIDTH), np.float32))}

    with pytest.raises(NotPublishable, match="subtract_mean none or pixel"):
        builder.build("01PUB", publication(memory_store, files))


def test_a_mean_pixel_is_in_every_network_of_the_zip(builder: ZipBuilder, memory_store: MemoryStore) -> None:
    spec = {**SPEC, "training": SPEC["training"] | {"subtract_mean": "pixel"}}
    memory_store.put(keys.job_spec("01JOB"), json.dumps(spec).encode())
    built = builder.build("01PUB", publication(memory_store, epoch_files(mean_pixel=(90.0, 101.0, 110.0))))
    zipped = members(built.path)

    assert b"mean_value: 90 mean_value: 101 mean_value: 110" in zipped["train_val.prototxt"]
    assert b"subtract_mean" in zipped["deploy.prototxt"]
    assert all(value < 1e-3 for name, value in built.parity.items() if name != "images")
