"""Wires the dataset service: settings and adapters in, an application and its background work out."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry

from detectnet.samples import BadData
from detectnet.sizes import IllegalSize
from periscope import keys
from periscope.background import Worker
from periscope.documents import Documents
from periscope.metered_store import MeteredStore
from periscope.probe import prove_conditional_writes
from periscope.s3 import S3Store
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.uploads import IncompleteUpload, UnknownUpload
from periscope.web.app import create_service_app
from periscope.web.idempotency import install_idempotency
from periscope.web.long_poll import LongPolls, TooManyWaiting
from periscope.web.problems import ConflictProblem, NotFound, Problem, Unavailable, Unprocessable, map_errors
from periscope_dataset import rules
from periscope_dataset.browse_routes import Browser, browse_routes, picture_routes
from periscope_dataset.browsing import Gallery, UnknownImage
from periscope_dataset.choosing import UnknownFilter
from periscope_dataset.editing_routes import editing_routes
from periscope_dataset.export_routes import export_routes
from periscope_dataset.exporting import Exporter, TooManyExports
from periscope_dataset.garbage import AlreadyCollecting, Collector
from periscope_dataset.holding import LeaseLost, WorkFolder
from periscope_dataset.ingest_routes import ingest_routes, upload_routes
from periscope_dataset.label_routes import label_routes
from periscope_dataset.options import BadOptions
from periscope_dataset.preview import Unlabelled
from periscope_dataset.quota import Quota, QuotaExceeded
from periscope_dataset.removal_routes import removal_routes
from periscope_dataset.removing import Remover
from periscope_dataset.routes import Api, dataset_routes, version_routes
from periscope_dataset.settings import Settings
from periscope_dataset.tables import NotDescribed, Tables
from periscope_dataset.worker import IngestWorker

NAME = "periscope-dataset"
HOUR_S = 3600.0
ERRORS: dict[type[Exception], type[Problem]] = {
    rules.UnknownDataset: NotFound,
    rules.UnknownVersion: NotFound,
    rules.UnknownIngest: NotFound,
    UnknownImage: NotFound,
    UnknownUpload: NotFound,
    rules.NameTaken: ConflictProblem,
    rules.AlreadyFinalized: ConflictProblem,
    IncompleteUpload: ConflictProblem,
    rules.AlreadyEnded: ConflictProblem,
    AlreadyCollecting: ConflictProblem,
    LeaseLost: Unavailable,
    QuotaExceeded: ConflictProblem,
    BadOptions: Unprocessable,
    BadData: Unprocessable,
    IllegalSize: Unprocessable,
    UnknownFilter: Unprocessable,
    NotDescribed: ConflictProblem,
    Unlabelled: ConflictProblem,
    TooManyWaiting: Unavailable,
    TooManyExports: Unavailable,
}


@dataclass(frozen=True)
class DatasetService:
    """The application and what works behind it."""

    app: OpenAPI
    ingests: IngestWorker
    workers: tuple[Worker, ...]
    """One for each ingest that is worked at together, and one for garbage where it is collected unasked."""

    def start(self) -> None:
        """Begin the background work."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """End the background work; ingests at hand go on after the next start."""
        self.ingests.stop()
        for worker in self.workers:
            worker.stop()


def create_service(settings: Settings, store: ObjectStore, holder: str) -> DatasetService:
    """Wire everything; nothing starts or connects yet. ``holder`` names this process in leases."""
    metrics = CollectorRegistry()
    store = MeteredStore(store, NAME, metrics)
    documents = Documents(store)
    tokens = Tokens(documents, settings.admin_token)
    ingests = IngestWorker(
        store, documents, settings.work_dir, holder, settings.lease_ttl_s, settings.shard_bytes
    )
    workers = tuple(
        Worker(f"dataset-ingests-{number}", ingests.step) for number in range(settings.ingests_at_once)
    )

    def wake() -> None:
        for worker in workers:
            worker.wake()

    app = create_service_app(
        NAME,
        version("periscope"),
        authenticator=tokens.authenticate,
        store_ready=lambda: _require_answer(store),
        metrics_registry=metrics,
    )
    install_idempotency(app, documents)
    quota = Quota(store, documents, settings.quota_bytes)
    api = Api(rules.Catalogue(store, documents), Gallery(store), quota, LongPolls(), wake)
    app.register_api(dataset_routes(api))
    app.register_api(version_routes(api))
    browser = Browser(api, Tables(store))
    app.register_api(browse_routes(browser))
    app.register_api(picture_routes(browser))
    app.register_api(label_routes(api))
    collector = Collector(store, documents, holder)
    app.register_api(removal_routes(Remover(api.catalogue, documents), collector, settings.garbage_grace_h))
    app.register_api(upload_routes(api))
    app.register_api(ingest_routes(api))
    app.register_api(editing_routes(api))
    app.register_api(export_routes(api.catalogue, Exporter(store, settings.work_dir)))
    map_errors(app, ERRORS)
    if settings.collect_garbage_every_h:
        workers += (Worker("dataset-garbage", lambda: _collect(collector, settings)),)
    return DatasetService(app, ingests, workers)


def create_app_from_environ(environ: Mapping[str, str] = os.environ) -> OpenAPI:
    """The application for gunicorn, its background work running.

    Raises SettingsError, StoreNotTrusted, StoreUnavailable, WorkFolderTaken.
    """
    settings, store = Settings.from_environ(environ), S3Store.from_environ(environ)
    prove_conditional_writes(store)
    folder = WorkFolder.claim(settings.work_dir)
    service = create_service(settings, store, folder.holder)
    service.start()
    atexit.register(folder.close)
    atexit.register(service.stop)  # Runs first.
    return service.app


def _collect(collector: Collector, settings: Settings) -> float:
    """A step of the background collection; another replica may be at it."""
    with contextlib.suppress(AlreadyCollecting):
        collector.collect(settings.garbage_grace_h * HOUR_S, dry_run=False)
    return settings.collect_garbage_every_h * HOUR_S


def _require_answer(store: ObjectStore) -> None:
    store.head(keys.probe("ready"))
