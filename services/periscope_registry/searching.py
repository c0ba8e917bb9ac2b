"""Which models and versions a search finds. On plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from periscope.wire.base import PageQuery
from periscope_registry.promotion import numbers_in
from periscope_registry.rules import Unfit

Term = Annotated[str, Field(max_length=300)]


class ModelsQuery(PageQuery):
    """Which models to list; all that is given must fit."""

    text: str | None = Field(None, max_length=200, description="In the name or the description, any case")
    tag: list[Term] = Field(default=[], max_length=8, description="key=value; all must fit")


class VersionsQuery(ModelsQuery):
    """Which versions to list; all that is given must fit."""

    text: str | None = Field(None, max_length=200, description="In the description, any case")
    class_name: str | None = Field(None, max_length=100, description="A class that it detects")
    job: str | None = Field(None, max_length=100, description="Id of the job that it comes from")
    dataset: str | None = Field(None, max_length=100, description="Id of the dataset that it was trained on")
    min_metric: list[Term] = Field(
        default=[], max_length=8, description="name=least, as val.classes.buoy.digits_map=0.6"
    )


def fits_model(query: ModelsQuery, body: Mapping[str, Any]) -> bool:
    """Whether a model is looked for."""
    return _says(query.text, body["name"], body["description"]) and _has_tags(query.tag, body)


def fits_version(query: VersionsQuery, manifest: Mapping[str, Any]) -> bool:
    """Whether a version is looked for. Raises Unfit for a least metric that is none."""
    lineage = manifest.get("lineage") or {}
    dataset = lineage.get("dataset")
    return (
        _says(query.text, manifest["description"])
        and _has_tags(query.tag, manifest)
        and query.class_name in (None, *manifest["labels"])
        and query.job in (None, lineage.get("job_id"))
        and query.dataset in (None, dataset.get("id") if isinstance(dataset, Mapping) else None)
        and _reaches(query.min_metric, manifest.get("metrics") or {})
    )


def _says(text: str | None, *places: str) -> bool:
    return text is None or any(text.casefold() in place.casefold() for place in places)


def _has_tags(wanted: Sequence[str], body: Mapping[str, Any]) -> bool:
    tags = body.get("tags") or {}
    return all(tags.get(key) == value for key, _, value in (term.partition("=") for term in wanted))


def _reaches(wanted: Sequence[str], metrics: Mapping[str, Any]) -> bool:
    if not wanted:
        return True
    figures = numbers_in(metrics)
    least = {name: _number(name, value) for name, _, value in (term.rpartition("=") for term in wanted)}
    return all(name in figures and figures[name] >= value for name, value in least.items())


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        message = f"write min_metric as name=number, as val.classes.buoy.digits_map=0.6; got {name}={text}"
        raise Unfit("/min_metric", message) from error
