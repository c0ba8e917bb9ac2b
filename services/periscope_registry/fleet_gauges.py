"""Prometheus gauges of the fleet, by a look at the store every few seconds.

A scrape shows the last look and never waits for the store. Every replica shows the same. The names and their
meaning stand in ``docs/metrics.md``.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from periscope.documents import Documents
from periscope_registry import aliases, catalogue, devices, groups
from periscope_registry.fleet import OUTCOMES, Fleet, Held, look_at

LOOK_EVERY_S = 10.0
VERSIONS = {
    "periscope_device_version": "Version that a device runs, by its own word",
    "periscope_device_wanted_version": "Version that a device should run",
}
TIMES = {
    "periscope_device_last_contact_timestamp_seconds": "When a device last asked or told something",
    "periscope_device_last_rollback_timestamp_seconds": "When a device last told that it rolled back",
}
ROLLOUT_STATE = "periscope_rollout_state"
ROLLOUT_DEVICES = "periscope_rollout_devices"


class FleetGauges(Collector):
    """Shows the last look on ``/metrics``; nothing before the first."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._fleet: Fleet | None = None

    def step(self) -> float:
        """Look again; return the seconds until the next time.

        Raises:
            StoreUnavailable: the last look stays.
        """
        self._fleet = look_at(held(self._documents))
        return LOOK_EVERY_S

    def collect(self) -> Iterator[Metric]:
        """The families in the order of their table."""
        if self._fleet is None:
            return
        yield from _device_families(self._fleet)
        yield from _rollout_families(self._fleet)


def held(documents: Documents) -> Held:
    """All that concerns the fleet; documents that have not changed cost nothing but their listing."""
    models = {model.id: model.body["name"] for model in documents.list(catalogue.KIND)}
    return Held(
        devices={device.id: device.body for device in documents.list(devices.KIND)},
        states={state.id: state.body for state in documents.list(devices.STATES)},
        groups={group.body["group"]: group.body for group in documents.list(groups.KIND)},
        aliases={
            (models[alias.body["model_id"]], alias.body["alias"]): alias.body
            for alias in documents.list(aliases.KIND)
            if alias.body["model_id"] in models
        },
        everybody=groups.FLEET,
    )


def _device_families(fleet: Fleet) -> Iterator[Metric]:
    versions = [GaugeMetricFamily(*named, labels=["device", "group", "model"]) for named in VERSIONS.items()]
    times = [GaugeMetricFamily(*named, labels=["device", "group"]) for named in TIMES.items()]
    for device in fleet.devices:
        for family, release in zip(versions, (device.runs, device.wanted), strict=True):
            if release is not None:
                family.add_metric([device.device, device.group, release[0]], release[1])
        for family, moment in zip(times, (device.last_contact_s, device.last_rollback_s), strict=True):
            if moment is not None:
                family.add_metric([device.device, device.group], moment)
    yield from versions
    yield from times


def _rollout_families(fleet: Fleet) -> Iterator[Metric]:
    text = "1 for the state of a group's newest rollout"
    state = GaugeMetricFamily(ROLLOUT_STATE, text, labels=["group", "model", "version", "state"])
    text = "Devices of a group's newest rollout, by how they fared"
    fared = GaugeMetricFamily(ROLLOUT_DEVICES, text, labels=["group", "outcome"])
    for rollout in fleet.rollouts:
        state.add_metric([rollout.group, rollout.model, str(rollout.version), rollout.state], 1)
        for outcome in OUTCOMES:
            fared.add_metric([rollout.group, outcome], rollout.devices[outcome])
    yield state
    yield fared
