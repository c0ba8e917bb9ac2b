"""Two replicas of the training service on a real API server: one leads, and another when that one is gone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry, generate_latest

from periscope.clock import utc_now
from periscope_training.deletions import Deletions
from periscope_training.gauges import RunGauges
from periscope_training.kubernetes_api import KubernetesApi
from periscope_training.kubernetes_lease import KubernetesLease
from periscope_training.launcher import LauncherUnavailable
from periscope_training.leadership import Leadership
from periscope_training.leading import JobLoop, Photographer
from periscope_training.progress import ProgressRecords
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import TellingApi
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.cluster.training_house import TrainingHouse


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def leases(control_plane: ControlPlane, namespace: str) -> KubernetesApi:
    return KubernetesApi(namespace, control_plane.api())


def lease_of(
    leases: KubernetesApi, holder: str, clock: Clock, ttl_s: int = 10, ahead_s: float = 0
) -> KubernetesLease:
    return KubernetesLease(
        leases, "training", holder, ttl_s, lambda: utc_now() + timedelta(seconds=ahead_s), clock
    )


def test_a_lease_has_one_holder_until_it_has_been_silent_for_its_time(leases: KubernetesApi) -> None:
    clock = Clock()
    mine, yours = lease_of(leases, "me", clock), lease_of(leases, "you", clock)

    assert mine.acquire()
    assert mine.acquire()
    assert not yours.acquire()
    clock.at_s += 9
    assert not yours.acquire()
    assert mine.acquire()
    clock.at_s += 9
    assert not yours.acquire()  # It was renewed meanwhile.
    clock.at_s += 10
    assert yours.acquire()
    assert not mine.acquire()


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
def test_a_holder_whose_clock_is_wrong_holds_no_longer_and_no_shorter(
    leases: KubernetesApi, ahead_s: float
) -> None:
    clock = Clock()
    mine, yours = lease_of(leases, "me", clock, ahead_s=ahead_s), lease_of(leases, "you", clock)

    assert mine.acquire()
    assert not yours.acquire()
    clock.at_s += 10
    assert yours.acquire()


def test_a_released_lease_is_free_at_once_and_only_its_holder_releases_it(leases: KubernetesApi) -> None:
    mine, yours = lease_of(leases, "me", Clock()), lease_of(leases, "you", Clock())
    mine.acquire()
    yours.release()
    assert not yours.acquire()
    mine.release()

    assert yours.acquire()


def test_of_many_that_want_a_lease_one_gets_it(leases: KubernetesApi) -> None:
    barrier = threading.Barrier(6)

    def acquire(number: int) -> bool:
        barrier.wait()
        return lease_of(leases, str(number), Clock()).acquire()

    for released in (False, True):
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(acquire, range(6))) == 1
        holder = leases.lease("training")["spec"]["holderIdentity"]
        lease_of(leases, holder, Clock()).release()
        assert released or leases.lease("training")["spec"]["holderIdentity"] == ""


def test_an_api_server_that_is_away_gives_nobody_the_lead(namespace: str) -> None:
    nowhere = client.Configuration(host="https://127.0.0.1:1")
    nowhere.retries = False
    lease = KubernetesLease(KubernetesApi(namespace, client.ApiClient(nowhere)), "training", "me", 10)

    with pytest.raises(LauncherUnavailable):
        lease.acquire()


class Replica:
    """One of several training services on one store and one namespace."""

    def __init__(self, plane: ControlPlane, house: TrainingHouse, holder: str) -> None:
        api = TellingApi(plane, house.namespace, house.logs)
        house.start(api)
        self.reconciler = house.reconciler
        self.clock = Clock()
        self.leadership = Leadership(
            KubernetesLease(api, "training", holder, 10, monotonic=self.clock), 10, self.clock
        )
        self.gauges = RunGauges(self.leadership.is_held)
        photographer = Photographer(house.documents, ProgressRecords(house.store), self.gauges, house.now)
        deletions = Deletions(house.documents, house.store)
        self.loop = JobLoop(self.leadership, self.reconciler, photographer, deletions, 0.02, self.clock)

    def live_s(self, seconds: float) -> None:
        """Let time pass and take a step each second."""
        for _ in range(int(seconds)):
            self.clock.at_s += 1
            self.loop.step()

    def shows(self, text: str) -> bool:
        registry = CollectorRegistry()
        registry.register(self.gauges)
        return text in generate_latest(registry).decode()


def test_another_replica_takes_over_what_a_leader_that_is_gone_began(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> None:
    house = TrainingHouse(control_plane, namespace, pretend_node)
    first, second = Replica(control_plane, house, "first"), Replica(control_plane, house, "second")
    job_id = house.add_job()
    first.live_s(3)
    second.live_s(3)
    pod = wait_for("a pod is on the node", lambda: next(iter(pretend_node.pods(namespace)), None))
    house.run(pod)
    wait_for("the leader sees it run", lambda: first.live_s(1) or house.job(job_id)["state"] == "RUNNING")
    first.live_s(6)

    assert (first.leadership.is_held(), second.leadership.is_held()) == (True, False)
    assert first.shows(f'periscope_run_info{{dataset="pool",name="dive",run="{job_id}"}}')
    assert second.shows("periscope_training_leader 0.0")
    assert not second.shows("periscope_run_info{")

    # The first is gone without a word: it takes no further step, and only time passes for it.
    second.live_s(9)
    assert not second.leadership.is_held()
    second.live_s(3)
    first.clock.at_s += 12
    assert (first.leadership.is_held(), second.leadership.is_held()) == (False, True)
    assert second.shows(f'run="{job_id}"')
    assert not first.shows("periscope_run_info{")

    house.complete_training(job_id)
    pretend_node.finish(pod, 0)
    wait_for("the other ends the job", lambda: second.live_s(1) or house.job(job_id)["ended_at"])
    assert (house.job(job_id)["state"], len(house.job(job_id)["attempts"])) == ("SUCCEEDED", 1)


def test_of_two_that_lead_at_once_by_mistake_one_job_comes(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> None:
    house = TrainingHouse(control_plane, namespace, pretend_node)
    replicas = [Replica(control_plane, house, str(number)) for number in range(3)]
    house.add_job()
    together = threading.Barrier(3)

    def reconcile(replica: Replica) -> None:
        together.wait()
        for _ in range(4):
            replica.reconciler.reconcile_all()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(reconcile, replicas))

    assert len(house.jobs()) == 1
    (job,) = house.documents.list("jobs")
    assert len(job.body["attempts"]) == 1
