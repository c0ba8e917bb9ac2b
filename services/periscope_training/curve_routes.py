"""URLs of what a job has done so far: curves in several forms, epochs, logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from typing import Literal

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field

from periscope import keys
from periscope.documents import Document
from periscope.store import ObjectMissing
from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope.web.pages import page
from periscope.web.problems import NotFound
from periscope.wire.base import PageQuery, RequestModel
from periscope.wire.jobs import EpochList, EpochResponse, HistoryResponse
from periscope_training import answers
from periscope_training.curve_text import history_csv
from periscope_training.followed_log import FollowedLog
from periscope_training.job_document import KIND, is_final, job_of
from periscope_training.launcher import Run
from periscope_training.live import LiveCurves
from periscope_training.plots import Curves, comparison_plot, training_plot
from periscope_training.publication_routes import EpochPath
from periscope_training.routes import JOBS, Api, JobPath, answer, checkpoint_of, find_job, require_job

MAX_CURVE_POINTS = 2000
MAX_COMPARED = 16
PLOTTED_POINTS = 500


class CurveQuery(BaseModel):
    """How finely to tell a curve."""

    points: int = Field(200, ge=2, le=MAX_CURVE_POINTS, description="Progress records at most")


class EpochsQuery(PageQuery):
    """Which epochs to list."""

    order: Literal["oldest", "newest"] = "oldest"


class LogQuery(RequestModel):
    """Whose log, and which part of it."""

    attempt: int | None = Field(None, ge=1, description="Default: the newest")
    offset: int = Field(0, ge=0, description="Bytes to leave out at the beginning")
    limit: int | None = Field(None, ge=1, le=64 << 20, description="Bytes at most; default: all")
    follow: bool = Field(False, description="Go on while the job runs")


class CompareQuery(RequestModel):
    """Which trainings to draw into one plot."""

    job: list[str] = Field(min_length=1, max_length=MAX_COMPARED, description="Ids")
    metric: Literal["digits_map", "pooled_map", "loss_bbox", "loss_coverage"] = "digits_map"


def curve_routes(api: Api, live: LiveCurves) -> APIBlueprint:
    """Curves as JSON, CSV, PNG and live."""
    routes = APIBlueprint("curves", __name__, abp_tags=[JOBS])

    @routes.get("/v1/jobs/<job_id>/history", responses={HTTPStatus.OK: HistoryResponse})
    @requires("viewer")
    def get_history(path: JobPath, query: CurveQuery) -> Response:
        """The curves: figures of each saved epoch, and progress records in between."""
        job_id = require_job(path.job_id)
        epochs = answers.epoch_responses(checkpoint_of(api, job_id)["epochs"])
        return answer(HistoryResponse(epochs=epochs, progress=api.progress.curve(job_id, query.points)))

    @routes.get("/v1/jobs/<job_id>/history.csv")
    @requires("viewer")
    @gives("text/csv")
    def get_history_csv(path: JobPath, query: CurveQuery) -> Response:
        """The curves for a spreadsheet: one row for each progress record and each validation."""
        job = find_job(api, path.job_id)
        epochs = checkpoint_of(api, job.id)["epochs"]
        progress = api.progress.curve(job.id, query.points)
        text = history_csv(epochs, progress, job.body["network"]["classes"])
        return Response(text, content_type="text/csv; charset=utf-8")

    @routes.get("/v1/jobs/<job_id>/history.png")
    @requires("viewer")
    @gives("image/png")
    def get_history_png(path: JobPath) -> Response:
        """The curves as a picture."""
        return Response(training_plot(_curves(api, path.job_id)), mimetype="image/png")

    @routes.get("/v1/history.png")
    @requires("viewer")
    @gives("image/png")
    def compare(query: CompareQuery) -> Response:
        """One figure of several jobs in one picture."""
        jobs = [_curves(api, job_id) for job_id in query.job]
        return Response(comparison_plot(jobs, query.metric), mimetype="image/png")

    @routes.get("/v1/jobs/<job_id>/events")
    @requires("viewer")
    @gives("text/event-stream")
    def follow(path: JobPath) -> Response:
        """Live curves as server-sent events: state, progress, epoch, end; Last-Event-ID goes on."""
        last = request.headers.get("Last-Event-ID", "")
        events = live.events(find_job(api, path.job_id).id, int(last) if last.isdigit() else -1)
        return _streamed(api, (text.encode() for text in events), "text/event-stream")

    return routes


def epoch_routes(api: Api) -> APIBlueprint:
    """Saved epochs, and what attempts have written."""
    routes = APIBlueprint("epochs", __name__, abp_tags=[JOBS])

    @routes.get("/v1/jobs/<job_id>/epochs", responses={HTTPStatus.OK: EpochList})
    @requires("viewer")
    def list_epochs(path: JobPath, query: EpochsQuery) -> Response:
        """The saved epochs; each can be tried, published, downloaded and begun with."""
        epochs = answers.epoch_responses(checkpoint_of(api, require_job(path.job_id))["epochs"])
        newest = query.order == "newest"
        ordered = epochs[::-1] if newest else epochs

        def key(epoch: EpochResponse) -> str:
            return f"{(10**12 - epoch.step) if newest else epoch.step:013d}"

        chosen, token = page(ordered, query.page_size, query.page_token, key)
        return answer(EpochList(items=chosen, next_page_token=token))

    @routes.get("/v1/jobs/<job_id>/epochs/<string:epoch>", responses={HTTPStatus.OK: EpochResponse})
    @requires("viewer")
    def get_epoch(path: EpochPath) -> Response:
        """One saved epoch: ``best``, ``latest`` or its number."""
        epochs = checkpoint_of(api, require_job(path.job_id))["epochs"]
        return answer(answers.epoch_response(epochs, path.epoch))

    @routes.get("/v1/jobs/<job_id>/log")
    @requires("viewer")
    @gives("text/plain")
    def get_log(path: JobPath, query: LogQuery) -> Response:
        """What an attempt has written, as text; of a very long one the end."""
        job = find_job(api, path.job_id)
        if query.follow:
            return _streamed(api, _followed_log(api, job.id, query), "text/plain; charset=utf-8")
        return Response(read_log(api, job, query), content_type="text/plain; charset=utf-8")

    return routes


def read_log(api: Api, document: Document, query: LogQuery) -> bytes:
    """The asked part of the archived log, or of what a running attempt wrote so far. Raises NotFound."""
    attempts, number = job_of(document.body).attempts, query.attempt
    attempt = next((entry for entry in reversed(attempts) if number in (None, entry.number)), None)
    if attempt is None:
        raise NotFound(
            "The job has not been started yet." if not attempts else f"It has no attempt {number}."
        )
    key = keys.attempt_log(document.id, attempt.number)
    try:
        if query.limit is not None:
            return api.store.get_range(key, query.offset, query.limit)
        return api.store.get(key).body[query.offset :]
    except ObjectMissing:
        if attempt.handle is None:
            return b""
        end = None if query.limit is None else query.offset + query.limit
        return api.launcher.log(Run(document.id, attempt.number, attempt.handle))[query.offset : end]


def _followed_log(api: Api, job_id: str, query: LogQuery) -> Iterator[bytes]:
    """What is new, until the job has ended."""
    followed = FollowedLog(api.store, api.launcher, job_id, query.attempt, query.offset)
    with closing(followed):
        for job in api.polls.looks(lambda: api.documents.get(KIND, job_id)):
            yield from followed.more(job.body)
            if is_final(job.body):
                return


def _streamed(api: Api, parts: Iterator[bytes], content_type: str) -> Response:
    """Held open as a long poll is: at most half the threads. Raises TooManyWaiting."""
    held = api.polls.hold(parts)
    response = Response(held, content_type=content_type, direct_passthrough=True)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    # Also where the client leaves before the first part.
    response.call_on_close(held.close)
    return response


def _curves(api: Api, job_id: str) -> Curves:
    job = find_job(api, job_id)
    epochs = checkpoint_of(api, job.id)["epochs"]
    return Curves(job.body["name"], api.progress.curve(job.id, PLOTTED_POINTS), epochs)
