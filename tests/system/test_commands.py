"""Every group of the command line on the real services, from a folder of pictures to a rollout."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from periscope_cli.__main__ import main
from tests.digits_jobs import as_tar_gz, job_files
from tests.kitti_archives import picture, sound_files, write_files
from tests.system.loop import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Ran:
    """What a command printed."""

    code: int
    out: str
    err: str


Periscope = Callable[..., Any]


@pytest.fixture
def run(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], Ran]:
    """One command line in this process; words are split at spaces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERISCOPE_HOME", str(stack.home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def run(line: str) -> Ran:
        code = main(line.split())
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def periscope(run: Callable[[str], Ran]) -> Periscope:
    """The JSON document of a command that works."""

    def periscope(line: str) -> Any:
        ran = run(f"{line} --json")
        assert ran.code == 0, f"periscope {line}\n{ran.out}{ran.err}"
        return json.loads(ran.out)

    return periscope


def test_every_group_of_commands_does_its_work(
    run: Callable[[str], Ran], periscope: Periscope, tmp_path: Path
) -> None:
    write_files(sound_files(train=8, val=4), tmp_path / "dive")
    datasets(periscope, tmp_path)
    jobs(run, periscope, tmp_path)
    models(run, periscope, tmp_path)
    robots(periscope)
    checks = {item["check"]: item["status"] for item in periscope("doctor")["items"]}
    assert "error" not in checks.values()
    assert checks["object store"] == "ok"


def test_an_old_digits_job_becomes_a_model_and_is_trained_again(periscope: Periscope, tmp_path: Path) -> None:
    write_files(sound_files(train=8, val=4), tmp_path / "dive")
    periscope("dataset push lake dive")
    files = job_files()
    (tmp_path / "old_epoch_100.0.tar.gz").write_bytes(as_tar_gz(files))

    made = periscope("digits import old_epoch_100.0.tar.gz --classes buoy,gate --model wreck")
    plan = periscope(f"train again --dataset lake --config {made['file']} --dry-run")
    periscope("pull wreck:1 -o wreck.zip")

    assert made["version"] == 1
    assert plan["spec"]["training"]["solver"] == made["recipe"]["solver"]
    assert plan["spec"]["training"]["epochs"] == 100
    with zipfile.ZipFile(tmp_path / "wreck.zip") as archive:
        assert archive.read("snapshot_iter_6000.caffemodel") == files["snapshot_iter_6000.caffemodel"]
        assert archive.read("labels.txt") == b"buoy\ngate\n"


def datasets(periscope: Periscope, tmp_path: Path) -> None:
    assert periscope("dataset push sea dive")["version"] == 1
    (tmp_path / "dive/train/labels/000.txt").write_bytes(b"")
    assert periscope("dataset push sea dive --val-min-box-size 10")["version"] == 2
    assert "sea" in [item["name"] for item in periscope("dataset list")["items"]]
    assert len(periscope("dataset show sea")["versions"]) == 2
    assert "few_boxes" in [finding["code"] for finding in periscope("dataset lint sea")["findings"]]
    changed = periscope("dataset diff sea 1 2")["items"]
    assert [(item["key"], item["change"], item["boxes_removed"]) for item in changed] == [
        ("000", "relabelled", 2)
    ]
    periscope("dataset export sea --format yolo -o yolo.zip")
    with zipfile.ZipFile(tmp_path / "yolo.zip") as archive:
        assert archive.testzip() is None
    assert periscope("dataset remove sea 1")["removed"] == 1


def jobs(run: Callable[[str], Ran], periscope: Periscope, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("input: {width: 64, height: 64}\nbatch_size: 2\nepochs: 9\n")
    wish = "--dataset sea --config small.yaml --epochs 1 --option augmentation.flip_prob=0.25 --seed 3"
    plan = periscope(f"train one {wish} --dry-run")
    assert plan["steps"] == {**plan["steps"], "total": 4, "epoch": 4}
    assert "one" not in [job["name"] for job in periscope("jobs")["items"]]

    job = periscope(f"train one {wish} --label pool=deep")
    other = periscope("train two --like one --epochs 50 --learning-rate 2e-4")
    assert (other["training"]["epochs"], other["training"]["learning_rate"]) == (50, 2e-4)
    assert periscope("jobs pause two")["desired"] == "paused"
    assert "complete" in run("logs one -f").out
    ended = periscope("watch one")
    assert (ended["id"], ended["state"]) == (job["id"], "SUCCEEDED")
    assert ended["training"]["augmentation"]["flip_prob"] == 0.25
    assert periscope("logs one")["log"] == run("logs one -f").out
    assert [found["id"] for found in periscope("jobs list --label pool=deep --name one")["items"]] == [
        job["id"]
    ]
    assert run("logs one -f --json").code == 2

    assert periscope("jobs cancel two")["desired"] == "cancelled"
    assert run("jobs wait two").code == 1
    assert periscope("jobs remove two")["removed"] is True
    assert run("jobs show two").code == 4

    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(picture(width=100, height=80))
    found = periscope("predict one a.png b.png --decoder jetson-caffe --threshold 0.01 -o found")["items"]
    assert [item["file"] for item in found] == ["a.png", "b.png"]
    assert found[0]["threshold"] == 0.01
    assert cv2.imread(str(tmp_path / "found" / "b.boxes.png")).shape == (80, 100, 3)


def models(run: Callable[[str], Ran], periscope: Periscope, tmp_path: Path) -> None:
    assert periscope("publish one --model marks --wait")["version"] == 1
    assert periscope("pull marks -o marks.zip")["version"] == 1
    with zipfile.ZipFile(tmp_path / "marks.zip") as old, zipfile.ZipFile(tmp_path / "own.zip", "w") as own:
        for name in old.namelist():
            own.writestr(name, old.read(name))
    assert periscope("models push marks own.zip --description again --tag from=here")["version"] == 2
    assert "marks" in [item["name"] for item in periscope("models")["items"]]
    assert [item["version"] for item in periscope("models show marks --tag from=here")["versions"]] == [2]
    assert periscope("models compare marks 1 2")["members"]["added"] == []

    assert periscope("alias set marks field 1")["version"] == 1
    assert periscope("alias set marks field 2")["version"] == 2
    assert periscope("alias rollback marks field")["version"] == 1
    assert periscope("alias gate marks --guard field --min val.digits_map=0.99")["aliases"] == ["field"]
    refused = run("alias set marks field 2")
    assert refused.code == 4
    assert "val.digits_map" in refused.err
    assert periscope("alias gate marks --open")["aliases"] == []
    assert [item["alias"] for item in periscope("alias list marks")["items"]] == ["field", "latest"]

    kept = run("models remove marks 2")
    assert kept.code == 4
    assert "the alias 'field' goes back to it" in kept.err
    assert periscope("alias remove marks field")["removed"] == "field"
    assert periscope("models remove marks 2")["trashed"] == 2
    assert [item["version"] for item in periscope("models trash marks")["items"]] == [2]
    assert periscope("models restore marks 2")["version"] == 2


def robots(periscope: Periscope) -> None:
    periscope("groups set lagoon --model marks --version 1")
    assert periscope("devices set sub-9 --group lagoon")["group"] == "lagoon"
    assert len(periscope("devices enrol sub-9")["code"]) == 32
    assert periscope("devices show sub-9")["version"] == 1
    assert periscope("devices reports sub-9")["items"] == []
    assert "lagoon" in [item["group"] for item in periscope("groups")["items"]]

    begun = periscope("rollout start lagoon 2 --stage sub-9")["rollout"]
    assert (begun["state"], begun["chosen"]) == ("RUNNING", ["sub-9"])
    assert periscope("devices show sub-9")["version"] == 2
    states = [
        periscope(f"rollout {word} lagoon")["rollout"]["state"]
        for word in ("pause", "resume", "abort", "show")
    ]
    assert states == ["PAUSED", "RUNNING", "ABORTED", "ABORTED"]
    assert periscope("devices show sub-9")["version"] == 1

    assert periscope("devices remove sub-9")["removed"] is True
    assert periscope("groups remove lagoon")["removed"] is True
    token = periscope("tokens create viewer ci")
    assert token["id"] in [item["id"] for item in periscope("tokens")["items"]]
    assert periscope(f"tokens revoke {token['id']}")["revoked"] is True
