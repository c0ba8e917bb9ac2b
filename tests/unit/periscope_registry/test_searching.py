"""Finding models and versions, and where a version has stood."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

VERSIONS = "/v1/models/buoys/versions"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    service.publish(
        "buoys",
        model_zip(0),
        description="Night dives",
        tags={"team": "blue"},
        metrics={"val": {"classes": {"buoy": {"digits_map": 0.5}}}},
        lineage={"job_id": "01JOB", "dataset": {"id": "01DIVES", "version": 3}},
    )
    service.publish(
        "buoys",
        model_zip(1),
        description="Harbour",
        tags={"team": "red", "lens": "wide"},
        metrics={"val": {"classes": {"buoy": {"digits_map": 0.7}}}},
    )
    service.put("/v1/models/gates", {"description": "For the Night run", "tags": {"team": "blue"}})
    return service


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2]),
        ("text=NIGHT", [1]),
        ("tag=team=red", [2]),
        ("tag=team=red&tag=lens=wide", [2]),
        ("tag=team=red&tag=lens=narrow", []),
        ("job=01JOB", [1]),
        ("dataset=01DIVES", [1]),
        ("min_metric=val.classes.buoy.digits_map=0.6", [2]),
        ("min_metric=val.classes.gate.digits_map=0.1", []),
        ("class_name=buoy", [1, 2]),
        ("class_name=shark", []),
    ],
)
def test_versions_are_found(service: Service, query: str, found: list[int]) -> None:
    items = service.get(f"{VERSIONS}?{query}").json["items"]
    assert [item["version"] for item in items] == found


def test_a_least_metric_that_is_no_number_is_refused_with_an_example(service: Service) -> None:
    answer = service.get(f"{VERSIONS}?min_metric=loss=low")
    assert answer.status_code == 422
    assert "name=number" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "found"),
    [("text=night", ["gates"]), ("text=BUOY", ["buoys"]), ("tag=team=blue", ["gates"]), ("tag=team=red", [])],
)
def test_models_are_found(service: Service, query: str, found: list[str]) -> None:
    assert [item["name"] for item in service.get(f"/v1/models?{query}").json["items"]] == found


def test_tags_stay_until_others_are_given(service: Service) -> None:
    service.put("/v1/models/gates", {"description": "Now by day"})
    assert service.get("/v1/models/gates").json["tags"] == {"team": "blue"}

    service.put("/v1/models/gates", {"tags": {}})
    assert service.get("/v1/models/gates").json["tags"] == {}
    assert service.get("/v1/models/gates").json["description"] == "Now by day"


def test_a_versions_stages_are_told(service: Service) -> None:
    for version in (1, 2, 1):
        service.put("/v1/models/buoys/aliases/latest", {"version": version})
    service.put("/v1/models/buoys/aliases/field", {"version": 1})

    stages = service.get(f"{VERSIONS}/1/stages").json["items"]

    assert [(stage["alias"], stage["to_at"] is None) for stage in stages] == [
        ("latest", False),
        ("latest", True),
        ("field", True),
    ]
    assert service.get(f"{VERSIONS}/9/stages").status_code == 404


def test_downloads_are_counted_by_version_and_by_device(service: Service) -> None:
    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 2})
    service.get(f"{VERSIONS}/2/zip", role="device", device_id="sub-1")
    service.get(f"{VERSIONS}/2/zip?proxy=1", role="device", device_id="sub-1")
    service.get(f"{VERSIONS}/2/zip", role="viewer")

    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in service.metrics.collect()
        for sample in family.samples
        if "downloads_total" in sample.name
    }

    assert shown == {
        ("periscope_zip_downloads_total", "buoys", "2", "redirect"): 2,
        ("periscope_zip_downloads_total", "buoys", "2", "proxy"): 1,
        ("periscope_device_downloads_total", "sub-1", "redirect"): 1,
        ("periscope_device_downloads_total", "sub-1", "proxy"): 1,
    }
