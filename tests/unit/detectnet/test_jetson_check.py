"""The checker that follows jetson-inference's rules, on a real zip and on planted faults."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from detectnet.bundle import write_bundle
from detectnet.jetson_check import FlavourReport, check_for_jetson
from detectnet.recipes import resolve_training
from detectnet_trainer.__main__ import main
from periscope_training.model_zip import choose_golden, zip_members
from periscope_training.parity import load_parity_images
from periscope_training.ssd_flavours import ssd_flavours
from tests.unit.periscope_training.epoch_files import HEIGHT, WIDTH, epoch_files
from tests.unit.periscope_training.service import committed_epoch

pytestmark = pytest.mark.slow

Files = dict[str, bytes]
SPEC = {
    "job_id": "01JOB",
    "name": "dive",
    "dataset": {"id": "01DATASET", "version": 3, "images": {"train": 300, "val": 60}},
    "network": {"width": WIDTH, "height": HEIGHT, "stride": 16, "classes": ["buoy", "gate"]},
    "training": resolve_training("default", {"epochs": 9}, threads=2),
}


@functools.cache
def members() -> Files:
    """What publishing puts into a zip, by its own functions."""
    files = epoch_files()
    stored = load_parity_images(files["parity.npz"])
    flavours = ssd_flavours(files["grid.onnx"])
    return zip_members(SPEC, committed_epoch(1, 0.5), files, choose_golden(stored, (WIDTH, HEIGHT)), flavours)


def checked(tmp_path: Path, change: Callable[[Files], None] = lambda _: None) -> dict[str, FlavourReport]:
    files = dict(members())
    change(files)
    write_bundle(tmp_path / "model.zip", files)
    return {report.name: report for report in check_for_jetson(tmp_path / "model.zip")}


def described(change: Callable[[dict[str, Any]], None]) -> Callable[[Files], None]:
    def apply(files: Files) -> None:
        description = json.loads(files["model.json"])
        change(description)
        files["model.json"] = json.dumps(description).encode()

    return apply


def argument(flavour: str, old: str, new: str) -> Callable[[Files], None]:
    """One argument of a command line replaced."""

    def change(description: dict[str, Any]) -> None:
        line = description["flavours"][flavour]["command_line"]
        assert any(item.startswith(old) for item in line)
        description["flavours"][flavour]["command_line"] = [
            new if item.startswith(old) else item for item in line if new or not item.startswith(old)
        ]

    return described(change)


def test_a_published_zip_passes_in_every_flavour_and_finds_its_golden_boxes(tmp_path: Path) -> None:
    reports = checked(tmp_path)

    assert set(reports) == {"caffe", "trt8", "trt10"}
    assert all(report.reasons == () for report in reports.values()), reports
    expected = json.loads(members()["golden/expected.json"])["flavours"]
    for name, report in reports.items():
        assert [box["class"] for box in expected[name]["boxes"]] == [one.class_index for one in report.found]
        for box, one in zip(expected[name]["boxes"], report.found, strict=True):
            np.testing.assert_allclose(one.xyxy, box["xyxy"], atol=0.5)
            assert one.confidence == pytest.approx(box["confidence"], abs=1e-3)
    assert reports["caffe"].found


def test_a_zip_of_ones_own_without_a_description_is_taken_for_a_caffe_pair(tmp_path: Path) -> None:
    def change(files: Files) -> None:
        del files["model.json"]

    reports = checked(tmp_path, change)
    assert {name: report.reasons for name, report in reports.items()} == {"caffe": ()}


def swap_onnx(files: Files) -> None:
    files["model_trt8.onnx"], files["model_trt10.onnx"] = files["model_trt10.onnx"], files["model_trt8.onnx"]


def grid_as_onnx(files: Files) -> None:
    """The mistake that people make: a network with grids as its outputs is decoded as if it were SSD."""
    files["model_trt8.onnx"] = files["grid.onnx"]


def newer_opset(files: Files) -> None:
    model = onnx.load_from_string(files["model_trt8.onnx"])
    model.opset_import[0].version = 17
    files["model_trt8.onnx"] = model.SerializeToString()


def no_background(files: Files) -> None:
    files["labels_onnx.txt"] = b"buoy\ngate\nwreck\n"


def labels_too_few(files: Files) -> None:
    files["labels_onnx.txt"] = b"BACKGROUND\nbuoy\n"


def other_weights(files: Files) -> None:
    """Sound, but not those that the golden boxes were found with."""
    name = next(name for name in files if name.endswith(".caffemodel"))
    files[name] = epoch_files(coverage_bias=-9.0)[name]


def unknown_layer(files: Files) -> None:
    files["deploy.prototxt"] = files["deploy.prototxt"].replace(b'type: "Dropout"', b'type: "Crop"')


FAULTS: dict[str, tuple[Callable[[Files], None], str, str]] = {
    "ranks swapped": (swap_onnx, "trt8", "rank 3"),
    "ranks swapped, seen from TensorRT 10": (swap_onnx, "trt10", "rank 2"),
    "a grid network as ONNX": (grid_as_onnx, "trt8", "no input 'input_0'"),
    "a newer opset": (newer_opset, "trt8", "opset 17"),
    "no background": (no_background, "trt10", "must be BACKGROUND"),
    "labels too few": (labels_too_few, "trt8", "2 lines and the network 3"),
    "other weights": (other_weights, "caffe", "are expected"),
    "an unknown layer": (unknown_layer, "caffe", "layer type Crop"),
    "the mean twice": (argument("caffe", "--mean-pixel", "--mean-pixel=127"), "caffe", "would again"),
    "default blobs": (argument("trt8", "--input-blob", ""), "trt8", "no input 'data'"),
    "no prototxt": (argument("caffe", "--prototxt", ""), "caffe", "needs --prototxt"),
    "a file that is not there": (argument("trt10", "--model", "--model=other.onnx"), "trt10", "other.onnx"),
    "an ending nobody knows": (argument("caffe", "--model", "--model=model.json"), "caffe", "not supported"),
    "Caffe for TensorRT 10": (
        described(lambda told: told["flavours"]["caffe"].update(tensorrt={"from": "10"})), "caffe", "no Caffe models",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_named(fault: str, tmp_path: Path) -> None:
    change, flavour, words = FAULTS[fault]
    reasons = checked(tmp_path, change)[flavour].reasons

    assert any(words in reason for reason in reasons), reasons


def test_the_command_tells_and_ends_accordingly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(tmp_path)
    assert main(["--json", "check", str(tmp_path / "model.zip")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fit"]
    assert told["flavours"]["trt8"]["reasons"] == []

    checked(tmp_path, no_background)
    assert main(["--json", "check", str(tmp_path / "model.zip")]) == 1
    assert not json.loads(capsys.readouterr().out)["fit"]
