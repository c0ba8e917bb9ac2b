"""The launcher for a cluster: each attempt is a Kubernetes Job that is made suspended and then let go.

The Job's name follows from job and attempt alone, so two services, or one that was killed in between, make
one Job. Kubernetes itself replaces a pod that its surroundings took away; whatever a pod wrote and how it
ended is put into the store while the pod is still there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from periscope_training.cluster_view import LiveView, View
from periscope_training.job_manifest import (
    ATTEMPT_LABEL,
    CONTAINER,
    HASH_ANNOTATION,
    JOB_LABEL,
    Manifest,
    headless_service,
    job_manifest,
    job_name,
    labels_of,
    selector,
)
from periscope_training.kubernetes_api import AlreadyThere, Cluster
from periscope_training.kubernetes_settings import KubernetesSettings, narrowed
from periscope_training.launcher import (
    Handle,
    Launch,
    LauncherUnavailable,
    LogTail,
    Observation,
    Phase,
    Run,
    RunRefused,
)
from periscope_training.pod_logs import PodLogTail
from periscope_training.pod_records import PodRecord, PodRecords, told_event, written
from periscope_training.pod_state import PodState, deciding_pod, gone, pod_state, told_end
from periscope_training.waiting_reasons import why_no_pod, why_pod_waits

READ_RECORDS_EVERY_S = 60.0
LOG_EVERY_S = 2.0
"""Between copies of the log of a pod that is on its way out."""


class KubernetesLauncher:
    """See :class:`periscope_training.launcher.Launcher`."""

    def __init__(
        self,
        cluster: Cluster,
        settings: KubernetesSettings,
        records: PodRecords,
        now: Callable[[], datetime],
        view: View | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._view = view or LiveView(cluster)
        self._settings = settings
        self._records = records
        self._now = now
        self._monotonic = monotonic
        self._kept: dict[str, tuple[PodState, float]] = {}
        self._known: dict[tuple[str, int], tuple[float, dict[str, PodState]]] = {}

    def create(self, launch: Launch) -> Handle:
        """Make the suspended Job, or adopt it when it is there already; see Launcher."""
        settings = narrowed(self._settings, launch.resources)
        manifest = job_manifest(launch, settings)
        job = self._create_or_adopt(manifest)
        uid = str(job["metadata"]["uid"])
        if settings.nodes > 1:
            self._create_service(headless_service(launch, settings, uid))
        return {"job": manifest["metadata"]["name"], "uid": uid}

    def _create_or_adopt(self, manifest: Manifest) -> Mapping[str, Any]:
        name = manifest["metadata"]["name"]
        try:
            return self._cluster.create_job(manifest)
        except AlreadyThere:
            found = self._cluster.job(name)
            if found is None:
                raise LauncherUnavailable(f"the Job {name} is there and is not; looking again") from None
        except LauncherUnavailable:
            # It may have been made all the same.
            found = self._cluster.job(name)
            if found is None:
                raise
        _require_same(found, manifest)
        return found

    def _create_service(self, manifest: Manifest) -> None:
        try:
            self._cluster.create_service(manifest)
        except AlreadyThere:
            return

    def release(self, run: Run) -> None:
        """End the suspension; with a queue that is Kueue's to do."""
        if self._settings.queue is None:
            self._cluster.release_job(run.handle["job"], run.handle["uid"])

    def observe(self, run: Run) -> Observation:
        """Look at the Job and its pods, and keep what is about to go."""
        job = self._job(run)
        pods = self._look_at_pods(run)
        live = [pod for pod in pods if not pod.ended]
        preemptions = sum(1 for pod in pods if pod.preempted)
        started = any(pod.started for pod in pods)
        if lost := next((pod for pod in live if pod.is_lost(self._now())), None):
            return _lost(lost, preemptions)
        if any(pod.running for pod in live):
            return Observation(Phase.RUNNING, preemptions=preemptions)
        if live:
            message = why_pod_waits(live[-1].wait_reason, live[-1].wait_message)
            return Observation(Phase.WAITING, started=started, message=message, preemptions=preemptions)
        if job is None:
            return _ended(pods, "the Kubernetes Job was deleted", disrupted=True)
        return self._observe_without_pod(job, pods, preemptions)

    def _observe_without_pod(
        self, job: Mapping[str, Any], pods: Sequence[PodState], preemptions: int
    ) -> Observation:
        conditions = {
            condition["type"]: condition
            for condition in (job.get("status") or {}).get("conditions") or []
            if condition["status"] == "True"
        }
        for kind in ("Failed", "Complete"):
            if kind in conditions:
                return _ended(pods, _told_job(conditions[kind]), disrupted=False)
        if job["spec"].get("suspend") and not pods:
            queue = self._settings.queue is not None
            phase = Phase.WAITING if queue else Phase.CREATED
            message = why_no_pod([], queued=True) if queue else ""
            return Observation(phase, started=False, message=message)
        if pods and not pods[-1].preempted:
            # It has ended, and the Job controller is about to say what that means.
            return Observation(Phase.RUNNING, preemptions=preemptions)
        events = self._cluster.events("Job", job["metadata"]["name"])
        message = why_no_pod(events, queued=bool(job["spec"].get("suspend")))
        return Observation(Phase.WAITING, started=bool(pods), message=message, preemptions=preemptions)

    def stop(self, run: Run) -> None:
        """Delete the Job: its pods get SIGTERM and their grace period, then it goes too."""
        self._cluster.delete_job(run.handle["job"], run.handle["uid"], "Foreground")

    def log(self, run: Run) -> bytes:
        """What the attempt's pods wrote, one after the other."""
        records = {record.pod.uid: record for record in self._records.load(run.job_id, run.attempt)}
        for pod in self._pods(run):
            log = self._cluster.log(pod.name, CONTAINER) if pod.started else b""
            kept = records.get(pod.uid, PodRecord(pod))
            records[pod.uid] = PodRecord(pod, log or kept.log, kept.events)
        ordered = sorted(records.values(), key=lambda record: (record.pod.created_at, record.pod.name))
        return b"".join(written(record, alone=len(ordered) == 1) for record in ordered)

    def follow(self, run: Run) -> LogTail:
        """What the attempt's pods write, one after the other."""
        return PodLogTail(
            self._cluster, lambda: self._pods(run), lambda: self._records.load(run.job_id, run.attempt)
        )

    def delete(self, job_id: str, attempt: int) -> None:
        """Delete the attempt's Job; its pods end within their grace period, and count no more."""
        for uid in self._known.pop((job_id, attempt), (0.0, {}))[1]:
            self._kept.pop(uid, None)
        name = job_name(job_id, attempt)
        job = self._cluster.job(name)
        if job is None or job["metadata"].get("labels", {}).get(JOB_LABEL) != job_id:
            return
        self._cluster.delete_job(name, job["metadata"]["uid"], "Background")

    def runs(self) -> list[tuple[str, int]]:
        """The attempts that have a Job of this installation."""
        found = set()
        for job in self._cluster.jobs(selector(self._settings.instance)):
            labels = job["metadata"]["labels"]
            if job["metadata"].get("deletionTimestamp") is None:
                found.add((labels[JOB_LABEL], int(labels[ATTEMPT_LABEL])))
        return sorted(found)

    def forget(self, job_id: str) -> None:
        """Nothing is kept outside the pods."""

    def kept_jobs(self) -> list[str]:
        """None: see :meth:`forget`."""
        return []

    def close(self) -> None:
        """Trainings outlive the service; the watches do not."""
        self._view.close()

    def _job(self, run: Run) -> Mapping[str, Any] | None:
        job = self._view.job(run.handle["job"])
        return job if job is not None and job["metadata"]["uid"] == run.handle["uid"] else None

    def _pods(self, run: Run) -> list[PodState]:
        return [pod_state(pod) for pod in self._view.pods(self._labels(run))]

    def _labels(self, run: Run) -> dict[str, str]:
        return labels_of(run.job_id, run.attempt, self._settings.instance)

    def _look_at_pods(self, run: Run) -> list[PodState]:
        """All pods the attempt has had, the oldest first, those that are gone as they were last seen."""
        present = self._pods(run)
        for pod in present:
            if pod.ended or pod.leaving_until:
                self._keep(run, pod)
        there = {pod.uid for pod in present}
        for pod in map(pod_state, self._view.departed(self._labels(run))):
            kept = self._known_pods(run).get(pod.uid)
            if kept is None or not kept.ended:
                self._keep(run, gone(pod, self._now()))
        known = self._known_pods(run).values()
        past = [gone(pod, self._now()) for pod in known if pod.uid not in there]
        return sorted([*past, *present], key=lambda pod: (pod.created_at, pod.name))

    def _known_pods(self, run: Run) -> dict[str, PodState]:
        """The attempt's pods on record. Read anew now and then: another leader may have kept some."""
        key, now = (run.job_id, run.attempt), self._monotonic()
        read_at, known = self._known.get(key, (float("-inf"), {}))
        if now - read_at > READ_RECORDS_EVERY_S:
            known = {record.pod.uid: record.pod for record in self._records.load(*key)}
            self._known[key] = (now, known)
        return known

    def _keep(self, run: Run, pod: PodState) -> None:
        kept, kept_at = self._kept.get(pod.uid, (None, 0.0))
        now = self._monotonic()
        if kept == pod and (pod.ended or now - kept_at < LOG_EVERY_S):
            return
        log = self._cluster.log(pod.name, CONTAINER) if pod.started else b""
        if not log:
            # Its node may be gone by now; what was copied before stays.
            earlier = self._records.load(run.job_id, run.attempt)
            log = next((record.log for record in earlier if record.pod.uid == pod.uid), b"")
        told = tuple(told_event(event) for event in self._cluster.events("Pod", pod.name))
        self._records.save(run.job_id, run.attempt, PodRecord(pod, log, told))
        self._kept[pod.uid] = (pod, now)
        self._known_pods(run)[pod.uid] = pod


def _require_same(found: Mapping[str, Any], wanted: Manifest) -> None:
    name = wanted["metadata"]["name"]
    annotations = found["metadata"].get("annotations") or {}
    if annotations.get(HASH_ANNOTATION) != wanted["metadata"]["annotations"][HASH_ANNOTATION]:
        raise RunRefused(f"there is a Job {name} already that is not the same; it is left as it is")
    if found["metadata"].get("deletionTimestamp"):
        raise RunRefused(f"the Job {name} is being deleted")


def _lost(pod: PodState, preemptions: int) -> Observation:
    message = f"the node {pod.node} does not answer any more; what still runs there no longer counts"
    return Observation(Phase.ENDED, disrupted=True, message=message, preemptions=preemptions)


def _ended(pods: Sequence[PodState], otherwise: str, *, disrupted: bool) -> Observation:
    pod = deciding_pod(pods)
    if pod is None:
        return Observation(Phase.ENDED, started=False, disrupted=disrupted, message=otherwise)
    message = told_end(pod) or (otherwise if pod.exit_code in (None, 0) else "")
    return Observation(
        Phase.ENDED,
        pod.exit_code,
        started=any(each.started for each in pods),
        disrupted=bool(pod.disruption),
        message=message,
        preemptions=sum(1 for each in pods if each.preempted and each is not pod),
        out_of_memory=pod.out_of_memory,
    )


def _told_job(condition: Mapping[str, Any]) -> str:
    if condition.get("reason") == "DeadlineExceeded":
        return "the training ran for longer than it may (max_runtime_s)"
    return "" if condition["type"] == "Complete" else str(condition.get("message") or "")
