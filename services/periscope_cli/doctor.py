"""``periscope doctor``: what is right, what is not, and what to do about it.

Each check answers with a finding and never raises: one that fails tells why, and the next is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import urlsplit

import requests
import typer

from periscope.client import ServiceError, ServiceProblem
from periscope_cli.command import session_of
from periscope_cli.console import size_text
from periscope_cli.failures import FAILED, CommandFailed
from periscope_cli.session import Session

SERVICES = {"dataset": "/v1/datasets", "training": "/v1/jobs", "registry": "/v1/models"}
MAX_SKEW_S = 60.0
TIMEOUT_S = 10.0
UNAUTHORIZED, FORBIDDEN = 401, 403

Status = Literal["ok", "warning", "error"]
MARKS = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    status: Status
    message: str
    advice: str = ""


def doctor_command(ctx: typer.Context) -> None:
    """Check addresses, token, store, clock, jobs and GPUs, and say what to do."""
    session = session_of(ctx)
    found = []
    for finding in examine(session):
        found.append(finding)
        session.console.note(f"{MARKS[finding.status]}  {finding.check}: {finding.message}")
        if finding.advice:
            session.console.note(f"         {finding.advice}")
    document = {"items": [asdict(finding) for finding in found]}
    errors = sum(finding.status == "error" for finding in found)
    if errors:
        raise CommandFailed(f"{errors} of {len(found)} checks failed", FAILED, document)
    session.console.result(document, f"{len(found)} checks, no error")


def examine(session: Session) -> Iterator[Finding]:
    """All findings, in the order of what depends on what."""
    answering = []
    for service in SERVICES:
        finding = check_service(session, service)
        yield finding
        if finding.status != "error":
            answering.append(service)
    if answering:
        yield check_clock(session, answering[0])
    checks: dict[str, Callable[[Session], Iterator[Finding]]] = {
        "training": check_training,
        "registry": check_store,
    }
    for service, check in checks.items():
        if service in answering:
            try:
                yield from check(session)
            except ServiceError as error:
                yield Finding(service, "error", str(error), "look at this service's log")


def check_service(session: Session, service: str) -> Finding:
    """Whether a service answers and takes the token."""
    name = f"{service} service"
    try:
        client = getattr(session, service)
        client.get(SERVICES[service], params={"page_size": 1})
    except ServiceProblem as error:
        if error.status == UNAUTHORIZED:
            return Finding(name, "error", f"{client.base_url} does not know the token", "periscope login")
        if error.status == FORBIDDEN:
            advice = "a token of a robot is for its agent only; take one of the role viewer, editor or admin"
            return Finding(name, "error", f"{client.base_url}: {error}", advice)
        return Finding(name, "error", f"{client.base_url}: {error}", "look at this service's log")
    except ServiceError as error:
        advice = "check the address, and whether the service runs (`kubectl get pods`, `make status`)"
        return Finding(name, "error", str(error), advice)
    return Finding(name, "ok", f"{client.base_url} answers, and takes the token")


def check_clock(session: Session, service: str) -> Finding:
    """Whether this machine's clock and the service's agree: signed addresses and tokens of jobs need that."""
    client = getattr(session, service)
    answer = client.call("GET", SERVICES[service], params={"page_size": 1})
    if "Date" not in answer.headers:
        return Finding("clock", "warning", "the service does not tell its time")
    skew_s = time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    told = f"this machine and the {service} service are {abs(skew_s):.0f} s apart"
    if abs(skew_s) > MAX_SKEW_S:
        advice = "set both by NTP: a robot's TLS and the store's signed addresses depend on it"
        return Finding("clock", "error", told, advice)
    return Finding("clock", "ok", told)


def check_training(session: Session) -> Iterator[Finding]:
    """Jobs that wait, and the GPUs that the training service sees."""
    waiting = [
        job for state in ("QUEUED", "PENDING", "WAITING") for job in session.api.jobs.list(state=state)
    ]
    if not waiting:
        yield Finding("queue", "ok", "no job waits")
    for job in waiting[:5]:
        told = f"{job.name} ({job.id}) is {job.state.lower()}: {job.reason or 'no reason given'}"
        yield Finding("queue", "warning", told, f"periscope jobs show {job.id}")
    found = session.api.jobs.gpus()
    told = ", ".join(f"{gpu.name} {size_text(gpu.memory_bytes)}" for gpu in found.gpus)
    if found.gpus:
        yield Finding("GPUs", "ok", told)
    elif found.launcher == "kubernetes":
        yield Finding("GPUs", "ok", f"trainings run on the cluster, {found.gpus_per_job} GPU(s) each")
    else:
        yield Finding("GPUs", "warning", "none: trainings run on the CPU", "good for a trial, slow for more")


def check_store(session: Session) -> Iterator[Finding]:
    """Whether the store's public address can be reached from here: uploads and downloads go there."""
    for model in session.api.models.list():
        if model.latest_version is None:
            continue
        path = f"/v1/models/{model.name}/versions/{model.latest_version}/zip"
        url = session.registry.call("GET", path).headers["Location"]
        host = urlsplit(url).netloc
        try:
            answer = requests.get(url, headers={"Range": "bytes=0-0"}, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            advice = "PERISCOPE's S3_PUBLIC_ENDPOINT must be an address that users and robots reach"
            yield Finding("object store", "error", f"{host} cannot be reached from here: {error}", advice)
            return
        if answer.ok:
            yield Finding("object store", "ok", f"{host} gives out zips")
        else:
            advice = "its clock, its keys, or a proxy that changes the request; `?proxy=1` goes around it"
            yield Finding("object store", "error", f"{host} answers {answer.status_code}", advice)
        return
    yield Finding("object store", "warning", "not tried: no model is there to download yet")
