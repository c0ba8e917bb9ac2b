"""The application every service starts from: problems, roles, request ids, health, metrics, OpenAPI."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus

import structlog
from flask import Response, g, jsonify, request
from flask_openapi3 import Info, OpenAPI
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from periscope.tokens import Principal
from periscope.web.auth import install_authentication, public
from periscope.web.bodies import install_body_check
from periscope.web.openapi import SECURITY_SCHEME, ServiceAPI, install_docs
from periscope.web.problems import Unavailable, install_problem_handlers, validation_response
from periscope.wire.base import ProblemDetails

COUNTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET_PATHS = ("/livez", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger()


def create_service_app(
    name: str,
    version: str,
    *,
    authenticator: Callable[[str], Principal | None],
    store_ready: Callable[[], None],
    metrics_registry: CollectorRegistry,
) -> OpenAPI:
    """An application without routes of its own yet.

    ``authenticator`` turns a bearer token into who it is, or None. ``store_ready`` raises when the store
    does not answer. Nothing connects here.
    """
    app = ServiceAPI(
        name,
        info=Info(title=name, version=version),
        security_schemes={SECURITY_SCHEME: {"type": "http", "scheme": "bearer"}},
        validation_error_model=ProblemDetails,
        validation_error_callback=validation_response,
        doc_prefix="/docs",
        static_folder=None,
    )
    install_problem_handlers(app)
    _install_request_ids(app)
    install_authentication(app, authenticator)
    install_body_check(app)
    install_docs(app)
    _install_request_metrics(app, name, metrics_registry)
    _install_probes(app, store_ready, metrics_registry)
    return app


def _install_request_ids(app: OpenAPI) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        g.started_at = time.monotonic()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        # Pictures and zips are what users sent: no browser shall guess that one is a page.
        response.headers["X-Content-Type-Options"] = "nosniff"
        if request.path not in QUIET_PATHS:
            _log_request(response)
        structlog.contextvars.unbind_contextvars("request_id")
        return response


def _log_request(response: Response) -> None:
    principal: Principal | None = g.get("principal")
    log.info(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        duration_s=round(_elapsed_s(), 4),
        caller=principal.name if principal is not None else None,
    )


def _install_request_metrics(app: OpenAPI, service: str, registry: CollectorRegistry) -> None:
    labels = ("service", "method", "route", "status")
    requests_total = Counter("periscope_http_requests", "Requests answered", labels, registry=registry)
    seconds = Histogram(
        "periscope_http_request_duration_seconds", "Time to answer", labels[:-1], registry=registry
    )

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "(none)"
        method = request.method if request.method in COUNTED_METHODS else "other"
        requests_total.labels(service, method, route, str(response.status_code)).inc()
        seconds.labels(service, method, route).observe(_elapsed_s())
        return response


def _install_probes(app: OpenAPI, store_ready: Callable[[], None], registry: CollectorRegistry) -> None:
    @public
    def livez() -> Response:
        return jsonify(status="alive")

    @public
    def readyz() -> Response:
        try:
            store_ready()
        except Exception as error:
            # Whatever it is, the answer to "are you ready" is no.
            log.warning("store_not_ready", error=str(error))
            raise Unavailable("the object store does not answer") from error
        return jsonify(status="ready")

    @public
    def metrics() -> Response:
        return Response(generate_latest(registry), HTTPStatus.OK, content_type=CONTENT_TYPE_LATEST)

    @public
    def openapi_document() -> Response:
        return jsonify(app.api_doc)

    for path, view in (
        ("/livez", livez),
        ("/readyz", readyz),
        ("/metrics", metrics),
        ("/openapi.json", openapi_document),
    ):
        app.add_url_rule(path, view_func=view, methods=["GET"])


def _elapsed_s() -> float:
    return time.monotonic() - float(g.get("started_at", time.monotonic()))
