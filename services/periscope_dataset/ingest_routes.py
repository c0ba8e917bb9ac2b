"""URLs of uploads that are under way, and of ingests: going on with them, listing them, ending them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response
from flask_openapi3 import APIBlueprint

from periscope.web.auth import requires
from periscope.web.idempotency import idempotent
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.datasets import (
    FinalizeRequest,
    ImportRequest,
    IngestList,
    IngestResponse,
    UploadRequest,
)
from periscope.wire.uploads import OpenUpload, OpenUploadList, UploadResponse
from periscope_dataset.options import inherited, understood
from periscope_dataset.routes import (
    DATASETS,
    Api,
    DatasetPath,
    IngestPath,
    UploadPath,
    WaitQuery,
    answer,
    ingest_answer,
)
from periscope_dataset.rules import FINAL_STATES

BASE = "/v1/datasets/<dataset_id>"


def upload_routes(api: Api) -> APIBlueprint:
    """Send an archive, in as many goes as it takes."""
    routes = APIBlueprint("uploads", __name__, abp_tags=[DATASETS])

    @routes.post(f"{BASE}/uploads", responses={HTTPStatus.CREATED: UploadResponse})
    @requires("editor")
    @idempotent
    def create_upload(path: DatasetPath, body: UploadRequest) -> Response:
        """Get URLs to send an archive to, straight into the store."""
        api.catalogue.get(path.dataset_id)
        api.quota.require_room(body.size_bytes)
        upload = api.catalogue.uploads.create("datasets", path.dataset_id, **body.model_dump())
        return answer(UploadResponse.model_validate(upload), HTTPStatus.CREATED)

    @routes.post(
        f"{BASE}/uploads/<string:upload_id>:finalize",
        responses={HTTPStatus.ACCEPTED: IngestResponse},
    )
    @requires("editor")
    def finalize_upload(path: UploadPath, body: FinalizeRequest) -> Response:
        """Say that the archive is whole and how to understand it; its ingest begins."""
        api.catalogue.get(path.dataset_id)
        options, notes = understood(_asked(api, path, body), body.options.model_fields_set)
        making = _making(body)
        ingest = api.catalogue.begin_ingest(path.dataset_id, path.upload_id, options, notes, making)
        api.wake()
        location = f"/v1/datasets/{path.dataset_id}/ingests/{ingest.id}"
        return answer(ingest_answer(ingest), HTTPStatus.ACCEPTED, location)

    @routes.get(f"{BASE}/uploads", responses={HTTPStatus.OK: OpenUploadList})
    @requires("viewer")
    def list_uploads(path: DatasetPath, query: PageQuery) -> Response:
        """Uploads that were begun and not finished, oldest first."""
        api.catalogue.get(path.dataset_id)
        found = api.catalogue.uploads.open_of(path.dataset_id)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [OpenUpload.model_validate({"upload_id": item.id, **item.body}) for item in chosen]
        return answer(OpenUploadList(items=items, next_page_token=token))

    @routes.get(f"{BASE}/uploads/<string:upload_id>", responses={HTTPStatus.OK: UploadResponse})
    @requires("editor")
    def get_upload(path: UploadPath) -> Response:
        """What has arrived, and fresh URLs to go on with."""
        upload = api.catalogue.uploads.get(path.upload_id, path.dataset_id)
        return answer(UploadResponse.model_validate(upload))

    return routes


def ingest_routes(api: Api) -> APIBlueprint:
    """What becomes of archives and folders."""
    routes = APIBlueprint("ingests", __name__, abp_tags=[DATASETS])

    @routes.get(f"{BASE}/ingests/<ingest_id>", responses={HTTPStatus.OK: IngestResponse})
    @requires("viewer")
    def get_ingest(path: IngestPath, query: WaitQuery) -> Response:
        """How an ingest stands, and every error it found."""
        ingest = api.polls.wait(
            lambda: api.catalogue.ingest(path.dataset_id, path.ingest_id),
            lambda seen: seen.body["state"] in FINAL_STATES,
            float(query.wait.removesuffix("s")),
        )
        return answer(ingest_answer(ingest))

    @routes.get(f"{BASE}/ingests", responses={HTTPStatus.OK: IngestList})
    @requires("viewer")
    def list_ingests(path: DatasetPath, query: PageQuery) -> Response:
        """All ingests, oldest first."""
        api.catalogue.get(path.dataset_id)
        found = api.catalogue.ingests(path.dataset_id)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        return answer(IngestList(items=[ingest_answer(item) for item in chosen], next_page_token=token))

    @routes.post(f"{BASE}/ingests", responses={HTTPStatus.ACCEPTED: IngestResponse})
    @requires("editor")
    @idempotent
    def import_folder(path: DatasetPath, body: ImportRequest) -> Response:
        """Ingest pictures and labels that lie in the bucket already, below imports/."""
        api.catalogue.get(path.dataset_id)
        options, notes = understood(_asked(api, path, body), body.options.model_fields_set)
        api.quota.require_room(api.quota.size_of_prefix(body.prefix))
        ingest = api.catalogue.begin_import(path.dataset_id, body.prefix, options, notes, _making(body))
        api.wake()
        location = f"/v1/datasets/{path.dataset_id}/ingests/{ingest.id}"
        return answer(ingest_answer(ingest), HTTPStatus.ACCEPTED, location)

    @routes.post(f"{BASE}/ingests/<string:ingest_id>:cancel", responses={HTTPStatus.OK: IngestResponse})
    @requires("editor")
    def cancel_ingest(path: IngestPath) -> Response:
        """End an ingest without a version."""
        api.catalogue.get(path.dataset_id)
        ended = api.catalogue.cancel(path.dataset_id, path.ingest_id)
        api.wake()
        return answer(ingest_answer(ended))

    return routes


def _asked(api: Api, path: DatasetPath, body: FinalizeRequest | ImportRequest) -> dict[str, Any]:
    """The options, those of the base version included. Raises UnknownVersion."""
    asked = body.options.model_dump()
    if body.base is None:
        return asked
    base = api.catalogue.manifest(path.dataset_id, str(body.base.version))
    return inherited(asked, body.options.model_fields_set, base["options"])


def _making(body: FinalizeRequest | ImportRequest) -> dict[str, Any]:
    return body.model_dump(include={"description", "labels", "base"})
