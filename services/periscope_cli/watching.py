"""Watches a job or a publication until it ends, and shows how it goes.

Watching changes nothing: whoever stops watching leaves the job running.
"""

from __future__ import annotations

from typing import Any

from periscope_cli.connection import Session
from periscope_cli.console import duration_text, percent
from periscope_cli.failures import FAILED, INTERRUPTED, CommandFailed
from periscope_cli.polling import poll
from periscope_cli.progress import ProgressLine

JOB_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")
PUBLICATION_ENDS = ("SUCCEEDED", "FAILED")

Document = dict[str, Any]


def watch_job(session: Session, job_id: str) -> Document:
    """Show progress until the job has ended, and return it.

    Raises:
        CommandFailed: the job failed or was cancelled, or Ctrl-C was pressed (the job then goes on).
    """
    view = JobView(session.progress())
    try:
        job = poll(session.training, f"/v1/jobs/{job_id}", JOB_ENDS, view.show, session.console)
    except KeyboardInterrupt as error:
        view.line.end()
        raise CommandFailed(
            f"interrupted; the job goes on.\n  watch it again: periscope jobs wait {job_id}\n"
            f"  cancel it:      periscope jobs cancel {job_id}",
            INTERRUPTED,
        ) from error
    view.line.end()
    if job["state"] != "SUCCEEDED":
        raise CommandFailed(job_failure(job), FAILED, job)
    return job


def watch_publication(session: Session, publication_id: str) -> Document:
    """Wait until the publication has ended, and return it. Raises CommandFailed when it failed."""
    line = session.progress()
    steps = {"QUEUED": 0.0, "RUNNING": 0.5}

    def show(publication: Document) -> None:
        state = publication["state"]
        told = f"{state.lower()} {publication.get('reason') or ''}".rstrip()
        line.show("publish", steps.get(state, 1.0), told, milestone=state in PUBLICATION_ENDS)

    path = f"/v1/publications/{publication_id}"
    publication = poll(session.training, path, PUBLICATION_ENDS, show, session.console)
    line.end()
    if publication["state"] != "SUCCEEDED":
        raise CommandFailed(f"the publication failed: {publication['reason']}", FAILED, publication)
    return publication


def job_failure(job: Document) -> str:
    """Why a job did not succeed, with the advice that there is."""
    error = job.get("error") or {}
    text = (
        f"the job {job['name']} ({job['id']}) {job['state'].lower()}: {error.get('error') or job['reason']}"
    )
    return f"{text}\n  {error['advice']}" if error.get("advice") else text


class JobView:
    """Turns a job's successive states into lines: one for each epoch, one that moves."""

    def __init__(self, line: ProgressLine) -> None:
        self.line = line
        self._state = ""
        self._epoch = 0.0

    def show(self, job: Document) -> None:
        """Show what is new."""
        if job["state"] != self._state:
            self._state = job["state"]
            ratio = 1.0 if self._state == "SUCCEEDED" else _ratio(job)
            self.line.show("train  ", ratio, _state_text(job), milestone=True)
        latest = job.get("latest_epoch")
        if latest is not None and latest["epoch"] != self._epoch:
            self._epoch = latest["epoch"]
            self.line.show("train  ", _ratio(job), _epoch_text(job, latest), milestone=True)
        if job["state"] == "RUNNING" and job.get("progress"):
            self.line.show("train  ", _ratio(job), _progress_text(job["progress"]))


def _ratio(job: Document) -> float:
    return float((job.get("progress") or {}).get("ratio", 0.0))


def _state_text(job: Document) -> str:
    attempts = len(job.get("attempts") or [])
    again = f" (attempt {attempts})" if attempts > 1 else ""
    reason = f": {job['reason']}" if job.get("reason") else ""
    return f"{job['state'].lower()}{again}{reason}"


def _losses(figures: Document) -> str:
    return f"bbox {figures['loss_bbox']:.3f} coverage {figures['loss_coverage']:.3f}"


def _progress_text(progress: Document) -> str:
    parts = [f"epoch {progress['epoch']:.1f}/{progress['epochs']:g}", f"loss {_losses(progress['train'])}"]
    val = progress.get("val")
    if val:
        parts.append(f"mAP {percent(val['digits_map'])}")
    parts.append(f"{progress['images_per_second']:.1f} img/s")
    parts.append(f"ETA {duration_text(progress.get('eta_s'))}")
    return "  ".join(parts)


def _epoch_text(job: Document, latest: Document) -> str:
    metrics = latest["metrics"]
    val = metrics["val"]
    epochs = job["training"].get("epochs")
    classes = ", ".join(f"{name} {percent(told['digits_map'])}" for name, told in val["classes"].items())
    eta = duration_text((job.get("progress") or {}).get("eta_s"))
    return (
        f"epoch {latest['epoch']:g}/{epochs}  train {_losses(metrics['train'])}  val {_losses(val)}  "
        f"mAP {percent(val['digits_map'])} ({classes})  ETA {eta}"
    )
