"""``docs/options.md``: every option of a training job and of an ingest, from the models that take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from detectnet.recipes import AUGMENTATION, RECIPES
from periscope.wire.ingest_options import IngestOptions
from periscope.wire.job_changes import SweepRequest
from periscope.wire.jobs import JobRequest

HEAD = """\
# Options

Made by `make pages` from the models that the services check requests with. `GET /v1/job-options` answers the first table as a JSON
schema. On the command line: `periscope train --option NAME=VALUE`, with dots for what is nested (`augmentation.flip_prob=0.5`), or a file
for `--config`.
"""
JOB = """
## A training job

`POST /v1/jobs`. What is left out comes from the recipe: `default`, which is stable from random weights, or `digits`, which is what NVIDIA
DIGITS wrote. "n/a" is not part of a recipe.
"""
AUGMENT = """
## Augmentation

Fields of `augmentation`; one that is left out has the value of DetectNet's published network. `null` for the whole switches it off; the recipe `default` has none.
"""
POLICY = """
## Learning-rate policies

`lr_policy` is an object with a `name`; step and values are percent of the training. `POST /v1/learning-rates:preview` shows the curve.
"""
INGEST = """
## An ingest

`options` of an upload's `:finalize`, and of an import.
"""
SWEEP = """
## A sweep

`POST /v1/sweeps`: one job for each learning rate and batch size.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, JOB, *_table(JobRequest, recipes=True), AUGMENT, *_augmentation(), POLICY, *_policies()]
    parts += [SWEEP, *_table(SweepRequest), INGEST, *_table(IngestOptions)]
    return "\n".join(parts).rstrip() + "\n"


def _table(model: type[BaseModel], *, recipes: bool = False) -> Iterator[str]:
    schema = model.model_json_schema()
    columns = ["option", "values", "meaning"] + (["`default`", "`digits`"] if recipes else ["default"])
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for name, told in schema["properties"].items():
        cells = [f"`{name}`", _values(told, schema), _meaning(told, name in schema.get("required", []))]
        if recipes:
            cells += [_recipe_value(recipe, name) for recipe in ("default", "digits")]
        else:
            cells.append(f"`{told['default']}`" if told.get("default") not in (None, [], {}) else "")
        yield f"| {' | '.join(cells)} |"


def _recipe_value(recipe: str, name: str) -> str:
    if name == "weight_decay":
        return "a hundredth of the learning rate"
    if name not in RECIPES[recipe]:
        return "n/a"
    value = RECIPES[recipe][name]
    if isinstance(value, dict) and name == "augmentation":
        return "[on](#augmentation)"
    return (
        f"`{value}`"
        if not isinstance(value, dict)
        else "`" + ", ".join(f"{k}: {v}" for k, v in value.items()) + "`"
    )


def _augmentation() -> Iterator[str]:
    schema = JobRequest.model_json_schema()["$defs"]["Augmentation"]
    yield "| field | values | meaning | published value |"
    yield "|---|---|---|---|"
    for name, told in schema["properties"].items():
        yield f"| `{name}` | {_values(told, {})} | {_meaning(told, False)} | `{AUGMENTATION[name]}` |"


def _policies() -> Iterator[str]:
    definitions = JobRequest.model_json_schema()["$defs"]
    yield "| policy | its parameters and their defaults |"
    yield "|---|---|"
    for definition in definitions.values():
        properties = definition.get("properties", {})
        if "const" not in properties.get("name", {}):
            continue
        others = [
            f"`{name}` {told.get('default', '')}".strip()
            for name, told in properties.items()
            if name != "name"
        ]
        yield f"| `{properties['name']['const']}` | {', '.join(others) or 'none'} |"


def _meaning(told: dict[str, Any], is_required: bool) -> str:
    text = str(told.get("description", "")).replace("|", "\\|")
    return f"{text} (required)".strip() if is_required else text


def _values(told: dict[str, Any], schema: dict[str, Any]) -> str:
    kinds = [one for one in told.get("anyOf", [told]) if one.get("type") != "null"]
    return " or ".join(_one(kind, schema) for kind in kinds)


def _one(kind: dict[str, Any], schema: dict[str, Any]) -> str:
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"])
    if "$ref" in kind:
        name = kind["$ref"].rsplit("/", 1)[-1]
        fields = schema.get("$defs", {}).get(name, {}).get("properties", {})
        return "object of " + ", ".join(f"`{field}`" for field in fields)
    if "oneOf" in kind:
        return "object with `name`"
    if kind.get("type") == "array":
        return f"list of {_one(kind.get('items', {}), schema)}"
    limits = [
        f"{sign} {kind[key]:g}"
        for key, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
        )
        if key in kind
    ]
    names = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "true, false",
        "object": "object",
    }
    return " ".join([names.get(str(kind.get("type")), "any"), ", ".join(limits)]).strip()
