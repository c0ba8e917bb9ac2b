from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from periscope.wire.jobs import JobRequest
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.launcher import Observation, Phase
from tests.unit.periscope_training.house import House
from tests.unit.periscope_training.service import Service


def test_what_a_job_asks_of_a_machine_reaches_the_launcher() -> None:
    house = House()
    wish = {"gpus": 0, "memory": "2Gi"}
    request = JobRequest.model_validate({"name": "dive", "dataset": "pool", "resources": wish})
    house.submissions.submit_job(request, None)
    house.loop()

    assert house.launcher.only_run().launch.resources == wish


def test_a_job_that_asks_for_nothing_special_gets_what_is_set() -> None:
    house = House()
    house.add_job()
    house.loop()

    assert house.launcher.only_run().launch.resources == {}


@pytest.mark.parametrize(
    "wish", [{"memory": "much"}, {"memory": "-1Gi"}, {"gpus": -1}, {"image": "mine"}, {"cpu": "0"}]
)
def test_what_makes_no_sense_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        JobRequest.model_validate({"name": "dive", "dataset": "pool", "resources": wish})


CLUSTER = KubernetesSettings(
    namespace="training", image=f"trainer@sha256:{'a' * 64}", store_secret="store", gpus=2, memory="8Gi"
)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"gpus": 3}, "gpus"),
        ({"memory": "9Gi"}, "memory"),
        ({"cpu": "2001m"}, "cpu"),
        ({"nodes": 2}, "nodes"),
    ],
)
def test_more_than_the_cluster_allows_is_refused_by_field(
    wish: dict[str, object], field: str, tmp_path: Path
) -> None:
    service = Service(tmp_path, kubernetes=CLUSTER)
    asked = {"name": "dive", "dataset": "pool", "resources": wish}

    refused = service.post("/v1/jobs", json=asked)

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == f"/resources/{field}"
    assert service.post("/v1/jobs?dry_run=true", json=asked).status_code == 422
    assert service.get("/v1/jobs").json["items"] == []


def test_as_much_or_less_is_allowed_and_the_dry_run_shows_the_job_of_the_cluster(tmp_path: Path) -> None:
    service = Service(tmp_path, kubernetes=CLUSTER)
    asked = {"name": "dive", "dataset": "pool", "resources": {"gpus": 1, "memory": "8192Mi"}}

    told = service.post("/v1/jobs?dry_run=true", json=asked).json

    (container,) = told["manifest"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert service.post("/v1/jobs", json=asked).status_code == 202
    assert service.get("/v1/gpus").json["gpus_per_job"] == 2


def test_a_job_that_finds_no_place_for_a_week_fails_with_what_it_waited_for() -> None:
    house = House()
    job_id = house.add_job()
    house.loop()
    house.launcher.only_run().seen = Observation(Phase.WAITING, message="no GPU is free")
    house.loop()
    assert house.state(job_id) == "PENDING"
    house.clock.advance(6.9 * 86_400)
    house.launcher.only_run().seen = Observation(Phase.WAITING, message="no node fits")
    house.loop()
    assert house.state(job_id) == "PENDING"

    house.clock.advance(0.2 * 86_400)
    house.loop()

    job = house.job(job_id)
    assert job["state"] == "FAILED"
    assert "7 days" in job["reason"]
    assert "no node fits" in job["reason"]
    assert not house.world.runs
