"""The command ``detectnet`` as a person calls it, on a folder of small pictures."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pytest

from detectnet_trainer.__main__ import main
from detectnet_trainer.folder_training import CHECKPOINT
from tests.unit.detectnet_trainer.small_data import folder_of

pytestmark = pytest.mark.slow

SHORT = ["--size", "64x64", "--batch-size", "2", "--threads", "1"]


def train_arguments(data: Path, out: Path, epochs: int = 2) -> list[str]:
    return ["--json", "train", str(data), "--out", str(out), "--epochs", str(epochs), *SHORT]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a short training."""
    out = tmp_path_factory.mktemp("trained")
    assert main(train_arguments(data, out)) == 0
    return out


def test_training_leaves_snapshots_curves_and_labels(trained: Path) -> None:
    with (trained / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))

    assert {path.name for path in trained.iterdir()} == {
        "snapshot_iter_3.caffemodel", "snapshot_iter_6.caffemodel", "deploy.prototxt", "grid.onnx",
        "labels.txt", "training.json", "curves.csv", "checkpoint.pt",
    }  # fmt: skip
    assert (trained / "labels.txt").read_text() == "ball\nbox\n"
    assert [row["step"] for row in rows] == ["3", "6"]
    assert {"train_loss_bbox", "val_loss_coverage", "precision-ball", "digits_map-box"} <= set(rows[0])


def test_a_second_call_goes_on_and_has_nothing_left_to_do(trained: Path, data: Path) -> None:
    before = {path.name: path.read_bytes() for path in trained.iterdir()}

    assert main(train_arguments(data, trained)) == 0
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_evaluation_repeats_the_trainings_own_figures(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", "evaluate", str(trained), str(data)]) == 0
    figures = json.loads(capsys.readouterr().out)
    with (trained / "curves.csv").open() as file:
        last = list(csv.DictReader(file))[-1]

    assert figures["loss_bbox"] == pytest.approx(float(last["val_loss_bbox"]), rel=1e-5)
    assert figures["loss_coverage"] == pytest.approx(float(last["val_loss_coverage"]), rel=1e-5)


def test_a_folder_is_judged_under_any_decoder_and_each_says_whose_it_is(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def judged(*more: str) -> dict[str, Any]:
        assert main(["--json", "evaluate", str(trained), str(data), *more]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    own, again = judged(), judged("--decoder", "digits")
    assert own["decoder"] == again["decoder"] == "digits"
    assert again["classes"] == own["classes"]
    for decoder in ("jetson-caffe", "jetson-onnx"):
        told = judged("--decoder", decoder, "--threshold", "0.01")
        assert (told["decoder"], told["threshold"], told["images"]) == (decoder, 0.01, 3)
        assert set(told["classes"]) == {"ball", "box"}


def test_every_layer_of_a_picture_is_told_and_drawn(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = data / "val" / "images" / "0000.png"
    assert main(["--json", "predict", str(trained), str(picture), "--layers", str(tmp_path / "maps")]) == 0
    told = json.loads(capsys.readouterr().out)
    by_name = {(each["layer"], each["kind"]): each for each in told["layers"]}

    assert told["parameters"] == 5_978_677 + 1_025
    assert by_name["conv1/7x7_s2", "activation"]["shape"] == [64, 32, 32]
    assert by_name["cvg/classifier", "weights"]["shape"] == [2, 1024, 1, 1]
    assert by_name["coverage/sig", "activation"]["max"] <= 1
    assert all(cv2.imread(each["tiles"]) is not None for each in told["layers"])


def test_an_exported_checkpoint_has_the_snapshots_weights(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "export"

    assert main(["export", str(trained / CHECKPOINT), "--size", "96x64", "--out", str(out)]) == 0
    name = "snapshot_iter_6.caffemodel"
    assert (out / name).read_bytes() == (trained / name).read_bytes()
    assert "dim: 96" in (out / "deploy.prototxt").read_text()


@pytest.mark.parametrize("decoder", ["digits", "jetson-caffe"])
def test_prediction_lists_boxes_in_the_pictures_pixels_and_draws_them(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], decoder: str
) -> None:
    picture, drawn = data / "val" / "images" / "0000.png", tmp_path / "drawn.png"
    # At threshold 0 every cell speaks, so that even a network that knows nothing has boxes.
    arguments = [str(trained), str(picture), "--decoder", decoder, "--threshold", "0", "--out", str(drawn)]

    assert main(["--json", "predict", *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["decoder"] == decoder
    assert all(set(box) == {"class", "xyxy", "confidence"} for box in answer["boxes"])
    assert len(answer["boxes"]) > 0 or decoder == "digits"
    assert cv2.imread(str(drawn)).shape == cv2.imread(str(picture)).shape


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "{tmp}", "--out", "{tmp}/out", "--size", "64x64"], "no labelled object"),
        (["train", "{data}", "--out", "{tmp}/out", "--size", "600x400"], "multiple"),
        (["train", "{data}", "--out", "{tmp}/out", "--size", "large"], "WxH"),
        (["train", "{data}", "--out", "{tmp}/out", "--size", "64x64", "--classes", "ball"], "box"),
        (["predict", "{tmp}", "{data}/val/images/0000.png"], "snapshot_iter"),
        (["evaluate", "{tmp}", "{data}"], "snapshot_iter"),
        (["export", "{data}/val/images/0000.png", "--size", "64x64", "--out", "{tmp}/out"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main([argument.format(tmp=tmp_path, data=data) for argument in arguments]) == 1
    said = capsys.readouterr().err

    assert said.startswith("detectnet: ")
    assert complaint in said
    assert said.count("\n") == 1


def test_a_checkpoint_of_other_options_stops_the_command(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*train_arguments(data, trained), "--seed", "5"]) == 1
    assert "another seed" in capsys.readouterr().err


def test_wrong_usage_of_a_job_ends_with_64_and_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["job", "--job", "x", "--attempt", "first"])

    assert ended.value.code == 64
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["code"] == "bad_arguments"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_training_killed_at_a_random_moment_ends_in_the_same_bytes(
    data: Path, tmp_path: Path, seed: int
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(data, whole) == 0
    random_part = random.Random(seed)
    kills = 0
    while kills < 3:
        process = started(data, killed)
        wait_for_more_snapshots(killed, process)
        time.sleep(random_part.uniform(0, 0.6))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1

    assert kills > 0
    assert call(data, killed) == 0
    name = "snapshot_iter_18.caffemodel"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert (killed / "curves.csv").read_text().count("\n") == 7


def started(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "detectnet_trainer", *train_arguments(data, out, epochs=6)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def call(data: Path, out: Path) -> int:
    return started(data, out).wait(timeout=240)


def wait_for_more_snapshots(out: Path, process: subprocess.Popen[bytes]) -> None:
    before = len(list(out.glob("*.caffemodel")))
    while process.poll() is None and len(list(out.glob("*.caffemodel"))) == before:
        time.sleep(0.02)
