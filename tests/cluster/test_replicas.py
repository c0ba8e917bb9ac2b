"""Two replicas of the training service as they are deployed, gunicorn and all, on a real API server and store."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from periscope_embedded.seaweedfs import SeaweedFS
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import settings_for
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.integration.training.running_service import RunningTraining, dataset_stub

LEADS = "periscope_training_leader 1.0"
PATIENCE_S = 60


@pytest.fixture
def replicas(
    control_plane: ControlPlane, namespace: str, seaweedfs: SeaweedFS, tmp_path: Path
) -> Iterator[list[RunningTraining]]:
    bucket = f"test-{secrets.token_hex(6)}"
    seaweedfs.make_bucket(bucket)
    environ = {
        **seaweedfs.environ(bucket),
        "KUBECONFIG": str(control_plane.kubeconfig),
        "PERISCOPE_LAUNCHER": "kubernetes",
        "PERISCOPE_KUBERNETES": settings_for(namespace).model_dump_json(),
    }
    with dataset_stub() as dataset_url:
        running = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            running.append(RunningTraining(environ, tmp_path / name, dataset_url))
        try:
            for replica in running:
                replica.start()
            yield running
        finally:
            for replica in running:
                replica.close()


def test_the_leader_is_killed_and_the_other_replica_brings_its_job_to_the_end(
    replicas: list[RunningTraining], control_plane: ControlPlane, namespace: str, pretend_node: PretendNode
) -> None:
    batch = client.BatchV1Api(control_plane.api())
    wait_for("one leads", lambda: any(LEADS in replica.metrics() for replica in replicas))
    (leader,) = [replica for replica in replicas if LEADS in replica.metrics()]
    (other,) = [replica for replica in replicas if replica is not leader]
    # Sent to the one that does not lead.
    job_id = other.create_job("dive")
    pod = pretend_node.next_pod(namespace)
    pretend_node.run(pod)
    other.wait_for_state(job_id, "RUNNING")
    series = f'run="{job_id}"'
    wait_for("the leader shows the run", lambda: series in leader.metrics(), PATIENCE_S)
    assert series not in other.metrics()

    leader.kill()
    wait_for("the other leads", lambda: LEADS in other.metrics(), PATIENCE_S)
    wait_for("it shows the run", lambda: series in other.metrics(), PATIENCE_S)
    assert len(batch.list_namespaced_job(namespace).items) == 1
    pretend_node.finish(pod, 65)
    job = other.wait_for_state(job_id, "FAILED")
    leader.start()

    assert [attempt["exit_code"] for attempt in job["attempts"]] == [65]
    assert leader.job(job_id)["state"] == "FAILED"
    assert LEADS not in leader.metrics()
    leases = json.loads(control_plane.kubectl("get", "lease", "-n", namespace, "-o", "json"))["items"]
    assert [lease["spec"]["leaseTransitions"] for lease in leases] == [1]
