from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

LATEST = "/v1/models/buoys/aliases/latest"
GATE = "/v1/models/buoys/gate"
DATASET = {"id": "01DIVES", "version": 3}
GOOD = {
    "metrics": {"val": {"classes": {"buoy": {"digits_map": 0.7}}}},
    "lineage": {"dataset": DATASET, "parity": {"coverage": 1e-6}},
}
RULES = {"aliases": ["latest"], "minimums": {"val.classes.buoy.digits_map": 0.6}, "dataset": DATASET}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    service.publish("buoys", model_zip(0), **GOOD)
    return service


def publish(service: Service, **changes: Any) -> int:
    number = len(service.get("/v1/models/buoys/versions").json["items"])
    made = service.publish("buoys", model_zip(number), **{**GOOD, **changes})
    assert made.status_code == 201, made.text
    return int(made.json["version"])


def test_what_passes_the_gate_is_promoted(service: Service) -> None:
    assert service.put(GATE, RULES).status_code == 200

    assert service.put(LATEST, {"version": 1}).status_code == 201
    assert service.get(GATE, role="viewer").json == RULES | {"parity": True}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"metrics": {"val": {"classes": {"buoy": {"digits_map": 0.59}}}}},
            "is 0.59, and must be at least 0.6",
        ),
        ({"metrics": {"val": {"loss": 1.5}}}, "it has val.loss"),
        ({"metrics": None}, "it has none"),
        ({"lineage": {"dataset": {"id": "01DIVES", "version": 2}, "parity": {"coverage": 0}}}, "version 2"),
        ({"lineage": {"parity": {"coverage": 1e-6}}}, "unknown"),
        ({"lineage": {"dataset": DATASET, "parity": None}}, "exports agree"),
        ({"lineage": None}, "exports agree"),
    ],
)
def test_what_does_not_pass_stays_below_with_the_reason(
    service: Service, changes: dict[str, Any], words: str
) -> None:
    service.put(GATE, RULES)
    service.put(LATEST, {"version": 1})
    answer = service.put(LATEST, {"version": publish(service, **changes)})

    assert answer.status_code == 409
    assert words in answer.json["detail"]
    assert service.get(LATEST).json["version"] == 1


def test_the_gate_guards_the_aliases_that_it_names(service: Service) -> None:
    service.put(GATE, RULES)
    bad = publish(service, metrics={})

    assert service.put("/v1/models/buoys/aliases/canary", {"version": bad}).status_code == 201
    assert service.put(LATEST, {"version": bad}).status_code == 409


def test_a_gate_can_be_opened_again(service: Service) -> None:
    service.put(GATE, RULES)
    bad = publish(service, metrics={})
    service.put(GATE, {"aliases": []})

    assert service.put(LATEST, {"version": bad}).status_code == 201


def test_a_model_without_a_gate_says_so(service: Service) -> None:
    refused = service.get(GATE)

    assert refused.status_code == 404
    assert "`periscope alias gate buoys --guard ALIAS`" in refused.json["detail"]


def test_one_call_takes_an_alias_back_and_another_one_forth(service: Service) -> None:
    for version in (1, publish(service), publish(service)):
        service.put(LATEST, {"version": version})

    assert service.post(f"{LATEST}:rollback", {}).json["version"] == 2
    assert service.post(f"{LATEST}:rollback", {}).json["version"] == 3
    history = [(entry["version"], entry["by"]) for entry in service.get(LATEST).json["history"]]
    assert history[-2:] == [(2, "editor (rollback)"), (3, "editor (rollback)")]


def test_a_rollback_passes_a_gate_that_came_later(service: Service) -> None:
    service.put(LATEST, {"version": publish(service, metrics={})})
    service.put(LATEST, {"version": 1})
    service.put(GATE, RULES)

    assert service.post(f"{LATEST}:rollback", {}).json["version"] == 2


def test_an_alias_that_never_moved_cannot_go_back(service: Service) -> None:
    service.put(LATEST, {"version": 1})
    answer = service.post(f"{LATEST}:rollback", {})

    assert answer.status_code == 409
    assert service.get(LATEST).json["version"] == 1


def test_two_versions_are_compared(service: Service) -> None:
    better = {"val": {"classes": {"buoy": {"digits_map": 0.75}}, "loss": 1.0}}
    head = publish(service, metrics=better, description="with the dive of Friday")
    told = service.get(f"/v1/models/buoys/versions/{head}/comparison?base=1", role="viewer").json

    figures = {each["name"]: (each["base"], each["head"], each["change"]) for each in told["metrics"]}
    assert figures["val.loss"] == (None, 1.0, None)
    assert figures["val.classes.buoy.digits_map"] == pytest.approx((0.7, 0.75, 0.05))
    assert told["members"]["changed"]
    assert told["changed"]["description"] == {"base": "", "head": "with the dive of Friday"}
    assert "labels" not in told["changed"]


def test_a_version_is_compared_with_one_that_exists(service: Service) -> None:
    assert service.get("/v1/models/buoys/versions/1/comparison?base=9").status_code == 404
