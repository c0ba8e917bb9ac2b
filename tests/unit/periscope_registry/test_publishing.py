from __future__ import annotations

import hashlib
import io
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from detectnet.bundle import BundleError, check_bundle
from periscope import keys
from periscope.store import StoreUnavailable
from tests.fakes import MemoryStore
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import foreign_zip, model_files, model_zip, zip_of


def versions_of(service: Service, model: str = "buoys") -> list[int]:
    return [item["version"] for item in service.get(f"/v1/models/{model}/versions").json["items"]]


def test_an_upload_becomes_a_version_with_all_that_is_known_of_it(service: Service) -> None:
    body = model_zip(1)
    published = service.publish("buoys", body, metrics={"digits_map": 0.7}, lineage={"job_id": "j"})

    assert published.status_code == 201
    assert published.headers["Location"] == "/v1/models/buoys/versions/1"
    version = service.get(published.headers["Location"]).json
    sha256 = hashlib.sha256(body).hexdigest()
    assert version["zip"] == {
        "sha256": sha256,
        "size_bytes": len(body),
        "url": "/v1/models/buoys/versions/1/zip",
    }
    assert (version["labels"], version["width"], version["height"]) == (["buoy", "gate"], 64, 32)
    assert (version["metrics"], version["lineage"]) == ({"digits_map": 0.7}, {"job_id": "j"})
    assert {member["name"] for member in version["members"]} == {*model_files(1), "SHA256SUMS"}
    assert service.store.get(keys.blob(sha256)).body == body


def test_nothing_of_an_upload_is_left_beside_the_blob(service: Service) -> None:
    service.publish("buoys", model_zip(1))

    assert service.store.keys("uploads/") == []
    assert service.store.keys("documents/uploads/") == []


def test_numbers_count_up_for_each_model_of_its_own(service: Service) -> None:
    for seed in (1, 2, 3):
        service.publish("buoys", model_zip(seed))
    service.publish("gates", model_zip(1))

    assert versions_of(service) == [1, 2, 3]
    assert versions_of(service, "gates") == [1]


def test_the_same_upload_finalized_again_is_the_same_version(service: Service) -> None:
    upload_id = service.upload("buoys", model_zip(1))
    first, again = (service.finalize("buoys", upload_id) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json == again.json


def test_the_same_zip_uploaded_again_is_the_same_version(service: Service) -> None:
    first = service.publish("buoys", model_zip(1))
    service.publish("buoys", model_zip(2))
    again = service.publish("buoys", model_zip(1), description="other words")

    assert again.status_code == 200
    assert again.json == first.json
    assert versions_of(service) == [1, 2]


def test_equal_zips_published_at_once_are_one_version(tmp_path: Path) -> None:
    service = Service(tmp_path)
    uploads = [service.upload("buoys", model_zip(1)) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda upload: service.finalize("buoys", upload), uploads))

    assert {answer.json["version"] for answer in answers} == {1}
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert versions_of(service) == [1]


def test_one_upload_finalized_many_times_at_once_is_one_version(tmp_path: Path) -> None:
    service = Service(tmp_path)
    upload_id = service.upload("buoys", model_zip(1))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.finalize("buoys", upload_id), range(8)))

    assert {(answer.status_code, answer.json["version"]) for answer in answers} <= {(200, 1), (201, 1)}
    assert versions_of(service) == [1]


def test_distinct_zips_published_at_once_have_numbers_without_gaps(tmp_path: Path) -> None:
    service = Service(tmp_path)
    uploads = [service.upload("buoys", model_zip(seed)) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda upload: service.finalize("buoys", upload), uploads))

    assert [answer.status_code for answer in answers] == [201] * 12
    assert sorted(answer.json["version"] for answer in answers) == list(range(1, 13))


def test_an_upload_with_missing_parts_says_so_and_can_go_on(service: Service) -> None:
    service.put("/v1/models/buoys", {})
    body = {"filename": "m.zip", "size_bytes": 100}
    upload_id = service.post("/v1/models/buoys/uploads", body).json["upload_id"]
    answer = service.finalize("buoys", upload_id)

    assert answer.status_code == 409
    assert "part 1" in answer.json["detail"]
    assert versions_of(service) == []


def test_an_upload_of_another_model_is_not_found(service: Service) -> None:
    upload_id = service.upload("buoys", model_zip(1))
    service.put("/v1/models/gates", {})

    assert service.finalize("gates", upload_id).status_code == 404
    assert service.finalize("buoys", upload_id).status_code == 201
    assert service.finalize("gates", upload_id).status_code == 404


def test_an_unknown_upload_is_not_found(service: Service) -> None:
    service.put("/v1/models/buoys", {})

    assert service.finalize("buoys", "01HZZZZZZZZZZZZZZZZZZZZZZZ").status_code == 404
    assert service.finalize("buoys", "nonsense").status_code == 404


def test_an_upload_over_the_limit_is_refused_before_it_begins(tmp_path: Path) -> None:
    service = Service(tmp_path, max_zip_bytes=1000)
    service.put("/v1/models/buoys", {})
    answer = service.post("/v1/models/buoys/uploads", {"filename": "m.zip", "size_bytes": 1001})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/size_bytes"


def test_an_upload_asked_for_twice_with_one_key_is_one_upload(service: Service) -> None:
    service.put("/v1/models/buoys", {})
    body, headers = {"filename": "m.zip", "size_bytes": 9}, {"Idempotency-Key": "k"}
    first, again = (service.post("/v1/models/buoys/uploads", body, headers=headers) for _ in range(2))

    assert first.json["upload_id"] == again.json["upload_id"]


def without(name: str) -> dict[str, bytes]:
    return {kept: body for kept, body in model_files(1).items() if kept != name}


BAD_ZIPS = {
    "no zip": b"hello",
    "cut off": model_zip(1)[:300],
    "climbs out": foreign_zip({**model_files(1), "../evil": b"x"}),
    "absolute": foreign_zip({**model_files(1), "/etc/evil": b"x"}),
    "no labels": zip_of(without("labels.txt")),
    "no network": zip_of(without("deploy.prototxt")),
    "no weights": zip_of(without("snapshot_iter_60.caffemodel")),
    "too many labels": zip_of({**model_files(1), "labels.txt": b"a\nb\nc\n"}),
    "wrong sums": foreign_zip({**model_files(1), "SHA256SUMS": b"0" * 64 + b"  labels.txt\n"}),
    "weights that are none": zip_of({**model_files(1), "snapshot_iter_60.caffemodel": b"nonsense"}),
    "bomb": foreign_zip({**model_files(1), "zeros": bytes(1 << 22)}, zipfile.ZIP_DEFLATED),
    "empty name": foreign_zip(model_files(1)).replace(b"labels.txt", b"\0abels.txt"),
    "unusual packing": foreign_zip(model_files(1), zipfile.ZIP_BZIP2),
    "python layer": zip_of(
        {
            **model_files(1),
            "deploy.prototxt": model_files(1)["deploy.prototxt"]
            + b'layer { name: "cluster" type: "Python" }',
        }
    ),
}


@pytest.mark.parametrize("kind", BAD_ZIPS)
def test_a_zip_that_no_robot_can_load_is_refused_with_reasons(service: Service, kind: str) -> None:
    upload_id = service.upload("buoys", BAD_ZIPS[kind])
    first, again = (service.finalize("buoys", upload_id) for _ in range(2))

    assert first.status_code == 422
    assert first.content_type == "application/problem+json"
    assert first.json["errors"][0]["message"]
    assert again.json["errors"] == first.json["errors"]
    assert versions_of(service) == []
    assert service.store.keys("blobs/") == []
    assert service.store.keys("uploads/") == []


def test_a_zip_with_any_byte_damaged_is_refused_or_whole(tmp_path: Path) -> None:
    dice = random.Random(7)
    sound = foreign_zip(model_files(1), zipfile.ZIP_DEFLATED)
    path = tmp_path / "damaged.zip"
    for _ in range(200):
        damaged = bytearray(sound)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        with suppress(BundleError):
            check_bundle(path)


def test_notes_that_json_cannot_carry_are_refused(service: Service) -> None:
    upload_id = service.upload("buoys", model_zip(1))
    answer = service.call(
        "POST",
        f"/v1/models/buoys/uploads/{upload_id}:finalize",
        data='{"metrics": {"map": NaN}}',
        content_type="application/json",
    )

    assert answer.status_code in (400, 422)
    assert versions_of(service) == []


class DyingStore(MemoryStore):
    """Fails at a chosen write, before or after it took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.after = self.died = False

    def _write(self, key: str, body: bytes) -> str:
        counts = self.writes_left is not None and not key.startswith("uploads/")
        dies = counts and self.writes_left == 0
        if counts and self.writes_left is not None:
            self.writes_left -= 1
        self.died = self.died or dies
        if dies and not self.after:
            raise StoreUnavailable(key)
        etag = super()._write(key, body)
        if dies:
            raise StoreUnavailable(key)
        return etag


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_publisher_that_fails_at_any_write_can_simply_ask_again(tmp_path: Path, after: bool) -> None:
    failures = 0
    for write in range(30):
        store = DyingStore()
        service = Service(tmp_path, store)
        upload_id = service.upload("buoys", model_zip(1))
        service.token("editor")
        store.writes_left, store.after = write, after
        first = service.finalize("buoys", upload_id)
        store.writes_left = None
        for item in service.get("/v1/models/buoys/versions").json["items"]:
            assert store.head(keys.blob(item["zip"]["sha256"])) is not None
        again = service.finalize("buoys", upload_id)

        assert again.status_code in (200, 201), again.text
        assert again.json["version"] == 1
        assert versions_of(service) == [1]
        if not store.died:
            break
        assert first.status_code in (200, 201, 503)
        failures += 1

    # The upload's document, the blob, the manifest, the receipt.
    assert failures == 4


def test_versions_are_listed_page_by_page(service: Service) -> None:
    for seed in range(5):
        service.publish("buoys", model_zip(seed))
    first = service.get("/v1/models/buoys/versions?page_size=2").json
    second = service.get(f"/v1/models/buoys/versions?page_size=2&page_token={first['next_page_token']}").json

    assert [item["version"] for item in first["items"] + second["items"]] == [1, 2, 3, 4]


def test_versions_published_by_another_replica_are_seen(tmp_path: Path) -> None:
    service = Service(tmp_path)
    other = Service(tmp_path, service.store)
    service.publish("buoys", model_zip(1))
    assert versions_of(other) == [1]
    service.publish("buoys", model_zip(2))

    assert versions_of(other) == [1, 2]
    assert other.publish("buoys", model_zip(2)).json["version"] == 2


def test_a_listing_of_many_versions_reads_each_once(service: Service) -> None:
    for seed in range(6):
        service.publish("buoys", model_zip(seed))
    versions_of(service)
    before = service.store.calls["get"]
    versions_of(service)

    assert service.store.calls["get"] - before <= 4


def test_a_zip_stays_as_it_was_uploaded(service: Service) -> None:
    body = foreign_zip(model_files(1), zipfile.ZIP_DEFLATED)
    sha256 = service.publish("buoys", body).json["zip"]["sha256"]

    with zipfile.ZipFile(io.BytesIO(service.store.get(keys.blob(sha256)).body)) as archive:
        assert archive.testzip() is None
