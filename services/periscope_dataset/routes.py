"""URLs of the dataset service; decisions are made in the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from detectnet.classes import ClassMap
from periscope.documents import Document
from periscope.web.auth import requires
from periscope.web.idempotency import idempotent
from periscope.web.long_poll import LongPolls
from periscope.web.openapi import gives
from periscope.web.pages import page
from periscope.wire.base import PageQuery, ResponseModel
from periscope.wire.datasets import (
    DatasetList,
    DatasetRequest,
    DatasetResponse,
    ImageResponse,
    IngestResponse,
    LabelledObject,
    VersionList,
    VersionManifest,
)
from periscope_dataset.browsing import Entry, Gallery, class_index
from periscope_dataset.quota import Quota
from periscope_dataset.rules import Catalogue

DATASETS = Tag(name="datasets", description="Data sets, their versions and pictures")
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".bmp": "image/bmp",
               ".ppm": "image/x-portable-pixmap"}  # fmt: skip


@dataclass(frozen=True)
class Api:
    """What the routes work with."""

    catalogue: Catalogue
    gallery: Gallery
    quota: Quota
    polls: LongPolls
    wake: Callable[[], None]
    """Tell the background work that there is something to do."""


class DatasetPath(BaseModel):
    """Names a data set."""

    dataset_id: str


class UploadPath(DatasetPath):
    """Names an upload of a data set."""

    upload_id: str


class IngestPath(DatasetPath):
    """Names an ingest of a data set."""

    ingest_id: str


class VersionPath(DatasetPath):
    """Names a version by number or as ``latest``."""

    version: str = Field(pattern=r"^([1-9][0-9]{0,7}|latest)$")


class ImagePath(VersionPath):
    """Names a picture of a version."""

    split: Literal["train", "val", "test"]
    key: str


class DatasetsQuery(PageQuery):
    """Which data sets to list."""

    name: str | None = Field(None, max_length=100)
    group: str | None = Field(None, max_length=100)


class WaitQuery(BaseModel):
    """How long to hold the answer back."""

    wait: str = Field(
        "0s", pattern=r"^([0-9]|[1-5][0-9]|60)s$", description="Until it has ended, at most 60s"
    )


def dataset_routes(api: Api) -> APIBlueprint:
    """Create, list, upload, finalize."""
    routes = APIBlueprint("datasets", __name__, abp_tags=[DATASETS])

    @routes.post("/v1/datasets", responses={HTTPStatus.CREATED: DatasetResponse})
    @requires("editor")
    @idempotent
    def create_dataset(body: DatasetRequest) -> Response:
        """Name a new data set."""
        document = api.catalogue.create(body.name, body.group)
        return answer(_dataset(api, document), HTTPStatus.CREATED, f"/v1/datasets/{document.id}")

    @routes.get("/v1/datasets", responses={HTTPStatus.OK: DatasetList})
    @requires("viewer")
    def list_datasets(query: DatasetsQuery) -> Response:
        """Data sets, oldest first."""
        found = api.catalogue.list(query.name, query.group)
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        return answer(DatasetList(items=[_dataset(api, item) for item in chosen], next_page_token=token))

    @routes.get("/v1/datasets/<dataset_id>", responses={HTTPStatus.OK: DatasetResponse})
    @requires("viewer")
    def get_dataset(path: DatasetPath) -> Response:
        """One data set."""
        return answer(_dataset(api, api.catalogue.get(path.dataset_id)))

    return routes


def version_routes(api: Api) -> APIBlueprint:
    """Versions and their pictures."""
    routes = APIBlueprint("versions", __name__, abp_tags=[DATASETS])
    base = "/v1/datasets/<dataset_id>/versions"

    @routes.get(base, responses={HTTPStatus.OK: VersionList})
    @requires("viewer")
    def list_versions(path: DatasetPath, query: PageQuery) -> Response:
        """Manifests of all versions, oldest first."""
        api.catalogue.get(path.dataset_id)
        manifests = api.catalogue.versions.list(path.dataset_id)
        chosen, token = page(
            manifests, query.page_size, query.page_token, lambda manifest: f"{manifest['version']:08d}"
        )
        return answer(VersionList(items=[_shown(manifest) for manifest in chosen], next_page_token=token))

    @routes.get(f"{base}/<version>", responses={HTTPStatus.OK: VersionManifest})
    @requires("viewer")
    def get_version(path: VersionPath) -> dict[str, Any]:
        """One version's manifest."""
        api.catalogue.get(path.dataset_id)
        return _shown(api.catalogue.manifest(path.dataset_id, path.version))

    @routes.get(f"{base}/<version>/images/<split>/<key>", responses={HTTPStatus.OK: ImageResponse})
    @requires("viewer")
    @gives("image/png")
    def get_image(path: ImagePath) -> Response:
        """One picture's objects; with ``.png`` after its name, the picture with its boxes."""
        manifest = api.catalogue.manifest(path.dataset_id, path.version)
        if path.key.endswith(".png") and api.gallery.index(manifest, path.split).find(path.key) is None:
            shown = api.gallery.entry(manifest, path.split, path.key.removesuffix(".png"))
            return Response(api.gallery.drawn(manifest, path.split, shown), mimetype="image/png")
        entry = api.gallery.entry(manifest, path.split, path.key)
        objects = _objects(api, manifest, path.split, entry)
        return answer(ImageResponse(split=path.split, objects=objects, **entry))

    @routes.get(f"{base}/<version>/images/<split>/<key>/original")
    @requires("viewer")
    @gives(*sorted(set(MEDIA_TYPES.values())))
    def get_original(path: ImagePath) -> Response:
        """One picture, byte for byte as it was uploaded."""
        manifest = api.catalogue.manifest(path.dataset_id, path.version)
        entry = api.gallery.entry(manifest, path.split, path.key)
        suffix = "." + entry["filename"].rpartition(".")[2].lower()
        media_type = MEDIA_TYPES.get(suffix, "application/octet-stream")
        return Response(api.gallery.original(manifest, path.split, entry), mimetype=media_type)

    return routes


def _dataset(api: Api, document: Document) -> DatasetResponse:
    return DatasetResponse(
        id=document.id,
        name=document.body["name"],
        group=document.body.get("group"),
        created_at=document.body["created_at"],
        latest_version=api.catalogue.versions.latest(document.id),
    )


def ingest_answer(document: Document) -> IngestResponse:
    """An ingest as the wire has it."""
    return IngestResponse.model_validate({"id": document.id, **document.body})


def _objects(api: Api, manifest: dict[str, Any], split: str, entry: Entry) -> list[LabelledObject]:
    classes = ClassMap(manifest["classes"], may_be_empty=True)
    return [
        LabelledObject(
            type=item.type, class_index=class_index(item, classes), xyxy=item.xyxy, line=item.line_number
        )
        for item in api.gallery.objects(manifest, split, entry)
    ]


def _shown(manifest: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != "write_id"}


def answer(model: ResponseModel, status: HTTPStatus = HTTPStatus.OK, location: str | None = None) -> Response:
    """A body, and where what was made is found."""
    response = Response(model.model_dump_json(), status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response
