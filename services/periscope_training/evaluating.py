"""Works off evaluations, oldest first. One that was interrupted begins anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from detectnet.images import ImageError
from detectnet.judging import SeenClass, figures, see_picture
from detectnet.samples import BadData, SourceImage, input_options
from periscope.documents import Document, DocumentMissing, Documents
from periscope.store import StoreUnavailable
from periscope_training import evaluation
from periscope_training.curves import NoSuchEpoch, epoch_text
from periscope_training.datasets import DatasetMissing, Datasets, DatasetsUnavailable
from periscope_training.epoch_files import EpochFileGone, EpochFiles
from periscope_training.evaluation import KIND, Body
from periscope_training.networks import BrokenNetwork
from periscope_training.predicting import Predictor

TELL_EVERY_S = 2.0
HOPELESS = (DocumentMissing, NoSuchEpoch, EpochFileGone, DatasetMissing, BrokenNetwork, BadData, ImageError)
"""What another try would not mend."""

log = structlog.get_logger()


class LeadershipLost(Exception):
    """Another replica leads, or may."""


class Evaluator:
    """The body of the evaluating loop; who calls it holds the leadership."""

    def __init__(
        self,
        documents: Documents,
        files: EpochFiles,
        datasets: Datasets,
        predictor: Predictor,
        now: Callable[[], datetime],
    ) -> None:
        self._documents = documents
        self._files = files
        self._datasets = datasets
        self._predictor = predictor
        self._now = now

    def evaluate_all(self, still_leads: Callable[[], bool]) -> None:
        """Take every evaluation to its end."""
        for document in self._documents.list(KIND):
            if evaluation.is_final(document.body):
                continue
            if not still_leads():
                return
            try:
                self._evaluate(document, still_leads)
            except (StoreUnavailable, DatasetsUnavailable) as error:
                # Still RUNNING: the next round begins it anew.
                log.warning("evaluation_interrupted", evaluation_id=document.id, error=str(error))
                return

    def _evaluate(self, document: Document, still_leads: Callable[[], bool]) -> None:
        reason = ""
        try:
            counts, names = self._count(document, still_leads)
        except LeadershipLost:
            # Half a split has no figures; whoever leads next begins anew.
            return
        except HOPELESS as error:
            reason = str(error)
        except (StoreUnavailable, DatasetsUnavailable):
            raise
        except Exception as error:
            # One broken document must not stop the others.
            log.exception("evaluation_failed", evaluation_id=document.id)
            reason = f"{type(error).__name__}: {error}"
        if reason:
            self._change(document, lambda body: evaluation.failed(body, reason, self._now()))
        else:
            found, done = figures(counts, names), len(counts)
            self._change(document, lambda body: evaluation.succeeded(body, found, done, self._now()))

    def _count(
        self, document: Document, still_leads: Callable[[], bool]
    ) -> tuple[list[list[SeenClass]], list[str]]:
        body = document.body
        epoch = self._files.find(body["job_id"], epoch_text(body["epoch"]))
        network = self._predictor.network(epoch, body["decoder"])
        options = input_options(epoch.spec, validation=True)
        dataset, split = body["dataset"], body["split"]
        counts: list[list[SeenClass]] = []
        told_at = time.monotonic()
        for key in self._datasets.pictures(dataset["id"], dataset["version"], split):
            if not still_leads():
                raise LeadershipLost
            source = self._source(dataset["id"], dataset["version"], split, key)
            picture = see_picture(network, source, options, body["decoder"], body["threshold"])
            counts.append(picture)
            if time.monotonic() - told_at > TELL_EVERY_S:
                told_at = time.monotonic()
                self._change(document, lambda body: evaluation.progressed(body, len(counts), self._now()))
        return counts, epoch.classes

    def _source(self, dataset: str, version: int, split: str, key: str) -> SourceImage:
        image = self._datasets.picture(dataset, version, split, key)
        return SourceImage(key, image, self._datasets.label(dataset, version, split, key))

    def _change(self, document: Document, change: Callable[[Body], Body]) -> None:
        try:
            self._documents.update(KIND, document.id, change)
        except DocumentMissing:
            log.info("evaluation_removed", evaluation_id=document.id)
