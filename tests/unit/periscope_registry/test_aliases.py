from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

LATEST = "/v1/models/buoys/aliases/latest"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    for seed in range(4):
        service.publish("buoys", model_zip(seed))
    return service


def test_an_alias_points_to_a_version_and_remembers_where_it_was(service: Service) -> None:
    made = service.put(LATEST, {"version": 1})
    moved = service.put(LATEST, {"version": 3})

    assert (made.status_code, moved.status_code) == (201, 200)
    found = service.get(LATEST, role="viewer")
    assert (found.json["alias"], found.json["version"]) == ("latest", 3)
    assert [(entry["version"], entry["by"]) for entry in found.json["history"]] == [
        (1, "editor"),
        (3, "editor"),
    ]


def test_compare_and_set_moves_what_was_read(service: Service) -> None:
    etag = service.put(LATEST, {"version": 1}).headers["ETag"]
    moved = service.put(LATEST, {"version": 2}, headers={"If-Match": etag})
    late = service.put(LATEST, {"version": 3}, headers={"If-Match": etag})

    assert (moved.status_code, late.status_code) == (200, 412)
    assert service.get(LATEST).json["version"] == 2
    assert service.get(LATEST).headers["ETag"] == moved.headers["ETag"]


def test_an_alias_can_be_claimed_once(service: Service) -> None:
    headers = {"If-None-Match": "*"}
    first = service.put(LATEST, {"version": 1}, headers=headers)
    second = service.put(LATEST, {"version": 2}, headers=headers)

    assert (first.status_code, second.status_code) == (201, 412)
    assert service.get(LATEST).json["version"] == 1


def test_if_match_on_an_alias_that_is_not_there_fails(service: Service) -> None:
    for etag in ("*", '"abc"'):
        assert service.put(LATEST, {"version": 1}, headers={"If-Match": etag}).status_code == 412


def test_of_many_who_compare_and_set_at_once_one_wins(service: Service) -> None:
    etag = service.put(LATEST, {"version": 1}).headers["ETag"]
    service.token("editor")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: service.put(LATEST, {"version": 2 + number % 3}, headers={"If-Match": etag}),
                range(8),
            )
        )

    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert len(service.get(LATEST).json["history"]) == 2


def test_of_many_who_claim_at_once_one_wins(service: Service) -> None:
    service.token("editor")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: service.put(
                    LATEST, {"version": 1 + number % 4}, headers={"If-None-Match": "*"}
                ),
                range(8),
            )
        )

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 7
    assert len(service.store.keys("documents/aliases/")) == 1


def test_moving_to_where_it_is_changes_nothing(service: Service) -> None:
    etag = service.put(LATEST, {"version": 1}).headers["ETag"]
    same = service.put(LATEST, {"version": 1}, headers={"If-Match": etag})

    assert (same.status_code, same.headers["ETag"]) == (200, etag)


def test_a_version_that_does_not_exist_is_refused(service: Service) -> None:
    answer = service.put(LATEST, {"version": 9})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/version"


def test_who_has_read_it_already_is_told_so(service: Service) -> None:
    etag = service.put(LATEST, {"version": 1}).headers["ETag"]

    assert service.get(LATEST, headers={"If-None-Match": etag}).status_code == 304


def test_aliases_are_listed_by_name_for_each_model_of_its_own(service: Service) -> None:
    service.publish("gates", model_zip(1))
    for name in ("stable", "canary"):
        service.put(f"/v1/models/buoys/aliases/{name}", {"version": 1})
    service.put("/v1/models/gates/aliases/stable", {"version": 1})

    items = service.get("/v1/models/buoys/aliases").json["items"]
    assert [item["alias"] for item in items] == ["canary", "stable"]
