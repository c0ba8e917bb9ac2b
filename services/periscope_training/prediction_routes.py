"""URLs for trying an epoch's network: one picture, its layers, a whole split."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

import cv2
import numpy as np
from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from flask_openapi3.models import RawModel
from pydantic import BaseModel, Field

from detectnet.decoders import Detection, default_threshold
from detectnet.drawing import draw_boxes, encode_png
from detectnet.images import Image, ImageError, decode_image
from detectnet.layer_views import tiles
from periscope.documents import Documents
from periscope.ids import is_id
from periscope.web.auth import requires
from periscope.web.bodies import accepts
from periscope.web.openapi import gives
from periscope.web.pages import page
from periscope.web.problems import BadRequest, NotFound, Unprocessable
from periscope.wire.base import PageQuery
from periscope.wire.predictions import (
    BoxResponse,
    EvaluationList,
    EvaluationRequest,
    EvaluationResponse,
    LayersQuery,
    LayersResponse,
    PictureQuery,
    PredictionResponse,
    PredictQuery,
)
from periscope_training import evaluation
from periscope_training.datasets import Datasets
from periscope_training.epoch_files import CommittedEpoch, EpochFiles
from periscope_training.predicting import Prediction, Predictor
from periscope_training.publication_routes import EpochPath
from periscope_training.routes import accepted, answer, require_job

PREDICTIONS = Tag(name="predictions", description="Trying an epoch's network on pictures")
MAX_PICTURE_BYTES = 64 << 20
PICTURES_AT_ONCE = 4
"""A large picture takes hundreds of megabytes once it is decoded; the others wait."""
MEDIA_TYPES = ("image/png", "image/jpeg", "image/bmp", "image/x-portable-pixmap", "application/octet-stream")


class Picture(RawModel):
    """A picture file."""

    mimetypes = list(MEDIA_TYPES)


class EvaluationPath(BaseModel):
    """Names an evaluation."""

    evaluation_id: str


class EvaluationsQuery(PageQuery):
    """Which evaluations to list."""

    job_id: str | None = Field(None, max_length=26)


@dataclass(frozen=True)
class PredictionApi:
    """What the routes work with."""

    documents: Documents
    files: EpochFiles
    datasets: Datasets
    predictor: Predictor
    wake: Callable[[], None]
    """Tell the evaluating loop that there is something to do."""
    now: Callable[[], datetime]
    room: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(PICTURES_AT_ONCE)
    )


def prediction_routes(api: PredictionApi) -> APIBlueprint:
    """One picture."""
    routes = APIBlueprint("predictions", __name__, abp_tags=[PREDICTIONS])
    epoch_url = "/v1/jobs/<job_id>/epochs/<string:epoch>"

    @routes.post(f"{epoch_url}:predict", responses={HTTPStatus.OK: PredictionResponse})
    @requires("viewer")
    @accepts(*MEDIA_TYPES, max_bytes=MAX_PICTURE_BYTES)
    @gives("image/png")
    def predict(path: EpochPath, query: PredictQuery, raw: Picture) -> Response:
        """What the network finds in a picture: JSON, or a PNG of the boxes or of the coverage."""
        with api.room:
            return _predict(api, path, query, raw.get_data())

    @routes.post(f"{epoch_url}:layers", responses={HTTPStatus.OK: LayersResponse})
    @requires("viewer")
    @accepts(*MEDIA_TYPES, max_bytes=MAX_PICTURE_BYTES)
    @gives("image/png")
    def show_layers(path: EpochPath, query: LayersQuery, raw: Picture) -> Response:
        """Statistics of every layer for a picture, or one layer's maps side by side as PNG."""
        with api.room:
            return _show_layers(api, path, query, raw.get_data())

    return routes


def evaluation_routes(api: PredictionApi) -> APIBlueprint:
    """A whole split."""
    routes = APIBlueprint("evaluations", __name__, abp_tags=[PREDICTIONS])

    @routes.post(
        "/v1/jobs/<job_id>/epochs/<string:epoch>:evaluate",
        responses={HTTPStatus.ACCEPTED: EvaluationResponse},
    )
    @requires("editor")
    def evaluate(path: EpochPath, body: EvaluationRequest) -> Response:
        """Queue a split of a dataset; figures are precision, recall and DIGITS's maps."""
        epoch = api.files.find(require_job(path.job_id), path.epoch)
        dataset, version = _dataset_of(epoch, body.dataset, body.dataset_version)
        manifest = api.datasets.manifest(dataset, version)
        least = default_threshold(body.decoder) if body.threshold is None else body.threshold
        wish = {"split": body.split, "decoder": body.decoder, "threshold": least}
        document = api.documents.create(
            evaluation.KIND,
            evaluation.new_evaluation(epoch.job_id, epoch.entry, wish, manifest, api.now()),
        )
        api.wake()
        return accepted(_evaluation(document), f"/v1/evaluations/{document.id}")

    @routes.get("/v1/evaluations", responses={HTTPStatus.OK: EvaluationList})
    @requires("viewer")
    def list_evaluations(query: EvaluationsQuery) -> Response:
        """Evaluations, oldest first."""
        found = [
            document
            for document in api.documents.list(evaluation.KIND)
            if query.job_id in (None, document.body["job_id"])
        ]
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        return answer(EvaluationList(items=[_evaluation(item) for item in chosen], next_page_token=token))

    @routes.get("/v1/evaluations/<evaluation_id>", responses={HTTPStatus.OK: EvaluationResponse})
    @requires("viewer")
    def get_evaluation(path: EvaluationPath) -> Response:
        """How far an evaluation is, and its figures."""
        return answer(_evaluation(api.documents.get(evaluation.KIND, _require_evaluation(path))))

    @routes.delete("/v1/evaluations/<evaluation_id>", responses={HTTPStatus.NO_CONTENT: None})
    @requires("editor")
    def delete_evaluation(path: EvaluationPath) -> Response:
        """Remove an evaluation; one that runs ends."""
        document = api.documents.get(evaluation.KIND, _require_evaluation(path))
        api.documents.delete(evaluation.KIND, document.id)
        return Response(status=HTTPStatus.NO_CONTENT)

    return routes


def _predict(api: PredictionApi, path: EpochPath, query: PredictQuery, body: bytes) -> Response:
    epoch = api.files.find(require_job(path.job_id), path.epoch)
    wanted = _require_labels(query.labels, epoch.classes)
    image = _picture(api, epoch, query, body)
    prediction = api.predictor.predict(epoch, image, query.decoder, query.threshold, resize=query.resize)
    found = [item for item in prediction.detections if epoch.classes[item.class_index] in wanted]
    if query.view == "boxes":
        return answer(_described(epoch, query, image, prediction, found))
    shown = (
        _overlay(image, found, epoch.classes)
        if query.view == "overlay"
        else _heat_map(image, prediction, [epoch.classes.index(name) for name in wanted])
    )
    return Response(encode_png(shown), mimetype="image/png")


def _show_layers(api: PredictionApi, path: EpochPath, query: LayersQuery, body: bytes) -> Response:
    epoch = api.files.find(require_job(path.job_id), path.epoch)
    views = api.predictor.layers(epoch, _picture(api, epoch, query, body))
    if query.layer is None:
        return answer(
            LayersResponse(
                job_id=epoch.job_id,
                epoch=epoch.entry["epoch"],
                parameters=sum(view.parameters for view in views),
                layers=[view.statistics() for view in views],
            )
        )
    chosen = [view for view in views if (view.layer, view.kind) == (query.layer, query.kind)]
    if not chosen:
        names = ", ".join(dict.fromkeys(view.layer for view in views if view.kind == query.kind))
        raise NotFound(f"The network has no layer {query.layer!r} with {query.kind}; it has: {names}.")
    return Response(encode_png(tiles(chosen[-1].values)), mimetype="image/png")


def _require_evaluation(path: EvaluationPath) -> str:
    if not is_id(path.evaluation_id):
        raise NotFound(f"There is no evaluation {path.evaluation_id!r}.")
    return path.evaluation_id


def _evaluation(document: Any) -> EvaluationResponse:
    return EvaluationResponse.model_validate({"id": document.id, **document.body})


def _require_labels(given: list[str], classes: list[str]) -> list[str]:
    unknown = [name for name in given if name not in classes]
    if unknown:
        raise Unprocessable(
            f"The network has no class {unknown[0]!r}; it has: {', '.join(classes)}.",
            errors=[{"pointer": "/labels", "message": f"no class {unknown[0]!r}"}],
        )
    return given or classes


def _dataset_of(epoch: CommittedEpoch, dataset: str | None, version: int | None) -> tuple[str, int | None]:
    own = epoch.spec["dataset"]
    if dataset is None:
        return own["id"], version or own["version"]
    return dataset, version


def _picture(api: PredictionApi, epoch: CommittedEpoch, query: PictureQuery, body: bytes) -> Image:
    if body and query.image is not None:
        raise BadRequest("send a picture or name one of a dataset, not both")
    if query.image is not None:
        dataset, version = _dataset_of(epoch, query.dataset, query.dataset_version)
        body = api.datasets.picture(dataset, version, query.split, query.image)
    if not body:
        raise BadRequest("send a picture as the body, or name one of the dataset: ?image=KEY&split=val")
    try:
        return decode_image(body)
    except ImageError as error:
        raise Unprocessable(f"The picture cannot be used: {error}.") from error


def _described(
    epoch: CommittedEpoch, query: PredictQuery, image: Image, prediction: Prediction, found: list[Detection]
) -> PredictionResponse:
    width, height = prediction.network_size
    surest = prediction.coverage.reshape(len(epoch.classes), -1).max(axis=1)
    return PredictionResponse(
        job_id=epoch.job_id,
        epoch=epoch.entry["epoch"],
        decoder=query.decoder,
        threshold=default_threshold(query.decoder) if query.threshold is None else query.threshold,
        image={"width": image.shape[1], "height": image.shape[0]},
        network={"width": width, "height": height},
        max_coverage={
            name: round(float(value), 6) for name, value in zip(epoch.classes, surest, strict=True)
        },
        boxes=[
            BoxResponse(
                label=epoch.classes[item.class_index],
                class_index=item.class_index,
                confidence=item.confidence,
                xyxy=list(item.xyxy),
            )
            for item in found
        ],
    )


def _overlay(image: Image, found: list[Detection], classes: list[str]) -> Image:
    indices = [item.class_index for item in found]
    boxes = np.array([item.xyxy for item in found], np.float32).reshape(-1, 4)
    scores = [item.confidence for item in found]
    return draw_boxes(image, boxes, [classes[index] for index in indices], scores, indices)


def _heat_map(image: Image, prediction: Prediction, indices: list[int]) -> Image:
    """The surest class of each cell over the darkened picture."""
    grid = prediction.coverage[indices].max(axis=0)
    levels = (np.clip(np.nan_to_num(grid), 0, 1) * 255).astype(np.uint8)
    size = (image.shape[1], image.shape[0])
    large = cv2.resize(levels, size, interpolation=cv2.INTER_NEAREST)
    coloured = cv2.applyColorMap(large, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.addWeighted(image, 0.4, coloured, 0.6, 0), np.uint8)
