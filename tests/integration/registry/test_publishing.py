from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests

from periscope import client, uploads
from periscope.client import ServiceError, ServiceProblem
from periscope.s3 import S3Store
from periscope_cli.client.models import Models
from tests.integration.registry.server import Registry
from tests.unit.periscope_registry.zips import model_zip

pytestmark = pytest.mark.real_store

PUBLISHERS = int(os.environ.get("PERISCOPE_PUBLISHERS", "16"))
KILLS = int(os.environ.get("PERISCOPE_REGISTRY_KILLS", "6"))


def zips(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{seed}.zip" for seed in range(count)]
    for seed, path in enumerate(paths):
        path.write_bytes(model_zip(seed))
    return paths


def test_many_publishers_on_two_replicas_get_numbers_without_gaps(
    start_registry: Callable[[], Registry], tmp_path: Path
) -> None:
    replicas = [start_registry(), start_registry()]
    paths = zips(tmp_path, PUBLISHERS)
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        published = list(
            pool.map(lambda pair: replicas[pair[0] % 2].publish("buoys", pair[1]), enumerate(paths))
        )

    assert sorted(version["version"] for version in published) == list(range(1, PUBLISHERS + 1))
    for replica in replicas:
        seen = replica.versions("buoys")
        assert [version["version"] for version in seen] == list(range(1, PUBLISHERS + 1))
        assert len({version["zip"]["sha256"] for version in seen}) == PUBLISHERS


def test_one_zip_published_on_two_replicas_at_once_is_one_version(
    start_registry: Callable[[], Registry], tmp_path: Path
) -> None:
    replicas = [start_registry(), start_registry()]
    (path,) = zips(tmp_path, 1)
    with ThreadPoolExecutor(8) as pool:
        published = list(
            pool.map(lambda number: Models(replicas[number % 2].client).publish_zip("buoys", path), range(8))
        )

    assert {version.version for version in published} == {1}
    assert len(replicas[0].versions("buoys")) == 1


def test_a_broken_upload_goes_on_with_what_the_store_has(
    start_registry: Callable[[], Registry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = start_registry()
    models, path = Models(registry.client), tmp_path / "own.zip"
    path.write_bytes(model_zip(1, 2 * uploads.MIN_PART_BYTES))
    put_part, sent, there = client._put_part, [], []

    def cut(to: str, part: Any) -> None:
        number = int(to.split("partNumber=")[1].split("&")[0])
        sent.append(number)
        if number == 2 and not there:
            raise ServiceProblem(403, {"detail": "the line is cut"})
        put_part(to, part)

    monkeypatch.setattr(client, "_put_part", cut)
    with pytest.raises(ServiceProblem, match="cut"):
        models.publish_zip("buoys", path)
    (begun,) = registry.client.get("/v1/models/buoys/uploads")["items"]
    there += registry.client.get(f"/v1/models/buoys/uploads/{begun['upload_id']}")["received"]
    assert there
    sent.clear()

    version = models.publish_zip("buoys", path)

    assert version.zip.sha256 == client.sha256_of(path)
    assert 2 in sent
    assert not {part["number"] for part in there} & set(sent)
    assert registry.client.get("/v1/models/buoys/uploads")["items"] == []


def test_an_upload_that_another_finalizes_first_is_sent_once_more_and_is_the_same_version(
    start_registry: Callable[[], Registry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = start_registry()
    path, put_part = tmp_path / "m.zip", client._put_part
    path.write_bytes(model_zip(1))
    registry.client.put("/v1/models/buoys", json={})
    begun = registry.client.post("/v1/models/buoys/uploads", json=announced(path))
    finalize, sent = f"/v1/models/buoys/uploads/{begun['upload_id']}:finalize", []

    def other_is_faster(to: str, part: Any) -> None:
        if not sent:
            requests.put(begun["parts"][0]["url"], data=path.read_bytes(), timeout=60).raise_for_status()
            registry.client.post(finalize, json={})
        sent.append(to)
        put_part(to, part)

    monkeypatch.setattr(client, "_put_part", other_is_faster)
    version = Models(registry.client).publish_zip("buoys", path)

    assert [begun["upload_id"] in to for to in sent] == [True, False]
    assert (version.version, version.zip.sha256) == (1, client.sha256_of(path))
    assert len(registry.versions("buoys")) == 1


def test_anothers_upload_of_the_same_name_and_size_is_left_alone(
    start_registry: Callable[[], Registry], tmp_path: Path
) -> None:
    registry = start_registry()
    path, others = tmp_path / "m.zip", model_zip(2)
    path.write_bytes(others)
    registry.client.put("/v1/models/buoys", json={})
    begun = registry.client.post("/v1/models/buoys/uploads", json=announced(path))
    path.write_bytes(model_zip(1))
    assert path.stat().st_size == len(others)

    version = Models(registry.client).publish_zip("buoys", path)

    assert version.zip.sha256 == client.sha256_of(path)
    (left,) = registry.client.get("/v1/models/buoys/uploads")["items"]
    assert left["upload_id"] == begun["upload_id"]


def test_other_bytes_than_were_announced_are_refused_and_leave_nothing(
    registry: Registry, s3_store: S3Store, tmp_path: Path
) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(model_zip(1))
    registry.client.put("/v1/models/buoys", json={})
    upload = registry.client.post("/v1/models/buoys/uploads", json=announced(path))
    requests.put(upload["parts"][0]["url"], data=model_zip(2), timeout=60).raise_for_status()

    with pytest.raises(ServiceProblem, match="the file changed while it was sent") as caught:
        registry.client.post(f"/v1/models/buoys/uploads/{upload['upload_id']}:finalize", json={})

    assert caught.value.status == 422
    assert client.sha256_of(path) in str(caught.value)
    assert list(s3_store.list("uploads/")) == list(s3_store.list("blobs/")) == []


def announced(path: Path) -> dict[str, Any]:
    sha256 = client.sha256_of(path)
    return {"filename": path.name, "size_bytes": path.stat().st_size, "sha256": sha256}


def test_a_registry_killed_while_it_publishes_leaves_nothing_half_made(
    start_registry: Callable[[], Registry], s3_store: S3Store, tmp_path: Path
) -> None:
    registry = start_registry()
    dice = random.Random(3)
    registry.client.put("/v1/models/buoys", json={})
    for number, path in enumerate(zips(tmp_path, KILLS), start=1):
        upload_id = registry.client.upload_file("/v1/models/buoys/uploads", path)["upload_id"]
        finalize = f"/v1/models/buoys/uploads/{upload_id}:finalize"
        publisher = Thread(target=ask_and_forget, args=(registry, finalize))
        publisher.start()
        time.sleep(dice.uniform(0, 0.15))
        registry.kill()
        publisher.join()
        registry.start()
        for version in registry.versions("buoys"):
            assert s3_store.head(f"blobs/sha256/{version['zip']['sha256'][:2]}/{version['zip']['sha256']}")

        assert registry.client.post(finalize, json={})["version"] == number


def ask_and_forget(registry: Registry, finalize: str) -> None:
    try:
        registry.client.post(finalize, json={})
    except ServiceError:
        return  # It was killed: that is the point.


def test_a_bad_zip_is_refused_with_reasons_and_leaves_nothing(
    registry: Registry, s3_store: S3Store, tmp_path: Path
) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(model_zip(1)[:500])
    with pytest.raises(ServiceProblem) as caught:
        registry.publish("buoys", path)

    assert caught.value.status == 422
    assert "cannot be read" in str(caught.value)
    assert registry.versions("buoys") == []
    assert list(s3_store.list("uploads/")) == list(s3_store.list("blobs/")) == []
