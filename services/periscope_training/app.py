"""Wires the training service: settings and adapters in, an application and its background work out."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flask import Response
from flask_openapi3 import APIBlueprint, OpenAPI
from prometheus_client import CollectorRegistry

from detectnet.bundle import BundleError
from detectnet.learning_rate import BadPolicy
from periscope import keys
from periscope.background import Worker
from periscope.client import ServiceClient
from periscope.clock import utc_now
from periscope.documents import DocumentMissing, Documents
from periscope.metered_store import MeteredStore
from periscope.probe import prove_conditional_writes
from periscope.s3 import S3Store
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.web.app import create_service_app
from periscope.web.long_poll import LongPolls, TooManyWaiting
from periscope.web.problems import (
    ConflictProblem,
    NotFound,
    Problem,
    Unavailable,
    Unprocessable,
    map_errors,
    problem_response,
)
from periscope_training.awaiting import DatasetWaits
from periscope_training.curve_routes import curve_routes, epoch_routes
from periscope_training.curves import NoSuchEpoch
from periscope_training.datasets import DatasetMissing, Datasets, DatasetsUnavailable
from periscope_training.deletions import Deletions
from periscope_training.download_routes import download_routes
from periscope_training.epoch_files import EpochFileGone, EpochFiles
from periscope_training.evaluating import Evaluator
from periscope_training.gauges import RunGauges
from periscope_training.http_datasets import HttpDatasets
from periscope_training.http_registry import HttpRegistry
from periscope_training.job_change_routes import job_change_routes, new_job_routes
from periscope_training.job_document import NotNow
from periscope_training.launcher import Launcher, LauncherUnavailable
from periscope_training.launching import (
    create_launcher,
    gpu_list,
    loop_settings,
    manifest_of,
    require_allowed,
)
from periscope_training.leadership import Leadership, Renewable
from periscope_training.leading import EvaluateLoop, JobLoop, Photographer, PublishLoop, WaitLoop
from periscope_training.live import LiveCurves
from periscope_training.networks import BrokenNetwork
from periscope_training.option_routes import option_routes
from periscope_training.predicting import PictureTooLarge, Predictor
from periscope_training.prediction_routes import PredictionApi, evaluation_routes, prediction_routes
from periscope_training.pretrained import NotWeights
from periscope_training.pretrained_models import NameTaken, PretrainedModels
from periscope_training.pretrained_routes import pretrained_routes
from periscope_training.progress import ProgressRecords
from periscope_training.publication_routes import publication_routes
from periscope_training.publish import NotPublishable, Publisher
from periscope_training.reconcile import Reconciler
from periscope_training.registry import Registry, RegistryRefused, RegistryUnavailable
from periscope_training.routes import Api, job_routes, progress_routes
from periscope_training.rules import UnusableRequest
from periscope_training.settings import Settings
from periscope_training.submit import KeyReused, Submissions
from periscope_training.vital_signs import VitalSigns
from periscope_training.zip_builder import DOWNLOADS, PUBLICATIONS, ZipBuilder, remove_leftovers

NAME = "periscope-training"


ANSWERS: Mapping[type[Exception], type[Problem]] = {
    DocumentMissing: NotFound,
    NoSuchEpoch: NotFound,
    EpochFileGone: NotFound,
    BrokenNetwork: Unprocessable,
    PictureTooLarge: Unprocessable,
    NotPublishable: Unprocessable,
    NotWeights: Unprocessable,
    BundleError: Unprocessable,
    RegistryRefused: Unprocessable,
    RegistryUnavailable: Unavailable,
    BadPolicy: Unprocessable,
    KeyReused: Unprocessable,
    NameTaken: ConflictProblem,
    NotNow: ConflictProblem,
    DatasetsUnavailable: Unavailable,
    LauncherUnavailable: Unavailable,
    TooManyWaiting: Unavailable,
}


@dataclass(frozen=True)
class Adapters:
    """The outside world; tests put doubles in."""

    store: ObjectStore
    launcher: Launcher
    datasets: Datasets
    registry: Registry
    lease: Renewable
    now: Callable[[], datetime] = utc_now


@dataclass(frozen=True)
class TrainingService:
    """The application and what works behind it."""

    app: OpenAPI
    job_worker: Worker
    publish_worker: Worker
    evaluate_worker: Worker
    wait_worker: Worker
    job_loop: JobLoop
    publish_loop: PublishLoop
    evaluate_loop: EvaluateLoop
    wait_loop: WaitLoop
    leadership: Leadership
    launcher: Launcher
    work_dir: Path

    def start(self) -> None:
        """Begin the background work."""
        remove_leftovers(self.work_dir)
        self.job_worker.start()
        self.publish_worker.start()
        self.evaluate_worker.start()
        self.wait_worker.start()

    def stop(self) -> None:
        """End the background work, let runs that cannot stay alone checkpoint, and let another lead."""
        # The loop first: it would answer the end of a run with another attempt.
        self.job_worker.stop()
        self.launcher.close()
        self.publish_worker.stop()
        self.evaluate_worker.stop()
        self.wait_worker.stop()
        self.leadership.release()


def create_service(settings: Settings, adapters: Adapters) -> TrainingService:
    """Wire everything; nothing starts or connects yet."""
    metrics = CollectorRegistry()
    store, now = MeteredStore(adapters.store, NAME, metrics), adapters.now
    documents = Documents(store)
    leadership = Leadership(adapters.lease, settings.lease_ttl_s)
    progress, gauges = ProgressRecords(store), RunGauges(leadership.is_held)
    vital_signs = VitalSigns(store, progress, settings.silent_after_s, now)
    reconciler = Reconciler(documents, store, adapters.launcher, loop_settings(settings), now, vital_signs)
    deletions = Deletions(documents, store)
    photographer = Photographer(documents, progress, gauges, now)
    job_loop = JobLoop(leadership, reconciler, photographer, deletions, settings.poll_s)
    builder = ZipBuilder(store, settings.work_dir / PUBLICATIONS)
    publisher = Publisher(documents, adapters.registry, builder, settings.retry_backoff_s, now)
    files = EpochFiles(documents, store)
    predictor = Predictor(files)
    evaluate_loop = EvaluateLoop(leadership, Evaluator(documents, files, adapters.datasets, predictor, now))
    job_worker = Worker("training-jobs", job_loop.step)
    publish_loop = PublishLoop(leadership, publisher)
    publish_worker = Worker("training-publications", publish_loop.step)
    evaluate_worker = Worker("training-evaluations", evaluate_loop.step)
    submissions = Submissions(
        documents,
        store,
        adapters.datasets,
        settings.trainer_threads,
        now,
        lambda resources: require_allowed(settings, resources),
    )
    waits = DatasetWaits(documents, adapters.datasets, submissions, now, job_worker.wake)
    wait_loop = WaitLoop(leadership, waits)
    wait_worker = Worker("training-dataset-waits", wait_loop.step)
    api = Api(
        documents=documents,
        store=store,
        launcher=adapters.launcher,
        submissions=submissions,
        progress=progress,
        polls=LongPolls(),
        job_token_secret=settings.job_token_secret,
        manifest_of=lambda request: manifest_of(settings, request),
        wake=lambda: _wake_all((job_worker, publish_worker)),
        now=now,
    )
    blueprints = _blueprints(settings, adapters, api, deletions, files, predictor, evaluate_worker)
    metrics.register(gauges)
    app = _create_app(blueprints, store, Tokens(documents, settings.admin_token), metrics)
    workers = (job_worker, publish_worker, evaluate_worker, wait_worker)
    loops = (job_loop, publish_loop, evaluate_loop, wait_loop)
    return TrainingService(app, *workers, *loops, leadership, adapters.launcher, settings.work_dir)


def _blueprints(
    settings: Settings,
    adapters: Adapters,
    api: Api,
    deletions: Deletions,
    files: EpochFiles,
    predictor: Predictor,
    evaluate_worker: Worker,
) -> tuple[APIBlueprint, ...]:
    documents = api.documents
    predictions = PredictionApi(documents, files, adapters.datasets, predictor, evaluate_worker.wake, api.now)
    return (
        job_routes(api),
        job_change_routes(api, deletions),
        new_job_routes(api),
        option_routes(lambda: gpu_list(settings, documents)),
        curve_routes(api, LiveCurves(documents, api.progress)),
        epoch_routes(api),
        progress_routes(api),
        publication_routes(api),
        download_routes(files, ZipBuilder(api.store, settings.work_dir / DOWNLOADS)),
        prediction_routes(predictions),
        evaluation_routes(predictions),
        pretrained_routes(
            documents, PretrainedModels(documents, api.store, files, adapters.registry, api.now), files
        ),
    )


def create_app_from_environ(environ: Mapping[str, str] = os.environ) -> OpenAPI:
    """The application for gunicorn, its background work running.

    Raises SettingsError, StoreNotTrusted, StoreUnavailable.
    """
    settings, store = Settings.from_environ(environ), S3Store.from_environ(environ)
    prove_conditional_writes(store)
    launcher, lease = create_launcher(settings, store, environ)
    adapters = Adapters(
        store=store,
        launcher=launcher,
        lease=lease,
        datasets=HttpDatasets(ServiceClient(settings.dataset_url, settings.service_token)),
        registry=HttpRegistry(ServiceClient(settings.registry_url, settings.service_token)),
    )
    service = create_service(settings, adapters)
    service.start()
    atexit.register(service.stop)
    return service.app


def _create_app(
    blueprints: Iterable[APIBlueprint], store: ObjectStore, tokens: Tokens, metrics: CollectorRegistry
) -> OpenAPI:
    app = create_service_app(
        NAME,
        _version(),
        authenticator=tokens.authenticate,
        store_ready=lambda: _require_answer(store),
        metrics_registry=metrics,
    )
    for blueprint in blueprints:
        app.register_api(blueprint)
    map_errors(app, ANSWERS)
    app.register_error_handler(UnusableRequest, _answer_unusable)
    app.register_error_handler(DatasetMissing, _answer_dataset_missing)
    return app


def _answer_unusable(error: UnusableRequest) -> Response:
    errors = [{"pointer": error.pointer, "message": str(error)}]
    return problem_response(Unprocessable(str(error), errors=errors))


def _answer_dataset_missing(error: DatasetMissing) -> Response:
    return _answer_unusable(UnusableRequest("/dataset", str(error)))


def _wake_all(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.wake()


def _require_answer(store: ObjectStore) -> None:
    store.head(keys.probe("ready"))


def _version() -> str:
    try:
        return version("periscope")
    except PackageNotFoundError:
        return "0"
