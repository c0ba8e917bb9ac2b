"""The training service is killed before and after each of its calls to the store and to the API server.

The calls are counted in an undisturbed life; reads change nothing, so only calls that change something count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from periscope_training.kubernetes_api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import TellingApi
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.cluster.training_house import TrainingHouse
from tests.unit.periscope_training.fate import Fate, Killed, MortalStore


class MortalApi(TellingApi):
    """The API of a service that may be killed at each call that changes something."""

    fate: Fate

    def create_job(self, manifest: Mapping[str, Any]) -> Object:
        return self.fate.around(lambda: super(MortalApi, self).create_job(manifest))

    def release_job(self, name: str, uid: str) -> None:
        self.fate.around(lambda: super(MortalApi, self).release_job(name, uid))

    def delete_job(self, name: str, uid: str, propagation: str) -> None:
        self.fate.around(lambda: super(MortalApi, self).delete_job(name, uid, propagation))


class MortalHouse(TrainingHouse):
    def __init__(self, plane: ControlPlane, namespace: str, node: PretendNode) -> None:
        super().__init__(plane, namespace, node)
        self.fate = Fate()
        self.store = MortalStore(self.fate)
        self.submissions._store = self.store
        self.plane = plane
        self.pods_seen: set[str] = set()
        self.restart()

    def restart(self) -> None:
        api = MortalApi(self.plane, self.namespace, self.logs)
        api.fate = self.fate
        self.start(api)
        self.submissions._documents = self.documents

    def live(self) -> str:
        """One job from the request to its end; the node plays along, and is never killed."""
        jobs = [document.id for document in self.documents.list("jobs")]
        job_id = jobs[0] if jobs else self.add_job()
        self.reconciler.sweep()

        def step() -> bool:
            self.attend_pods(job_id)
            return bool(self.job(job_id)["ended_at"])

        self.until("the job has ended", step)
        self.reconciler.sweep()
        return job_id

    def attend_pods(self, job_id: str) -> None:
        appointed, self.fate.appointed = self.fate.appointed, None
        points = self.fate.points
        for pod in self.node.pods(self.namespace):
            self.pods_seen.add(pod.metadata.name)
            if pod.metadata.deletion_timestamp is not None:
                self.node.let_go(pod)
            elif pod.status.phase == "Pending":
                assert self.job(job_id)["attempts"][-1]["launcher"] is not None
                self.run(pod, b"trained\n")
            elif pod.status.phase == "Running":
                self.complete_training(job_id)
                self.node.finish(pod, 0)
        self.fate.appointed, self.fate.points = appointed, points


def test_a_service_that_is_killed_at_any_call_comes_to_the_same_end(
    control_plane: ControlPlane, pretend_node: PretendNode, request: pytest.FixtureRequest
) -> None:
    def fresh(number: int) -> MortalHouse:
        return MortalHouse(control_plane, control_plane.make_namespace(f"killed-{number}"), pretend_node)

    undisturbed = fresh(0)
    undisturbed.live()
    steps = undisturbed.fate.points
    assert steps > 20
    for appointed in range(1, steps + 1):
        house = fresh(appointed)
        house.fate.appointed = appointed
        try:
            house.live()
        except Killed:
            house.restart()
            house.live()
        (document,) = house.documents.list("jobs")
        job = document.body

        assert (job["state"], len(job["attempts"])) == ("SUCCEEDED", 1), appointed
        assert house.archived_log(document.id) == "trained\n", appointed
        assert len(house.pods_seen) == 1, appointed
        wait_for("the Job is gone", lambda: not house.jobs())  # noqa: B023 - called at once
