"""20,000 pictures through the service as a process, on the real store: its memory, alone and killed ten times."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from periscope import keys
from periscope.s3 import S3Store
from periscope_embedded.seaweedfs import SeaweedFS
from tests.bench.datasets import write_archive
from tests.bench.measure import MemoryRow
from tests.integration.gunicorn_service import GunicornService

IMAGES, WIDTH, HEIGHT = int(os.environ.get("INGEST_IMAGES", "20000")), 320, 240
KILLS = 10
SHARD_BYTES = 16 << 20
"""Smaller than the default, so that there are shards enough to be killed between."""


def rows(_: int) -> Iterator[MemoryRow]:
    """One ingest that is left alone, one that is killed; both must end the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "dive.zip"
        write_archive(archive, IMAGES, WIDTH, HEIGHT)
        what = f"{IMAGES} pictures, {archive.stat().st_size / 1e6:.0f} MB"
        server = SeaweedFS(folder / "store")
        server.start()
        try:
            server.wait_ready()
            alone, peaks, seconds = _ingested(server, "alone", folder, archive, kills=0)
            yield MemoryRow(what, "left alone", tuple(peaks), f"{seconds:.0f} s")
            killed, peaks, seconds = _ingested(server, "killed", folder, archive, kills=KILLS)
            assert killed == alone, "not the same version"
            yield MemoryRow(
                what, f"killed {len(peaks) - 1} times", tuple(peaks), f"{seconds:.0f} s, the same version"
            )
        finally:
            server.kill()


def _ingested(
    server: SeaweedFS, bucket: str, folder: Path, archive: Path, kills: int
) -> tuple[dict[str, Any], list[float], float]:
    """The version's splits, the peak memory of each process in MiB, and the seconds in all."""
    server.make_bucket(bucket)
    store = S3Store(server.settings(bucket))
    service = GunicornService(
        "periscope_dataset", server.environ(bucket), folder / bucket, PERISCOPE_SHARD_BYTES=str(SHARD_BYTES)
    )
    service.start()
    peaks = []
    try:
        dataset_id = service.client.post("/v1/datasets", json={"name": "dive"})["id"]
        base = f"/v1/datasets/{dataset_id}"
        upload = service.client.upload_file(f"{base}/uploads", archive)
        begun = time.monotonic()
        ingest_id = service.client.post(f"{base}/uploads/{upload['upload_id']}:finalize", json={})["id"]
        # Notes are taken of every 1024 files, then of each shard.
        notes = 2 * IMAGES // 1024 + archive.stat().st_size // SHARD_BYTES
        for point in sorted(random.Random(0).sample(range(notes), min(kills, notes))):
            while len(list(store.list(keys.ingest_prefix(ingest_id)))) < point:
                time.sleep(0.05)
            peaks.append(_peak_mib(service))
            service.kill()
            service.start()
        while (told := _told(service, f"{base}/ingests/{ingest_id}"))["state"] in ("QUEUED", "RUNNING"):
            pass
        seconds = time.monotonic() - begun
        peaks.append(_peak_mib(service))
        assert told["state"] == "SUCCEEDED", told
        splits: dict[str, Any] = service.client.get(f"{base}/versions/1")["splits"]
        return splits, peaks, seconds
    finally:
        service.close()


def _told(service: GunicornService, path: str) -> dict[str, Any]:
    told: dict[str, Any] = service.client.get(path, params={"wait": "1s"})
    return told


def _peak_mib(service: GunicornService) -> float:
    """The most that the worker has had in memory so far, as the kernel counted it."""
    status = Path(f"/proc/{service.worker_pid()}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
