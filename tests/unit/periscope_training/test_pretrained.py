from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectnet.caffemodel import CaffeLayer, write_caffemodel
from periscope import keys
from tests.unit.periscope_training.epoch_files import CAFFEMODEL, HEIGHT, WIDTH, epoch_files, save_epoch_files
from tests.unit.periscope_training.service import Service, committed_epoch

URL = "/v1/pretrained-models"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


@pytest.fixture
def job_id(service: Service) -> str:
    job_id = service.create_job(input={"width": WIDTH, "height": HEIGHT})
    files = save_epoch_files(service.house.store, job_id, epoch_files())
    service.commit(job_id, {**committed_epoch(1, 0.5), "files": files})
    return job_id


def upload(service: Service, name: str, content: bytes) -> Any:
    return service.post(f"{URL}:upload?name={name}", data=content, content_type="application/octet-stream")


def spec(service: Service, job_id: str) -> dict[str, Any]:
    return json.loads(service.house.store.get(keys.job_spec(job_id)).body)


def test_an_epoch_becomes_a_pretrained_model_and_the_next_job_begins_with_it(
    service: Service, job_id: str
) -> None:
    made = service.post(URL, json={"name": "pool-1", "job_id": job_id, "epoch": "best"})

    assert (made.status_code, made.headers["Location"]) == (201, f"{URL}/pool-1")
    assert (made.json["format"], made.json["layers"]) == ("caffemodel", 59)
    assert made.json["source"] == {"job_id": job_id, "epoch": 1.0}
    weights = spec(service, service.create_job(pretrained="pool-1"))["weights"]
    assert weights["name"] == "pool-1"
    assert service.house.store.get(keys.blob(weights["sha256"])).body == epoch_files()[CAFFEMODEL]
    assert "weights" not in spec(service, job_id)


def test_a_caffemodel_or_a_file_of_torch_is_uploaded(service: Service) -> None:
    googlenet = write_caffemodel(
        [
            CaffeLayer("conv1/7x7_s2", "Convolution", (), (), (np.zeros((64, 3, 7, 7), np.float32),)),
            CaffeLayer("loss3/classifier", "InnerProduct", (), (), (np.zeros((10, 4), np.float32),)),
        ]
    )
    assert upload(service, "bvlc", googlenet).json["layers"] == 1
    assert upload(service, "torch", b"PK\x03\x04 and more").json["format"] == "torchvision"
    assert [item["name"] for item in service.get(URL).json["items"]] == ["bvlc", "torch"]


def test_what_holds_no_weights_for_the_network_is_refused_with_a_reason(service: Service) -> None:
    other = write_caffemodel([CaffeLayer("fc6", "InnerProduct", (), (), (np.zeros((2, 2), np.float32),))])

    strange, empty = upload(service, "a", other), upload(service, "a", b"")
    assert (strange.status_code, "fc6" in strange.json["detail"]) == (422, True)
    assert upload(service, "a", b"\xff" * 50).status_code == 422
    assert empty.status_code == 400
    assert upload(service, "a%20b", other).status_code == 422
    assert service.get(URL).json["items"] == []


def test_a_name_belongs_to_one_file_until_it_is_removed(service: Service, job_id: str) -> None:
    wish = {"name": "pool-1", "job_id": job_id}
    first, again = service.post(URL, json=wish).json, service.post(URL, json=wish).json
    other = upload(service, "pool-1", b"PK\x03\x04")

    assert first["id"] == again["id"]
    assert (other.status_code, "pool-1" in other.json["detail"]) == (409, True)
    assert service.call("DELETE", f"{URL}/pool-1").status_code == 204
    assert service.get(f"{URL}/pool-1").status_code == 404
    assert upload(service, "pool-1", b"PK\x03\x04").status_code == 201


def test_a_job_with_an_unknown_pretrained_model_is_refused_at_once(service: Service) -> None:
    refused = service.post("/v1/jobs", json={"name": "dive", "dataset": "pool", "pretrained": "none"})

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == "/pretrained"


@pytest.mark.slow
def test_a_registered_model_becomes_a_pretrained_model(service: Service, job_id: str) -> None:
    published = service.post(f"/v1/jobs/{job_id}/epochs/best:publish", json={"model": "buoys"})
    service.lead()
    service.publish()
    assert service.get(published.headers["Location"]).json["version"] == 1

    made = service.post(URL, json={"name": "old", "model": "buoys", "version": 1})

    assert (made.status_code, made.json["layers"]) == (201, 59)
    assert made.json["source"] == {"model": "buoys", "version": 1}
    assert service.house.store.get(keys.blob(made.json["sha256"])).body == epoch_files()[CAFFEMODEL]
    missing = service.post(URL, json={"name": "new", "model": "buoys", "version": 2})
    assert (missing.status_code, "version 2" in missing.json["detail"]) == (422, True)
    assert service.post(URL, json={"name": "new", "model": "buoys"}).status_code == 400
    assert service.post(URL, json={"name": "new"}).status_code == 400
