"""What Prometheus is told of the fleet."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from periscope.store import StoreUnavailable
from periscope_registry.fleet import MAX_DEVICES, Held, in_use, look_at
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.test_rollouts import Fleet

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def told(service: Service, name: str) -> dict[tuple[str, ...], float]:
    """A metric's values by its labels' values, in the order of the labels' names."""
    service.gauges.step()
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        if family.name == name
        for sample in family.samples
    }


def report(state: str, version: int | None = None) -> dict[str, Any]:
    return {"state": state, "version": version, "model": version and "buoys"}


@pytest.mark.parametrize(
    ("reports", "runs"),
    [
        ([], None),
        ([report("downloading", 1)], None),
        ([report("active", 1)], 1),
        ([report("active", 1), report("confirmed", 1), report("failed", 2)], 1),
        ([report("confirmed", 1), report("active", 2)], 2),
        ([report("active", 1), report("active", 2), report("rolled_back", 2)], 1),
        ([report("active", 1), report("active", 2), report("rolled_back", 1)], 1),
        ([report("active", 2), report("active", 1)], 1),
        ([report("active", 1), report("damaged", 1)], None),
        ([report("rolled_back", 1)], 1),
        ([report("active")], None),
    ],
)
def test_what_a_device_runs_is_what_it_said_last(reports: list[dict[str, Any]], runs: int | None) -> None:
    assert in_use(reports) == (None if runs is None else ("buoys", runs))


def test_each_device_is_shown_with_what_it_runs_and_should_run(fleet: Fleet) -> None:
    fleet.tell("sub-0", "active", 1)
    fleet.begin()
    fleet.tell("sub-2", "confirmed", 2)

    assert told(fleet.service, "periscope_device_version") == {
        ("sub-0", "pool", "buoys"): 1,
        ("sub-2", "pool", "buoys"): 2,
    }
    wanted = told(fleet.service, "periscope_device_wanted_version")
    assert {device: value for (device, _, _), value in wanted.items()} == fleet.versions()


def test_an_alias_is_followed_and_a_device_of_no_group_is_of_the_fleet(fleet: Fleet) -> None:
    fleet.service.put("/v1/models/buoys/aliases/latest", {"version": 2})
    fleet.service.put("/v1/devices/alone", {"model": "buoys", "alias": "latest"})

    assert told(fleet.service, "periscope_device_wanted_version")["alone", "fleet", "buoys"] == 2


def test_contacts_and_rollbacks_have_their_time(fleet: Fleet) -> None:
    before = datetime.now().timestamp()
    fleet.tell("sub-1", "rolled_back", 1)

    for what in ("contact", "rollback"):
        moments = told(fleet.service, f"periscope_device_last_{what}_timestamp_seconds")
        assert list(moments) == [("sub-1", "pool")]
        assert before <= moments["sub-1", "pool"] <= datetime.now().timestamp()


def test_a_rollout_is_shown_with_its_state_and_how_devices_fared(fleet: Fleet) -> None:
    assert told(fleet.service, "periscope_rollout_state") == {}
    fleet.begin(max_failed_ratio=0.0)
    assert told(fleet.service, "periscope_rollout_state") == {("pool", "buoys", "RUNNING", "2"): 1}
    assert told(fleet.service, "periscope_rollout_devices")["pool", "pending"] == 1
    fleet.tell("sub-2", "failed", 2)

    assert told(fleet.service, "periscope_rollout_state") == {("pool", "buoys", "PAUSED", "2"): 1}
    assert told(fleet.service, "periscope_rollout_devices") == {
        ("pool", "pending"): 0, ("pool", "confirmed"): 0, ("pool", "failed"): 1,
    }  # fmt: skip


def test_a_scrape_does_not_wait_for_the_store_and_an_outage_leaves_the_last_look(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told(fleet.service, "periscope_device_wanted_version")
    calls = dict(fleet.service.store.calls)
    fleet.service.client.get("/metrics")
    assert fleet.service.store.calls == calls

    def away(prefix: str) -> Any:
        raise StoreUnavailable(prefix)

    monkeypatch.setattr(fleet.service.store, "list", away)
    with pytest.raises(StoreUnavailable):
        fleet.service.gauges.step()
    assert before
    assert fleet.service.client.get("/metrics").text.count("periscope_device_wanted_version{") == len(before)


def test_a_fleet_beyond_measure_does_not_drown_prometheus() -> None:
    devices = {str(n): {"device": f"sub-{n}", "model": "buoys", "version": 1} for n in range(MAX_DEVICES + 5)}

    assert len(look_at(Held(devices, {}, {}, {}, "fleet")).devices) == MAX_DEVICES


def test_the_page_names_what_is_exposed(fleet: Fleet) -> None:
    fleet.begin()
    fleet.tell("sub-2", "active", 2)
    fleet.tell("sub-2", "rolled_back", 1)
    fleet.service.gauges.step()
    fleet.service.get("/v1/models/buoys/versions/2/zip", role="device", device_id="sub-2")
    families = text_string_to_metric_families(fleet.service.client.get("/metrics").text)
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): {
            label for sample in family.samples for label in sample.labels
        }
        for family in families
        if family.name.startswith(("periscope_device", "periscope_rollout", "periscope_zip"))
        and not family.name.endswith("_created")
    }
    section = PAGE.read_text().split("\n## Fleet\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(periscope_\w+)` \|([^|]*)\|", section, re.MULTILINE)

    assert exposed == {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
