from __future__ import annotations

from dataclasses import replace

import pytest

from periscope_training.job_manifest import (
    EXIT_CODES_THAT_FAIL,
    HASH_ANNOTATION,
    job_manifest,
    job_name,
    spec_sha256,
)
from periscope_training.kubernetes_settings import KubernetesSettings
from periscope_training.launcher import Launch
from periscope_training.lifecycle import FINAL_EXIT_CODES

JOB_ID = "01KAV3CJ5Y8Q2M4N6P7R8S9T0V"
LAUNCH = Launch(JOB_ID, 3, "http://training/progress", "psj_secret")
SETTINGS = KubernetesSettings(
    namespace="training", image="r/t@sha256:" + "b" * 64, store_secret="trainer-store"
)


def pod(settings: KubernetesSettings = SETTINGS) -> dict:
    return job_manifest(LAUNCH, settings)["spec"]["template"]["spec"]


def environment(settings: KubernetesSettings = SETTINGS) -> dict:
    return {entry["name"]: entry for entry in pod(settings)["containers"][0]["env"]}


def test_the_name_follows_from_job_and_attempt_and_leaves_room_for_an_index() -> None:
    assert job_name(JOB_ID, 3) == "train-01kav3cj5y8q2m4n6p7r8s9t0v-3"
    assert len(job_name(JOB_ID, 10_000)) + len("-63-abcde") <= 63


def test_the_exit_codes_that_fail_the_job_are_those_that_the_service_takes_for_final() -> None:
    assert set(EXIT_CODES_THAT_FAIL) == set(FINAL_EXIT_CODES)


def test_the_failure_rules_stand_in_the_order_that_counts() -> None:
    rules = job_manifest(LAUNCH, SETTINGS)["spec"]["podFailurePolicy"]["rules"]
    told = [
        (rule["action"], tuple(rule["onExitCodes"]["values"]) if "onExitCodes" in rule else "disruption")
        for rule in rules
    ]

    assert told == [
        ("Ignore", "disruption"),
        ("Ignore", (143,)),
        ("FailJob", (64, 65, 66, 69, 77, 78)),
        ("Count", (0,)),
    ]


def test_on_several_nodes_any_lost_rank_ends_the_attempt() -> None:
    rules = job_manifest(LAUNCH, SETTINGS.model_copy(update={"nodes": 2}))["spec"]["podFailurePolicy"][
        "rules"
    ]

    assert {rule["action"] for rule in rules} == {"FailJob"}


def test_the_hash_knows_the_content_but_not_the_token() -> None:
    first = job_manifest(LAUNCH, SETTINGS)
    other_token = job_manifest(replace(LAUNCH, progress_token="psj_other"), SETTINGS)
    other_image = job_manifest(LAUNCH, SETTINGS.model_copy(update={"image": "r/t@sha256:" + "c" * 64}))
    hashes = [each["metadata"]["annotations"][HASH_ANNOTATION] for each in (first, other_token, other_image)]

    assert hashes[0] == hashes[1] == spec_sha256(first)
    assert hashes[0] != hashes[2]


def test_the_pod_has_no_account_no_shell_and_the_store_key_by_name_only() -> None:
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["containers"][0]["command"] == ["python", "-m", "detectnet_trainer"]
    assert pod()["containers"][0]["args"] == ["job", "--job", JOB_ID, "--attempt", "3"]
    assert environment()["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"] == {
        "name": "trainer-store",
        "key": "AWS_SECRET_ACCESS_KEY",
    }
    assert environment()["PERISCOPE_PROGRESS_TOKEN"]["value"] == "psj_secret"


def test_the_settings_do_not_override_what_is_the_attempts_own() -> None:
    settings = SETTINGS.model_copy(update={"env": {"PERISCOPE_PROGRESS_TOKEN": "x", "OMP_NUM_THREADS": "4"}})

    assert environment(settings)["PERISCOPE_PROGRESS_TOKEN"]["value"] == "psj_secret"
    assert environment(settings)["OMP_NUM_THREADS"]["value"] == "4"


def test_shared_memory_is_bounded_and_in_memory() -> None:
    (shm,) = [volume for volume in pod()["volumes"] if volume["name"] == "shm"]

    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}


@pytest.mark.parametrize(
    ("gpus", "limits"), [(0, {"memory": "8Gi"}), (2, {"memory": "8Gi", "nvidia.com/gpu": "2"})]
)
def test_a_gpu_is_asked_for_where_there_shall_be_one(gpus: int, limits: dict) -> None:
    settings = SETTINGS.model_copy(update={"gpus": gpus})

    assert pod(settings)["containers"][0]["resources"]["limits"] == limits


def test_what_the_cluster_needs_comes_from_the_settings() -> None:
    settings = SETTINGS.model_copy(
        update={
            "queue": "q",
            "runtime_class": "nvidia",
            "priority_class": "low",
            "max_runtime_s": 60,
            "may_be_moved": True,
        }
    )
    manifest = job_manifest(LAUNCH, settings)

    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "q"
    assert manifest["spec"]["activeDeadlineSeconds"] == 60
    assert (pod(settings)["runtimeClassName"], pod(settings)["priorityClassName"]) == ("nvidia", "low")
    assert manifest["spec"]["template"]["metadata"]["annotations"] == {}
