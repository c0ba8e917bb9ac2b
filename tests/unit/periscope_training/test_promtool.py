"""Prometheus's own linter on the page that Prometheus scrapes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.periscope_training.service import reporting_service

PROMTOOL = shutil.which("promtool")


def lint(text: str) -> str:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_has_nothing_to_say_against_the_metrics(tmp_path: Path) -> None:
    service = reporting_service(tmp_path)
    (job,) = service.get("/v1/jobs").json["items"]
    page = service.client.get("/metrics").text

    assert f'periscope_val_recall_ratio{{class="gate",run="{job["id"]}"}}' in page
    assert lint(page) == ""
    assert "no help text" in lint("periscope_jobs 1\n")
