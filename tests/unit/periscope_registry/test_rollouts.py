from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from periscope.signing import PrivateKey
from periscope.store import StoreUnavailable
from periscope_registry.rollout_rules import advance, choose
from tests.fakes import MemoryStore
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

GROUP = "/v1/device-groups/pool"
NAMES = [f"sub-{number}" for number in range(4)]
STAGES = [{"devices": ["sub-2"]}, {"percent": 50}, {"percent": 100}]
KEY = PrivateKey.new()
ZIPS = [model_zip(seed) for seed in range(2)]


class Fleet:
    """Four robots that follow one group."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.service = Service(folder, store, release_key=KEY)
        self.reports = 0
        for body in ZIPS:
            self.service.publish("buoys", body)
        self.service.put(GROUP, {"model": "buoys", "version": 1})
        for name in NAMES:
            assert self.service.put(f"/v1/devices/{name}", {"group": "pool"}).status_code == 201
            self.service.token("device", name)

    def begin(self, **more: Any) -> Any:
        return self.service.post(f"{GROUP}:rollout", {"version": 2, "stages": STAGES, **more})

    def act(self, action: str) -> Any:
        return self.service.post(f"{GROUP}/rollout:{action}", {})

    def tell(self, name: str, state: str, version: int = 2) -> Any:
        self.reports += 1
        report = {
            "id": f"report-{self.reports:04d}",
            "sequence": self.reports,
            "at": "1970-01-01T00:00:09Z",
            "state": state,
            "model": "buoys",
            "version": version,
        }
        path = f"/v1/devices/{name}/reports"
        return self.service.post(path, {"reports": [report]}, role="device", device_id=name)

    def versions(self) -> dict[str, int]:
        return {name: self.service.get(f"/v1/devices/{name}/desired").json["version"] for name in NAMES}

    def rollout(self) -> dict[str, Any]:
        return dict(self.service.get(GROUP).json["rollout"])


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def on_two(fleet: Fleet) -> int:
    return list(fleet.versions().values()).count(2)


def test_a_rollout_goes_from_the_canary_through_half_to_all(fleet: Fleet) -> None:
    assert fleet.begin().status_code == 201
    assert fleet.versions() == {"sub-0": 1, "sub-1": 1, "sub-2": 2, "sub-3": 1}
    seen = []
    for _ in range(3):
        for name in fleet.rollout()["chosen"]:
            fleet.tell(name, "confirmed")
        seen.append((on_two(fleet), fleet.rollout()["state"]))

    assert seen == [(2, "RUNNING"), (4, "RUNNING"), (4, "SUCCEEDED")]
    assert fleet.service.get(GROUP).json["version"] == 2


def test_an_active_model_is_not_yet_a_confirmed_one(fleet: Fleet) -> None:
    fleet.begin()
    fleet.tell("sub-2", "active")

    assert on_two(fleet) == 1


@pytest.mark.parametrize("state", ["failed", "rolled_back"])
def test_failures_above_the_threshold_pause_it_and_people_resume_it(fleet: Fleet, state: str) -> None:
    fleet.begin()
    fleet.tell("sub-2", state)
    paused = fleet.rollout()
    still = fleet.versions()
    fleet.act("resume")
    fleet.tell("sub-2", "confirmed")

    assert (paused["state"], paused["reason"]) == ("PAUSED", "1 of 1 devices failed")
    assert still["sub-2"] == 2
    assert (fleet.rollout()["state"], fleet.rollout()["stage"]) == ("RUNNING", 1)


def test_thresholds_bear_with_some_failures(fleet: Fleet) -> None:
    fleet.begin(stages=[{"percent": 100}], min_confirmed_ratio=0.75, max_failed_ratio=0.25)
    fleet.tell("sub-0", "failed")
    for name in NAMES[1:]:
        assert fleet.rollout()["state"] == "RUNNING"
        fleet.tell(name, "confirmed")

    assert fleet.rollout()["state"] == "SUCCEEDED"


def test_what_was_told_of_another_version_does_not_count(fleet: Fleet) -> None:
    fleet.begin()
    fleet.tell("sub-2", "failed", version=1)
    fleet.tell("sub-2", "confirmed", version=1)

    assert (fleet.rollout()["state"], fleet.rollout()["stage"]) == ("RUNNING", 0)


def test_an_aborted_rollout_takes_everybody_back(fleet: Fleet) -> None:
    fleet.begin()
    fleet.tell("sub-2", "confirmed")
    fleet.act("abort")

    assert on_two(fleet) == 0
    assert fleet.rollout()["state"] == "ABORTED"


def test_an_emergency_rollback_works_after_success_too(fleet: Fleet) -> None:
    fleet.begin(stages=[{"percent": 100}])
    for name in NAMES:
        fleet.tell(name, "confirmed")
    assert (on_two(fleet), fleet.rollout()["state"]) == (4, "SUCCEEDED")
    fleet.act("rollback")

    assert on_two(fleet) == 0
    assert fleet.rollout()["state"] == "ROLLED_BACK"


def test_every_step_back_has_a_higher_counter(fleet: Fleet) -> None:
    def counter() -> int:
        document = fleet.service.get("/v1/devices/sub-2/release").json["release"]["document"]
        return int(document.partition('"counter":')[2].partition(",")[0])

    counters = [counter()]
    for step in (fleet.begin, lambda: fleet.act("abort"), fleet.begin, lambda: fleet.act("rollback")):
        step()
        counters.append(counter())

    assert counters == sorted(set(counters))


@pytest.mark.parametrize("action", ["pause", "resume", "abort", "rollback"])
def test_a_step_that_the_state_does_not_allow_is_refused(fleet: Fleet, action: str) -> None:
    assert fleet.act(action).status_code == 404
    fleet.begin()
    fleet.act("abort")

    assert fleet.act(action).status_code == 409


def test_one_rollout_at_a_time(fleet: Fleet) -> None:
    fleet.begin()

    assert fleet.begin().status_code == 409
    fleet.act("pause")
    assert fleet.begin().status_code == 409


def test_a_new_wish_for_the_group_ends_the_rollout(fleet: Fleet) -> None:
    fleet.begin()
    fleet.service.put(GROUP, {"model": "buoys", "version": 1})

    assert fleet.rollout()["state"] == "ABORTED"
    assert on_two(fleet) == 0


@pytest.mark.parametrize(
    "plan",
    [
        {"version": 9},
        {"stages": []},
        {"stages": [{"percent": 50}]},
        {"stages": [{}, {"percent": 100}]},
        {"min_confirmed_ratio": 0},
        {"max_failed_ratio": 1},
        {"activation": "soon"},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(fleet: Fleet, plan: dict[str, Any]) -> None:
    assert fleet.begin(**plan).status_code == 422
    assert fleet.service.get(GROUP).json["rollout"] is None


def test_a_device_without_a_group_follows_the_fleet(fleet: Fleet) -> None:
    lonely = fleet.service.put("/v1/devices/lone", {})
    fleet.service.put("/v1/device-groups/fleet", {"model": "buoys", "version": 2, "activation": "on_boot"})
    fleet.service.put("/v1/devices/lone", {})

    assert lonely.status_code == 422
    assert "PUT /v1/device-groups/fleet" in lonely.json["detail"]
    told = fleet.service.get("/v1/devices/lone").json
    assert (told["model"], told["version"], told["activation"]) == ("buoys", 2, "on_boot")
    assert told["follows_group"] is True
    release = fleet.service.get("/v1/devices/lone/release").json["release"]["document"]
    assert '"activation":"on_boot"' in release


def test_a_device_that_moves_to_another_group_gets_that_groups_model(fleet: Fleet) -> None:
    fleet.service.put("/v1/device-groups/sea", {"model": "buoys", "version": 2})
    fleet.service.put("/v1/devices/sub-0", {"group": "sea"})

    assert fleet.versions() == {"sub-0": 2, "sub-1": 1, "sub-2": 1, "sub-3": 1}


class DyingStore(MemoryStore):
    """Fails at its n-th write, before or after it took effect."""

    writes_left: int | None = None
    after = False

    def _write(self, key: str, body: bytes) -> str:
        dies = self.writes_left == 0
        if self.writes_left is not None:
            self.writes_left -= 1
        if dies and not self.after:
            raise StoreUnavailable(key)
        etag = super()._write(key, body)
        if dies:
            raise StoreUnavailable(key)
        return etag


def whole_rollout(fleet: Fleet) -> None:
    """Each step is asked for until it is answered, as agents and people do."""
    while fleet.begin().status_code == 503:
        pass
    for _ in range(3):
        for name in fleet.rollout()["chosen"]:
            while fleet.tell(name, "confirmed").status_code != 200:
                pass


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whatever_write_fails_the_rollout_ends_the_same(tmp_path: Path, after: bool) -> None:
    write = 0
    while True:
        store = DyingStore()
        fleet = Fleet(tmp_path, store)
        fleet.versions()
        store.writes_left, store.after = write, after
        whole_rollout(fleet)
        has_died = store.writes_left < 0
        store.writes_left = None
        assert fleet.rollout()["state"] == "SUCCEEDED"
        assert on_two(fleet) == 4
        if not has_died:
            break
        write += 1

    assert write > 10


@given(st.integers(1, 60), st.lists(st.floats(0.1, 100), min_size=1, max_size=5))
def test_stages_only_ever_grow_and_the_last_holds_all(size: int, percents: list[float]) -> None:
    members = [f"d{number}" for number in range(size)]
    stages = [{"devices": [], "percent": percent} for percent in (*sorted(percents), 100)]
    rollout: dict[str, Any] = {"id": "x", "stages": stages, "chosen": []}
    for stage in range(len(stages)):
        chosen = choose(rollout, stage, members)
        assert chosen[: len(rollout["chosen"])] == rollout["chosen"]
        assert len(chosen) >= max(1, size * stages[stage]["percent"] / 100 - 1e-6)
        rollout["chosen"] = chosen
    assert sorted(rollout["chosen"]) == sorted(members)


def test_a_paused_rollout_stays_where_it_is() -> None:
    rollout = {"state": "PAUSED", "chosen": ["a"], "stage": 0}

    assert advance(rollout, {"a": "confirmed"}, ["a"]) == rollout
