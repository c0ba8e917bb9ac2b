"""Each value of values.yaml reaches an object of the chart: none is for show."""

from __future__ import annotations

import json
import re

import pytest

from charts.values_page import described
from tests.charts.rendering import DIGEST, rendered
from tests.charts.test_chart import SERVICES, SWITCHES

pytestmark = pytest.mark.slow

OTHER = "sha256:" + "1" * 64
SEAWEEDFS = f"store.kind=seaweedfs,store.seaweedfs.digest={DIGEST}"
GATEWAY, INGRESS, SCALING = (
    "gateway.enabled=true,gateway.name=edge",
    "ingress.enabled=true",
    "autoscaling.enabled=true",
)
PLAIN: dict[str, str] = {
    # What a value is set to; the objects then hold it more often than before.
    "image.repository": "mine/services",
    "image.digest": OTHER,
    "image.pullPolicy": "Always",
    "store.endpoint": "http://other:9000",
    "store.region": "eu-west-7",
    "store.bucket": "pool-bucket",
    "store.existingSecret": "other-store",
    "trainings.storeSecret": "other-trainer",
    "trainings.image.repository": "mine/trainer",
    "trainings.image.digest": OTHER,
    "trainings.gpus": "7",
    "trainings.nodes": "7",
    "trainings.cpu": "7700m",
    "trainings.memory": "77Gi",
    "trainings.sharedMemory": "77Gi",
    "trainings.scratch": "77Gi",
    "trainings.nodeSelector.disk": "fast-disks",
    "trainings.tolerations[0].key": "night-only",
    "trainings.priorityClass": "below-all",
    "trainings.maxRuntimeSeconds": "7777",
    **{
        f"services.{service}.{key}": wish
        for service in SERVICES
        for key, wish in {
            "image.repository": "mine/one", "image.digest": OTHER, "replicas": "7",
            "resources.requests.cpu": "7700m", "scratch": "77Gi", "env.MARK": "seven",
        }.items()
    },
}  # fmt: skip
WITH: dict[str, tuple[str, str]] = {
    # The same for values that need another to be set.
    "store.seaweedfs.repository": (SEAWEEDFS, "mine/weed"),
    "store.seaweedfs.digest": (SEAWEEDFS, OTHER),
    "store.seaweedfs.configSecret": (SEAWEEDFS, "other-config"),
    "store.seaweedfs.size": (SEAWEEDFS, "77Gi"),
    "store.seaweedfs.storageClass": (SEAWEEDFS, "slow-disks"),
    "bootstrap.image.digest": ("bootstrap.enabled=true", OTHER),
    "ingress.className": (INGRESS, "traefik-two"),
    "ingress.host": (INGRESS, "robots.example.net"),
    "ingress.annotations.limit": (INGRESS, "none-at-all"),
    "gateway.host": (GATEWAY, "robots.example.net"),
    "autoscaling.maxReplicas": (SCALING, "77"),
    "autoscaling.targetCPUPercent": (SCALING, "77"),
    "monitoring.labels.release": ("monitoring.serviceMonitor=true", "prometheus-two"),
}
CASES = {**{name: ("", wish) for name, wish in PLAIN.items()}, **WITH}


def occurrences(wish: str, *settings: str) -> int:
    objects = json.dumps(rendered(None, *filter(None, settings)))
    return len(re.findall(rf"(?<!\w){re.escape(wish)}(?!\w)", objects))


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_value_reaches_an_object(name: str) -> None:
    needed, wish = CASES[name]

    assert occurrences(wish, needed, f"{name}={wish}") > occurrences(wish, needed)


def test_no_value_is_without_an_assertion() -> None:
    set_somewhere = {part.partition("=")[0] for switch in [*SWITCHES, *CASES] for part in switch.split(",")}
    forgotten = [
        name
        for name, _, _ in described()
        if not any(path == name or re.match(rf"{re.escape(name)}[.\[]", path) for path in set_somewhere)
    ]

    assert forgotten == []
