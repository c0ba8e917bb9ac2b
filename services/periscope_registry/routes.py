"""URLs of models, their versions and aliases; decisions are made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from periscope.documents import Document
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.web.auth import current_principal, requires
from periscope.web.idempotency import idempotent
from periscope.web.pages import page
from periscope.wire.base import PageQuery
from periscope.wire.models import (
    AliasList,
    AliasRequest,
    AliasResponse,
    FinalizeRequest,
    ModelList,
    ModelRequest,
    ModelResponse,
    Name,
    UploadRequest,
    VersionList,
    VersionResponse,
)
from periscope.wire.uploads import OpenUpload, OpenUploadList, UploadResponse
from periscope_registry.aliases import Aliases
from periscope_registry.answers import (
    alias_response,
    answer,
    answer_document,
    expect,
    is_conditional,
    model_response,
    quoted,
)
from periscope_registry.catalogue import Catalogue
from periscope_registry.devices import Devices
from periscope_registry.download_counts import DownloadCounts
from periscope_registry.enrolment import Enrolment
from periscope_registry.groups import Groups
from periscope_registry.promotion import require_passes
from periscope_registry.publishing import Publisher
from periscope_registry.roots import Roots
from periscope_registry.rules import Unfit, VersionNotes
from periscope_registry.searching import ModelsQuery, VersionsQuery, fits_model, fits_version
from periscope_registry.settings import Settings

MODELS = Tag(name="models", description="Models, their versions and aliases")


@dataclass(frozen=True)
class Api:
    """What the routes work with."""

    settings: Settings
    store: ObjectStore
    catalogue: Catalogue
    publisher: Publisher
    aliases: Aliases
    devices: Devices
    tokens: Tokens
    roots: Roots
    groups: Groups
    enrolment: Enrolment
    downloads: DownloadCounts


class ModelPath(BaseModel):
    """Names a model."""

    name: Name


class UploadPath(ModelPath):
    """Names an upload."""

    upload_id: str = Field(max_length=26)


class VersionPath(ModelPath):
    """Names a version."""

    number: int = Field(ge=1, lt=10**8)


class AliasPath(ModelPath):
    """Names an alias."""

    alias: Name


def model_routes(api: Api) -> APIBlueprint:
    """Make, list, look."""
    routes = APIBlueprint("models", __name__, abp_tags=[MODELS])

    @routes.put(
        "/v1/models/<name>", responses={HTTPStatus.OK: ModelResponse, HTTPStatus.CREATED: ModelResponse}
    )
    @requires("editor")
    def put_model(path: ModelPath, body: ModelRequest) -> Response:
        """Make a model where there is none of this name; asked again, it changes nothing."""
        document, is_new = api.catalogue.ensure(path.name, body.description, body.tags)
        return answer(_describe(api, document), HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    @routes.get("/v1/models", responses={HTTPStatus.OK: ModelList})
    @requires("viewer")
    def list_models(query: ModelsQuery) -> Response:
        """Models, oldest first, all or those that are looked for."""
        found = [document for document in api.catalogue.list() if fits_model(query, document.body)]
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [_describe(api, document) for document in chosen]
        return answer(ModelList(items=items, next_page_token=token))

    @routes.get("/v1/models/<name>", responses={HTTPStatus.OK: ModelResponse})
    @requires("viewer")
    def get_model(path: ModelPath) -> Response:
        """A model with its newest version and aliases."""
        return answer(_describe(api, api.catalogue.get(path.name)))

    return routes


def upload_routes(api: Api) -> APIBlueprint:
    """Upload and publish."""
    routes = APIBlueprint("uploads", __name__, abp_tags=[MODELS])

    @routes.post("/v1/models/<name>/uploads", responses={HTTPStatus.CREATED: UploadResponse})
    @requires("editor")
    @idempotent
    def create_upload(path: ModelPath, body: UploadRequest) -> Response:
        """Where to put the parts of a zip; no version comes of it before it is finalized."""
        model = api.catalogue.get(path.name)
        if body.size_bytes > api.settings.max_zip_bytes:
            limit = f"the zip has {body.size_bytes} bytes; at most {api.settings.max_zip_bytes} are taken"
            raise Unfit("/size_bytes", limit)
        upload = api.publisher.begin(model, body.filename, body.size_bytes, body.sha256)
        location = f"/v1/models/{path.name}/uploads/{upload['upload_id']}"
        return answer(UploadResponse(**upload), HTTPStatus.CREATED, Location=location)

    @routes.get("/v1/models/<name>/uploads", responses={HTTPStatus.OK: OpenUploadList})
    @requires("viewer")
    def list_uploads(path: ModelPath, query: PageQuery) -> Response:
        """Uploads that were begun and not finished, oldest first."""
        found = api.publisher.open_uploads(api.catalogue.get(path.name))
        chosen, token = page(found, query.page_size, query.page_token, lambda document: document.id)
        items = [OpenUpload.model_validate({"upload_id": item.id, **item.body}) for item in chosen]
        return answer(OpenUploadList(items=items, next_page_token=token))

    @routes.get("/v1/models/<name>/uploads/<string:upload_id>", responses={HTTPStatus.OK: UploadResponse})
    @requires("editor")
    def get_upload(path: UploadPath) -> Response:
        """What has arrived, and fresh URLs to go on with."""
        return answer(UploadResponse(**api.publisher.upload(api.catalogue.get(path.name), path.upload_id)))

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post(
        "/v1/models/<name>/uploads/<string:upload_id>:finalize",
        responses={HTTPStatus.OK: VersionResponse, HTTPStatus.CREATED: VersionResponse},
    )
    @requires("editor")
    def finalize_upload(path: UploadPath, body: FinalizeRequest) -> Response:
        """Check a zip and make a version of it, 201; where this model has that very zip already, 200."""
        notes = VersionNotes(
            body.description, body.metrics, body.lineage, current_principal().name, body.tags
        )
        manifest, is_new = api.publisher.publish(api.catalogue.get(path.name), path.upload_id, notes)
        return answer(
            VersionResponse(**manifest),
            HTTPStatus.CREATED if is_new else HTTPStatus.OK,
            Location=f"/v1/models/{path.name}/versions/{manifest['version']}",
        )

    return routes


def version_routes(api: Api) -> APIBlueprint:
    """List, look."""
    routes = APIBlueprint("versions", __name__, abp_tags=[MODELS])

    @routes.get("/v1/models/<name>/versions", responses={HTTPStatus.OK: VersionList})
    @requires("viewer")
    def list_versions(path: ModelPath, query: VersionsQuery) -> Response:
        """Versions, oldest first, all or those that are looked for."""
        manifests = api.catalogue.manifests.all(api.catalogue.get(path.name).id)
        found = [manifest for manifest in manifests if fits_version(query, manifest)]
        chosen, token = page(
            found, query.page_size, query.page_token, lambda manifest: f"{manifest['version']:08d}"
        )
        items = [VersionResponse(**manifest) for manifest in chosen]
        return answer(VersionList(items=items, next_page_token=token))

    @routes.get("/v1/models/<name>/versions/<int:number>", responses={HTTPStatus.OK: VersionResponse})
    @requires("viewer")
    def get_version(path: VersionPath) -> Response:
        """A version: zip, members, classes, figures, where it comes from."""
        manifest = api.catalogue.version(api.catalogue.get(path.name), path.number)
        return answer(VersionResponse(**manifest))

    return routes


def alias_routes(api: Api) -> APIBlueprint:
    """Point, list, look."""
    routes = APIBlueprint("aliases", __name__, abp_tags=[MODELS])

    @routes.get("/v1/models/<name>/aliases", responses={HTTPStatus.OK: AliasList})
    @requires("viewer")
    def list_aliases(path: ModelPath, query: PageQuery) -> Response:
        """A model's aliases, by name."""
        aliases = api.aliases.list(api.catalogue.get(path.name))
        chosen, token = page(
            aliases, query.page_size, query.page_token, lambda alias: str(alias.body["alias"])
        )
        items = [alias_response(path.name, alias) for alias in chosen]
        return answer(AliasList(items=items, next_page_token=token))

    @routes.get("/v1/models/<name>/aliases/<alias>", responses={HTTPStatus.OK: AliasResponse})
    @requires("viewer")
    def get_alias(path: AliasPath) -> Response:
        """Where an alias points and where it pointed before."""
        document = api.aliases.get(api.catalogue.get(path.name), path.alias)
        return answer_document(alias_response(path.name, document), document)

    @routes.put(
        "/v1/models/<name>/aliases/<alias>",
        responses={HTTPStatus.OK: AliasResponse, HTTPStatus.CREATED: AliasResponse},
    )
    @requires("editor")
    def put_alias(path: AliasPath, body: AliasRequest) -> Response:
        """Point an alias, if the model's gate lets it; ``If-Match``, ``If-None-Match: *`` compare and set."""
        model = api.catalogue.get(path.name)
        manifest = api.catalogue.manifests.get(model.id, body.version)
        if manifest is not None:
            require_passes(model.body.get("gate"), path.alias, manifest)
        document, is_new = api.aliases.point(
            model,
            path.alias,
            body.version,
            current_principal().name,
            expect,
            is_conditional(),
        )
        return answer(
            alias_response(path.name, document),
            HTTPStatus.CREATED if is_new else HTTPStatus.OK,
            ETag=quoted(document.etag),
        )

    return routes


def _describe(api: Api, document: Document) -> ModelResponse:
    return model_response(document, api.catalogue.manifests, list(api.aliases.list(document)))
