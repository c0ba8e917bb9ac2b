from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from detectnet_trainer import job_progress
from detectnet_trainer.engine import StepReport, Trainer
from detectnet_trainer.job_progress import ProgressReporter
from detectnet_trainer.session import start_session
from periscope.wire.jobs import ProgressRequest
from tests.unit.detectnet_trainer.small_data import NAMES, options, pictures, split_of

pytestmark = pytest.mark.slow

Received = list[tuple[str | None, dict[str, Any]]]
FIGURES = {"loss_bbox": 1.0, "loss_coverage": 2.0, "digits_map": 0.5, "pooled_map": 0.5, "classes": {}}


@contextmanager
def service(status: int = 204) -> Iterator[tuple[str, Received]]:
    """Takes what is posted."""
    received: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["Authorization"], json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/progress", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    split = split_of(pictures(4), tmp_path_factory.mktemp("split"))
    return start_session(split, split, NAMES, options()).trainer


def report(step: int) -> StepReport:
    return StepReport(step, step / 2, 3e-4, 1.5, 2.5, 12.0)


def test_records_have_the_form_that_the_service_takes(trainer: Trainer) -> None:
    with service() as (url, received):
        reporter = ProgressReporter(url, "secret", trainer)
        reporter.post(report(2), FIGURES)
        reporter.close()

    ((authorization, record),) = received
    assert authorization == "Bearer secret"
    parsed = ProgressRequest.model_validate(record)
    assert (parsed.step, parsed.max_step, parsed.epoch, parsed.epochs) == (2, 4, 1.0, 2)
    assert parsed.eta_s is not None


def test_points_come_at_most_every_five_seconds_but_validations_always(trainer: Trainer) -> None:
    with service() as (url, received):
        reporter = ProgressReporter(url, "secret", trainer)
        for step in range(1, 4):
            reporter.post(report(step), None)
        reporter.post(report(4), FIGURES)
        reporter.close()

    assert [record["step"] for _, record in received] == [1, 4]


@pytest.mark.parametrize("status", [401, 422, 500])
def test_a_refusal_is_written_to_the_log_and_nothing_more(
    trainer: Trainer, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    with service(status) as (url, _):
        reporter = ProgressReporter(url, "secret", trainer)
        reporter.post(report(1), None)
        reporter.close()

    assert f"progress was not taken: {status}" in capsys.readouterr().out


def test_a_service_that_is_not_there_does_not_stop_the_training(
    trainer: Trainer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_progress, "TIMEOUT_S", 0.2)
    reporter = ProgressReporter("http://127.0.0.1:9/progress", "secret", trainer)
    reporter.post(report(1), None)
    reporter.close()

    assert "progress was not taken" in capsys.readouterr().out


def test_without_an_address_nothing_is_posted(trainer: Trainer, tmp_path: Path) -> None:
    reporter = ProgressReporter(None, "", trainer)
    reporter.post(report(1), FIGURES)
    reporter.close()
