"""The dataset service as a process on the real store: killed, sent to in parts, read from."""

from __future__ import annotations

import json
import random
import secrets
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from periscope import client, keys, uploads
from periscope.client import ServiceProblem, ServiceUnreachable
from periscope.s3 import S3Store
from periscope_cli.client.uploads import send_file
from periscope_dataset.settings import Settings
from tests.dataset_corpus import healthy
from tests.fakes import MemoryStore
from tests.integration.gunicorn_service import GunicornService
from tests.kitti_archives import BOXES, Files, as_tar, label
from tests.unit.periscope_dataset.conftest import open_house

pytestmark = [pytest.mark.real_store, pytest.mark.slow]

IMAGES = 2000
KILLS = 3
SHARD_BYTES = 500_000


@pytest.fixture
def service(s3_environ: dict[str, str], tmp_path: Path) -> Iterator[GunicornService]:
    service = GunicornService(
        "periscope_dataset", s3_environ, tmp_path / "work", PERISCOPE_SHARD_BYTES=str(SHARD_BYTES)
    )
    service.start()
    yield service
    service.close()


def lose_a_shard(service: GunicornService, store: S3Store, dataset_id: str) -> None:
    manifest = service.client.get(f"/v1/datasets/{dataset_id}/versions/1")
    store.delete(keys.blob(manifest["splits"]["val"]["shards"][0]["sha256"]))


def small_pictures(count: int) -> Files:
    """Many small pictures with two objects each, a tenth of them for validation."""
    files: Files = {}
    text = label("buoy", BOXES[0]) + label("gate", BOXES[1])
    noise = np.random.default_rng(7).integers(0, 255, (count, 6, 8, 3), np.uint8)
    for number in range(count):
        split = "val" if number % 10 == 0 else "train"
        image = cv2.resize(noise[number], (64, 48), interpolation=cv2.INTER_NEAREST)
        files[f"{split}/images/{number:05d}.png"] = cv2.imencode(".png", image)[1].tobytes()
        files[f"{split}/labels/{number:05d}.txt"] = text
    return files


def finalized(service: GunicornService, archive: Path, **options: Any) -> tuple[str, str]:
    dataset_id = service.client.post("/v1/datasets", json={"name": archive.stem})["id"]
    upload = service.client.upload_file(f"/v1/datasets/{dataset_id}/uploads", archive)
    url = f"/v1/datasets/{dataset_id}/uploads/{upload['upload_id']}:finalize"
    return dataset_id, service.client.post(url, json={"options": options})["id"]


def ended(service: GunicornService, dataset_id: str, ingest_id: str) -> dict[str, Any]:
    for _ in range(5):
        found: dict[str, Any] = service.client.get(
            f"/v1/datasets/{dataset_id}/ingests/{ingest_id}", params={"wait": "30s"}
        )
        if found["state"] not in ("QUEUED", "RUNNING"):
            return found
    raise AssertionError(found)


def test_killed_at_three_random_points_the_version_is_the_same_byte_for_byte(
    service: GunicornService, s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, seed = as_tar(small_pictures(IMAGES)), secrets.randbelow(10**6)
    drawn = random.Random(seed)
    (tmp_path / "dive.tar").write_bytes(archive)
    monkeypatch.setattr(Settings, "shard_bytes", SHARD_BYTES)
    house = open_house(MemoryStore(), tmp_path / "undisturbed")
    whole = house.dataset("dive")
    house.ingest(whole, archive)
    wanted = house.call("GET", f"/v1/datasets/{whole}/versions/1", 200)
    shards = sum(len(split["shards"]) for split in wanted["splits"].values())
    # Notes are taken of some checked files, then of each shard.
    points = sorted(drawn.sample(range(1, 2 * IMAGES // 1024 + shards), KILLS))

    dataset_id, ingest_id = finalized(service, tmp_path / "dive.tar")
    attempts = []
    for point in points:
        deadline = time.monotonic() + 60
        while len(list(s3_store.list(keys.ingest_prefix(ingest_id)))) < point:
            assert time.monotonic() < deadline, (seed, points)
        time.sleep(drawn.random() / 20)
        service.kill()
        attempts.append(json.loads(s3_store.get(keys.document("ingests", ingest_id)).body)["state"])
        service.start()

    told = ended(service, dataset_id, ingest_id)
    assert (told["state"], told["version"]) == ("SUCCEEDED", 1), (seed, points, told)
    assert attempts[0] == "RUNNING"
    manifest = service.client.get(f"/v1/datasets/{dataset_id}/versions/1")
    for part in ("splits", "classes", "image_sizes", "statistics", "findings", "options"):
        assert manifest[part] == wanted[part], (seed, points, part)
    for split in wanted["splits"].values():
        for ref in (*split["shards"], split["index"], split["boxes_table"]):
            key = keys.blob(ref["sha256"])
            assert s3_store.get(key).body == house.store.get(key).body
    for left in ("ingests/", "uploads/", "documents/uploads/", "documents/leases/"):
        assert list(s3_store.list(left)) == [], left


def test_an_upload_that_was_broken_off_goes_on_with_what_the_store_has(
    service: GunicornService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = healthy()
    body = as_tar(files) + bytes(2 * uploads.MIN_PART_BYTES)
    (tmp_path / "dive.tar").write_bytes(body)
    dataset_id = service.client.post("/v1/datasets", json={"name": "dive"})["id"]
    url, put_part, sent = f"/v1/datasets/{dataset_id}/uploads", client._put_part, []

    def broken(to: str, part: Any) -> None:
        sent.append(to)
        if "partNumber=2" in to and len(sent) < 4:
            raise ServiceProblem(403, {"detail": "the line is cut"})
        put_part(to, part)

    monkeypatch.setattr(client, "_put_part", broken)
    with pytest.raises(ServiceProblem, match="cut"):
        send_file(service.client, url, tmp_path / "dive.tar", {})
    (begun,) = service.client.get(url)["items"]
    received = {part["number"] for part in service.client.get(f"{url}/{begun['upload_id']}")["received"]}
    assert 2 not in received
    sent[:] = ["", "", "", ""]

    told = send_file(service.client, url, tmp_path / "dive.tar", {})

    assert told["id"] == begun["upload_id"]
    again = {int(to.split("partNumber=")[1].split("&")[0]) for to in sent[4:]}
    assert 2 in again
    assert again.isdisjoint(received)
    assert ended(service, dataset_id, told["id"])["state"] == "SUCCEEDED"
    assert service.client.get(url)["items"] == []


def test_a_folder_of_the_real_bucket_comes_in_and_goes_out(
    service: GunicornService, s3_store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = healthy()
    for name, body in files.items():
        s3_store.put(f"{keys.IMPORTS}pool/{name}", body)
    dataset_id = service.client.post("/v1/datasets", json={"name": "pool"})["id"]

    told = service.client.post(
        f"/v1/datasets/{dataset_id}/ingests",
        json={"prefix": "imports/pool/"},
        headers={"Idempotency-Key": "once"},
    )

    assert ended(service, dataset_id, told["id"])["state"] == "SUCCEEDED"
    for form in ("kitti", "coco", "yolo", "voc"):
        target = tmp_path / f"{form}.zip"
        service.client.download(f"/v1/datasets/{dataset_id}/versions/1/export?format={form}", target)
        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None
            images = sorted(archive.read(name) for name in archive.namelist() if name.endswith(".png"))
        assert images == sorted(body for name, body in files.items() if name.endswith(".png"))

    lose_a_shard(service, s3_store, dataset_id)
    monkeypatch.setattr(client, "BACKOFF_S", 0.01)
    with pytest.raises(ServiceUnreachable):
        service.client.download(f"/v1/datasets/{dataset_id}/versions/1/export", tmp_path / "half.zip")
    assert not (tmp_path / "half.zip").exists()
