"""What becomes of a job whatever happens to its pod: state, reason and next step as docs/kubernetes-jobs.md has them.

The API server, the Job controller, the scheduler and the garbage collector are the real ones; the node is played.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from periscope_training import waiting_reasons
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import TellingApi
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.cluster.training_house import TrainingHouse


@pytest.fixture
def house(control_plane: ControlPlane, namespace: str, pretend_node: PretendNode) -> TrainingHouse:
    return TrainingHouse(control_plane, namespace, pretend_node)


def test_a_training_that_completes_has_succeeded_and_leaves_its_log_but_no_job(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.logs[pod.metadata.name] += b"complete\n"
    house.complete_training(job_id)
    house.node.finish(pod, 0)
    job = house.until_state(job_id, "SUCCEEDED")

    # Whether it is seen pending depends on who is faster.
    states = [entry["state"] for entry in job["history"] if entry["state"] != "PENDING"]
    assert states == ["QUEUED", "STARTING", "RUNNING", "SUCCEEDED"]
    assert house.archived_log(job_id) == "running\ncomplete\n"
    wait_for("the Job is gone", lambda: not house.jobs())


@pytest.mark.parametrize("exit_code", [64, 65, 66, 69, 77, 78])
def test_an_exit_code_that_nothing_can_mend_fails_the_job(house: TrainingHouse, exit_code: int) -> None:
    job_id, pod = house.running_job(
        b'{"error": "img.png does not decode.", "code": "x", "advice": "Replace it."}\n'
    )
    house.node.finish(pod, exit_code)
    job = house.until_state(job_id, "FAILED")

    assert job["reason"] == "img.png does not decode. Replace it."
    assert [entry["exit_code"] for entry in job["attempts"]] == [exit_code]


@pytest.mark.parametrize(
    ("exit_code", "counted"), [(0, True), (1, True), (70, True), (73, False), (75, True), (137, True)]
)
def test_any_other_exit_code_is_followed_by_another_attempt(
    house: TrainingHouse, exit_code: int, counted: bool
) -> None:
    job_id, pod = house.running_job()
    house.node.finish(pod, exit_code)
    entry = house.until_attempt_ended(job_id)["attempts"][0]
    second = house.until_pod()

    assert (entry["exit_code"], entry["counted"], entry["preemptions"]) == (exit_code, counted, 0)
    assert second.metadata.labels["periscope/attempt"] == "2"


def test_exit_143_goes_on_in_another_pod_of_the_same_attempt(house: TrainingHouse) -> None:
    job_id, first = house.running_job(b"first pod\n")
    house.node.finish(first, 143)
    second = house.until_pod()
    house.run(second, b"second pod\n")
    house.until("counted", lambda: house.job(job_id)["attempts"][0]["preemptions"] == 1)
    house.complete_training(job_id)
    house.node.finish(second, 0)
    job = house.until_state(job_id, "SUCCEEDED")

    assert (len(job["attempts"]), second.metadata.labels["periscope/attempt"]) == (1, "1")
    assert house.archived_log(job_id).index("first pod") < house.archived_log(job_id).index("second pod")


def test_an_eviction_is_counted_as_preemption_and_its_log_and_reason_are_kept(house: TrainingHouse) -> None:
    job_id, first = house.running_job(b"first pod\n")
    house.node.evict(first)
    house.until(
        "it is leaving",
        lambda: (
            house.core.read_namespaced_pod(first.metadata.name, house.namespace).metadata.deletion_timestamp
        ),
    )
    house.until("its log is kept", lambda: "first pod" in house.launcher_log(job_id))
    house.node.finish(first, 143)
    house.node.let_go(first)
    second = house.until_pod()
    house.run(second, b"second pod\n")
    job = house.until_state(job_id, "RUNNING")
    house.until("counted", lambda: house.job(job_id)["attempts"][0]["preemptions"] == 1)
    house.complete_training(job_id)
    house.node.finish(second, 0)
    job = house.until_state(job_id, "SUCCEEDED")

    assert [entry["counted"] for entry in job["attempts"]] == [False]
    assert "first pod" in house.archived_log(job_id)
    assert "taken away by the cluster: Eviction API" in house.archived_log(job_id)


def test_too_many_preemptions_end_the_job(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> None:
    house = TrainingHouse(control_plane, namespace, pretend_node, max_preemptions=1)
    job_id, first = house.running_job()
    house.node.finish(first, 143)
    second = house.until_pod()
    house.run(second)
    house.until("counted", lambda: house.job(job_id)["attempts"][0]["preemptions"] == 1)
    house.node.finish(second, 143)

    def look() -> dict[str, Any] | None:
        # A third pod may have been made by then; it is told to go.
        for pod in house.node.pods(namespace):
            if pod.metadata.deletion_timestamp is not None:
                house.node.let_go(pod)
        job = house.job(job_id)
        return job if job["state"] == "FAILED" else None

    job = house.until("it is given up", look)

    assert "was interrupted 3 times" in job["reason"]


def test_out_of_memory_fails_the_job_with_advice(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.node.finish(pod, 137, "OOMKilled")
    job = house.until_state(job_id, "FAILED")

    assert "out of memory" in job["reason"]
    assert "smaller batch_size" in job["reason"]
    assert len(job["attempts"]) == 1


def test_an_image_that_cannot_be_pulled_is_told_and_the_job_goes_on_once_it_can(house: TrainingHouse) -> None:
    job_id = house.add_job()
    pod = house.until_pod()
    house.wait_with(pod, "ErrImagePull", "manifest unknown")
    job = house.until(
        "told",
        lambda: job if (job := house.job(job_id))["reason"].startswith(waiting_reasons.IMAGE) else None,
    )
    house.run(pod)

    assert (job["state"], "[manifest unknown]" in job["reason"]) == ("PENDING", True)
    house.until_state(job_id, "RUNNING")


def test_no_free_gpu_is_told_in_words(
    control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> None:
    house = TrainingHouse(control_plane, namespace, pretend_node, gpus=1)
    job_id = house.add_job()
    job = house.until("told", lambda: job if "GPU" in (job := house.job(job_id))["reason"] else None)

    assert job["state"] == "PENDING"
    assert job["reason"].startswith(waiting_reasons.NO_GPU)
    assert "Insufficient nvidia.com/gpu" in job["reason"]


def test_a_used_up_quota_is_told_in_words(house: TrainingHouse) -> None:
    house.core.create_namespaced_resource_quota(
        house.namespace, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    )
    job_id = house.add_job()
    job = house.until("told", lambda: job if "quota" in (job := house.job(job_id))["reason"] else None)

    assert job["state"] == "PENDING"
    assert job["reason"].startswith(waiting_reasons.QUOTA)


def test_a_job_that_was_deleted_by_hand_is_followed_by_another_attempt(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.batch.delete_namespaced_job(house.jobs()[0], house.namespace, propagation_policy="Background")
    wait_for(
        "the pod is told to end",
        lambda: (
            house.core.read_namespaced_pod(pod.metadata.name, house.namespace).metadata.deletion_timestamp
        ),
    )
    house.node.finish(pod, 143)
    house.node.let_go(pod)
    entry = house.until_attempt_ended(job_id)["attempts"][0]
    second = house.until_pod()

    assert (entry["counted"], second.metadata.labels["periscope/attempt"]) == (False, "2")


def test_a_pod_whose_node_is_lost_is_replaced_by_another_attempt(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.core.delete_namespaced_pod(pod.metadata.name, house.namespace)
    house.until_state(job_id, "RUNNING")
    house.ahead = timedelta(seconds=90)
    entry = house.until_attempt_ended(job_id)["attempts"][0]

    assert "does not answer any more" in entry["reason"]
    assert entry["counted"] is False


def test_a_clock_that_is_half_a_minute_ahead_loses_no_pod(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.ahead = timedelta(seconds=30)
    house.core.delete_namespaced_pod(pod.metadata.name, house.namespace)
    for _ in range(5):
        house.reconciler.reconcile_all()

    assert house.job(job_id)["attempts"][0]["ended_at"] is None


def test_cancelling_lets_the_pod_checkpoint_and_removes_the_job(house: TrainingHouse) -> None:
    job_id, pod = house.running_job()
    house.cancel(job_id)
    house.until(
        "the pod is told to end",
        lambda: (
            house.core.read_namespaced_pod(pod.metadata.name, house.namespace).metadata.deletion_timestamp
        ),
    )
    assert house.job(job_id)["state"] == "RUNNING"
    house.node.finish(pod, 143)
    house.node.let_go(pod)
    house.until_state(job_id, "CANCELLED")
    wait_for("the Job is gone", lambda: not house.jobs())


def test_an_outage_of_the_api_changes_nothing(fresh_control_plane: ControlPlane) -> None:
    namespace = fresh_control_plane.make_namespace("training")
    node = PretendNode(fresh_control_plane.api(), "pretended")
    node.join()
    house = TrainingHouse(fresh_control_plane, namespace, node)
    job_id, pod = house.running_job()
    before = house.job(job_id)
    fresh_control_plane.stop_api()
    for _ in range(3):
        house.reconciler.reconcile_all()
    during = house.job(job_id)
    fresh_control_plane.start_api()
    house.complete_training(job_id)
    node.finish(pod, 0)
    job = house.until_state(job_id, "SUCCEEDED")

    assert (during, len(job["attempts"])) == (before, 1)


def test_a_restarted_service_goes_on_where_things_stand(
    house: TrainingHouse, control_plane: ControlPlane
) -> None:
    job_id, pod = house.running_job()
    house.complete_training(job_id)
    house.node.finish(pod, 0)
    house.start(TellingApi(control_plane, house.namespace, house.logs))
    job = house.until_state(job_id, "SUCCEEDED")

    assert len(job["attempts"]) == 1


def test_jobs_that_nothing_knows_are_swept_away(house: TrainingHouse) -> None:
    job_id, _ = house.running_job()
    house.documents.update("jobs", job_id, lambda body: {**body, "state": "CANCELLED", "attempts": []})
    house.reconciler.sweep()

    def gone() -> Any:
        jobs = house.batch.list_namespaced_job(house.namespace).items
        return all(job.metadata.deletion_timestamp for job in jobs)

    wait_for("the Job is gone", gone)
