"""A thousand robots asking, a hundred pulling: the registry beside nginx and MLflow's registry on one machine.

All three answer the same client: threads of this process, a new connection for each request, as robots do. The client's
own time is in all of them alike.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import requests

from periscope.signing import PrivateKey
from periscope_embedded.seaweedfs import SeaweedFS
from tests.bench.measure import Row, in_turns
from tests.integration.gunicorn_service import ADMIN, free_port
from tests.integration.registry.server import Registry
from tests.unit.periscope_registry.zips import model_zip

ROBOTS, PULLS = 1000, 100
POLLING, PULLING = 32, 8
"""How many ask at once. A worker of the registry sends eight zips at a time, and has others come again."""
ZIP_BYTES = 10 << 20
READ_BYTES = 1 << 20
MLFLOW = "mlflow==3.17.2"
MLFLOW_FOLDER = Path(__file__).parents[2] / ".cache" / "bench-mlflow"
NGINX = """daemon off; pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
        uwsgi_temp_path {folder}; scgi_temp_path {folder};
        server {{ listen 127.0.0.1:{port}; root {folder}/files; }} }}
"""


@dataclass(frozen=True)
class Ask:
    """One GET: where, and with which headers."""

    url: str
    headers: dict[str, str]


class Crowd:
    """Makes many requests at once, and keeps how long each one took."""

    def __init__(self, at_once: int) -> None:
        self.waits_s: list[float] = []
        self._pool = ThreadPoolExecutor(at_once)

    def ask(self, asks: list[Ask], wanted: int) -> None:
        """Each once; raises AssertionError for another status than the wanted one."""
        self.waits_s += list(self._pool.map(lambda ask: _get(ask, wanted), asks))

    def p99_ms(self) -> float:
        """What 99 percent of all requests so far stayed below."""
        return float(1000 * np.percentile(self.waits_s, 99))


def rows(_threads: int) -> list[Row]:
    """Polls that find nothing new, then downloads."""
    body = model_zip(1, ZIP_BYTES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _registry(folder, body) as ours, _nginx(folder, body) as plain, _mlflow(folder, body) as other:
            polls = _measured(
                f"poll of one of {ROBOTS} robots",
                {
                    "nginx, 304 of a file": ([plain] * ROBOTS, 304),
                    "periscope, /desired, 304": (ours.polls, 304),
                    "MLflow, version by alias, 200": ([other.poll] * ROBOTS, 200),
                },
                ROBOTS,
                POLLING,
            )
            pulls = _measured(
                f"pull of {len(body) >> 20} MiB by one of {PULLS} robots",
                {
                    "nginx, the file": ([Ask(plain.url, {})] * PULLS, 200),
                    "periscope, presigned (no byte through Python)": ([ours.pull] * PULLS, 200),
                    "periscope, proxy=1 (every byte through Python)": ([ours.proxied] * PULLS, 200),
                    "MLflow, artifact (every byte through Python)": ([other.pull] * PULLS, 200),
                },
                PULLS,
                PULLING,
            )
    return [*polls, *pulls]


def _measured(what: str, variants: dict[str, tuple[list[Ask], int]], units: int, at_once: int) -> list[Row]:
    crowds = {name: Crowd(at_once) for name in variants}

    def call(name: str) -> Callable[[], None]:
        asks, wanted = variants[name]
        return lambda: crowds[name].ask(asks, wanted)

    found = in_turns(what, {name: call(name) for name in variants}, units=units)
    return [
        replace(
            row,
            variant=f"{row.variant} ({1 / float(np.median(row.seconds)):.0f}/s, "
            f"99 % below {crowds[row.variant].p99_ms():.0f} ms)",
        )
        for row in found
    ]


def _get(ask: Ask, wanted: int) -> float:
    started = time.perf_counter()
    status, location = _read(ask)
    if status == 307:
        status, _ = _read(Ask(str(location), {}))
    assert status == wanted, f"{ask.url}: {status}"
    return time.perf_counter() - started


def _read(ask: Ask) -> tuple[int, str | None]:
    parts = urlsplit(ask.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=120)
    try:
        connection.request("GET", ask.url.split(parts.netloc, 1)[1], headers=ask.headers)
        answer = connection.getresponse()
        while answer.read(READ_BYTES):
            pass
        return answer.status, answer.headers["Location"]
    finally:
        connection.close()


@dataclass(frozen=True)
class Ours:
    """What the robots ask of the registry."""

    polls: list[Ask]
    pull: Ask
    proxied: Ask


@contextmanager
def _registry(folder: Path, body: bytes) -> Iterator[Ours]:
    server = SeaweedFS(folder / "store")
    server.start()
    try:
        server.wait_ready()
        server.make_bucket("bench")
        key = folder / "release.pem"
        key.write_bytes(PrivateKey.new().to_pem())
        environ = {**server.environ("bench"), "PERISCOPE_RELEASE_KEY_FILE": str(key)}
        registry = Registry(environ, folder / "registry")
        try:
            registry.start()
            path = folder / "model.zip"
            path.write_bytes(body)
            registry.publish("buoys", path)
            registry.client.put("/v1/models/buoys/aliases/latest", json={"version": 1})
            with ThreadPoolExecutor(4) as pool:
                polls = list(pool.map(lambda number: _enrolled(registry, f"sub-{number}"), range(ROBOTS)))
            admin = {"Authorization": f"Bearer {ADMIN}"}
            zip_url = f"{registry.url}/v1/models/buoys/versions/1/zip"
            yield Ours(polls, Ask(zip_url, admin), Ask(f"{zip_url}?proxy=1", admin))
        finally:
            registry.close()
    finally:
        server.kill()


def _enrolled(registry: Registry, device: str) -> Ask:
    """A robot that knows what it should have."""
    registry.client.put(f"/v1/devices/{device}", json={"model": "buoys", "alias": "latest"})
    token = {"role": "device", "name": device, "device_id": device}
    headers = {"Authorization": f"Bearer {registry.client.post('/v1/tokens', json=token)['token']}"}
    url = f"{registry.url}/v1/devices/{device}/desired"
    etag = requests.get(url, headers=headers, timeout=30).headers["ETag"]
    return Ask(url, {**headers, "If-None-Match": etag})


@contextmanager
def _nginx(folder: Path, body: bytes) -> Iterator[Ask]:
    (folder / "files").mkdir()
    (folder / "files" / "model.zip").write_bytes(body)
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    url = f"http://127.0.0.1:{port}/model.zip"
    # Started by root it changes its user; the file must be readable to that one.
    for path in (folder, folder / "files", folder / "files" / "model.zip"):
        path.chmod(0o755)
    with subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")]) as running:
        try:
            yield Ask(url, {"If-None-Match": _until_there(url).headers["ETag"]})
        finally:
            running.terminate()


@dataclass(frozen=True)
class Theirs:
    """What the robots would ask of MLflow."""

    poll: Ask
    pull: Ask


@contextmanager
def _mlflow(folder: Path, body: bytes) -> Iterator[Theirs]:
    program = MLFLOW_FOLDER / "bin" / "mlflow"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(MLFLOW_FOLDER)], check=True)
        subprocess.run([str(program.with_name("pip")), "install", "--quiet", MLFLOW], check=True)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [str(program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with (folder / "mlflow.log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _until_there(f"{base}/health")
        artifact = f"{base}/api/2.0/mlflow-artifacts/artifacts/{_register(base)}/model.zip"
        requests.put(artifact, data=body, timeout=120).raise_for_status()
        alias = f"{base}/api/2.0/mlflow/registered-models/alias?name=buoys&alias=fleet"
        yield Theirs(Ask(alias, {}), Ask(artifact, {}))
    finally:
        running.terminate()
        running.wait()


def _register(base: str) -> str:
    """A version with an alias, made of a run; return where the run keeps its files."""

    def post(path: str, content: dict[str, str]) -> dict[str, dict[str, dict[str, str]]]:
        answer = requests.post(f"{base}/api/2.0/mlflow/{path}", json=content, timeout=60)
        assert answer.ok, answer.text
        return dict(answer.json())

    run = post("runs/create", {"experiment_id": "0"})["run"]["info"]
    post("registered-models/create", {"name": "buoys"})
    made = {"name": "buoys", "source": run["artifact_uri"], "run_id": run["run_id"]}
    post("model-versions/create", made)
    post("registered-models/alias", {"name": "buoys", "alias": "fleet", "version": "1"})
    return run["artifact_uri"].removeprefix("mlflow-artifacts:/")


def _until_there(url: str) -> requests.Response:
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = requests.get(url, timeout=30)
            if answer.ok:
                return answer
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"{url} does not answer"
        time.sleep(0.2)
