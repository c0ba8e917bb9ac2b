"""Draws a dashboard without Grafana: each panel from its own queries, at its own place.

``python -m charts.dashboards.drawing http://localhost:9090 FOLDER`` draws all of them from a Prometheus, over the last hour.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from charts.dashboards.__main__ import FOLDER

COLUMNS, COLUMN_INCHES, ROW_INCHES = 24, 0.62, 0.42
POINTS = 240
LEGEND_LETTERS = 100
"""That stand in a line below a panel of half the page."""
LEGEND_LINES = 3
VARIABLES = {"$__rate_interval": "1m", "$run": ".*", "$service": ".*", "$group": ".*", "$model": ".*"}
"""What Grafana puts in: everything is chosen."""

Ask = Callable[[str, dict[str, str]], Any]
"""A path of Prometheus's API and its parameters; the answer's ``data``."""
Panel = Mapping[str, Any]


@dataclass(frozen=True)
class Span:
    """The time that is shown, in Unix seconds."""

    start_s: float
    end_s: float

    @property
    def step_s(self) -> float:
        """Between two points."""
        return max(1.0, (self.end_s - self.start_s) / POINTS)


def draw(board: Mapping[str, Any], ask: Ask, span: Span) -> Figure:
    """The whole page. Raises what ``ask`` raises."""
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = bottom * ROW_INCHES + 0.6
    figure = Figure(figsize=(COLUMNS * COLUMN_INCHES, height), layout="none")
    figure.suptitle(board["title"], x=0.01, ha="left", fontsize=14)
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / COLUMNS, place["w"] / COLUMNS
        top = 1 - (place["y"] * ROW_INCHES + 0.6) / height
        tall = place["h"] * ROW_INCHES / height
        axes = figure.add_axes(
            (left + 0.045, top - tall + 0.5 / height, width - 0.06, max(tall - 1.0 / height, 0.01))
        )
        axes.set_title(panel["title"], fontsize=10, loc="left")
        KINDS[panel["type"]](axes, panel, ask, span)
    return figure


def filled_in(expr: str, span: Span) -> str:
    """The query with Grafana's variables replaced."""
    for variable, value in {**VARIABLES, "$__range": f"{int(span.end_s - span.start_s)}s"}.items():
        expr = expr.replace(variable, value)
    return expr


def ask_server(url: str) -> Ask:
    """Ask a Prometheus by HTTP."""

    def ask(path: str, query: dict[str, str]) -> Any:
        with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    return ask


def _range(ask: Ask, target: Mapping[str, Any], span: Span) -> list[tuple[str, list[float], list[float]]]:
    """Each series' legend, times and values."""
    query = {
        "query": filled_in(target["expr"], span),
        "start": str(span.start_s), "end": str(span.end_s), "step": str(span.step_s),
    }  # fmt: skip
    found = ask("/api/v1/query_range", query)["result"]
    return [
        (
            _legend(target, one["metric"]),
            [moment for moment, _ in one["values"]],
            [float(value) for _, value in one["values"]],
        )
        for one in found
    ]


def _newest(ask: Ask, target: Mapping[str, Any], span: Span) -> list[tuple[dict[str, str], float]]:
    query = {"query": filled_in(target["expr"], span), "time": str(span.end_s)}
    return [(one["metric"], float(one["value"][1])) for one in ask("/api/v1/query", query)["result"]]


def _legend(target: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), target.get("legendFormat", ""))


def _unit(panel: Panel) -> str:
    return str(panel.get("fieldConfig", {}).get("defaults", {}).get("unit", ""))


def _shown(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.0%}"
    return f"{value:.2g}" if unit == "sci" else f"{value:.5g}" + (" s" if unit == "s" else "")


def _draw_lines(axes: Axes, panel: Panel, ask: Ask, span: Span) -> None:
    for target in panel["targets"]:
        for legend, times_s, values in _range(ask, target, span):
            moments = [datetime.fromtimestamp(moment, UTC) for moment in times_s]
            axes.plot(moments, values, label=legend, linewidth=1.6, marker="." if len(values) < 20 else None)
    unit = _unit(panel)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _shown(value, unit)))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.set_xlim(datetime.fromtimestamp(span.start_s, UTC), datetime.fromtimestamp(span.end_s, UTC))
    _finish(axes)


def _draw_against(axes: Axes, panel: Panel, ask: Ask, span: Span) -> None:
    x, y = (_range(ask, target, span) for target in panel["targets"])
    for (_, x_times, x_values), (legend, y_times, y_values) in zip(x, y, strict=False):
        at = dict(zip(x_times, x_values, strict=True))
        points = [
            (at[moment], value) for moment, value in zip(y_times, y_values, strict=True) if moment in at
        ]
        axes.plot(*zip(*points, strict=True), ".-", label=legend)
    axes.set_xlabel("epoch", fontsize=8)
    _finish(axes)


def _draw_number(axes: Axes, panel: Panel, ask: Ask, span: Span) -> None:
    values = [value for target in panel["targets"] for _, value in _newest(ask, target, span)]
    axes.text(0.5, 0.5, ", ".join(_shown(value, _unit(panel)) for value in values) or "no data", ha="center", va="center", fontsize=18)  # fmt: skip
    axes.axis("off")


def _draw_rows(axes: Axes, panel: Panel, ask: Ask, span: Span) -> None:
    merged: dict[str, dict[str, str]] = {}
    for target in panel["targets"]:
        for labels, value in _newest(ask, target, span):
            row = merged.setdefault(labels.get("run") or labels.get("device", ""), {})
            row.update(labels | {f"Value #{target['refId']}": _shown(value, "")})
    axes.axis("off")
    organized = panel["transformations"][-1]["options"]
    columns = list(dict.fromkeys(name for row in merged.values() for name in row))
    columns = [name for name in columns if name not in organized["excludeByName"]]
    if columns:
        cells = [[row.get(name, "") for name in columns] for row in merged.values()]
        titles = [organized["renameByName"].get(name, name) for name in columns]
        height = 0.1 * (len(cells) + 1)
        axes.table(cells, colLabels=titles, bbox=(0, 1 - height, 1, height), cellLoc="left")


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, alpha=0.3)
    axes.tick_params(labelsize=8)
    legends = axes.get_legend_handles_labels()[1]
    if legends:
        columns = max(1, min(7, LEGEND_LETTERS // max(map(len, legends))))
        below = -0.11 if not axes.get_xlabel() else -0.2
        # A few lines have room below the panel; more would run into the next one.
        fits = len(legends) <= LEGEND_LINES * columns
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, below), "frameon": False}
        axes.legend(fontsize=6.5, ncols=columns, labelspacing=0.2, **(place if fits else {"loc": "best"}))
    else:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", transform=axes.transAxes)


KINDS = {"timeseries": _draw_lines, "xychart": _draw_against, "stat": _draw_number, "table": _draw_rows}


def main(arguments: list[str]) -> int:
    """Draw every dashboard of the chart."""
    url, folder = arguments[0].rstrip("/"), Path(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    for path in sorted(FOLDER.glob("*.json")):
        draw(json.loads(path.read_text()), ask_server(url), Span(now - 3600, now)).savefig(
            folder / f"{path.stem}.png", dpi=80
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
