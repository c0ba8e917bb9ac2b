from __future__ import annotations

import io
import re
import subprocess
import zipfile
from pathlib import Path

import jsonschema
import pytest

from detectnet.bundle import check_bundle
from detectnet.recipes import resolve_training
from detectnet.training_prototxt import train_val_prototxt
from periscope_training.gpus import local_gpus
from tests.unit.periscope_training.epoch_files import HEIGHT, WIDTH, epoch_files, save_epoch_files
from tests.unit.periscope_training.service import Service, committed_epoch

BASE = 0.01


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


@pytest.mark.parametrize(
    ("policy", "at_50", "at_100"),
    [
        ({"name": "fixed"}, BASE, BASE),
        ({"name": "step", "step": 33, "gamma": 0.1}, BASE * 0.1, BASE * 0.001),
        ({"name": "multistep", "values": [50, 85], "gamma": 0.5}, BASE * 0.5, BASE * 0.25),
        ({"name": "exp", "gamma": 0.95}, BASE * 0.95**50, BASE * 0.95**100),
        ({"name": "inv", "gamma": 0.1, "power": 0.5}, BASE * 6**-0.5, BASE * 11**-0.5),
        ({"name": "poly", "power": 3}, BASE * 0.125, 0.0),
        ({"name": "sigmoid", "step": 50, "gamma": 0.1}, BASE / 2, BASE / (1 + 2.718281828459045**5)),
    ],
)
def test_a_learning_rate_is_seen_before_the_job_exists(
    service: Service, policy: dict, at_50: float, at_100: float
) -> None:
    """Expected values by hand from the formulas."""
    body = {"learning_rates": [BASE, 1.0], "lr_policy": policy}
    first, second = service.call("POST", "/v1/learning-rates:preview", "viewer", json=body).json["curves"]

    assert len(first["values"]) == 101
    assert (first["values"][50], first["values"][100]) == pytest.approx((at_50, at_100))
    assert second["values"][50] == pytest.approx(at_50 / BASE)
    drawn = service.post("/v1/learning-rates:preview?view=png", json=body)
    assert (drawn.mimetype, drawn.data[:4]) == ("image/png", b"\x89PNG")


def test_the_options_are_told_as_a_schema_that_accepts_what_the_service_does(service: Service) -> None:
    schema = service.get("/v1/job-options").json["options"]

    jsonschema.validate({"name": "dive", "dataset": "pool", "epochs": 3}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "dive", "dataset": "pool", "epochs": 0}, schema)
    assert {"default", "digits"} <= set(service.get("/v1/job-options").json["recipes"])


def test_a_network_is_looked_at_before_there_is_a_job(service: Service) -> None:
    text = train_val_prototxt(320, 192, 2, resolve_training("digits", {}, threads=1))

    told = service.post("/v1/networks:describe", json={"network": text}).json

    assert (told["input"], told["classes"], told["convolutions"]) == ([1, 3, 192, 320], 2, 59)
    assert told["outputs"] == {"coverage": [1, 2, 12, 20], "bboxes": [1, 4, 12, 20]}
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])
    first = {"name": "conv1/7x7_s2", "type": "Convolution", "shape": [1, 64, 96, 160], "parameters": 9472}
    assert first in told["layers"]
    assert told["options"]["augmentation"]["shift_x"] == 32


def test_a_network_that_cannot_be_looked_at_is_refused_with_what_is_wrong(service: Service) -> None:
    text = train_val_prototxt(320, 192, 2, resolve_training("digits", {}, threads=1))
    sizeless = re.sub(r'image_size_[xy]: \d+|param_str: "320.*"', "", text)
    size = {"width": 640, "height": 384}

    def error(**body: object) -> tuple[str, str]:
        refused = service.post("/v1/networks:describe", json=body)
        assert refused.status_code == 422
        return refused.json["errors"][0]["pointer"], refused.json["errors"][0]["message"]

    assert error(network=text.replace("LRN", "BatchNorm", 1))[1].startswith(
        "The network cannot be used: line"
    )
    assert error(network=sizeless) == (
        "/input", 'The network names no size: give one, such as {"width": 640, "height": 640}.',
    )  # fmt: skip
    assert error(network=sizeless, input=size | {"width": 650})[0] == "/input"
    told = service.post("/v1/networks:describe", json={"network": sizeless, "input": size}).json
    assert told["input"] == [1, 3, 384, 640]


def test_gpus_are_read_off_nvidia_smi() -> None:
    text = "0, GPU-aa, NVIDIA A10, 23028, 1024, 37, 61\n1, GPU-bb, NVIDIA A10, 23028, 0, [N/A], [N/A]\n"
    first, second = local_gpus(lambda _: text)

    assert (first.name, first.memory_bytes, first.utilisation_ratio) == ("NVIDIA A10", 23028 << 20, 0.37)
    assert (second.index, second.utilisation_ratio, second.temperature_celsius) == (1, None, None)

    def fail(_: object) -> str:
        raise subprocess.TimeoutExpired("nvidia-smi", 5)

    assert local_gpus(fail) == []


def test_where_jobs_run_is_told(service: Service) -> None:
    told = service.get("/v1/gpus").json
    assert (told["launcher"], told["max_concurrent_jobs"], told["running"]) == ("process", 1, 0)

    service.create_job()
    service.house.loop()
    assert service.get("/v1/gpus").json["running"] == 1


@pytest.mark.slow
def test_an_epoch_is_downloaded_as_a_zip_without_being_published(service: Service) -> None:
    job_id = service.create_job(input={"width": WIDTH, "height": HEIGHT})
    files = save_epoch_files(service.house.store, job_id, epoch_files())
    service.commit(job_id, {**committed_epoch(1, 0.5), "files": files})

    answered = service.get(f"/v1/jobs/{job_id}/epochs/best.zip")

    assert (answered.status_code, answered.mimetype) == (200, "application/zip")
    assert f"{job_id}_epoch_1.zip" in answered.headers["Content-Disposition"]
    names = zipfile.ZipFile(io.BytesIO(answered.data)).namelist()
    assert {"deploy.prototxt", "labels.txt", "model.json", "info.json"} <= set(names)
    assert service.get("/v1/publications").json["items"] == []


@pytest.mark.slow
def test_the_download_is_a_bundle_that_the_registry_would_take(service: Service, tmp_path: Path) -> None:
    job_id = service.create_job(input={"width": WIDTH, "height": HEIGHT})
    files = save_epoch_files(service.house.store, job_id, epoch_files())
    service.commit(job_id, {**committed_epoch(1, 0.5), "files": files})
    path = tmp_path / "epoch.zip"
    with service.get(f"/v1/jobs/{job_id}/epochs/1.zip") as answered:
        path.write_bytes(answered.data)

    assert check_bundle(path).labels == ("buoy", "gate")
    left = list((tmp_path / "downloads").glob("*"))
    assert left == []


def test_a_zip_that_was_being_sent_when_the_service_was_killed_is_removed(
    service: Service, tmp_path: Path
) -> None:
    for folder in ("downloads", "publications"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "01ARZ3NDEKTSV4RRFFQ69G5FAV.zip").write_bytes(b"PK")

    service.service.start()
    service.service.stop()

    assert list(tmp_path.glob("*/*.zip")) == []


@pytest.mark.slow
def test_rates_beyond_all_measure_are_drawn_all_the_same(service: Service) -> None:
    body = {"learning_rates": [1.6e308, 1e-320, 0.01], "lr_policy": {"name": "fixed"}}

    assert service.post("/v1/learning-rates:preview?view=png", json=body).data[:4] == b"\x89PNG"
