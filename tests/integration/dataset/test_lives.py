"""Versions on the real store: made from one another, compared, removed, and their garbage collected."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from periscope import keys
from periscope.blobs import put_blob
from periscope.clock import utc_now
from periscope.documents import Documents
from periscope.s3 import S3Store
from periscope_dataset.app import create_service
from periscope_dataset.garbage import LEAST_GRACE_S, Collector
from periscope_dataset.settings import Settings
from tests.kitti_archives import as_zip, picture, sound_files

pytestmark = [pytest.mark.real_store]

GRACE = timedelta(seconds=LEAST_GRACE_S)
ADMIN = {"Authorization": "Bearer admin"}


def test_a_version_is_made_from_another_removed_and_its_blobs_collected(
    s3_store: S3Store, tmp_path: Path
) -> None:
    service = create_service(Settings(tmp_path, "admin"), s3_store, "one")
    web = service.app.test_client()

    def call(method: str, path: str, status: int, body: Any = None) -> Any:
        answer = web.open(path, method=method, headers=ADMIN, json=body)
        assert answer.status_code == status, answer.text
        return answer.get_json(silent=True)

    def ingested(dataset: str, archive: bytes, **wish: Any) -> None:
        told = {"filename": "a.zip", "size_bytes": len(archive)}
        upload = call("POST", f"{dataset}/uploads", 201, told)
        requests.put(upload["parts"][0]["url"], data=archive, timeout=10).raise_for_status()
        call("POST", f"{dataset}/uploads/{upload['upload_id']}:finalize", 202, wish)
        while service.ingests.step() == 0.0:
            pass

    base = f"/v1/datasets/{call('POST', '/v1/datasets', 201, {'name': 'dive'})['id']}"
    ingested(base, as_zip(sound_files()))
    more = {"train/images/9.png": picture(9), "train/labels/9.txt": b""}
    ingested(base, as_zip(more), base={"version": 1, "mode": "append"})
    kept = {ref["sha256"] for ref in _refs(call("GET", f"{base}/versions/1", 200)["splits"])}
    weights = put_blob(s3_store, b"named by a document")
    Documents(s3_store).create("pretrained", {"sha256": weights.sha256})

    changes = call("GET", f"{base}/versions/2/diff?base=1", 200)["items"]
    call("DELETE", f"{base}/versions/2", 204)
    for later in (0 * GRACE, GRACE + timedelta(minutes=1)):
        collector = Collector(s3_store, Documents(s3_store), "one", lambda later=later: utc_now() + later)
        found = collector.collect(LEAST_GRACE_S, dry_run=False)

    assert [(item["key"], item["change"]) for item in changes] == [("9", "added")]
    # The shard and the index of train; the new picture has no box, so the table is that of version 1.
    assert found.removed == 2
    left = {info.key.rpartition("/")[2] for info in s3_store.list(keys.BLOBS)}
    assert kept | {weights.sha256} <= left
    assert call("GET", f"{base}/versions/1/statistics", 200)["splits"]["train"]["images"] == 4


def _refs(told: Any) -> list[dict[str, Any]]:
    if isinstance(told, dict):
        own = [told] if {"sha256", "size_bytes"} <= told.keys() else []
        return own + [ref for inner in told.values() for ref in _refs(inner)]
    return [ref for inner in told for ref in _refs(inner)] if isinstance(told, list) else []
