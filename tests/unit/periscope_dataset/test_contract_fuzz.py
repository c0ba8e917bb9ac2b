"""Schemathesis on the dataset service with data sets, versions, pictures, uploads and ingests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract_fuzz import fuzz, never_reached
from tests.fakes import MemoryStore
from tests.kitti_archives import as_zip, picture, sound_files
from tests.unit.periscope_dataset.conftest import TOKEN, House, open_house

STREAMS = ("/v1/datasets/{dataset_id}/versions/{version}/export",)
"""Schemathesis does not close its answers, and four exports are sent at once; it is asked for plainly."""


class Seeded:
    """A service in which everything exists, and goes on to exist whatever the requests remove."""

    def __init__(self, folder: Path) -> None:
        self.house = open_house(MemoryStore(), folder)
        self.made = 0
        self.known: dict[str, str] = {}

    def resources(self) -> dict[str, str]:
        if not self.known or not self._are_there():
            dataset_id, ingest_id = self.dataset()
            upload = {"filename": "a.zip", "size_bytes": 5}
            open_upload = self.house.call("POST", f"/v1/datasets/{dataset_id}/uploads", 201, json=upload)
            self.known = {
                "dataset_id": dataset_id,
                "version": "1",
                "split": "train",
                "key": "000",
                "ingest_id": ingest_id,
                "upload_id": open_upload["upload_id"],
            }
        return self.known

    def dataset(self) -> tuple[str, str]:
        """A data set with two versions, and the ingest of one."""
        self.made += 1
        dataset_id = self.house.dataset(f"seeded-{self.made}")
        ingests = [self.house.ingest(dataset_id, as_zip(sound_files(train))) for train in (3, 4)]
        # Random requests may have queued others before.
        while self.house.worker.step() == 0.0:
            pass
        return dataset_id, ingests[0]["id"]

    def plain_requests(self) -> dict[str, tuple[str, str, dict[str, Any]]]:
        """What chance seldom finds: a whole upload, an ingest that waits, names inside bodies and queries."""
        known, house = self.resources(), self.house
        base = f"/v1/datasets/{known['dataset_id']}"
        unwanted = self.dataset()[0]
        upload_id = house.upload(known["dataset_id"], as_zip(sound_files()))
        waiting = house.finalize(
            known["dataset_id"], house.upload(known["dataset_id"], as_zip(sound_files()))
        )
        house.store.put("imports/dive/train/images/a.png", picture())
        images = {"images": [{"split": "train", "key": "000"}]}
        return {
            "POST /v1/datasets/{dataset_id}/uploads/{upload_id}:finalize": (
                "POST", f"{base}/uploads/{upload_id}:finalize", {"json": {}}),
            "POST /v1/datasets/{dataset_id}/ingests/{ingest_id}:cancel": (
                "POST", f"{base}/ingests/{waiting}:cancel", {}),
            "POST /v1/datasets/{dataset_id}/ingests": (
                "POST", f"{base}/ingests", {"json": {"prefix": "imports/dive/"}}),
            "POST /v1/datasets/{dataset_id}/versions/{version}:remove-images": (
                "POST", f"{base}/versions/1:remove-images", {"json": images}),
            "GET /v1/datasets/{dataset_id}/versions/{version}/diff": (
                "GET", f"{base}/versions/2/diff?base=1", {}),
            "GET /v1/datasets/{dataset_id}/versions/{version}/export": ("GET", f"{base}/versions/1/export", {}),
            "DELETE /v1/datasets/{dataset_id}/versions/{version}": (
                "DELETE", f"/v1/datasets/{unwanted}/versions/1", {}),
            "DELETE /v1/datasets/{dataset_id}": ("DELETE", f"/v1/datasets/{unwanted}", {}),
        }  # fmt: skip

    def _are_there(self) -> bool:
        base = f"/v1/datasets/{self.known['dataset_id']}"
        urls = [f"{base}/versions/1", f"{base}/versions/2", f"{base}/uploads/{self.known['upload_id']}"]
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return all(self.house.client.get(url, headers=headers).status_code == 200 for url in urls)


@pytest.mark.slow
def test_no_request_gets_an_undeclared_answer_and_every_operation_works(tmp_path: Path) -> None:
    seeded = Seeded(tmp_path)
    headers = {"Authorization": f"Bearer {TOKEN}"}

    found = fuzz(seeded.house.service.app, headers, seeded.resources, examples=6, leave_out=STREAMS)

    assert len(found) >= 27
    plain = seeded.plain_requests()
    assert set(never_reached(found)) <= set(plain)
    for operation, (method, url, more) in plain.items():
        answered = seeded.house.client.open(url, method=method, headers=headers, **more)
        assert 200 <= answered.status_code < 300, (operation, answered.get_data())
        answered.close()


def test_pictures_labels_and_exports_declare_what_they_send(house: House) -> None:
    document = house.client.get("/openapi.json").get_json()
    images = "/v1/datasets/{dataset_id}/versions/{version}/images/{split}/{key}"

    declared = {
        path: set(document["paths"][path]["get"]["responses"]["200"]["content"])
        for path in (
            images,
            f"{images}/original",
            f"{images}/label",
            f"{images}/thumbnail",
            f"{images}/preview",
        )
    }

    assert declared[images] >= {"application/json", "image/png"}
    assert declared[f"{images}/original"] >= {"image/png", "image/jpeg", "image/bmp"}
    assert declared[f"{images}/label"] >= {"text/plain"}
    assert declared[f"{images}/thumbnail"] >= {"image/jpeg"}
    assert declared[f"{images}/preview"] >= {"image/png"}
