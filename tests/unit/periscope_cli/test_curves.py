"""Curves drawn with characters."""

from __future__ import annotations

import re
from typing import Any

from periscope_cli.curves import draw, headline, loss_series, map_series

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
