"""URLs of uploads that are under way, and of ingests: going on with them, listing them, ending them."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.web.auth import requires
from periscope.web.idempotency import idempotent
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.datasets import (
    ImportRequest,
    IngestList,
    IngestResponse,
    OpenUpload,
    OpenUploadList,
    UploadResponse,
)
from periscope_dataset.options import understood
from periscope_dataset.quota import Quota
from periscope_dataset.routes import DATASETS, DatasetPath, IngestPath, UploadPath, answer, ingest_answer
from periscope_dataset.rules import Catalogue


def ingest_routes(catalogue: Catalogue, quota: Quota, wake: Callable[[], None]) -> APIBlueprint:
    """Uploads and ingests."""
    routes = APIBlueprint("ingests", __name__, abp_tags=[DATASETS])
    base = "/v1/datasets/<dataset_id>"

    @routes.get(f"{base}/uploads", responses={HTTPStatus.OK: OpenUploadList})
    @requires("viewer")
    def list_uploads(path: DatasetPath, query: PageQuery) -> Response:
        """Uploads that were begun and not finished, oldest first."""
        catalogue.get(path.dataset_id)
        found = catalogue.uploads.open_of(path.dataset_id)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [OpenUpload.model_validate({"upload_id": item.id, **item.body}) for item in chosen]
        return answer(OpenUploadList(items=items, next_page_token=token))

    @routes.get(f"{base}/uploads/<string:upload_id>", responses={HTTPStatus.OK: UploadResponse})
    @requires("editor")
    def get_upload(path: UploadPath) -> Response:
        """What has arrived, and fresh URLs to go on with."""
        upload = catalogue.uploads.get(path.upload_id, path.dataset_id)
        return answer(UploadResponse.model_validate(upload))

    @routes.get(f"{base}/ingests", responses={HTTPStatus.OK: IngestList})
    @requires("viewer")
    def list_ingests(path: DatasetPath, query: PageQuery) -> Response:
        """All ingests, oldest first."""
        catalogue.get(path.dataset_id)
        found = catalogue.ingests(path.dataset_id)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        return answer(IngestList(items=[ingest_answer(item) for item in chosen], next_page_token=token))

    @routes.post(f"{base}/ingests", responses={HTTPStatus.ACCEPTED: IngestResponse})
    @requires("editor")
    @idempotent
    def import_folder(path: DatasetPath, body: ImportRequest) -> Response:
        """Ingest pictures and labels that lie in the bucket already, below imports/."""
        catalogue.get(path.dataset_id)
        options, notes = understood(body.options.model_dump(), body.options.model_fields_set)
        quota.require_room(quota.size_of_prefix(body.prefix))
        ingest = catalogue.begin_import(path.dataset_id, body.prefix, options, notes)
        wake()
        location = f"/v1/datasets/{path.dataset_id}/ingests/{ingest.id}"
        return answer(ingest_answer(ingest), HTTPStatus.ACCEPTED, location)

    @routes.post(f"{base}/ingests/<string:ingest_id>:cancel", responses={HTTPStatus.OK: IngestResponse})
    @requires("editor")
    def cancel_ingest(path: IngestPath) -> Response:
        """End an ingest without a version."""
        catalogue.get(path.dataset_id)
        ended = catalogue.cancel(path.dataset_id, path.ingest_id)
        wake()
        return answer(ingest_answer(ended))

    return routes
