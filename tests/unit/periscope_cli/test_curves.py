"""Curves drawn with characters."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console as Terminal

from periscope.client import ServiceUnreachable
from periscope.wire.jobs import HistoryResponse, JobResponse
from periscope_cli.curves import draw, headline, loss_series, map_series
from periscope_cli.live_curves import picture, watch_curves
from tests.unit.periscope_cli.fake_services import job_document

HISTORY: dict[str, Any] = {
    "progress": [{"epoch": n / 10, "train": {"loss_bbox": 3.0 - n / 10, "loss_coverage": 1.0}} for n in range(20)],
    "epochs": [
        {
            "epoch": n,
            "metrics": {
                "val": {
                    "loss_bbox": 2.0, "loss_coverage": 0.5,
                    "classes": {"buoy": {"digits_map": n / 4}, "gate": {"digits_map": 0.1}},
                }
            },
        }
        for n in (1, 2)
    ],
}  # fmt: skip


def test_losses_are_the_sum_of_both_parts() -> None:
    series = loss_series(HISTORY)
    assert series["train"][0] == (0.0, 4.0)
    assert series["validation"] == [(1, 2.5), (2, 2.5)]


def test_every_class_has_a_curve() -> None:
    assert map_series(HISTORY) == {"buoy": [(1, 0.25), (2, 0.5)], "gate": [(1, 0.1), (2, 0.1)]}


def test_a_plot_has_the_size_that_was_asked_for_and_names_its_curves() -> None:
    drawn = draw("loss", loss_series(HISTORY), 60, 12)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()

    assert len(lines) == 12
    assert max(map(len, lines)) <= 60
    assert "loss" in drawn
    assert "train" in drawn
    assert "validation" in drawn


def test_curves_without_points_are_no_error() -> None:
    assert draw("loss", loss_series({"progress": [], "epochs": []}), 60, 12)


def test_the_headline_tells_how_far_a_job_is() -> None:
    job: dict[str, Any] = {"name": "first", "id": "01J", "state": "QUEUED", "reason": "no GPU free"}
    assert headline({**job, "progress": None}) == "first (01J)  queued  no GPU free"
    progress = {"epoch": 1.25, "epochs": 30, "images_per_second": 7.0, "eta_s": 61.0}
    told = headline({**job, "state": "RUNNING", "progress": progress, "best_epoch": None})
    assert told == "first (01J)  epoch 1.2/30  7.0 img/s  ETA 1:01"


@pytest.mark.parametrize(("height", "shown"), [(24, 23), (60, 29)])
def test_both_plots_fit_a_terminal(height: int, shown: int) -> None:
    job: dict[str, Any] = {
        "name": "first" * 30,
        "id": "01J",
        "state": "QUEUED",
        "reason": "",
        "progress": None,
    }
    terminal = Terminal(file=io.StringIO(), width=80, height=height)

    lines = terminal.render_lines(picture(job, HISTORY, 80, height))

    assert len(lines) == shown
    assert "mAP by class" in "".join(segment.text for line in lines for segment in line)


def test_curves_that_cannot_be_had_just_now_are_drawn_at_the_next_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers: list[HistoryResponse | ServiceUnreachable] = [
        ServiceUnreachable("restarting"),
        HistoryResponse(epochs=[], progress=HISTORY["progress"]),
    ]
    job = JobResponse.model_validate(job_document("01J", "first", state="SUCCEEDED"))

    def history(*_: object) -> HistoryResponse:
        answer = answers.pop(0)
        if isinstance(answer, ServiceUnreachable):
            raise answer
        return answer

    def wait(_: str, show: Callable[[JobResponse], None], note: object) -> JobResponse:
        show(job)
        show(job)
        return job

    jobs = SimpleNamespace(history=history, wait=wait)
    session: Any = SimpleNamespace(api=SimpleNamespace(jobs=jobs), console=SimpleNamespace(note=print))

    assert watch_curves(session, "01J")["state"] == "SUCCEEDED"
    assert "loss" in capsys.readouterr().err
