"""``periscope train``, ``periscope jobs`` and ``periscope publish``."""

from __future__ import annotations

from argparse import Namespace
from typing import Any
from urllib.parse import urlsplit

from periscope_cli.connection import Session, pages
from periscope_cli.console import duration_text, percent, table
from periscope_cli.datasets import ULID
from periscope_cli.failures import not_found
from periscope_cli.idempotency import keyed
from periscope_cli.watching import job_failure, watch_job, watch_publication

OPTIONS = ("epochs", "batch_size", "learning_rate", "seed")
SHOWN = ("recipe", *OPTIONS)

Document = dict[str, Any]


def run_train(session: Session, arguments: Namespace) -> None:
    """``periscope train``."""
    wish: Document = {"name": arguments.name, "dataset": arguments.dataset}
    if arguments.dataset_version is not None:
        wish["dataset_version"] = arguments.dataset_version
    if arguments.size is not None:
        wish["input"] = {"width": arguments.size[0], "height": arguments.size[1]}
    if arguments.recipe is not None:
        wish["recipe"] = arguments.recipe
    if arguments.allow_finding:
        wish["allow_findings"] = arguments.allow_finding
    given = {name: getattr(arguments, name) for name in OPTIONS}
    job = submit(session, wish | {name: value for name, value in given.items() if value is not None})
    if arguments.wait:
        session.console.note(f"job {job['name']} ({job['id']})")
        job = watch_job(session, job["id"])
        session.console.result(job, f"{job['id']}  {_best_text(job)}")
    else:
        session.console.result(job, job["id"])
        session.console.note(f"watch it: periscope jobs wait {job['id']}")


def run_list(session: Session, _: Namespace) -> None:
    """``periscope jobs``."""
    items = list(pages(session.training, "/v1/jobs"))
    rows = [
        (job["name"], job["state"], f"{job['dataset']['name']} v{job['dataset']['version']}",
         job["training"].get("epochs"), job["created_at"], job["id"])
        for job in items
    ]  # fmt: skip
    header = ("NAME", "STATE", "DATASET", "EPOCHS", "CREATED", "ID")
    session.console.result({"items": items}, table(header, rows))


def run_show(session: Session, arguments: Namespace) -> None:
    """``periscope jobs show``."""
    job = session.training.get(f"/v1/jobs/{find_job_id(session, arguments.job)}")
    session.console.result(job, _shown(job))


def run_wait(session: Session, arguments: Namespace) -> None:
    """``periscope jobs wait``."""
    job = watch_job(session, find_job_id(session, arguments.job))
    session.console.result(job, f"{job['id']}  {_best_text(job)}")


def run_cancel(session: Session, arguments: Namespace) -> None:
    """``periscope jobs cancel``."""
    job_id = find_job_id(session, arguments.job)
    job = session.training.post(f"/v1/jobs/{job_id}:cancel", headers=keyed())
    session.console.result(job, f"{job_id} will be cancelled")


def run_log(session: Session, arguments: Namespace) -> None:
    """``periscope jobs log``."""
    job_id = find_job_id(session, arguments.job)
    text = session.training.get(f"/v1/jobs/{job_id}/log") or ""
    session.console.result({"job_id": job_id, "log": str(text)}, str(text).rstrip("\n"))


def run_publish(session: Session, arguments: Namespace) -> None:
    """``periscope publish``."""
    job_id = find_job_id(session, arguments.job)
    publication = publish(session, job_id, arguments.epoch, arguments.model, arguments.alias or ["latest"])
    if not arguments.wait:
        session.console.result(publication, publication["id"])
        return
    publication = watch_publication(session, publication["id"])
    session.console.result(publication, publication_text(publication))


def submit(session: Session, wish: Document, key: str | None = None) -> Document:
    """Make a job; with the key of an earlier request, find that one's job again."""
    job: Document = session.training.post("/v1/jobs", json=wish, headers=keyed(key))
    return job


def publish(
    session: Session, job_id: str, epoch: str, model: str, aliases: list[str], key: str | None = None
) -> Document:
    """Begin to publish an epoch and return the publication."""
    path = f"/v1/jobs/{job_id}/epochs/{epoch}:publish"
    body = {"model": model, "aliases": aliases}
    answer = session.training.call("POST", path, json=body, headers=keyed(key))
    location = urlsplit(answer.headers["Location"]).path
    publication: Document = session.training.get(location)
    return publication


def publication_text(publication: Document) -> str:
    """One line on a finished publication."""
    aliases = ", ".join(publication["aliases"])
    return f"{publication['model']} version {publication['version']} ({aliases})"


def find_job_id(session: Session, reference: str) -> str:
    """The id itself, or the newest job of this name. Raises CommandFailed where there is none."""
    if ULID.fullmatch(reference):
        return reference
    named = [job["id"] for job in pages(session.training, "/v1/jobs") if job["name"] == reference]
    if not named:
        raise not_found(f"there is no job {reference!r}; `periscope jobs` shows what there is")
    return str(max(named))


def _best_text(job: Document) -> str:
    best = job.get("best_epoch")
    if best is None:
        return job["state"].lower()  # type: ignore[no-any-return] # a string of the service's answer
    val = best["metrics"]["val"]
    classes = ", ".join(f"{name} {percent(told['digits_map'])}" for name, told in val["classes"].items())
    return (
        f"{job['state'].lower()}, best epoch {best['epoch']:g}: mAP {percent(val['digits_map'])} ({classes})"
    )


def _shown(job: Document) -> str:
    network, training = job["network"], job["training"]
    lines = [
        f"{job['name']}  ({job['id']})",
        f"  state    {job['state']}  {job.get('reason') or ''}".rstrip(),
        f"  dataset  {job['dataset']['name']} version {job['dataset']['version']}",
        f"  network  {network['width']}x{network['height']}, {', '.join(network['classes'])}",
        f"  recipe   {', '.join(f'{name} {training[name]}' for name in SHOWN if name in training)}",
    ]
    progress = job.get("progress")
    if progress:
        lines.append(
            f"  progress {percent(progress['ratio'])}, epoch {progress['epoch']:.2f}, "
            f"ETA {duration_text(progress.get('eta_s'))}"
        )
    lines.append(f"  result   {_best_text(job)}")
    if job["state"] == "FAILED":
        lines.append(job_failure(job))
    return "\n".join(lines)
