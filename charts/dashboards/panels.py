"""The few kinds of panel and variable that the dashboards are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries, xychart
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.xychart import SeriesMapping

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, HALF, WHOLE = 8, 12, 24
REFS = "ABCDEFGH"
UNTOLD_LABELS = (
    "Time",
    "__name__",
    "job",
    "instance",
    "endpoint",
    "namespace",
    "pod",
    "container",
    "service",
)
"""What Prometheus adds to a series; a reader of a table has no use for it."""
RATIO, SECONDS, PER_SECOND, COUNT = "percentunit", "s", "reqps", "short"


@dataclass(frozen=True)
class Query:
    """A query and how its series are called in the legend."""

    expr: str
    legend: str


def curves(
    title: str, told: str, unit: str, queries: Sequence[Query], width: int = HALF
) -> Builder[models.Panel]:
    """Lines over time; ``told`` says how to read them."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(told)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(HEIGHT)
        .span(width)
        .line_width(2)
        .show_points(common_models.VisibilityMode.AUTO)
        .span_nulls(True)
        .legend(common.VizLegendOptions().show_legend(True).placement(common_models.LegendPlacement.BOTTOM))
    )
    for ref, query in zip(REFS, queries, strict=False):
        panel = panel.with_target(_target(ref, query))
    return panel


def number(title: str, told: str, unit: str, expr: str, width: int = 4) -> Builder[models.Panel]:
    """One number, the newest."""
    return (
        stat.Panel()
        .title(title)
        .description(told)
        .datasource(DATASOURCE)
        .unit(unit)
        .height(4)
        .span(width)
        .with_target(_target("A", Query(expr, "")))
    )


def rows(title: str, told: str, queries: Sequence[Query], width: int = WHOLE) -> Builder[models.Panel]:
    """A table of the newest values: labels, and a column for each query that has a legend."""
    panel = table.Panel().title(title).description(told).datasource(DATASOURCE).height(HEIGHT).span(width)
    for ref, query in zip(REFS, queries, strict=False):
        panel = panel.with_target(_target(ref, query).instant().format(PromQueryFormat.TABLE))
    named = {f"Value #{ref}": query.legend for ref, query in zip(REFS, queries, strict=False)}
    hidden = [*UNTOLD_LABELS, *(column for column, legend in named.items() if not legend)]
    options = {
        "renameByName": {column: legend for column, legend in named.items() if legend},
        "excludeByName": dict.fromkeys(hidden, True),
    }
    return panel.with_transformation(
        models.DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(models.DataTransformerConfig(id_val="organize", options=options))


def against(title: str, told: str, x: Query, y: Query, width: int = HALF) -> Builder[models.Panel]:
    """One figure against another, such as a loss against the epoch."""
    return (
        xychart.Panel()
        .title(title)
        .description(told)
        .datasource(DATASOURCE)
        .height(HEIGHT)
        .span(width)
        .series_mapping(SeriesMapping.AUTO)
        .with_target(_target("A", x))
        .with_target(_target("B", y))
        .with_transformation(models.DataTransformerConfig(id_val="joinByField", options={"byField": "Time"}))
    )


def board(
    uid: str, title: str, told: str, variables: Sequence[Builder[models.VariableModel]]
) -> dashboard.Dashboard:
    """An empty dashboard with its data source to choose."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(told)
        .tags(["periscope"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for variable in variables:
        made = made.with_variable(variable)
    return made


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Several values to choose of a query's; all of the chosen time, so that what has ended can be chosen too."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(models.VariableOption(text="All", value="$__all"))
    )


def _target(ref: str, query: Query) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend).datasource(DATASOURCE)
    )
