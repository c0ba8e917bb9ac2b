from __future__ import annotations

import json
from typing import Any

import pytest

from periscope.settings import SettingsError
from periscope_training.kubernetes_settings import KubernetesSettings, narrowed

DIGEST = "registry.example/trainer@sha256:" + "a" * 64
GIVEN = {"namespace": "training", "image": DIGEST, "store_secret": "trainer-store"}


def environ(**values: Any) -> dict[str, str]:
    return {
        "PERISCOPE_KUBERNETES": json.dumps({**GIVEN, **values}),
        "S3_BUCKET": "b",
        "S3_ENDPOINT": "http://s",
    }


def test_what_is_needed_is_enough_and_the_store_is_passed_on() -> None:
    settings = KubernetesSettings.from_environ(environ(env={"S3_ENDPOINT": "http://inner"}))

    assert (settings.namespace, settings.gpus, settings.nodes) == ("training", 1, 1)
    assert settings.env == {"S3_BUCKET": "b", "S3_ENDPOINT": "http://inner"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"image": "registry.example/trainer:latest"}, "image"),
        ({"memory": "much"}, "memory"),
        ({"memory": "0"}, "memory"),
        ({"gpus": -1}, "gpus"),
        ({"hostPath": "/"}, "hostPath"),
        ({"namespace": "Training"}, "namespace"),
        ({"command": []}, "command"),
    ],
)
def test_what_makes_no_sense_is_named(values: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=f"PERISCOPE_KUBERNETES: {named}"):
        KubernetesSettings.from_environ(environ(**values))


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"env": 5}'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="PERISCOPE_KUBERNETES"):
        KubernetesSettings.from_environ({"PERISCOPE_KUBERNETES": text})


@pytest.mark.parametrize(
    ("wish", "name", "result"),
    [
        ({"memory": "4Gi"}, "memory", "4Gi"),
        ({"memory": "9Gi"}, "memory", "8Gi"),
        ({"memory": "8589934592"}, "memory", "8Gi"),
        ({"cpu": "500m"}, "cpu", "500m"),
        ({"cpu": "64"}, "cpu", "2"),
        ({"gpus": 0}, "gpus", 0),
        ({"gpus": 8}, "gpus", 1),
        ({"nodes": 4}, "nodes", 1),
        ({"max_runtime_s": 600}, "max_runtime_s", 600),
        ({"image": "other", "namespace": "kube-system", "service_account": "admin"}, "image", DIGEST),
    ],
)
def test_a_job_can_only_ask_for_less(wish: dict[str, Any], name: str, result: Any) -> None:
    settings = narrowed(KubernetesSettings.model_validate(GIVEN), wish)

    assert getattr(settings, name) == result
    assert (settings.namespace, settings.service_account) == ("training", "default")


def test_a_job_can_end_sooner_than_the_limit_but_not_later() -> None:
    limited = KubernetesSettings.model_validate({**GIVEN, "max_runtime_s": 3600})

    assert narrowed(limited, {"max_runtime_s": 7200}).max_runtime_s == 3600
    assert narrowed(limited, {"max_runtime_s": 60}).max_runtime_s == 60
