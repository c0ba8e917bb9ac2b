"""What DIGITS's form for a new model offered, asked for over HTTP and found in what the training program gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from tests.unit.periscope_training.service import Service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def training(service: Service, **asked: Any) -> dict[str, Any]:
    job_id = service.create_job(**asked)
    spec = json.loads(service.house.store.get(keys.job_spec(job_id)).body)
    found: dict[str, Any] = spec["training"]
    return found


def test_the_form_fields_of_digits_reach_the_training_program(service: Service) -> None:
    asked = {
        "epochs": 100, "validation_interval_epochs": 0.5, "seed": 7, "batch_size": 5, "batch_accumulation": 2,
        "learning_rate": 1e-4, "recipe": "digits",
    }  # fmt: skip
    found = training(service, **asked)

    assert asked.items() <= found.items()
    assert found["weight_decay"] == pytest.approx(1e-6)


def test_every_solver_and_policy_can_be_chosen(service: Service) -> None:
    for solver in ("sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"):
        for policy in ("fixed", "step", "multistep", "exp", "inv", "poly", "sigmoid"):
            found = training(service, solver=solver, lr_policy={"name": policy})

            assert (found["solver"], found["lr_policy"]["name"]) == (solver, policy)


@pytest.mark.parametrize("name", ["rms_decay", "crop_size", "aug_flip", "aug_rot"])
def test_an_unknown_option_is_refused_by_name(service: Service, name: str) -> None:
    refused = service.post("/v1/jobs", json={"name": "a", "dataset": "pool", name: 1})

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == f"/{name}"


def test_a_mean_is_subtracted_where_somebody_asks_for_it_and_a_warning_says_what_follows(
    service: Service,
) -> None:
    asked = {"name": "a", "dataset": "pool", "input": {"width": 64, "height": 48}}
    told = {
        kind: service.post("/v1/jobs", json=asked | given).json["warnings"]
        for kind, given in {
            "left out": {},
            "none": {"subtract_mean": "none"},
            "pixel": {"subtract_mean": "pixel"},
            "image": {"subtract_mean": "image"},
        }.items()
    }

    assert training(service, subtract_mean="pixel")["subtract_mean"] == "pixel"
    assert (told["left out"], told["none"]) == ([], [])
    assert "subtracts 127 itself" in told["pixel"][0]
    assert "no Caffe file" in told["image"][1]
    assert (
        service.post("/v1/jobs?dry_run=true", json=asked | {"subtract_mean": "pixel"}).json["warnings"]
        == told["pixel"]
    )


def test_a_training_that_ran_away_says_why_and_what_to_do(service: Service) -> None:
    job_id = service.create_job()
    service.house.loop()
    report = {"error": "loss_bbox is nan", "code": "diverged", "advice": "Lower the learning rate."}
    service.house.launcher.end(65, log=json.dumps(report).encode())
    service.house.loop()

    job = service.get(f"/v1/jobs/{job_id}").json
    assert (job["state"], job["error"]) == ("FAILED", report)
