"""Old DIGITS jobs as recipes and models."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from detectnet import means
from detectnet.bundle import check_bundle, write_bundle
from detectnet.caffe_runtime import CaffeNet
from detectnet.jetson_check import check_for_jetson
from periscope.wire.jobs import JobRequest
from periscope_cli.digits_archive import NotDigits, read_digits
from periscope_cli.digits_import import ImportedJob, import_digits
from tests.digits_jobs import JOB_ID, SIZE, as_tar_gz, job_files
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices

Periscope = Callable[..., Ran]
CLASSES = ["buoy", "gate"]
pytestmark = pytest.mark.slow  # Whole networks are written, packed and run.


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return job_files(
        lr_policy={"name": "exp", "gamma": 0.95}, solver="adam", learning_rate=1e-4, batch_size=7
    )


def folder_of(files: dict[str, bytes], place: Path) -> Path:
    place.mkdir(parents=True)
    for name, body in files.items():
        (place / name).write_bytes(body)
    return place


def imported(files: dict[str, bytes], tmp_path: Path, **options: Any) -> ImportedJob:
    return import_digits(read_digits(folder_of(files, tmp_path / JOB_ID)), CLASSES, **options)


def test_the_recipe_holds_what_the_job_was_trained_with(files: dict[str, bytes], tmp_path: Path) -> None:
    recipe = imported(files, tmp_path).recipe

    assert recipe["input"] == {"width": SIZE[0], "height": SIZE[1]}
    assert (recipe["solver"], recipe["learning_rate"], recipe["batch_size"]) == ("adam", 1e-4, 7)
    assert recipe["lr_policy"] == {"name": "exp", "gamma": pytest.approx(0.95)}
    assert recipe["epochs"] == 100
    assert recipe["augmentation"]["hue_rotation_prob"] == 0.8
    assert recipe["subtract_mean"] == "none"
    JobRequest.model_validate({"name": "again", "dataset": "dive", **recipe})


def test_the_model_passes_the_checks_of_a_jetson(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    write_bundle(path, imported(files, tmp_path).members)

    report = check_bundle(path)
    assert report.labels == ("buoy", "gate")
    assert all(not one.reasons for one in check_for_jetson(path, report) if one.name == "caffe")


def test_the_imported_network_computes_what_the_snapshot_computed(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    members = imported(files, tmp_path).members
    image = np.random.default_rng(0).integers(0, 256, (3, SIZE[1], SIZE[0])).astype(np.float32)
    original = files["deploy.prototxt"].split(b'layer {\n  name: "cluster"')[0]
    weights = files["snapshot_iter_6000.caffemodel"]

    before = CaffeNet(original, weights).run(image)
    after = CaffeNet(members["deploy.prototxt"], members["snapshot_iter_6000.caffemodel"]).run(image)

    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-6)


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "folder"])
def test_folders_and_downloads_say_the_same(files: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"{JOB_ID}_epoch_100.0.{kind}"
    if kind == "folder":
        folder_of(files, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, body in files.items():
                archive.writestr(name, body)
    else:
        path.write_bytes(as_tar_gz(files))

    found = read_digits(path)

    assert found.texts == {name: body.decode() for name, body in files.items() if name in found.texts}
    assert found.snapshots == {6000: files["snapshot_iter_6000.caffemodel"]}
    assert found.epoch == 100.0


def test_a_downloads_name_tells_how_long_the_training_was(files: dict[str, bytes], tmp_path: Path) -> None:
    halfway = {**files, "snapshot_iter_3000.caffemodel": files["snapshot_iter_6000.caffemodel"]}
    del halfway["snapshot_iter_6000.caffemodel"]
    path = tmp_path / f"{JOB_ID}_epoch_20.0.tar.gz"
    path.write_bytes(as_tar_gz(halfway))

    job = import_digits(read_digits(path), CLASSES)

    assert job.recipe["epochs"] == 40
    assert job.lineage["epoch"] == 20.0
    assert job.lineage["job_id"] == JOB_ID


def test_of_several_snapshots_the_newest_is_taken_or_the_one_that_is_asked_for(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = folder_of({**files, "snapshot_iter_60.caffemodel": b"x"}, tmp_path / JOB_ID)

    assert list(read_digits(folder).snapshots) == [6000]
    assert read_digits(folder, 60).snapshots == {60: b"x"}
    with pytest.raises(NotDigits, match="no snapshot of iteration 61; there is 60, 6000"):
        read_digits(folder, 61)


def test_a_mean_pixel_goes_into_the_network(files: dict[str, bytes], tmp_path: Path) -> None:
    layer = b'data_param { backend: LMDB source: "train_db/features"'
    mean = b"transform_param { mean_value: 100 mean_value: 110 mean_value: 120 } "
    text = files["train_val.prototxt"].replace(layer, mean + layer)
    assert text != files["train_val.prototxt"]
    job = imported({**files, "train_val.prototxt": text}, tmp_path)
    image = np.full((3, SIZE[1], SIZE[0]), 200, np.float32)
    shifted = image - np.asarray([100, 110, 120], np.float32).reshape(3, 1, 1)
    plain = imported(files, tmp_path / "plain").members

    assert job.recipe["subtract_mean"] == "pixel"
    assert means.LAYER in job.members["deploy.prototxt"].decode()
    with_mean = CaffeNet(job.members["deploy.prototxt"], job.members["snapshot_iter_6000.caffemodel"]).run(
        image
    )
    without = CaffeNet(plain["deploy.prototxt"], plain["snapshot_iter_6000.caffemodel"]).run(shifted)
    np.testing.assert_allclose(with_mean[0], without[0], atol=1e-5)


def test_a_mean_picture_leaves_a_recipe_and_no_model(files: dict[str, bytes], tmp_path: Path) -> None:
    layer = b'data_param { backend: LMDB source: "train_db/features"'
    text = files["train_val.prototxt"].replace(
        layer, b'transform_param { mean_file: "mean.binaryproto" } ' + layer
    )
    job = imported({**files, "train_val.prototxt": text}, tmp_path)

    assert job.recipe["subtract_mean"] == "image"
    assert job.members == {}
    assert means.NOT_FOR_ROBOTS in job.remarks[-1]


@pytest.mark.parametrize(
    ("change", "classes", "words"),
    [
        ({"train_val.prototxt": b"layer {"}, CLASSES, "train_val.prototxt, line 1"),
        ({}, ["buoy"], r"2 class\(es\), 1 were given"),
        ({}, [], "none is named in the job; name them by --classes"),
        ({"solver.prototxt": b"max_iter: x"}, CLASSES, "solver.prototxt, line 1: max_iter must be a number"),
        ({"info.json": b"{"}, CLASSES, "info.json is no JSON"),
        ({"snapshot_iter_6000.caffemodel": b"\x01\x02\x03"}, CLASSES, "snapshot_iter_6000.caffemodel"),
        ({"deploy.prototxt": b"\xff"}, CLASSES, "deploy.prototxt is no UTF-8 text"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(
    files: dict[str, bytes], tmp_path: Path, change: dict[str, bytes], classes: list[str], words: str
) -> None:
    folder = folder_of({**files, **change}, tmp_path / JOB_ID)
    with pytest.raises(NotDigits, match=words):
        import_digits(read_digits(folder), classes, 10)


def test_what_is_no_job_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotDigits, match="this is no DIGITS job"):
        import_digits(read_digits(tmp_path / "empty"), CLASSES)
    (tmp_path / "text.tar.gz").write_text("hello")
    with pytest.raises(NotDigits, match=r"cannot be read as a folder, tar or zip"):
        read_digits(tmp_path / "text.tar.gz")
    with pytest.raises(NotDigits):
        read_digits(tmp_path / "nowhere")


def test_the_command_writes_a_recipe_that_train_takes(
    files: dict[str, bytes], tmp_path: Path, services: FakeServices, periscope: Periscope
) -> None:
    path = tmp_path / f"{JOB_ID}_epoch_100.0.tar.gz"
    path.write_bytes(as_tar_gz(files))

    ran = periscope("digits", "import", path, "--classes", "buoy,gate", "--json")

    assert ran.code == 0, ran.err
    written = tmp_path / f"{JOB_ID}_epoch_100.recipe.yaml"
    assert yaml.safe_load(written.read_text()) == ran.document["recipe"]
    assert periscope("digits", "import", path, "--classes", "buoy,gate").code == 2, "no file is overwritten"
    periscope("train", "again", "--dataset", "dive", "--config", written, "--epochs", "3")
    [sent] = services.bodies("POST", "/v1/jobs")
    assert (sent["epochs"], sent["solver"], sent["recipe"]) == (3, "adam", "digits")


def test_a_damaged_file_beside_the_network_that_is_read_does_not_matter(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    assert imported({**files, "original.prototxt": b"layer {"}, tmp_path).members


def test_a_registry_that_is_away_leaves_no_recipe_behind(
    files: dict[str, bytes], tmp_path: Path, periscope: Periscope
) -> None:
    path = tmp_path / f"{JOB_ID}_epoch_100.0.tar.gz"
    path.write_bytes(as_tar_gz(files))
    away = ("--registry-url", "http://127.0.0.1:9")

    assert periscope("digits", "import", path, "--classes", "buoy,gate", "--model", "m", *away).code == 3

    assert not list(tmp_path.glob("*.recipe.yaml"))
