"""The Kubernetes launcher on a real API server with the real Job controller; the node is played."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from periscope.clock import utc_now
from periscope_training.job_manifest import job_manifest, job_name
from periscope_training.kubernetes_api import KubernetesApi
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.launcher import Launcher, LauncherUnavailable, Phase, Run, RunRefused
from periscope_training.pod_records import PodRecords
from tests.cluster.control_plane import ControlPlane
from tests.cluster.jobs import job, restricted_pod
from tests.cluster.played_kubelet import PlayedKubelet, TellingApi, settings_for
from tests.cluster.pretend_node import PretendNode
from tests.fakes import MemoryStore
from tests.launcher_contract import LAUNCH, LauncherContract, StartWorld, opened, running


@pytest.fixture
def start_world(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> Iterator[StartWorld]:
    kubelets: list[PlayedKubelet] = []

    def start(behaviour: str) -> Callable[[], Launcher]:
        kubelet = PlayedKubelet(pretend_node, namespace, behaviour)
        kubelet.start()
        kubelets.append(kubelet)
        records = PodRecords(MemoryStore())
        settings = settings_for(namespace)
        return lambda: KubernetesLauncher(
            TellingApi(control_plane, namespace, kubelet.logs), settings, records, utc_now
        )

    yield start
    for kubelet in kubelets:
        kubelet.stop()


class TestKubernetesLauncher(LauncherContract):
    def test_what_attempts_hand_on_is_kept_until_the_job_is_forgotten(self, start_world: StartWorld) -> None:
        """Pods hand on nothing: each fetches the data anew."""
        with opened(start_world("succeed")) as launcher:
            launcher.create(LAUNCH)

            assert launcher.kept_jobs() == []

    def require_nothing_left(self, launcher: Launcher, run: Run) -> None:
        """What a pod wrote is in the store by then, and stays."""
        assert b"running" in launcher.log(run)


@pytest.fixture
def open_launcher(control_plane: ControlPlane, namespace: str) -> Callable[..., KubernetesLauncher]:
    records = PodRecords(MemoryStore())

    def make(**settings: Any) -> KubernetesLauncher:
        api = TellingApi(control_plane, namespace, {})
        return KubernetesLauncher(api, settings_for(namespace, **settings), records, utc_now)

    return make


def names(batch: client.BatchV1Api, namespace: str) -> list[str]:
    return [job.metadata.name for job in batch.list_namespaced_job(namespace).items]


def test_two_services_that_create_at_once_make_one_job(
    open_launcher: Callable[..., KubernetesLauncher], batch: client.BatchV1Api, namespace: str
) -> None:
    together, handles = threading.Barrier(4), []

    def create(number: int) -> None:
        launcher = open_launcher()
        together.wait()
        handles.append(launcher.create(replace(LAUNCH, progress_token=f"token-{number}")))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert names(batch, namespace) == ["train-01job-1"]
    assert [handles[0]] * 4 == handles


def test_a_job_of_the_same_name_that_is_another_is_refused_and_left_alone(
    open_launcher: Callable[..., KubernetesLauncher], batch: client.BatchV1Api, namespace: str
) -> None:
    open_launcher().create(LAUNCH)
    before = batch.read_namespaced_job("train-01job-1", namespace).metadata.uid

    with pytest.raises(RunRefused, match="not the same"):
        open_launcher(memory="32Mi").create(LAUNCH)

    assert batch.read_namespaced_job("train-01job-1", namespace).metadata.uid == before


def test_a_stranger_under_our_name_survives_the_sweep(
    open_launcher: Callable[..., KubernetesLauncher], batch: client.BatchV1Api, namespace: str
) -> None:
    batch.create_namespaced_job(namespace, job(job_name("01MINE", 1), restricted_pod(["true"])))
    launcher = open_launcher()

    assert launcher.runs() == []
    launcher.delete("01MINE", 1)
    assert names(batch, namespace) == [job_name("01MINE", 1)]


class LosesAnswers(TellingApi):
    """Carries out the creation and loses the answer; or loses the request."""

    arrives = True

    def create_job(self, manifest: Any) -> Any:
        if self.arrives:
            super().create_job(manifest)
        raise LauncherUnavailable("no answer")


@pytest.mark.parametrize("arrives", [True, False])
def test_an_unknown_outcome_is_read_back(
    arrives: bool, control_plane: ControlPlane, batch: client.BatchV1Api, namespace: str
) -> None:
    api = LosesAnswers(control_plane, namespace, {})
    api.arrives = arrives
    launcher = KubernetesLauncher(api, settings_for(namespace), PodRecords(MemoryStore()), utc_now)

    if arrives:
        assert (
            launcher.create(LAUNCH)["uid"]
            == batch.read_namespaced_job("train-01job-1", namespace).metadata.uid
        )
    else:
        with pytest.raises(LauncherUnavailable):
            launcher.create(LAUNCH)
        assert names(batch, namespace) == []


FULL = {
    "gpus": 2,
    "node_selector": {"disk": "fast"},
    "priority_class": "system-node-critical",
    "queue": "team",
    "max_runtime_s": 3600,
    "env": {"OMP_NUM_THREADS": "2"},
}


def test_the_manifest_with_everything_is_taken_by_a_restricted_namespace(
    control_plane: ControlPlane, batch: client.BatchV1Api, core: client.CoreV1Api, namespace: str
) -> None:
    settings = settings_for(namespace, **{**FULL, "priority_class": None})
    manifest = job_manifest(LAUNCH, settings)
    made = KubernetesApi(namespace, control_plane.api()).create_job(manifest)
    template = made["spec"]["template"]
    # A Job's template is only warned about; the pod itself must be let in.
    pod = core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": template["spec"]})

    assert pod.status.phase == "Pending"
    rules = made["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "Ignore", "FailJob", "Count"]
    assert template["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert (made["spec"]["suspend"], made["spec"]["podReplacementPolicy"]) == (True, "Failed")


def test_a_pod_with_a_mistake_against_restricted_is_refused(
    control_plane: ControlPlane, core: client.CoreV1Api, namespace: str
) -> None:
    """The test above can fail: take one of the settings away and the server refuses."""
    spec = job_manifest(LAUNCH, settings_for(namespace))["spec"]["template"]["spec"]
    del spec["containers"][0]["securityContext"]["capabilities"]

    with pytest.raises(client.ApiException, match="violates PodSecurity"):
        core.create_namespaced_pod(namespace, {"metadata": {"name": "p"}, "spec": spec})


def test_the_pods_of_a_training_on_two_nodes_find_the_first_by_name(
    open_launcher: Callable[..., KubernetesLauncher],
    batch: client.BatchV1Api,
    core: client.CoreV1Api,
    namespace: str,
) -> None:
    handle = open_launcher(nodes=2, gpus=4).create(LAUNCH)
    open_launcher(nodes=2, gpus=4).create(LAUNCH)
    made = batch.read_namespaced_job("train-01job-1", namespace)
    service = core.read_namespaced_service("train-01job-1", namespace)
    environment = {entry.name: entry.value for entry in made.spec.template.spec.containers[0].env}

    assert (made.spec.completion_mode, made.spec.completions, made.spec.parallelism) == ("Indexed", 2, 2)
    assert [owner.uid for owner in service.metadata.owner_references] == [handle["uid"]]
    assert (service.spec.cluster_ip, service.spec.publish_not_ready_addresses) == ("None", True)
    assert environment["PERISCOPE_FIRST_NODE"] == f"train-01job-1-0.train-01job-1.{namespace}.svc:29500"
    assert (environment["PERISCOPE_TRAINER_NODES"], environment["PERISCOPE_TRAINER_RANKS"]) == ("2", "4")
    assert made.spec.template.spec.subdomain == "train-01job-1"


def test_an_outage_is_no_end_of_a_run(start_world: StartWorld) -> None:
    """A service that cannot ask says so; it never takes silence for an end."""
    with opened(start_world("checkpoint")) as launcher:
        run = running(launcher)
        nowhere = client.Configuration(host="https://127.0.0.1:1")
        nowhere.retries = False
        mute = KubernetesApi("default", client.ApiClient(nowhere))
        cut_off = KubernetesLauncher(mute, settings_for("default"), PodRecords(MemoryStore()), utc_now)

        with pytest.raises(LauncherUnavailable):
            cut_off.observe(run)
        assert launcher.observe(run).phase is Phase.RUNNING
