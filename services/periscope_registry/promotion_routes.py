"""URLs of what may be promoted: a model's gate, going back in one call, comparing versions."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, Field

from periscope.web.auth import current_principal, requires
from periscope.wire.models import AliasResponse
from periscope.wire.promotion import ComparisonResponse, GateRequest, GateResponse
from periscope.wire.retention import StageEntry, StageHistory
from periscope_registry.answers import alias_response, answer, expect, is_conditional, quoted
from periscope_registry.promotion import compare, version_before
from periscope_registry.retention import stage_history
from periscope_registry.routes import MODELS, AliasPath, Api, ModelPath, VersionPath
from periscope_registry.rules import Unknown


class CompareQuery(BaseModel):
    """With which version."""

    base: int = Field(ge=1, lt=10**8, description="The version that is taken as the old one")


def promotion_routes(api: Api) -> APIBlueprint:
    """Gate, rollback, comparison."""
    routes = APIBlueprint("promotion", __name__, abp_tags=[MODELS])

    @routes.put("/v1/models/<name>/gate", responses={HTTPStatus.OK: GateResponse})
    @requires("editor")
    def put_gate(path: ModelPath, body: GateRequest) -> Response:
        """Say what must hold of a version before one of these aliases is pointed to it."""
        gate = body.model_dump()
        api.catalogue.change(api.catalogue.get(path.name), gate=gate)
        return answer(GateResponse(**gate))

    @routes.get("/v1/models/<name>/gate", responses={HTTPStatus.OK: GateResponse})
    @requires("viewer")
    def get_gate(path: ModelPath) -> Response:
        """The model's gate; 404 where it has none."""
        gate = api.catalogue.get(path.name).body.get("gate")
        if gate is None:
            make = f"`periscope alias gate {path.name} --guard ALIAS`, or PUT to this address,"
            raise Unknown(f"the model {path.name!r} has no gate; {make} makes one")
        return answer(GateResponse(**gate))

    # The converter is named so that the OpenAPI path does not take the verb for one.
    @routes.post(
        "/v1/models/<name>/aliases/<string:alias>:rollback", responses={HTTPStatus.OK: AliasResponse}
    )
    @requires("editor")
    def roll_back(path: AliasPath) -> Response:
        """Point an alias to where it was before; its devices go back with it. The gate is not asked."""
        model = api.catalogue.get(path.name)
        version = version_before(api.aliases.get(model, path.alias).body)
        by = f"{current_principal().name} (rollback)"
        document, _ = api.aliases.point(model, path.alias, version, by, expect, is_conditional())
        return answer(alias_response(path.name, document), ETag=quoted(document.etag))

    @routes.get(
        "/v1/models/<name>/versions/<int:number>/comparison", responses={HTTPStatus.OK: ComparisonResponse}
    )
    @requires("viewer")
    def compare_versions(path: VersionPath, query: CompareQuery) -> Response:
        """How a version differs from another: figures side by side, files, what is told of them."""
        model = api.catalogue.get(path.name)
        base, head = (api.catalogue.version(model, number) for number in (query.base, path.number))
        return answer(ComparisonResponse(**compare(base, head)))

    @routes.get("/v1/models/<name>/versions/<int:number>/stages", responses={HTTPStatus.OK: StageHistory})
    @requires("viewer")
    def list_stages(path: VersionPath) -> Response:
        """When which alias pointed to a version, oldest first."""
        model = api.catalogue.get(path.name)
        api.catalogue.version(model, path.number)
        bodies = [alias.body for alias in api.aliases.list(model)]
        return answer(
            StageHistory(items=[StageEntry(**entry) for entry in stage_history(bodies, path.number)])
        )

    return routes
