"""The control plane alone: the Job controller, RBAC, Pod Security, the audit log and watches are the real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client, watch
from kubernetes.client.rest import ApiException

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane
from tests.cluster.jobs import FAIL_ON_65_IGNORE_EVICTIONS, job, restricted_pod
from tests.cluster.pretend_node import PretendNode, wait_for

POD = restricted_pod(["true"])
PATIENT = {
    "podFailurePolicy": FAIL_ON_65_IGNORE_EVICTIONS,
    "podReplacementPolicy": "Failed",
    "backoffLimit": 0,
}


def condition(batch: client.BatchV1Api, namespace: str, name: str, kind: str) -> Any:
    def look() -> Any | None:
        conditions = batch.read_namespaced_job_status(name, namespace).status.conditions or []
        return next((each for each in conditions if each.type == kind and each.status == "True"), None)

    return wait_for(f"{name} is {kind}", look)


def test_the_release_is_the_pinned_one(control_plane: ControlPlane) -> None:
    version = client.VersionApi(control_plane.api()).get_code()

    assert version.git_version.startswith(programs.RELEASE)


def test_a_job_keeps_the_fields_that_older_releases_dropped(batch: client.BatchV1Api, namespace: str) -> None:
    fields = {**PATIENT, "suspend": True, "completionMode": "Indexed", "completions": 2, "parallelism": 2}

    spec = batch.create_namespaced_job(namespace, job("kept", POD, **fields)).spec

    assert [rule.action for rule in spec.pod_failure_policy.rules] == ["FailJob", "Ignore"]
    assert (spec.suspend, spec.completion_mode, spec.pod_replacement_policy) == (True, "Indexed", "Failed")


def test_a_suspended_job_makes_pods_only_when_it_is_let_go(
    batch: client.BatchV1Api, namespace: str, pretend_node: PretendNode
) -> None:
    batch.create_namespaced_job(namespace, job("later", POD, suspend=True))
    condition(batch, namespace, "later", "Suspended")
    before = pretend_node.pods(namespace)

    batch.patch_namespaced_job("later", namespace, {"spec": {"suspend": False}})
    pod = pretend_node.next_pod(namespace)

    assert before == []
    assert pod.metadata.labels["job-name"] == "later"


def test_an_indexed_job_completes_index_by_index(
    batch: client.BatchV1Api, namespace: str, pretend_node: PretendNode
) -> None:
    fields = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    batch.create_namespaced_job(namespace, job("ranks", POD, **fields))
    pods = wait_for("two pods", lambda: pods if len(pods := pretend_node.pods(namespace)) == 2 else None)
    for pod in pods:
        pretend_node.finish(pod, 0)
    condition(batch, namespace, "ranks", "Complete")

    assert {pod.metadata.annotations["batch.kubernetes.io/job-completion-index"] for pod in pods} == {
        "0",
        "1",
    }
    assert batch.read_namespaced_job_status("ranks", namespace).status.completed_indexes == "0,1"


def test_an_eviction_is_no_failure_and_its_successor_waits_for_the_end(
    batch: client.BatchV1Api, core: client.CoreV1Api, namespace: str, pretend_node: PretendNode
) -> None:
    batch.create_namespaced_job(namespace, job("drained", POD, **PATIENT))
    first = pretend_node.next_pod(namespace)
    pretend_node.run(first)
    pretend_node.evict(first)
    wait_for(
        "the pod counts as terminating",
        lambda: batch.read_namespaced_job_status("drained", namespace).status.terminating == 1,
    )
    while_it_ends = [pod.metadata.name for pod in pretend_node.pods(namespace)]
    conditions = core.read_namespaced_pod_status(first.metadata.name, namespace).status.conditions
    pretend_node.finish(first, 143)
    second = pretend_node.next_pod(namespace)
    pretend_node.finish(second, 0)
    condition(batch, namespace, "drained", "Complete")

    assert while_it_ends == [first.metadata.name]
    assert ("DisruptionTarget", "EvictionByEvictionAPI") in {(each.type, each.reason) for each in conditions}
    assert not batch.read_namespaced_job_status("drained", namespace).status.failed


def test_a_failure_that_is_no_eviction_counts(
    batch: client.BatchV1Api, namespace: str, pretend_node: PretendNode
) -> None:
    batch.create_namespaced_job(namespace, job("crashed", POD, **PATIENT))
    pretend_node.finish(pretend_node.next_pod(namespace), 1)

    assert condition(batch, namespace, "crashed", "Failed").reason == "BackoffLimitExceeded"


def test_exit_code_65_fails_the_job_at_once(
    batch: client.BatchV1Api, namespace: str, pretend_node: PretendNode
) -> None:
    batch.create_namespaced_job(namespace, job("refused", POD, **{**PATIENT, "backoffLimit": 6}))
    pretend_node.finish(pretend_node.next_pod(namespace), 65)
    failed = condition(batch, namespace, "refused", "Failed")

    assert failed.reason == "PodFailurePolicy"
    assert "exit code 65" in failed.message


def test_what_the_role_does_not_name_is_forbidden(control_plane: ControlPlane, namespace: str) -> None:
    rbac = client.RbacAuthorizationV1Api(control_plane.api())
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]}]
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "training", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "reader"}, "subjects": [subject], "roleRef": role}
    )
    reader = f"system:serviceaccount:{namespace}:training"
    batch = client.BatchV1Api(control_plane.api(reader))

    allowed = wait_for("the role is in force", lambda: may_list(batch, namespace))
    with pytest.raises(ApiException) as refusal:
        batch.create_namespaced_job(namespace, job("forbidden", POD))

    assert allowed
    assert refusal.value.status == 403
    assert (reader, "create", 403) in {
        (event["impersonatedUser"]["username"], event["verb"], event["responseStatus"]["code"])
        for event in control_plane.audit_events(lambda event: "impersonatedUser" in event)
    }


def may_list(batch: client.BatchV1Api, namespace: str) -> bool:
    try:
        batch.list_namespaced_job(namespace)
    except ApiException as error:
        if error.status != 403:
            raise
        return False
    return True


def test_a_privileged_pod_is_refused_where_restricted_is_enforced(
    core: client.CoreV1Api, namespace: str
) -> None:
    pod = restricted_pod(["true"])
    pod["containers"][0]["securityContext"] = {"privileged": True}

    with pytest.raises(ApiException) as refusal:
        core.create_namespaced_pod(namespace, {"metadata": {"name": "privileged"}, "spec": pod})

    assert refusal.value.status == 403
    assert 'violates PodSecurity "restricted' in json.loads(refusal.value.body)["message"]


def test_a_restricted_pod_is_let_in(core: client.CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_pod(namespace, {"metadata": {"name": "modest"}, "spec": POD})

    assert made.status.phase == "Pending"


def test_a_watch_from_forgotten_history_gets_410(fresh_control_plane: ControlPlane) -> None:
    namespace = fresh_control_plane.make_namespace("watched")
    batch = client.BatchV1Api(fresh_control_plane.api())
    old = batch.list_namespaced_job(namespace).metadata.resource_version
    for name in ("one", "two"):
        batch.create_namespaced_job(namespace, job(name, POD, suspend=True))
    fresh_control_plane.forget_history()

    with pytest.raises(ApiException) as gone:
        list(
            watch.Watch().stream(
                batch.list_namespaced_job, namespace, resource_version=old, timeout_seconds=10
            )
        )

    assert gone.value.status == 410


def test_the_api_comes_back_after_an_outage_with_what_it_held(fresh_control_plane: ControlPlane) -> None:
    namespace = fresh_control_plane.make_namespace("kept")
    core = client.CoreV1Api(fresh_control_plane.api())
    core.create_namespaced_config_map(
        namespace, {"metadata": {"name": "note"}, "data": {"text": "still here"}}
    )
    fresh_control_plane.stop_api()
    fresh_control_plane.start_api()

    assert core.read_namespaced_config_map("note", namespace).data == {"text": "still here"}
