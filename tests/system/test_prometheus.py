"""A real Prometheus scrapes the embedded services during a training: nothing of the curves is missed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charts.dashboards.drawing import Span, draw, filled_in
from periscope.client import ServiceClient
from periscope_embedded.seaweedfs import free_ports
from tests.charts.test_dashboards import boards, expressions
from tests.system.loop import Stack, keyed, persist, publish, push, wait_ended, wait_for

PROMETHEUS = shutil.which("prometheus")
EPOCHS = 4
EPOCH_S = 5.0

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


class Prometheus:
    """The server, scraping some addresses every second."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yml"
        scrape = {"job_name": "periscope", "scrape_interval": "1s", "static_configs": [{"targets": targets}]}
        config.write_text(json.dumps({"scrape_configs": [scrape]}))
        self._process = subprocess.Popen(
            [str(PROMETHEUS), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str, **query: str) -> Any:
        with urllib.request.urlopen(
            f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=10
        ) as answer:
            return json.load(answer)["data"]

    def samples(self, selector: str) -> dict[str, set[float]]:
        """Every value that was stored, by class (or the empty name)."""
        found = self.get("/api/v1/query", query=f"{selector}[30m]")["result"]
        return {
            series["metric"].get("class", ""): {float(value) for _, value in series["values"]}
            for series in found
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack.serving(tmp_path_factory.mktemp("watched")) as stack:
        yield stack


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    known = stack.addresses()
    targets = [known[f"{name}_url"].removeprefix("http://") for name in ("dataset", "training", "registry")]
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
    try:
        yield server
    finally:
        server.stop()


def all_up(server: Prometheus) -> bool | None:
    try:
        found = server.get("/api/v1/query", query="sum(up)")["result"]
    except OSError:
        return None
    return True if found and float(found[0]["value"][1]) == 3 else None


def roll_out(stack: Stack, job: dict[str, Any]) -> None:
    """Two versions, two robots, and a rollout of the second version; one robot is told to have gone back."""
    publish(stack, "watched", job)
    publish(stack, "watched", job, "1")
    registry = stack.client("registry")
    registry.put("/v1/device-groups/pool", json={"model": "watched", "version": 1})
    for device in ("sub-1", "sub-2"):
        registry.put(f"/v1/devices/{device}", json={"group": "pool"})
        made = registry.post("/v1/tokens", json={"role": "device", "name": device, "device_id": device})
        agent = ServiceClient(stack.addresses()["registry_url"], made["token"])
        words = ["active", "rolled_back"] if device == "sub-2" else ["active"]
        reports = [
            {"id": f"{device}-report-{number}", "sequence": number, "at": "", "state": state, "model": "watched", "version": 1}
            for number, state in enumerate(words, 1)
        ]  # fmt: skip
        agent.post(f"/v1/devices/{device}/reports", json={"reports": reports})
    stages = [{"devices": ["sub-1"]}, {"percent": 100}]
    registry.post("/v1/device-groups/pool:rollout", json={"version": 2, "stages": stages})


def hold_each_epoch(stack: Stack) -> None:
    """Stop the training program for EPOCH_S whenever it has committed one, but the last."""
    for epoch in range(1, EPOCHS):
        wait_for(lambda seen=epoch: stack.committed_epochs() >= seen or None, "no further epoch")  # type: ignore[misc]
        pid = stack.pid("trainer")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        time.sleep(EPOCH_S)
        os.kill(pid, signal.SIGCONT)
        assert stack.committed_epochs() == epoch, "the training went on while it was held"


@pytest.fixture(scope="module")
def history(stack: Stack, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the API says of a training whose epochs take EPOCH_S, however fast the machine is."""
    pushed = push(stack, "watched", tmp_path_factory.mktemp("pushed"))
    wait_for(lambda: all_up(prometheus), "Prometheus does not see the services")
    client, key = stack.client("training"), keyed()
    wish = {
        "name": "watched", "dataset": "watched", "dataset_version": pushed["version"], "epochs": EPOCHS,
        "input": {"width": 128, "height": 128}, "batch_size": 1, "threads": 1, "seed": 7,
    }  # fmt: skip
    job = persist(lambda: client.post("/v1/jobs", json=wish, headers=key))
    hold_each_epoch(stack)
    ended = wait_ended(client, f"/v1/jobs/{job['id']}")
    assert ended["state"] == "SUCCEEDED", ended
    roll_out(stack, ended)
    time.sleep(12)  # The last looks at runs and fleet, and a scrape of them.
    found: dict[str, Any] = persist(lambda: client.get(f"/v1/jobs/{job['id']}/history"))
    return {"run": job["id"], **found}


@pytest.mark.timeout(300)
def test_every_epoch_of_the_history_is_in_the_database_with_the_same_value(
    prometheus: Prometheus, history: dict[str, Any]
) -> None:
    run = f'{{run="{history["run"]}"}}'
    assert len(history["epochs"]) == EPOCHS
    for metric in ("loss_bbox", "loss_coverage"):
        stored = prometheus.samples(f"periscope_val_{metric}{run}")[""]
        assert stored == {epoch["metrics"]["val"][metric] for epoch in history["epochs"]}
    for figure in ("precision", "recall", "digits_map", "pooled_map"):
        stored = prometheus.samples(f"periscope_val_{figure}_ratio{run}")
        for name, values in stored.items():
            assert values == {epoch["metrics"]["val"]["classes"][name][figure] for epoch in history["epochs"]}
    rates = prometheus.samples(f"periscope_train_learning_rate{run}")[""]
    assert rates <= {record["learning_rate"] for record in history["progress"]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(boards()))
def test_every_panels_query_finds_something(
    name: str, prometheus: Prometheus, history: dict[str, Any]
) -> None:
    span = Span(time.time() - 600, time.time())
    for expr in expressions(boards()[name]):
        query = {
            "query": filled_in(expr, span),
            "start": f"{span.start_s}",
            "end": f"{span.end_s}",
            "step": "5",
        }
        assert prometheus.get("/api/v1/query_range", **query)["result"], expr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(boards()))
def test_every_panel_can_be_drawn(name: str, prometheus: Prometheus, history: dict[str, Any]) -> None:
    board = boards()[name]
    figure = draw(
        board, lambda path, query: prometheus.get(path, **query), Span(time.time() - 600, time.time())
    )

    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        panel["title"] for panel in board["panels"]
    ]
    for axes in figure.axes:
        assert "no data" not in [text.get_text() for text in axes.texts], axes.get_title(loc="left")
        assert axes.lines or axes.texts or axes.tables
