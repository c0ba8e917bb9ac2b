"""The alerts: taken by Prometheus, firing when and only when they should, each with its page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.test_dashboards import METRIC, SUFFIXES, documented

ROOT = Path(__file__).parents[2]
RULES = ROOT / "charts" / "periscope" / "files" / "alerts.yaml"
CASES = Path(__file__).with_name("alerts.test.yaml")
PROMTOOL = shutil.which("promtool")
ALERTS = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)


def cases_on(rules: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    cases = folder / "alerts.test.yaml"
    cases.write_text(CASES.read_text().replace("RULES", str(rules)))
    return promtool("test", "rules", str(cases))


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules_and_they_fire_as_they_should(tmp_path: Path) -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stderr
    done = cases_on(RULES, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_each_rule_is_held_by_its_case(alert: str, tmp_path: Path) -> None:
    """With its expression gone a rule never fires, and the cases notice."""
    rules = tmp_path / "rules.yaml"
    spoilt = yaml.safe_load(RULES.read_text())
    for group in spoilt["groups"]:
        for rule in group["rules"]:
            if rule["alert"] == alert:
                rule["expr"] = "vector(0) > 1"
    rules.write_text(yaml.safe_dump(spoilt))

    done = cases_on(rules, tmp_path)

    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    page = (ROOT / "docs" / "runbooks.md").read_text()
    sections = set(re.findall(r"^## (Periscope\w+)$", page, re.MULTILINE))

    assert sections == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"runbooks.md#{name.lower()}"
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_alerts_watch_metrics_that_there_are() -> None:
    used = {metric for rule in ALERTS.values() for metric in METRIC.findall(rule["expr"])}

    assert used <= documented() | {name + suffix for name in documented() for suffix in SUFFIXES}
