"""Every failure that has an HTTP answer, as an RFC 9457 problem document that says what to do.

Cut by what the caller can do: fix the request (4xx), retry later (429, 503), call us (500)::

    Problem
    ├── BadRequest 400   Unauthorized 401   Forbidden 403   NotFound 404
    ├── ConflictProblem 409   PreconditionFailedProblem 412   Unprocessable 422
    └── TooMany 429   Unavailable 503
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, g
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from periscope.store import StoreUnavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

log = structlog.get_logger()


class Problem(Exception):
    """Base of every failure that has an HTTP answer."""

    status: int = HTTPStatus.INTERNAL_SERVER_ERROR
    title = "Unexpected failure"

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


class BadRequest(Problem):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST
    title = "Bad request"


class Unauthorized(Problem):
    """No token, or one that is not known."""

    status = HTTPStatus.UNAUTHORIZED
    title = "Not authenticated"


class Forbidden(Problem):
    """The token's role does not allow this."""

    status = HTTPStatus.FORBIDDEN
    title = "Not allowed"


class NotFound(Problem):
    """What the URL names does not exist."""

    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class ConflictProblem(Problem):
    """The request does not fit the present state."""

    status = HTTPStatus.CONFLICT
    title = "Conflict"


class PreconditionFailedProblem(Problem):
    """The resource is no longer the one that was read."""

    status = HTTPStatus.PRECONDITION_FAILED
    title = "Changed meanwhile"


class Unprocessable(Problem):
    """The request is well formed and its content is wrong."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "Invalid content"


class TooMany(Problem):
    """Too many at once."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many requests"


class Unavailable(Problem):
    """Not now; the same request may succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Temporarily unavailable"

    def __init__(self, detail: str, **extra: object) -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER_S)}, **extra)


def map_errors(app: Flask, answers: Mapping[type[Exception], type[Problem]]) -> None:
    """Answer each of a service's own errors with a problem; the error's text becomes the detail."""
    for error_type, problem_type in answers.items():

        def answer(error: Exception, problem_type: type[Problem] = problem_type) -> Response:
            return problem_response(problem_type(str(error)))

        app.register_error_handler(error_type, answer)


def install_problem_handlers(app: Flask) -> None:
    """Make every error of the application a problem document."""
    app.register_error_handler(Problem, problem_response)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(StoreUnavailable, _answer_store_unavailable)
    app.register_error_handler(Exception, _answer_unexpected)


def problem_response(problem: Problem) -> Response:
    """The answer a problem is sent as."""
    response = _document(problem.status, problem.title, problem.detail, problem.extra)
    response.headers.update(problem.headers)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def validation_response(error: ValidationError) -> Response:
    """The answer to a body or query that pydantic refused: one entry a field."""
    errors = [
        {"pointer": "".join(f"/{_escaped(part)}" for part in entry["loc"]), "message": entry["msg"]}
        for entry in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = "; ".join(f"{entry['pointer'] or 'the body'}: {entry['message']}" for entry in errors[:3])
    return problem_response(Unprocessable(f"{len(errors)} field(s) are wrong. {first}", errors=errors))


def _escaped(part: str | int) -> str:
    # RFC 6901 has these two signs for itself.
    return str(part).replace("~", "~0").replace("/", "~1")


def _answer_http_exception(error: HTTPException) -> Response:
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    response = _document(code, error.name, error.description or error.name, {})
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    return response


def _answer_store_unavailable(error: StoreUnavailable) -> Response:
    log.warning("store_unavailable", error=str(error))
    return problem_response(Unavailable("the object store does not answer; try again"))


def _answer_unexpected(error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    detail = "the service met an error of its own; its log has it under this request id"
    return _document(HTTPStatus.INTERNAL_SERVER_ERROR, Problem.title, detail, {})


def _document(status: int, title: str, detail: str, extra: Mapping[str, object]) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": int(status), "detail": detail}
    body |= {"request_id": g.get("request_id"), **extra}
    return Response(json.dumps(body), int(status), content_type=MEDIA_TYPE)
