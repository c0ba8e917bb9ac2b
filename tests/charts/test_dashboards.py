"""The dashboards in the chart: made by the code, whole, and of metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from charts.dashboards.__main__ import FOLDER, texts

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"\bperiscope_\w+")
WIDTH = 24
"""Columns of a page in Grafana."""
SUFFIXES = ("_bucket", "_count", "_sum")


def boards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}


def expressions(board: dict[str, Any]) -> list[str]:
    """Every query of a dashboard's panels."""
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def documented() -> set[str]:
    return set(re.findall(r"^\| `(periscope_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))


def test_the_chart_holds_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == texts()


@pytest.mark.parametrize("name", sorted(texts()))
def test_every_panel_has_a_place_a_query_and_a_sentence(name: str) -> None:
    panels = boards()[name]["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}

    assert len(places) == len(panels) >= 7
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= WIDTH for panel in panels)
    for panel in panels:
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0


def test_dashboards_have_names_of_their_own_and_a_data_source_to_choose() -> None:
    made = boards().values()

    assert len({board["uid"] for board in made}) == len(made) == 4
    for board in made:
        variables = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
        assert variables["datasource"] == "datasource"


@pytest.mark.parametrize("name", sorted(texts()))
def test_every_metric_of_a_panel_is_documented(name: str) -> None:
    used = {metric for expr in expressions(boards()[name]) for metric in METRIC.findall(expr)}
    known = documented() | {name + suffix for name in documented() for suffix in SUFFIXES}

    assert used
    assert used <= known, used - known


def test_the_curves_that_the_how_to_asks_for_are_there() -> None:
    titles = {panel["title"] for panel in boards()["training.json"]["panels"]}

    wanted = {"loss_bbox", "loss_coverage", "precision", "recall", "digits_map", "Learning rate"}
    assert wanted | {"loss_coverage against the epoch", "digits_map against the epoch"} <= titles
