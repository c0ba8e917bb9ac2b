"""URLs of jobs and what the training program says about them; decisions are made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from detectnet.recipes import RECIPES
from periscope import job_tokens, keys
from periscope.clock import to_rfc3339
from periscope.documents import Document, Documents
from periscope.ids import is_id
from periscope.store import ObjectMissing, ObjectStore
from periscope.web.auth import current_principal, public, requires
from periscope.web.long_poll import LongPolls
from periscope.web.pages import page
from periscope.web.problems import BadRequest, ConflictProblem, NotFound, Unauthorized
from periscope.wire.base import PageQuery, ResponseModel
from periscope.wire.jobs import (
    EpochList,
    HistoryResponse,
    JobList,
    JobRequest,
    JobResponse,
    ProgressRequest,
    RecipeList,
)
from periscope_training import answers, job_document
from periscope_training.job_document import CHECKPOINT_KIND, KIND, is_final, job_of
from periscope_training.launcher import Launcher, Run
from periscope_training.progress import ProgressRecords
from periscope_training.submit import Submissions

MAX_CURVE_POINTS = 2000
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


class CurveQuery(BaseModel):
    """How finely to tell a curve."""

    points: int = Field(200, ge=2, le=MAX_CURVE_POINTS, description="Progress records at most")


class LogQuery(BaseModel):
    """Whose log."""

    attempt: int | None = Field(None, ge=1, description="Default: the newest")


def job_routes(api: Api) -> APIBlueprint:
    """Create, list, look, cancel."""
    routes = APIBlueprint("jobs", __name__, abp_tags=[JOBS])

    @routes.post("/v1/jobs", responses={HTTPStatus.ACCEPTED: JobResponse})
    @requires("editor")
    def create_job(body: JobRequest) -> Response:
        """Queue a training job; the same Idempotency-Key never makes a second one."""
        document = api.submissions.submit_job(body, idempotency_key())
        api.wake()
        return accepted(describe_job(api, document), f"/v1/jobs/{document.id}")

    @routes.get("/v1/jobs", responses={HTTPStatus.OK: JobList})
    @requires("viewer")
    def list_jobs(query: JobsQuery) -> Response:
        """Jobs, oldest first."""
        wanted = {name: value for name in ("state", "name") if (value := getattr(query, name)) is not None}
        jobs = [document for document in api.documents.list(KIND) if wanted.items() <= document.body.items()]
        chosen, token = page(jobs, query.page_size, query.page_token, lambda document: document.id)
        return answer(JobList(items=[answers.job_summary(job) for job in chosen], next_page_token=token))

    @routes.get("/v1/jobs/<job_id>", responses={HTTPStatus.OK: JobResponse})
    @requires("viewer")
    def get_job(path: JobPath, query: WaitQuery) -> Response:
        """How a job stands; with ``wait`` the answer comes when the job has ended, or after the wait."""
        job_id = require_job(path.job_id)
        document = api.polls.wait(
            lambda: api.documents.get(KIND, job_id), lambda seen: is_final(seen.body), query.seconds
        )
        return answer(describe_job(api, document))

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post("/v1/jobs/<string:job_id>:cancel", responses={HTTPStatus.ACCEPTED: JobResponse})
    @requires("editor")
    def cancel_job(path: JobPath) -> Response:
        """Ask a job to end; it keeps its checkpoints and epochs. No effect on an ended one."""
        job_id = require_job(path.job_id)
        document = api.documents.update(KIND, job_id, lambda body: job_document.ask_cancel(body, api.now()))
        api.wake()
        return accepted(describe_job(api, document), f"/v1/jobs/{job_id}")

    @routes.get("/v1/recipes", responses={HTTPStatus.OK: RecipeList})
    @requires("viewer")
    def list_recipes() -> Response:
        """What each recipe sets."""
        return answer(RecipeList(items=[{"name": name, **options} for name, options in RECIPES.items()]))

    return routes


def curve_routes(api: Api) -> APIBlueprint:
    """What a job has done so far."""
    routes = APIBlueprint("curves", __name__, abp_tags=[JOBS])

    @routes.get("/v1/jobs/<job_id>/history", responses={HTTPStatus.OK: HistoryResponse})
    @requires("viewer")
    def get_history(path: JobPath, query: CurveQuery) -> Response:
        """The curves: figures of each saved epoch, and progress records in between."""
        job_id = require_job(path.job_id)
        epochs = answers.epoch_responses(checkpoint_of(api, job_id)["epochs"])
        return answer(HistoryResponse(epochs=epochs, progress=api.progress.curve(job_id, query.points)))

    @routes.get("/v1/jobs/<job_id>/epochs", responses={HTTPStatus.OK: EpochList})
    @requires("viewer")
    def list_epochs(path: JobPath, query: PageQuery) -> Response:
        """The saved epochs, oldest first; each can be published."""
        epochs = answers.epoch_responses(checkpoint_of(api, require_job(path.job_id))["epochs"])
        chosen, token = page(epochs, query.page_size, query.page_token, lambda epoch: f"{epoch.step:012d}")
        return answer(EpochList(items=chosen, next_page_token=token))

    @routes.get("/v1/jobs/<job_id>/log")
    @requires("viewer")
    def get_log(path: JobPath, query: LogQuery) -> Response:
        """What an attempt has written, as text; of a very long one the end."""
        job = api.documents.get(KIND, require_job(path.job_id))
        return Response(read_log(api, job, query.attempt), content_type="text/plain; charset=utf-8")

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
    return answers.job_response(document, epochs, record, api.now())


def read_log(api: Api, document: Document, number: int | None) -> bytes:
    """The archived log, or what a running attempt has written so far. Raises NotFound."""
    attempts = job_of(document.body).attempts
    attempt = next((entry for entry in reversed(attempts) if number in (None, entry.number)), None)
    if attempt is None:
        raise NotFound(
            "The job has not been started yet." if not attempts else f"It has no attempt {number}."
        )
    try:
        return api.store.get(keys.attempt_log(document.id, attempt.number)).body
    except ObjectMissing:
        if attempt.handle is None:
            return b""
        return api.launcher.log(Run(document.id, attempt.number, attempt.handle))


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
