"""The watched view on a real API server: it keeps up, says when it cannot know, and finds its way back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from periscope_training.cluster_view import WatchedView
from periscope_training.job_manifest import selector
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.launcher import LauncherUnavailable
from periscope_training.pod_records import PodRecords
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import TellingApi
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.cluster.training_house import TrainingHouse


class Counting(TellingApi):
    """Counts what is asked, logs too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.calls: list[str] = []

    def _raw(self, call: Any, *arguments: Any, **options: Any) -> Any:
        self.calls.append(call.__name__)
        return super()._raw(call, *arguments, **options)

    def log(self, pod: str, container: str) -> bytes:
        self.calls.append("log")
        return super().log(pod, container)


class WatchingHouse(TrainingHouse):
    """A training service that watches."""

    def __init__(self, plane: ControlPlane, namespace: str, node: PretendNode, **settings: Any) -> None:
        super().__init__(plane, namespace, node, **settings)
        api = plane.api()
        self.counting = Counting(plane, namespace, self.logs)
        self.view = WatchedView(self.counting, api, namespace, selector(self.settings.instance))
        self.launcher = KubernetesLauncher(
            self.counting, self.settings, PodRecords(self.store), self.now, self.view
        )
        self.reconciler._launcher = self.launcher


@pytest.fixture
def house(control_plane: ControlPlane, namespace: str, pretend_node: PretendNode) -> Iterator[WatchingHouse]:
    house = WatchingHouse(control_plane, namespace, pretend_node)
    yield house
    house.launcher.close()


def test_a_pass_over_running_jobs_asks_the_api_server_nothing(house: WatchingHouse) -> None:
    job_id, pod = house.running_job()
    others = [house.running_job()[0] for _ in range(3)]
    house.counting.calls.clear()
    for _ in range(20):
        house.reconciler.reconcile_all()
    asked = list(house.counting.calls)
    house.complete_training(job_id)
    house.node.finish(pod, 0)
    house.until_state(job_id, "SUCCEEDED")

    assert asked == []
    assert [house.job(other)["state"] for other in others] == ["RUNNING"] * 3


def test_how_a_pod_ended_is_known_though_it_left_between_two_looks(house: WatchingHouse) -> None:
    job_id, pod = house.running_job()
    house.batch.delete_namespaced_job(house.jobs()[0], house.namespace, propagation_policy="Background")
    wait_for(
        "the pod is told to end",
        lambda: (
            house.core.read_namespaced_pod(pod.metadata.name, house.namespace).metadata.deletion_timestamp
        ),
    )
    house.node.finish(pod, 65)
    house.node.let_go(pod)
    wait_for("the pod is gone", lambda: not house.node.pods(house.namespace))
    # Only now does the service look again.
    job = house.until_state(job_id, "FAILED")

    assert job["attempts"][0]["exit_code"] == 65


@pytest.fixture
def breakable(fresh_control_plane: ControlPlane) -> Iterator[WatchingHouse]:
    namespace = fresh_control_plane.make_namespace("training")
    node = PretendNode(fresh_control_plane.api(), "pretended")
    node.join()
    house = WatchingHouse(fresh_control_plane, namespace, node)
    yield house
    house.launcher.close()


def test_after_an_outage_and_with_its_watch_expired_it_lists_anew(
    breakable: WatchingHouse, fresh_control_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "kubernetes.informer.informer")
    job_id, pod = breakable.running_job()
    fresh_control_plane.stop_api()

    def says_so() -> bool:
        try:
            breakable.view.pods({})
        except LauncherUnavailable:
            return True
        return False

    wait_for("the view says that it cannot know", says_so)
    before = breakable.job(job_id)
    breakable.reconciler.reconcile_all()
    assert breakable.job(job_id) == before
    fresh_control_plane.start_api()
    fresh_control_plane.forget_history()
    breakable.complete_training(job_id)
    wait_for("the node is let in", lambda: breakable.node.pods(breakable.namespace))
    breakable.node.finish(pod, 0)
    # The Job controller, too, has to find its way back.
    job = breakable.until_state(job_id, "SUCCEEDED", timeout_s=120)

    assert len(job["attempts"]) == 1
