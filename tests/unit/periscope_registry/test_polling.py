"""What a robot's question costs, and what replicas that remember different things tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from periscope.signing import PrivateKey
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

LATEST = "/v1/models/buoys/aliases/latest"
KEY = PrivateKey.new()


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path, release_key=KEY)
    for seed in range(2):
        service.publish("buoys", model_zip(seed))
    service.put(LATEST, {"version": 1})
    service.put("/v1/device-groups/pool", {"model": "buoys", "alias": "latest"})
    service.put("/v1/devices/sub-1", {"group": "pool"})
    return service


def poll(service: Service) -> dict[str, Any]:
    answer = service.get("/v1/devices/sub-1/desired", role="device", device_id="sub-1")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def release(told: dict[str, Any]) -> tuple[int, int]:
    document = json.loads(told["release"]["document"])
    return document["version"], document["counter"]


def test_a_poll_reads_what_is_the_robots_own_and_nothing_else(service: Service) -> None:
    poll(service)
    calls = dict(service.store.calls)

    poll(service)

    asked = {call: count - calls.get(call, 0) for call, count in service.store.calls.items()}
    assert {call: count for call, count in asked.items() if count} == {"get": 3}


def test_a_replica_that_remembers_the_old_wish_signs_no_new_release_of_it(
    service: Service, tmp_path: Path
) -> None:
    other = Service(tmp_path, service.store, release_key=KEY)
    first = release(poll(service))
    other.put(LATEST, {"version": 2})
    moved = release(poll(other))

    assert moved[0] == 2
    assert moved[1] > first[1]
    assert release(poll(service)) == moved
    assert release(poll(other)) == moved
