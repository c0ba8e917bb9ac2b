"""The Role of the training service: everything it does is allowed, and each verb is needed for something."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from periscope.clock import utc_now
from periscope_training.cluster_view import WatchedView
from periscope_training.job_manifest import job_name, selector
from periscope_training.kubernetes_api import KubernetesApi
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.kubernetes_lease import KubernetesLease
from periscope_training.launcher import LauncherUnavailable, Run
from periscope_training.pod_records import PodRecords
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import settings_for
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.fakes import MemoryStore
from tests.launcher_contract import LAUNCH

ROLE = Path(__file__).parents[2] / "charts" / "periscope" / "files" / "training-role.yaml"
RULES = yaml.safe_load(ROLE.read_text())
VERBS = [(rule["resources"][0], verb) for rule in RULES for verb in rule["verbs"]]


def without(resource: str, verb: str) -> list[dict[str, Any]]:
    return [
        {
            **rule,
            "verbs": [each for each in rule["verbs"] if (rule["resources"][0], each) != (resource, verb)],
        }
        for rule in RULES
    ]


class Account:
    """A service account with a Role of the test's making."""

    def __init__(self, plane: ControlPlane, namespace: str, rules: list[dict[str, Any]]) -> None:
        self.plane, self.namespace = plane, namespace
        self.name = f"system:serviceaccount:{namespace}:training"
        rbac = client.RbacAuthorizationV1Api(plane.api())
        rules = [rule for rule in rules if rule["verbs"]]
        rbac.create_namespaced_role(namespace, {"metadata": {"name": "training"}, "rules": rules})
        binding = {
            "metadata": {"name": "training"},
            "subjects": [{"kind": "ServiceAccount", "name": "training", "namespace": namespace}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "training"},
        }
        rbac.create_namespaced_role_binding(namespace, binding)

    def refusals(self) -> set[tuple[str, str]]:
        """What was asked for and forbidden, by resource and verb."""
        found = set()
        for event in self.plane.audit_events(lambda event: "impersonatedUser" in event):
            refused = event.get("responseStatus", {}).get("code") == 403
            if refused and event["impersonatedUser"]["username"] == self.name:
                what = event["objectRef"]
                sub = f"/{what['subresource']}" if "subresource" in what else ""
                found.add((what["resource"] + sub, event["verb"]))
        return found

    def live(self, node: PretendNode) -> None:
        """Do everything that a launcher ever does, however much of it fails."""
        api = self.plane.api(self.name)
        cluster = KubernetesApi(self.namespace, api)
        settings = settings_for(self.namespace, nodes=2)
        view = WatchedView(cluster, api, self.namespace, selector(settings.instance))
        launcher = KubernetesLauncher(cluster, settings, PodRecords(MemoryStore()), utc_now, view)
        admin = KubernetesApi(self.namespace, self.plane.api())
        try:
            attempted(lambda: launcher.create(LAUNCH))
            attempted(lambda: launcher.create(LAUNCH))
            made = admin.job(job_name(LAUNCH.job_id, 1))
            run = Run(
                LAUNCH.job_id, 1, {"job": "train-01job-1", "uid": made["metadata"]["uid"] if made else "none"}
            )
            attempted(lambda: launcher.observe(run))
            attempted(lambda: launcher.release(run))
            if made and ("jobs", "patch") not in self.refusals():
                node.run(node.next_pod(self.namespace))
                # The watch tells of the running pod in its own time; asked for at once, there is no log yet.
                time.sleep(2)
            attempted(lambda: launcher.log(run))
            attempted(lambda: cluster.events("Job", "train-01job-1"))
            attempted(launcher.runs)
            attempted(KubernetesLease(cluster, "training", "a", 5).acquire)
            attempted(KubernetesLease(cluster, "training", "a", 5).acquire)
            attempted(lambda: launcher.stop(run))
            attempted(lambda: launcher.delete(run.job_id, run.attempt))
            time.sleep(0.5)
        finally:
            launcher.close()


def attempted(call: Any) -> None:
    try:
        call()
    except LauncherUnavailable:
        return


@pytest.fixture(autouse=True)
def _quiet_informers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "kubernetes.informer.informer")


def test_the_role_is_enough(control_plane: ControlPlane, namespace: str, pretend_node: PretendNode) -> None:
    account = Account(control_plane, namespace, RULES)
    wait_for("the role is in force", lambda: can_list(control_plane, account))
    before = account.refusals()
    account.live(pretend_node)

    assert account.refusals() == before


@pytest.mark.parametrize(("resource", "verb"), VERBS, ids=lambda value: str(value).replace("/", "-"))
def test_each_verb_is_needed(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode, resource: str, verb: str
) -> None:
    account = Account(control_plane, namespace, without(resource, verb))
    time.sleep(0.5)
    account.live(pretend_node)

    assert (resource, verb) in account.refusals()


def test_nothing_is_allowed_beside_jobs(control_plane: ControlPlane, namespace: str) -> None:
    resources = {"jobs", "pods", "pods/log", "events", "services", "leases"}
    assert {rule["resources"][0] for rule in RULES} == resources
    assert "*" not in yaml.safe_dump(RULES)


def can_list(plane: ControlPlane, account: Account) -> bool:
    try:
        KubernetesApi(account.namespace, plane.api(account.name)).jobs("a=b")
    except LauncherUnavailable:
        return False
    return True
