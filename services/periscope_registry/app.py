"""The registry service, wired: the one place that reads settings and chooses the store."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version

from flask import Flask, Response
from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry

from periscope import keys
from periscope.background import Worker
from periscope.documents import Conflict, Documents
from periscope.metered_store import MeteredStore
from periscope.probe import prove_conditional_writes
from periscope.recent_documents import RecentDocuments
from periscope.s3 import S3Store
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.uploads import IncompleteUpload, UnknownUpload
from periscope.versions import Versions
from periscope.web.app import create_service_app
from periscope.web.idempotency import install_idempotency
from periscope.web.problems import (
    ConflictProblem,
    Forbidden,
    NotFound,
    PreconditionFailedProblem,
    Problem,
    Unavailable,
    Unprocessable,
    map_errors,
    problem_response,
)
from periscope_registry.aliases import Aliases
from periscope_registry.catalogue import KIND, Catalogue, Manifests
from periscope_registry.desires import Desires
from periscope_registry.device_routes import agent_routes, device_routes, token_routes
from periscope_registry.devices import Devices
from periscope_registry.download_counts import DownloadCounts
from periscope_registry.download_routes import download_routes
from periscope_registry.enrolment import Enrolment
from periscope_registry.fleet_gauges import FleetGauges
from periscope_registry.group_routes import enrolment_routes, group_routes
from periscope_registry.groups import Groups
from periscope_registry.promotion_routes import promotion_routes
from periscope_registry.publishing import Publisher
from periscope_registry.release_routes import release_routes
from periscope_registry.releases import Releases
from periscope_registry.removal_routes import removal_routes, version_removal_routes
from periscope_registry.removing import InUse, Remover
from periscope_registry.roots import Roots
from periscope_registry.routes import Api, alias_routes, model_routes, upload_routes, version_routes
from periscope_registry.rules import (
    Busy,
    Changed,
    IllegalMove,
    NoReleaseKey,
    NotYours,
    OutOfRange,
    Unfit,
    Unknown,
    ZipRefused,
)
from periscope_registry.settings import Settings

NAME = "periscope-registry"


class RangeNotSatisfiable(Problem):
    """The byte range lies behind the end."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    title = "Range not satisfiable"


@dataclass(frozen=True)
class RegistryService:
    """The application and what works behind it."""

    app: OpenAPI
    gauges: FleetGauges
    remover: Remover
    metrics: CollectorRegistry


def create_app(settings: Settings, store: ObjectStore) -> OpenAPI:
    """The application alone."""
    return create_service(settings, store).app


def create_service(settings: Settings, store: ObjectStore) -> RegistryService:
    """Wire everything; nothing starts or connects yet."""
    metrics = CollectorRegistry()
    store = MeteredStore(store, NAME, metrics)
    documents, versions = Documents(store), Versions(store, KIND)
    tokens = Tokens(documents, settings.admin_token)
    manifests = Manifests(versions)
    catalogue = Catalogue(documents, manifests)
    aliases = Aliases(documents, manifests)
    groups = Groups(documents)
    lately = Desires(RecentDocuments(store, documents), manifests)
    releases, roots = Releases(documents, settings.release_key), Roots(documents)
    api = Api(
        settings=settings,
        store=store,
        catalogue=catalogue,
        publisher=Publisher(store, documents, versions, manifests, settings.scratch_dir),
        aliases=aliases,
        devices=Devices(
            documents,
            catalogue,
            groups,
            settings.poll_interval_s,
            releases,
            roots,
            Desires(documents, manifests),
            lately,
        ),
        groups=groups,
        enrolment=Enrolment(documents, tokens),
        roots=roots,
        tokens=tokens,
        downloads=DownloadCounts(metrics),
    )
    app = create_service_app(
        NAME,
        _version(),
        authenticator=tokens.authenticate,
        store_ready=lambda: _require_answer(store),
        metrics_registry=metrics,
    )
    install_idempotency(app, documents)
    for routes in (
        model_routes,
        upload_routes,
        version_routes,
        alias_routes,
        promotion_routes,
        download_routes,
    ):
        app.register_api(routes(api))
    remover = Remover(documents, versions, catalogue, tokens)
    app.register_api(version_removal_routes(api, remover))
    app.register_api(removal_routes(api, remover))
    for routes in (device_routes, agent_routes, release_routes, token_routes, group_routes, enrolment_routes):
        app.register_api(routes(api))
    _answer_errors(app)
    gauges = FleetGauges(documents)
    metrics.register(gauges)
    return RegistryService(app, gauges, remover, metrics)


def create_app_from_environ(environ: Mapping[str, str] = os.environ) -> OpenAPI:
    """The application for gunicorn, its look at the fleet running.

    Raises SettingsError, StoreNotTrusted, StoreUnavailable.
    """
    settings, store = Settings.from_environ(environ), S3Store.from_environ(environ)
    prove_conditional_writes(store)
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    if settings.first_root is not None:
        Roots(Documents(store)).ensure_first(dict(settings.first_root))
    service = create_service(settings, store)
    looking = Worker("registry-fleet", service.gauges.step)
    looking.start()
    atexit.register(looking.stop)
    if settings.clean_up_every_h:
        cleaning = Worker("registry-clean-up", lambda: _clean_up(service.remover, settings))
        cleaning.start()
        atexit.register(cleaning.stop)
    return service.app


def _clean_up(remover: Remover, settings: Settings) -> float:
    """A step of the clean-up in the background; replicas that do it at once do no harm."""
    remover.clean_up(timedelta(hours=settings.trash_grace_h), dry_run=False)
    return timedelta(hours=settings.clean_up_every_h).total_seconds()


def _answer_errors(app: Flask) -> None:
    answers: dict[type[Exception], type[Problem]] = {
        Unknown: NotFound,
        UnknownUpload: NotFound,
        NotYours: Forbidden,
        Changed: PreconditionFailedProblem,
        Conflict: ConflictProblem,
        NoReleaseKey: ConflictProblem,
        IllegalMove: ConflictProblem,
        IncompleteUpload: ConflictProblem,
        Busy: Unavailable,
    }
    map_errors(app, answers)
    app.register_error_handler(InUse, _answer_in_use)
    app.register_error_handler(Unfit, _answer_unfit)
    app.register_error_handler(ZipRefused, _answer_zip_refused)
    app.register_error_handler(OutOfRange, _answer_out_of_range)


def _answer_unfit(error: Unfit) -> Response:
    errors = [{"pointer": error.pointer, "message": str(error)}]
    return problem_response(Unprocessable(str(error), errors=errors))


def _answer_in_use(error: InUse) -> Response:
    return problem_response(ConflictProblem(str(error), reasons=error.reasons))


def _answer_zip_refused(error: ZipRefused) -> Response:
    errors = [{"pointer": "", "message": reason} for reason in error.reasons]
    return problem_response(Unprocessable(f"the zip is refused: {error}", errors=errors))


def _answer_out_of_range(error: OutOfRange) -> Response:
    headers = {"Content-Range": f"bytes */{error.size_bytes}"}
    return problem_response(RangeNotSatisfiable(str(error), headers=headers))


def _require_answer(store: ObjectStore) -> None:
    store.head(keys.probe("ready"))


def _version() -> str:
    try:
        return version("periscope")
    except PackageNotFoundError:
        return "0"
