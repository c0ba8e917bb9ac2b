"""Which GPUs a training gets where trainings are processes: as many as it asks for, or those that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from periscope.wire.job_options import Gpu
from periscope_training import launching
from periscope_training.gpus import chosen_gpus, local_gpus, why_not
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.launcher import NoPlaceYet, RunRefused
from tests.unit.periscope_training.house import House
from tests.unit.periscope_training.service import Service


@pytest.mark.parametrize(
    ("wish", "taken", "chosen"),
    [
        ({}, set(), [0]),
        ({}, {0}, [1]),
        ({"gpus": 0}, {0, 1, 2}, []),
        ({"gpus": 2}, {1}, [0, 2]),
        ({"gpu_indices": [2, 0]}, {1}, [0, 2]),
        ({"gpu_indices": [1, 1]}, set(), [1]),
    ],
)
def test_free_gpus_are_given_the_lowest_first_or_those_that_are_named(
    wish: dict[str, Any], taken: set[int], chosen: list[int]
) -> None:
    assert chosen_gpus(wish, [0, 1, 2], taken) == chosen


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "waits for 1 free GPU"),
        ({"gpus": 2}, "waits for 2 free GPU"),
        ({"gpu_indices": [1]}, "waits for GPU 1; other trainings hold 0, 1"),
    ],
)
def test_who_finds_his_gpus_taken_waits(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(NoPlaceYet, match=words):
        chosen_gpus(wish, [0, 1], {0, 1})


def test_a_gpu_that_was_taken_out_of_the_machine_is_not_waited_for() -> None:
    with pytest.raises(RunRefused, match="no GPU 2 any more"):
        chosen_gpus({"gpu_indices": [0, 2]}, [0, 1], {0})


def test_without_a_gpu_the_cpu_trains() -> None:
    assert chosen_gpus({}, [], set()) == []
    assert why_not({}, []) is None
    assert why_not({"gpus": 0}, []) is None


def gpu(index: int) -> Gpu:
    return Gpu(
        index=index, uuid=f"GPU-{index}", name="A", memory_bytes=1, memory_used_bytes=0,
        utilisation_ratio=None, temperature_celsius=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "field", "words"),
    [
        ({"gpus": 3}, "gpus", "There are 0, 1 on this machine."),
        ({"gpu_indices": [1, 4]}, "gpu_indices", "no GPU 4; there are 0, 1"),
        ({"gpu_indices": [1], "gpus": 1}, "gpu_indices", "not both"),
    ],
)
def test_what_this_machine_can_never_give_is_refused_by_field(
    wish: dict[str, Any], field: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "local_gpus", lambda: [gpu(0), gpu(1)])
    service = Service(tmp_path)

    refused = service.post("/v1/jobs", json={"name": "dive", "dataset": "pool", "resources": wish})

    assert refused.status_code == 422
    assert refused.json["errors"][0]["pointer"] == f"/resources/{field}"
    assert words in refused.json["errors"][0]["message"]
    possible = {"name": "dive", "dataset": "pool", "resources": {"gpu_indices": [1]}}
    assert service.post("/v1/jobs", json=possible).status_code == 202


def test_a_cluster_chooses_its_gpus_itself(tmp_path: Path) -> None:
    image = f"trainer@sha256:{'a' * 64}"
    service = Service(
        tmp_path, kubernetes=KubernetesSettings(namespace="training", image=image, store_secret="store")
    )
    asked = {"name": "dive", "dataset": "pool", "resources": {"gpu_indices": [0]}}

    refused = service.post("/v1/jobs", json=asked)

    assert (refused.status_code, "say how many" in refused.json["detail"]) == (422, True)


def test_a_job_whose_gpus_are_taken_says_so_and_begins_when_they_are_free() -> None:
    house = House(slots=2)
    house.world.full = "it waits for GPU 1; other trainings hold 1"
    job_id = house.add_job()
    house.loop()
    waiting = house.job(job_id)
    house.loop()
    assert (waiting["state"], waiting["reason"]) == ("PENDING", house.world.full)
    assert house.job(job_id) == waiting, "nothing is written while nothing changes"

    house.world.full = ""
    house.loop()
    begun = house.job(job_id)
    assert (begun["state"], len(begun["attempts"])) == ("RUNNING", 1)


def test_a_job_that_waits_for_gpus_can_be_cancelled() -> None:
    house = House()
    house.world.full = "it waits for 1 free GPU(s); other trainings hold 0"
    job_id = house.add_job()
    house.loop()
    house.cancel(job_id)
    house.loop()

    assert house.state(job_id) == "CANCELLED"
    assert house.world.runs == {}


@pytest.mark.parametrize(("visible", "seen"), [("1", [1]), ("GPU-a, 1", [0, 1]), ("", []), ("MIG-x", [])])
def test_of_the_machine_only_what_the_service_may_see_is_given(visible: str, seen: list[int]) -> None:
    text = "0, GPU-a, A, 100, 1, 0, 30\n1, GPU-b, A, 100, 1, 0, 30\n"

    found = local_gpus(lambda _: text, {"CUDA_VISIBLE_DEVICES": visible})

    assert [each.index for each in found] == seen
