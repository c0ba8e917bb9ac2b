"""The training service's loop on a real API server: the store is in memory, the node is played by the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from kubernetes import client

from periscope import keys
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.wire.jobs import JobRequest
from periscope_training import job_document
from periscope_training.kubernetes_api import Cluster
from periscope_training.kubernetes_launcher import KubernetesLauncher
from periscope_training.launcher import Run
from periscope_training.pod_records import PodRecords
from periscope_training.reconcile import LoopSettings, Reconciler
from periscope_training.submit import Submissions
from tests.cluster.control_plane import ControlPlane
from tests.cluster.played_kubelet import TellingApi, settings_for
from tests.cluster.pretend_node import PretendNode, wait_for
from tests.fakes import MemoryStore
from tests.unit.periscope_training.house import FakeDatasets


class TrainingHouse:
    """One training service on one namespace."""

    def __init__(self, plane: ControlPlane, namespace: str, node: PretendNode, **settings: Any) -> None:
        self.namespace = namespace
        self.node = node
        self.store = MemoryStore()
        self.logs: dict[str, bytes] = {}
        self.core = client.CoreV1Api(plane.api())
        self.batch = client.BatchV1Api(plane.api())
        self.settings = settings_for(namespace, **settings)
        self.ahead = timedelta()
        self.documents = Documents(self.store)
        self.submissions = Submissions(self.documents, self.store, FakeDatasets(), 1, self.now)
        self.start(TellingApi(plane, namespace, self.logs))

    def start(self, cluster: Cluster) -> None:
        """A service that remembers nothing."""
        self.documents = Documents(self.store)
        self.launcher = KubernetesLauncher(cluster, self.settings, PodRecords(self.store), self.now)
        loop = LoopSettings(
            max_concurrent_jobs=5,
            retry_backoff_s=0.01,
            job_token_lifetime=timedelta(days=1),
            progress_url=lambda job_id, attempt: f"http://t/{job_id}/{attempt}",
            job_token=lambda job_id, attempt, until: f"{job_id}-{attempt}-{until.timestamp()}",
            max_interruptions=self.settings.max_preemptions,
        )
        self.reconciler = Reconciler(self.documents, self.store, self.launcher, loop, self.now)

    def now(self) -> datetime:
        """The service's clock, which may be wrong."""
        return utc_now() + self.ahead

    def add_job(self) -> str:
        return self.submissions.submit_job(JobRequest(name="dive", dataset="pool"), None).id

    def job(self, job_id: str) -> dict[str, Any]:
        return self.documents.get("jobs", job_id).body

    def cancel(self, job_id: str) -> None:
        self.documents.update("jobs", job_id, lambda body: job_document.ask_cancel(body, self.now()))

    def complete_training(self, job_id: str) -> None:
        self.documents.update("checkpoints", job_id, lambda body: {**body, "complete": True})

    def until(self, what: str, is_so: Callable[[], Any], timeout_s: float = 30) -> Any:
        """Run the loop until something is so."""

        def look() -> Any:
            self.reconciler.reconcile_all()
            return is_so()

        return wait_for(what, look, timeout_s)

    def until_state(self, job_id: str, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] == state else None

        found: dict[str, Any] = self.until(f"{job_id} is {state}", look)
        return found

    def until_attempt_ended(self, job_id: str, number: int = 1) -> dict[str, Any]:
        """The document once the attempt has ended, whatever comes after it."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            ended = [entry for entry in job["attempts"] if entry["number"] == number and entry["ended_at"]]
            return job if ended else None

        found: dict[str, Any] = self.until(f"attempt {number} ended", look)
        return found

    def until_pod(self) -> Any:
        """A pod that the scheduler has given to the node and nobody has run."""

        def look() -> Any:
            fresh = [pod for pod in self.node.pods(self.namespace) if pod.status.phase == "Pending"]
            return fresh[0] if fresh else None

        return self.until("a pod is on the node", look)

    def running_job(self, log: bytes = b"running\n") -> tuple[str, Any]:
        """A job whose first pod runs."""
        job_id = self.add_job()
        pod = self.until_pod()
        self.run(pod, log)
        self.until_state(job_id, "RUNNING")
        return job_id, pod

    def run(self, pod: Any, log: bytes = b"running\n") -> None:
        self.logs[pod.metadata.name] = log
        self.node.run(pod)

    def wait_with(self, pod: Any, reason: str, message: str) -> None:
        """Report that a pod's container cannot be started, as a kubelet does."""
        waiting = {"name": "trainer", "image": "", "imageID": "", "ready": False, "restartCount": 0}
        state = {"waiting": {"reason": reason, "message": message}}
        status = {"phase": "Pending", "containerStatuses": [{**waiting, "state": state}]}
        self.core.patch_namespaced_pod_status(pod.metadata.name, self.namespace, {"status": status})

    def launcher_log(self, job_id: str) -> str:
        """What a user reads while the attempt is under way."""
        run = Run(job_id, 1, self.job(job_id)["attempts"][0]["launcher"])
        return self.launcher.log(run).decode()

    def archived_log(self, job_id: str, attempt: int = 1) -> str:
        return self.store.get(keys.attempt_log(job_id, attempt)).body.decode()

    def jobs(self) -> list[str]:
        return [job.metadata.name for job in self.batch.list_namespaced_job(self.namespace).items]
