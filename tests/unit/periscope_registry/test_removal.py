"""Versions go by way of a trash, and never one that something needs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.store import StoreUnavailable
from periscope.tokens import Tokens
from periscope.versions import Versions
from periscope_registry.aliases import KIND as ALIASES
from periscope_registry.catalogue import KIND, Catalogue, Manifests
from periscope_registry.removing import Remover
from tests.fakes import MemoryStore
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

MODEL = "/v1/models/buoys"
VERSIONS = f"{MODEL}/versions"
WEEK = timedelta(days=7)
ZIPS = [model_zip(seed) for seed in range(5)]


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path)
    for body in ZIPS[:4]:
        assert service.publish("buoys", body).status_code == 201
    return service


def numbers(service: Service) -> list[int]:
    return [item["version"] for item in service.get(VERSIONS).json["items"]]


def trash(service: Service) -> list[int]:
    return [item["version"] for item in service.get(f"{MODEL}/trash").json["items"]]


def remove(service: Service, number: int) -> Any:
    return service.call("DELETE", f"{VERSIONS}/{number}")


def report(service: Service, device: str, state: str, version: int) -> None:
    told = {
        "id": f"r-{device}-{state}-{version}",
        "sequence": version,
        "at": "2026-11-27T00:00:00Z",
        "state": state,
        "model": "buoys",
        "version": version,
    }
    path = f"/v1/devices/{device}/reports"
    answer = service.post(path, {"reports": [told]}, role="device", device_id=device)
    assert answer.status_code == 200, answer.text


def remover_after(service: Service, passed: timedelta) -> Remover:
    """The registry's, when so much time has passed."""
    documents, versions = Documents(service.store), Versions(service.store, KIND)
    catalogue = Catalogue(documents, Manifests(versions))
    return Remover(documents, versions, catalogue, Tokens(documents), lambda: utc_now() + passed)


def manifests(store: MemoryStore) -> list[int]:
    return [int(key[-8:]) for key in store.keys(keys.all_versions_prefix(KIND))]


def test_a_removed_version_is_gone_and_its_number_is_not_given_again(service: Service) -> None:
    assert remove(service, 4).status_code == 204

    assert numbers(service) == [1, 2, 3]
    assert service.get(f"{VERSIONS}/4").status_code == 404
    assert service.get(f"{VERSIONS}/4/zip").status_code == 404
    assert service.put(f"{MODEL}/aliases/latest", {"version": 4}).status_code == 422
    assert service.get(MODEL).json["latest_version"] == 3
    assert service.publish("buoys", ZIPS[4]).json["version"] == 5
    assert numbers(service) == [1, 2, 3, 5]


def test_another_replica_that_has_read_it_points_nothing_to_it_any_more(
    service: Service, tmp_path: Path
) -> None:
    other = Service(tmp_path, service.store)
    assert other.get(f"{VERSIONS}/2").status_code == 200

    remove(service, 2)

    assert other.get(f"{VERSIONS}/2").status_code == 404
    assert other.put("/v1/devices/sub-1", {"model": "buoys", "version": 2}).status_code == 422
    assert numbers(other) == [1, 3, 4]


def test_a_version_comes_back_from_the_trash(service: Service) -> None:
    remove(service, 2)
    assert trash(service) == [2]

    assert service.post(f"{VERSIONS}/2:restore", {}).json["version"] == 2

    assert numbers(service) == [1, 2, 3, 4]
    assert trash(service) == []
    assert service.post(f"{VERSIONS}/9:restore", {}).status_code == 404


def test_removed_twice_is_removed_once(service: Service) -> None:
    assert [remove(service, 2).status_code for _ in range(2)] == [204, 204]
    assert trash(service) == [2]
    assert remove(service, 9).status_code == 404


def hold_by_alias(service: Service) -> None:
    service.put(f"{MODEL}/aliases/latest", {"version": 2})


def hold_by_rollback(service: Service) -> None:
    service.put(f"{MODEL}/aliases/latest", {"version": 2})
    service.put(f"{MODEL}/aliases/latest", {"version": 3})


def hold_by_pinned_device(service: Service) -> None:
    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 2})


def hold_by_running_device(service: Service) -> None:
    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 3})
    report(service, "sub-1", "confirmed", 2)


def hold_by_group(service: Service) -> None:
    service.put("/v1/device-groups/pool", {"model": "buoys", "version": 2})


def hold_by_rollout(service: Service) -> None:
    service.put("/v1/device-groups/pool", {"model": "buoys", "version": 1})
    service.post("/v1/device-groups/pool:rollout", {"version": 2, "stages": [{"percent": 100}]})


def hold_by_way_back(service: Service) -> None:
    service.put("/v1/device-groups/pool", {"model": "buoys", "version": 2})
    service.put("/v1/devices/sub-1", {"group": "pool"})
    service.post("/v1/device-groups/pool:rollout", {"version": 3, "stages": [{"percent": 100}]})
    report(service, "sub-1", "confirmed", 3)
    assert service.get("/v1/device-groups/pool").json["rollout"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        (hold_by_alias, "the alias 'latest' points to it"),
        (hold_by_rollback, "the alias 'latest' goes back to it by :rollback"),
        (hold_by_pinned_device, "the device 'sub-1' is to have it"),
        (hold_by_running_device, "the device 'sub-1' runs it"),
        (hold_by_group, "the group 'pool' is to have it"),
        (hold_by_rollout, "a rollout of the group 'pool' brings it"),
        (hold_by_way_back, "the group 'pool' goes back to it"),
    ],
)
def test_what_is_in_use_stays_with_the_reason(service: Service, hold: Any, words: str) -> None:
    hold(service)

    answer = remove(service, 2)

    assert answer.status_code == 409
    assert words in answer.json["reasons"]
    assert 2 in numbers(service)


def clean_up(service: Service, **body: Any) -> dict[str, Any]:
    answer = service.post("/v1/models:clean-up", body, role="admin")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def test_retention_keeps_the_newest_and_what_is_in_use(service: Service) -> None:
    service.put(f"{MODEL}/aliases/field", {"version": 1})
    service.put(f"{MODEL}/retention", {"keep_newest": 2})

    told = clean_up(service)
    assert {each["version"]: each["action"] for each in told["versions"]} == {
        1: "keep",
        2: "trash",
        3: "keep",
        4: "keep",
    }
    assert numbers(service) == [1, 2, 3, 4], "a dry run, which is the default, changes nothing"

    assert clean_up(service, dry_run=False)["trashed"] == 1
    assert numbers(service) == [1, 3, 4]
    assert trash(service) == [2]
    assert service.get(f"{MODEL}/retention").json == {"keep_newest": 2, "keep_days": 0}


def test_young_versions_and_models_without_a_retention_are_left_alone(service: Service) -> None:
    assert clean_up(service, dry_run=False)["versions"] == []
    service.put(f"{MODEL}/retention", {"keep_newest": 1, "keep_days": 30})

    told = clean_up(service, dry_run=False)

    assert (told["kept"], told["trashed"]) == (4, 0)
    assert told["versions"][0]["reasons"] == ["it is younger than 30 days"]


def test_the_trash_is_emptied_when_the_grace_period_is_over(service: Service) -> None:
    remove(service, 2)
    assert remover_after(service, WEEK / 2).clean_up(WEEK, dry_run=False) == []
    assert manifests(service.store) == [1, 2, 3, 4]

    fates = remover_after(service, 2 * WEEK).clean_up(WEEK, dry_run=False)

    assert [(fate.version, fate.action) for fate in fates] == [(2, "delete")]
    assert manifests(service.store) == [1, 3, 4]
    assert service.post(f"{VERSIONS}/2:restore", {}).status_code == 404
    assert remove(service, 2).status_code == 404
    assert service.publish("buoys", ZIPS[1]).json["version"] == 5, "its zip can be published again"


def test_what_was_pointed_to_at_the_very_moment_is_restored(service: Service) -> None:
    service.put(f"{MODEL}/aliases/latest", {"version": 1})
    documents = Documents(service.store)
    remove(service, 2)
    # The other half of the race: the alias was looked at before the mark, and is written after it.
    [alias] = documents.list(ALIASES)
    documents.replace(alias, alias.body | {"version": 2})

    fates = remover_after(service, 2 * WEEK).clean_up(WEEK, dry_run=False)

    assert [(fate.version, fate.action) for fate in fates] == [(2, "restore")]
    assert numbers(service) == [1, 2, 3, 4]


class FailsOnce(MemoryStore):
    """Fails at its n-th write."""

    left: int | None = None

    def _meet(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise StoreUnavailable("the store is down")

    def put(self, key: str, body: bytes, **options: Any) -> str:
        self._meet()
        return super().put(key, body, **options)

    def delete(self, key: str) -> None:
        self._meet()
        super().delete(key)


@pytest.mark.parametrize("fails_at", range(3))
def test_a_clean_up_that_broke_off_is_ended_by_the_next(tmp_path: Path, fails_at: int) -> None:
    store = FailsOnce()
    service = Service(tmp_path, store)
    for body in ZIPS[:4]:
        service.publish("buoys", body)
    remove(service, 1)
    service.put(f"{MODEL}/retention", {"keep_newest": 1})
    store.left = fails_at
    with pytest.raises(StoreUnavailable):
        remover_after(service, 2 * WEEK).clean_up(WEEK, dry_run=False)

    remover_after(service, 2 * WEEK).clean_up(WEEK, dry_run=False)

    assert numbers(service) == [4]
    assert 1 not in manifests(store)


def test_an_alias_goes_unless_something_follows_it(service: Service) -> None:
    latest = f"{MODEL}/aliases/latest"
    service.put(latest, {"version": 1})
    service.put("/v1/devices/sub-1", {"model": "buoys", "alias": "latest"})

    refused = service.call("DELETE", latest)
    assert refused.status_code == 409
    assert refused.json["reasons"] == ["the device 'sub-1' follows it"]

    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 1})
    assert service.call("DELETE", latest).status_code == 204
    assert service.get(latest).status_code == 404
    assert service.put(latest, {"version": 2}).status_code == 201


def test_a_forgotten_device_is_let_in_no_more(service: Service) -> None:
    service.put("/v1/devices/sub-1", {"model": "buoys", "version": 1})
    report(service, "sub-1", "confirmed", 1)
    as_device = {"role": "device", "device_id": "sub-1"}

    assert service.call("DELETE", "/v1/devices/sub-1").status_code == 204

    assert service.get("/v1/devices/sub-1/desired", **as_device).status_code == 401
    assert service.get("/v1/devices/sub-1").status_code == 404
    assert remove(service, 1).status_code == 204, "it holds nothing any more"
    assert service.put("/v1/devices/sub-1", {"model": "buoys", "version": 2}).status_code == 201
    assert service.get("/v1/devices/sub-1/reports").json["items"] == []


def test_a_rollout_does_not_wait_for_a_device_that_was_forgotten(service: Service) -> None:
    service.put("/v1/device-groups/pool", {"model": "buoys", "version": 1})
    for name in ("sub-1", "sub-2"):
        service.put(f"/v1/devices/{name}", {"group": "pool"})
    service.post("/v1/device-groups/pool:rollout", {"version": 2, "stages": [{"percent": 100}]})
    report(service, "sub-1", "confirmed", 2)
    assert service.get("/v1/device-groups/pool").json["rollout"]["state"] == "RUNNING"

    service.call("DELETE", "/v1/devices/sub-2")

    assert service.get("/v1/device-groups/pool").json["rollout"]["state"] == "SUCCEEDED"


def test_a_group_goes_when_its_devices_have_left(service: Service) -> None:
    service.put("/v1/device-groups/pool", {"model": "buoys", "version": 1})
    service.put("/v1/devices/sub-1", {"group": "pool"})
    assert service.call("DELETE", "/v1/device-groups/pool").json["reasons"] == ["the device 'sub-1' is in it"]

    service.call("DELETE", "/v1/devices/sub-1")

    assert service.call("DELETE", "/v1/device-groups/pool").status_code == 204
    assert service.get("/v1/device-groups/pool").status_code == 404
