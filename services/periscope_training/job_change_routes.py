"""URLs that change jobs or make them of others; decisions are made in the rules and documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import ValidationError

from periscope.documents import Conflict, Document, DocumentMissing
from periscope.web.auth import requires
from periscope.web.problems import NotFound, PreconditionFailedProblem, validation_response
from periscope.wire.job_changes import (
    BatchItem,
    BatchRequest,
    BatchResponse,
    CloneRequest,
    CloneResponse,
    JobChange,
    SweepRequest,
    SweepResponse,
)
from periscope.wire.jobs import JobRequest, JobResponse
from periscope_training import answers, job_document
from periscope_training.deletions import Deletions
from periscope_training.job_changes import cloned_request, differences, sweep_requests
from periscope_training.job_document import KIND, NotNow
from periscope_training.routes import (
    JOBS,
    Api,
    JobPath,
    accepted,
    answer,
    describe_job,
    idempotency_key,
    require_job,
)

Body = dict[str, Any]
Change = Callable[[Body], Body]


def job_change_routes(api: Api, deletions: Deletions) -> APIBlueprint:
    """Pause, resume, rename, remove."""
    routes = APIBlueprint("job-changes", __name__, abp_tags=[JOBS])

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post("/v1/jobs/<string:job_id>:pause", responses={HTTPStatus.ACCEPTED: JobResponse})
    @requires("editor")
    def pause_job(path: JobPath) -> Response:
        """Ask a job to checkpoint and free its place; it waits until it is resumed."""
        return _changed(api, path, lambda body: job_document.ask_pause(body, api.now()))

    @routes.post("/v1/jobs/<string:job_id>:resume", responses={HTTPStatus.ACCEPTED: JobResponse})
    @requires("editor")
    def resume_job(path: JobPath) -> Response:
        """Queue a paused job; it goes on where it stopped, bit for bit."""
        return _changed(api, path, lambda body: job_document.ask_resume(body, api.now()))

    @routes.patch("/v1/jobs/<job_id>", responses={HTTPStatus.OK: JobResponse})
    @requires("editor")
    def change_job(path: JobPath, body: JobChange) -> Response:
        """Rename, regroup, note, label; with ``If-Match`` only what was read."""
        wanted = body.model_dump(exclude_none=True)
        document = _replace(api, require_job(path.job_id), lambda old: {**old, **wanted})
        response = answer(describe_job(api, document))
        response.set_etag(document.etag.strip('"'))
        return response

    @routes.delete("/v1/jobs/<job_id>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_job(path: JobPath) -> Response:
        """Remove an ended job, its epochs and logs; published models and pretrained models stay."""
        deletions.delete(require_job(path.job_id))
        return Response(status=HTTPStatus.NO_CONTENT)

    @routes.post("/v1/jobs:batch", responses={HTTPStatus.OK: BatchResponse})
    @requires("editor")
    def change_jobs(body: BatchRequest) -> Response:
        """One thing for many jobs; each says whether it was done."""
        items = [_try(job_id, lambda chosen: _do(api, deletions, body, chosen)) for job_id in body.ids]
        api.wake()
        return answer(BatchResponse(items=items))

    return routes


def new_job_routes(api: Api) -> APIBlueprint:
    """Jobs made of other jobs."""
    routes = APIBlueprint("new-jobs", __name__, abp_tags=[JOBS])

    @routes.post("/v1/jobs/<string:job_id>:clone", responses={HTTPStatus.ACCEPTED: CloneResponse})
    @requires("editor")
    def clone_job(path: JobPath, body: CloneRequest) -> Response:
        """Queue a job that asks for the same, with some fields replaced, and tell the differences."""
        old = api.documents.get(KIND, require_job(path.job_id))
        asked = cloned_request(_request_of(old), body.overrides)
        try:
            wanted = JobRequest.model_validate(asked)
        except ValidationError as error:
            return validation_response(error)
        new = api.submissions.submit_job(wanted, idempotency_key())
        api.wake()
        told = CloneResponse(job=describe_job(api, new), differences=differences(old.body, new.body))
        return accepted(told, f"/v1/jobs/{new.id}")

    @routes.post("/v1/sweeps", responses={HTTPStatus.ACCEPTED: SweepResponse})
    @requires("editor")
    def create_sweep(body: SweepRequest) -> Response:
        """Queue one job for each learning rate and batch size."""
        key = idempotency_key()
        requests = [JobRequest.model_validate(each) for each in sweep_requests(body)]
        jobs = api.submissions.submit_sweep(requests, key)
        api.wake()
        return answer(SweepResponse(jobs=[answers.job_summary(job) for job in jobs]), HTTPStatus.ACCEPTED)

    return routes


def _changed(api: Api, path: JobPath, change: Change) -> Response:
    document = api.documents.update(KIND, require_job(path.job_id), change)
    api.wake()
    return accepted(describe_job(api, document), f"/v1/jobs/{document.id}")


def _replace(api: Api, job_id: str, change: Change) -> Document:
    """Change, with ``If-Match`` only the body that the caller has read. Raises PreconditionFailedProblem."""
    wanted = request.if_match
    if not wanted or wanted.star_tag:
        return api.documents.update(KIND, job_id, change)
    document = api.documents.get(KIND, job_id)
    stale = PreconditionFailedProblem("The job has changed since it was read; read it again, then change it.")
    if not wanted.contains(document.etag.strip('"')):
        raise stale
    try:
        return api.documents.replace(document, change(dict(document.body)))
    except Conflict as error:
        raise stale from error


def _request_of(document: Document) -> Mapping[str, Any]:
    """What the job was asked for; of a job older than that record, what it resolved to."""
    asked: Mapping[str, Any] = document.body.get("request") or {}
    body = document.body
    if asked and not body["dataset"]["version"]:
        return asked  # It waits for the ingest that makes the version; so will the other.
    if asked:
        return {**asked, "dataset_ingest": None, "dataset_version": body["dataset"]["version"]}
    size = {side: body["network"][side] for side in ("width", "height")}
    version = {"dataset": body["dataset"]["id"], "dataset_version": body["dataset"]["version"]}
    return {"name": body["name"], **version, "input": size, **body["training"]}


def _do(api: Api, deletions: Deletions, batch: BatchRequest, job_id: str) -> None:
    now = api.now()
    changes: dict[str, Change] = {
        "cancel": lambda body: job_document.ask_cancel(body, now),
        "pause": lambda body: job_document.ask_pause(body, now),
        "resume": lambda body: job_document.ask_resume(body, now),
        "regroup": lambda body: {**body, "group": batch.group or ""},
    }
    if batch.action == "delete":
        deletions.delete(job_id)
    else:
        api.documents.update(KIND, job_id, changes[batch.action])


def _try(job_id: str, act: Callable[[str], None]) -> BatchItem:
    try:
        act(require_job(job_id))
    except (NotNow, DocumentMissing, NotFound) as error:
        return BatchItem(id=job_id, done=False, detail=str(error))
    return BatchItem(id=job_id, done=True, detail="")
