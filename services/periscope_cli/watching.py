"""Watches a job or a publication until it ends, and shows how it goes.

Watching changes nothing: whoever stops watching leaves the job running.
"""

from __future__ import annotations

from typing import Any

from periscope.wire.jobs import JobResponse
from periscope.wire.publications import PublicationResponse
from periscope_cli.client.jobs import PUBLICATION_ENDS
from periscope_cli.console import duration_text, percent
from periscope_cli.errors import Ended
from periscope_cli.failures import FAILED, CommandFailed, interruptible
from periscope_cli.job_texts import job_failure
from periscope_cli.progress import ProgressLine
from periscope_cli.session import Session

Document = dict[str, Any]


def watch_job(session: Session, job_id: str) -> Document:
    """Show progress until the job has ended, and return it.

    Raises:
        CommandFailed: the job failed or was cancelled, or Ctrl-C was pressed (the job then goes on).
    """
    view = JobView(session.progress())

    def show(job: JobResponse) -> None:
        view.show(job.model_dump(mode="json"))

    try:
        with interruptible(job_goes_on(job_id)):
            return session.api.jobs.wait(job_id, show, session.console.note).model_dump(mode="json")
    except Ended as error:
        ended = error.answer.model_dump(mode="json")
        raise CommandFailed(job_failure(ended), FAILED, ended) from error
    finally:
        view.line.end()


def job_goes_on(job_id: str) -> str:
    """For somebody who stops watching."""
    return (
        f"the job goes on.\n  watch it again: periscope watch {job_id}\n"
        f"  cancel it:      periscope jobs cancel {job_id}"
    )


def watch_publication(session: Session, publication_id: str) -> Document:
    """Wait until the publication has ended, and return it.

    Raises:
        Ended: it failed.
        CommandFailed: Ctrl-C was pressed (the publication then goes on).
    """
    line = session.progress()
    steps = {"QUEUED": 0.0, "RUNNING": 0.5}

    def show(publication: PublicationResponse) -> None:
        state = publication.state
        told = f"{state.lower()} {publication.reason}".rstrip()
        line.show("publish", steps.get(state, 1.0), told, milestone=state in PUBLICATION_ENDS)

    jobs = session.api.jobs
    try:
        with interruptible("the publication goes on; `periscope models` shows what becomes of it"):
            return jobs.wait_for_publication(publication_id, show, session.console.note).model_dump(
                mode="json"
            )
    finally:
        line.end()


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
