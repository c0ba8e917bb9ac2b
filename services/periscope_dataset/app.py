"""Wires the dataset service: settings and adapters in, an application and its background work out."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from flask_openapi3 import OpenAPI
from prometheus_client import CollectorRegistry

from periscope import keys
from periscope.background import Worker
from periscope.documents import Documents
from periscope.probe import prove_conditional_writes
from periscope.s3 import S3Store
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.uploads import IncompleteUpload, UnknownUpload
from periscope.web.app import create_service_app
from periscope.web.idempotency import install_idempotency
from periscope.web.problems import ConflictProblem, NotFound, Unprocessable, map_errors
from periscope_dataset import rules
from periscope_dataset.browsing import Gallery, UnknownImage
from periscope_dataset.routes import Api, dataset_routes, version_routes
from periscope_dataset.settings import Settings
from periscope_dataset.worker import IngestWorker

NAME = "periscope-dataset"


@dataclass(frozen=True)
class DatasetService:
    """The application and what works behind it."""

    app: OpenAPI
    worker: Worker

    def stop(self) -> None:
        """End the background work after its step."""
        self.worker.stop()


def create_service(settings: Settings, store: ObjectStore) -> DatasetService:
    """Wire everything; nothing starts or connects yet."""
    documents = Documents(store)
    tokens = Tokens(documents, settings.admin_token)
    ingests = IngestWorker(store, documents, settings.work_dir, settings.lease_ttl_s)
    worker = Worker("dataset-ingests", ingests.step)
    app = create_service_app(
        NAME,
        version("periscope"),
        authenticator=tokens.authenticate,
        store_ready=lambda: _require_answer(store),
        metrics_registry=CollectorRegistry(),
    )
    install_idempotency(app, documents)
    api = Api(rules.Catalogue(store, documents), Gallery(store), worker.wake)
    app.register_api(dataset_routes(api))
    app.register_api(version_routes(api))
    map_errors(
        app,
        {
            rules.UnknownDataset: NotFound,
            rules.UnknownVersion: NotFound,
            rules.UnknownIngest: NotFound,
            UnknownImage: NotFound,
            UnknownUpload: NotFound,
            rules.NameTaken: ConflictProblem,
            IncompleteUpload: ConflictProblem,
            rules.BadOptions: Unprocessable,
        },
    )
    return DatasetService(app, worker)


def create_app_from_environ(environ: Mapping[str, str] = os.environ) -> OpenAPI:
    """The application for gunicorn, its background work running.

    Raises SettingsError, StoreNotTrusted, StoreUnavailable.
    """
    settings, store = Settings.from_environ(environ), S3Store.from_environ(environ)
    prove_conditional_writes(store)
    service = create_service(settings, store)
    service.worker.start()
    atexit.register(service.stop)
    return service.app


def _require_answer(store: ObjectStore) -> None:
    store.head(keys.probe("ready"))
