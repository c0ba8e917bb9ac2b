"""URLs of jobs and what the training program says about them; decisions are made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from periscope import job_tokens
from periscope.clock import to_rfc3339
from periscope.documents import Document, Documents
from periscope.ids import is_id
from periscope.store import ObjectStore
from periscope.web.auth import current_principal, public, requires
from periscope.web.long_poll import LongPolls
from periscope.web.pages import page
from periscope.web.problems import BadRequest, ConflictProblem, NotFound, Unauthorized
from periscope.wire.base import PageQuery, RequestModel, ResponseModel
from periscope.wire.job_changes import PlanResponse
from periscope.wire.jobs import JobList, JobRequest, JobResponse, ProgressRequest
from periscope_training import answers, job_document
from periscope_training.actions import State
from periscope_training.deletions import is_leaving
from periscope_training.job_document import CHECKPOINT_KIND, KIND, is_final, job_of
from periscope_training.launcher import Launcher
from periscope_training.listing import fits, queue_positions
from periscope_training.progress import ProgressRecords
from periscope_training.submit import Submissions

MAX_IDEMPOTENCY_KEY = 200

JOBS = Tag(name="jobs", description="Training jobs, their progress and curves")


@dataclass(frozen=True)
class Api:
    """What the routes work with."""

    documents: Documents
    store: ObjectStore
    launcher: Launcher
    submissions: Submissions
    progress: ProgressRecords
    polls: LongPolls
    job_token_secret: str
    manifest_of: Callable[[JobRequest], dict[str, Any] | None]
    """The Kubernetes Job that a request would lead to; None where jobs are processes."""
    wake: Callable[[], None]
    """Tell the background work that there is something to do."""
    now: Callable[[], datetime]


class JobPath(BaseModel):
    """Names a job."""

    job_id: str


class AttemptPath(JobPath):
    """Names an attempt of a job."""

    attempt: int = Field(ge=1, le=10_000)


class WaitQuery(BaseModel):
    """How long to hold the answer back."""

    wait: str = Field(
        "0s", pattern=r"^([0-9]|[1-5][0-9]|60)s$", description="Until it has ended, at most 60s"
    )

    @property
    def seconds(self) -> float:
        """The wait as a number."""
        return float(self.wait.removesuffix("s"))


class JobsQuery(PageQuery):
    """Which jobs to list."""

    state: str | None = Field(None, max_length=20)
    name: str | None = Field(None, max_length=100)
    group: str | None = Field(None, max_length=100)
    dataset: str | None = Field(None, max_length=100, description="Id or name")
    label: list[Annotated[str, Field(max_length=130)]] = Field(
        default=[], max_length=8, description="key=value; all must fit"
    )


class CreateQuery(RequestModel):
    """Whether to make the job at all."""

    dry_run: bool = Field(False, description="Only tell what would run; answered with 200")


def job_routes(api: Api) -> APIBlueprint:
    """Create, list, look, cancel."""
    routes = APIBlueprint("jobs", __name__, abp_tags=[JOBS])

    @routes.post("/v1/jobs", responses={HTTPStatus.ACCEPTED: JobResponse, HTTPStatus.OK: PlanResponse})
    @requires("editor")
    def create_job(query: CreateQuery, body: JobRequest) -> Response:
        """Queue a training job; the same Idempotency-Key never makes a second one."""
        if query.dry_run:
            spec, _ = api.submissions.plan_job(body)
            return answer(answers.plan_response(spec, api.manifest_of(body)))
        document = api.submissions.submit_job(body, idempotency_key())
        api.wake()
        return accepted(describe_job(api, document), f"/v1/jobs/{document.id}")

    @routes.get("/v1/jobs", responses={HTTPStatus.OK: JobList})
    @requires("viewer")
    def list_jobs(query: JobsQuery) -> Response:
        """Jobs, oldest first."""
        every = [document for document in api.documents.list(KIND) if not is_leaving(document.body)]
        positions = queue_positions(every)
        wanted = {name: getattr(query, name) for name in ("state", "name", "group", "dataset")}
        found = [job for job in every if fits(job.body, wanted, query.label)]
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [answers.job_summary(job, positions.get(job.id)) for job in chosen]
        return answer(JobList(items=items, next_page_token=token))

    @routes.get("/v1/jobs/<job_id>", responses={HTTPStatus.OK: JobResponse})
    @requires("viewer")
    def get_job(path: JobPath, query: WaitQuery) -> Response:
        """How a job stands; with ``wait`` the answer comes when the job has ended, or after the wait."""
        job_id = require_job(path.job_id)
        document = api.polls.wait(
            lambda: find_job(api, job_id), lambda seen: is_final(seen.body), query.seconds
        )
        response = answer(describe_job(api, document))
        response.set_etag(document.etag.strip('"'))
        return response

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post("/v1/jobs/<string:job_id>:cancel", responses={HTTPStatus.ACCEPTED: JobResponse})
    @requires("editor")
    def cancel_job(path: JobPath) -> Response:
        """Ask a job to end; it keeps its checkpoints and epochs. No effect on an ended one."""
        job_id = require_job(path.job_id)
        document = api.documents.update(KIND, job_id, lambda body: job_document.ask_cancel(body, api.now()))
        api.wake()
        return accepted(describe_job(api, document), f"/v1/jobs/{job_id}")

    return routes


def progress_routes(api: Api) -> APIBlueprint:
    """Where the training program reports; it has a token of its own for each attempt."""
    routes = APIBlueprint("progress", __name__, abp_tags=[JOBS])

    @routes.post("/v1/jobs/<job_id>/attempts/<int:attempt>/progress")
    @public
    def post_progress(path: AttemptPath, body: ProgressRequest) -> Response:
        """Keep a progress record of the attempt that runs."""
        require_job_token(api, path)
        job = job_of(api.documents.get(KIND, path.job_id).body)
        if job.open_attempt is None or job.open_attempt.number != path.attempt:
            raise ConflictProblem("this attempt has ended, or a newer one took over")
        received_at = to_rfc3339(api.now())
        record = {**body.model_dump(mode="json"), "attempt": path.attempt, "received_at": received_at}
        api.progress.save(path.job_id, body.step, record)
        return Response(status=HTTPStatus.NO_CONTENT)

    return routes


def find_job(api: Api, job_id: str) -> Document:
    """The job, unless it is being removed. Raises NotFound and DocumentMissing."""
    document = api.documents.get(KIND, require_job(job_id))
    if is_leaving(document.body):
        raise NotFound(f"The job {job_id} has been deleted.")
    return document


def require_job(job_id: str) -> str:
    """The id itself, when it can be one. Raises NotFound."""
    if not is_id(job_id):
        raise NotFound(f"There is no job {job_id!r}; a job's id has 26 characters.")
    return job_id


def require_job_token(api: Api, path: AttemptPath) -> None:
    """Let only the attempt itself pass. Raises Unauthorized."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    known = job_tokens.verify(api.job_token_secret, token, require_job(path.job_id), path.attempt, api.now())
    if scheme.lower() != "bearer" or not known:
        raise Unauthorized("this needs the attempt's own token, and it must not have expired")


def checkpoint_of(api: Api, job_id: str) -> Mapping[str, Any]:
    """The job's checkpoint document. Raises DocumentMissing."""
    return api.documents.get(CHECKPOINT_KIND, job_id).body


def describe_job(api: Api, document: Document) -> JobResponse:
    """The job with what is known of its progress."""
    epochs = checkpoint_of(api, document.id)["epochs"] if document.body["attempts"] else []
    record = api.progress.latest(document.id) if document.body["attempts"] else None
    position = None
    if document.body["state"] == State.QUEUED:
        waiting = api.documents.matching(KIND, lambda body: body["state"] == State.QUEUED)
        position = queue_positions(waiting).get(document.id)
    return answers.job_response(document, epochs, record, api.now(), position)


def idempotency_key() -> str | None:
    """The request's key, made the caller's own; None where there is none. Raises BadRequest."""
    key = request.headers.get("Idempotency-Key")
    if not key:
        return None
    if len(key) > MAX_IDEMPOTENCY_KEY:
        raise BadRequest(f"Idempotency-Key must have at most {MAX_IDEMPOTENCY_KEY} characters")
    caller = current_principal()
    return f"{caller.role} {caller.name} {key}"


def answer(body: ResponseModel, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A body as JSON."""
    return Response(body.model_dump_json(), status, content_type="application/json")


def accepted(body: ResponseModel, location: str) -> Response:
    """What is under way, and where to look at it."""
    response = answer(body, HTTPStatus.ACCEPTED)
    response.headers["Location"] = location
    return response
