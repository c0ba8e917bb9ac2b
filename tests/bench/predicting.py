"""``:predict`` over HTTP against onnxruntime called directly: what the way through the service costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import requests

from detectnet.decoders import detect
from detectnet.onnx_graph import grid_onnx
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS
from periscope_training.networks import onnx_network
from tests.bench.measure import Row, in_turns
from tests.integration.training.running_service import TOKEN, RunningTraining, dataset_stub
from tests.unit.periscope_training.epoch_files import random_weights, save_epoch_files
from tests.unit.periscope_training.service import committed_epoch

SIZE = (640, 640)
REQUESTS = 50


def rows(_threads: int) -> list[Row]:
    """Pictures of 640x640, decoder jetson-caffe: time of each, and what the parallel ones waited and took."""
    picture = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    grid = grid_onnx(random_weights(-3.0), *SIZE, 2)
    direct = onnx_network(grid)
    body = cv2.imencode(".jpg", picture)[1].tobytes()
    decoded = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    waits_s: list[float] = []
    with _service(grid) as (url, peak_mib):
        found = in_turns(
            f"predict one of {REQUESTS} pictures, {SIZE[0]}x{SIZE[1]}",
            {
                "onnxruntime, called directly": lambda: [
                    detect(direct, decoded, SIZE, "jetson-caffe") for _ in range(REQUESTS)
                ],
                ":predict, one client": lambda: [_ask(url, body) for _ in range(REQUESTS)],
                f":predict, {REQUESTS} clients at once": lambda: waits_s.extend(
                    _all_at_once(lambda: _ask(url, body))
                ),
            },
            units=REQUESTS,
        )
        served_mib = peak_mib()
    first, one, last = found
    median, slow = (1000 * value for value in np.percentile(waits_s, (50, 95)))
    alone = f"{first.variant} (peak of a process that does only this {_direct_peak_mib(grid):.0f} MiB)"
    told = (
        f"{last.variant} (a client waits {median:.0f} ms, 95 % below {slow:.0f}; peak {served_mib:.0f} MiB)"
    )
    return [replace(first, variant=alone), one, replace(last, variant=told)]


def _all_at_once(call: Callable[[], float]) -> list[float]:
    with ThreadPoolExecutor(REQUESTS) as pool:
        return [waiting.result() for waiting in [pool.submit(call) for _ in range(REQUESTS)]]


def _ask(url: str, body: bytes) -> float:
    """One request; the seconds that its client waited."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/jpeg"}
    started = time.perf_counter()
    requests.post(url, data=body, headers=headers, timeout=120).raise_for_status()
    return time.perf_counter() - started


def _direct_peak_mib(grid: bytes) -> float:
    """Peak memory of a process that loads the network and puts REQUESTS pictures through it."""
    program = (
        "import sys, numpy as np; from detectnet.decoders import detect; "
        "from periscope_training.networks import onnx_network; "
        "network = onnx_network(sys.stdin.buffer.read()); "
        f"picture = np.zeros(({SIZE[1]}, {SIZE[0]}, 3), np.uint8); "
        f"[detect(network, picture, {SIZE}, 'jetson-caffe') for _ in range({REQUESTS})]; "
        "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], input=grid, capture_output=True, check=True)
    return int(done.stdout) / 1024


@contextmanager
def _service(grid: bytes) -> Iterator[tuple[str, Callable[[], float]]]:
    """The address of an epoch's ``:predict``, and the peak memory of the service in MiB."""
    with tempfile.TemporaryDirectory() as folder, dataset_stub() as dataset_url:
        server = SeaweedFS(Path(folder) / "store")
        server.start()
        try:
            server.wait_ready()
            server.make_bucket("bench")
            environ = server.environ("bench")
            service = RunningTraining(environ, Path(folder), dataset_url)
            try:
                service.start()
                job_id = service.create_job("steps=1")
                service.wait_for(lambda: service.job(job_id)["ended_at"] is not None)
                store = S3Store.from_environ(environ)
                files = save_epoch_files(store, job_id, {"grid.onnx": grid})
                _commit(store, job_id, files)
                path = f"{service.url}/v1/jobs/{job_id}/epochs/best:predict?decoder=jetson-caffe"
                yield path, lambda: _peak_mib(service)
            finally:
                service.close()
        finally:
            server.stop()


def _commit(store: S3Store, job_id: str, files: dict[str, object]) -> None:
    """An epoch for an input of SIZE, in place of what the pretended training left."""
    from periscope import keys

    spec = json.loads(store.get(keys.job_spec(job_id)).body)
    spec["network"] |= {"width": SIZE[0], "height": SIZE[1]}
    store.put(keys.job_spec(job_id), json.dumps(spec).encode())
    epoch = {**committed_epoch(1, 0.5), "files": files}
    Documents(store).update("checkpoints", job_id, lambda body: {**body, "epochs": [epoch]})


def _peak_mib(service: RunningTraining) -> float:
    """The largest of gunicorn's processes; the worker is a child of the first one."""
    assert service.process is not None
    first = service.process.pid
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    peaks = []
    for pid in [str(first), *children]:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                peaks.append(int(line.split()[1]) / 1024)
    return max(peaks)
