"""URLs of what a job may ask for: recipes, options, learning rates and networks beforehand, GPUs."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from flask import Response
from flask_openapi3 import APIBlueprint

from detectnet.learning_rate import preview
from detectnet.recipes import RECIPES
from periscope.web.auth import requires
from periscope.web.openapi import gives
from periscope.wire.job_options import (
    GpuList,
    NetworkRequest,
    NetworkResponse,
    RateCurve,
    RateQuery,
    RateRequest,
    RateResponse,
    SchemaResponse,
)
from periscope.wire.jobs import JobRequest, RecipeList
from periscope_training.plots import rate_plot
from periscope_training.routes import JOBS, answer
from periscope_training.rules import described_network


def option_routes(gpus: Callable[[], GpuList]) -> APIBlueprint:
    """What may be asked for."""
    routes = APIBlueprint("options", __name__, abp_tags=[JOBS])

    @routes.get("/v1/recipes", responses={HTTPStatus.OK: RecipeList})
    @requires("viewer")
    def list_recipes() -> Response:
        """What each recipe sets."""
        return answer(RecipeList(items=[{"name": name, **options} for name, options in RECIPES.items()]))

    @routes.get("/v1/job-options", responses={HTTPStatus.OK: SchemaResponse})
    @requires("viewer")
    def get_options() -> Response:
        """Every option of a job with type, limits and description, for forms and checks."""
        schema = JobRequest.model_json_schema()
        return answer(SchemaResponse(options=schema, recipes=dict(RECIPES)))

    @routes.post("/v1/learning-rates:preview", responses={HTTPStatus.OK: RateResponse})
    @requires("viewer")
    @gives("image/png")
    def preview_rates(query: RateQuery, body: RateRequest) -> Response:
        """How learning rates run over a training, before there is one (DIGITS's "Visualize LR")."""
        policy = body.lr_policy.model_dump()
        curves = [RateCurve(learning_rate=base, values=preview(policy, base)) for base in body.learning_rates]
        if query.view == "json":
            return answer(RateResponse(curves=curves))
        lines = {f"{curve.learning_rate:g}": list(enumerate(curve.values)) for curve in curves}
        return Response(rate_plot(lines), mimetype="image/png")

    @routes.post("/v1/networks:describe", responses={HTTPStatus.OK: NetworkResponse})
    @requires("viewer")
    def show_network(body: NetworkRequest) -> Response:
        """A prototxt's layers, output shapes and parameters, before there is a job (DIGITS's "Visualize")."""
        size = None if body.input is None else (body.input.width, body.input.height)
        return answer(NetworkResponse.model_validate(described_network(body.network, size)))

    @routes.get("/v1/gpus", responses={HTTPStatus.OK: GpuList})
    @requires("viewer")
    def list_gpus() -> Response:
        """Where jobs run, how many may run at once, and the GPUs of this machine."""
        return answer(gpus())

    return routes
