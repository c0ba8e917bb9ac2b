"""``Idempotency-Key``: a POST that is sent twice acts once and is answered the same.

The first request claims the key in the store; its answer is kept there for a day, and then swept away by
some later request that carries a key. An answer that refuses
is not kept: the caller may put right what was wrong and send the same key again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar

import structlog
from flask import Flask, Response, g, request

from periscope.clock import from_rfc3339, to_rfc3339, utc_now
from periscope.documents import Body, Conflict, Document, DocumentMissing, Documents
from periscope.store import StoreUnavailable
from periscope.web.problems import BadRequest, ConflictProblem, Unprocessable

KIND = "idempotency"
HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
ABANDONED_AFTER = timedelta(seconds=60)
MAX_KEY_LENGTH = 200
SWEEP_EVERY_S = 600.0
MAX_SWEPT = 100

log = structlog.get_logger()

View = TypeVar("View", bound=Callable[..., Any])


def idempotent(view: View) -> View:
    """Mark a POST view as one that honours the header."""
    view.periscope_idempotent = True  # type: ignore[attr-defined] # a mark on the function
    return view


def install_idempotency(app: Flask, documents: Documents) -> None:
    """Answer repeated requests from the store."""
    sweeper = _Sweeper(documents)

    @app.before_request
    def replay() -> Response | None:
        key = request.headers.get(HEADER)
        if key is None or request.endpoint is None:
            return None
        if not getattr(app.view_functions[request.endpoint], "periscope_idempotent", False):
            return None
        if not 0 < len(key) <= MAX_KEY_LENGTH:
            raise BadRequest(f"{HEADER} must have 1 to {MAX_KEY_LENGTH} characters")
        return _claim_or_replay(documents, key)

    @app.after_request
    def keep(response: Response) -> Response:
        claim: Document | None = g.pop("idempotency_claim", None)
        if claim is not None:
            _keep(documents, claim, response)
            sweeper.sweep_now_and_then()
        return response


class _Sweeper:
    """Removes old answers, some at a time, so that no request is held up for long."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._next_at = 0.0

    def sweep_now_and_then(self) -> None:
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + SWEEP_EVERY_S
        try:
            for old in islice(self._documents.written_before(KIND, utc_now() - KEPT), MAX_SWEPT):
                self._documents.delete(KIND, old)
        except StoreUnavailable as error:
            log.warning("idempotent_answers_not_swept", error=str(error))


def _claim_or_replay(documents: Documents, key: str) -> Response | None:
    principal = g.get("principal")
    owner = f"{principal.role} {principal.name}" if principal is not None else ""
    document_id = hashlib.sha256(f"{owner}\n{request.path}\n{key}".encode()).hexdigest()
    request_sha256 = hashlib.sha256(request.get_data(cache=True)).hexdigest()
    body = {"request_sha256": request_sha256, "created_at": to_rfc3339(utc_now()), "answer": None}
    try:
        g.idempotency_claim = documents.create(KIND, body, document_id)
    except Conflict:
        return _replay(documents, document_id, body)
    return None


def _replay(documents: Documents, document_id: str, body: Body) -> Response | None:
    try:
        document = documents.get(KIND, document_id)
    except DocumentMissing as error:  # Its request was refused between the claim and now.
        raise ConflictProblem("the same request was just refused; ask again") from error
    age = utc_now() - from_rfc3339(document.body["created_at"])
    answer = document.body["answer"]
    if age > KEPT or (answer is None and age > ABANDONED_AFTER):
        try:
            g.idempotency_claim = documents.replace(document, body)
        except Conflict as error:
            raise ConflictProblem("the same request is being answered; ask again in a moment") from error
        return None
    if document.body["request_sha256"] != body["request_sha256"]:
        raise Unprocessable(f"this {HEADER} was used with another body; take a new key for a new request")
    if answer is None:
        raise ConflictProblem("the same request is being answered; ask again in a moment")
    return Response(answer["body"], answer["status"], headers=answer["headers"])


def _keep(documents: Documents, claim: Document, response: Response) -> None:
    try:
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            documents.delete(claim.kind, claim.id)
        else:
            documents.replace(claim, claim.body | {"answer": _answer(response)})
    except (Conflict, StoreUnavailable) as error:
        # The work is done and its answer is right, even if a repeated request cannot be given it.
        log.warning("idempotent_answer_not_kept", error=str(error))


def _answer(response: Response) -> Body:
    headers = {
        name: response.headers[name] for name in ("Content-Type", "Location") if name in response.headers
    }
    return {"status": response.status_code, "headers": headers, "body": response.get_data(as_text=True)}
