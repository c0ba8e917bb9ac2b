"""Fifty publishers at once, of whom some die at a store call and some lose the answer after the store acted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from periscope import keys
from periscope.documents import Documents
from periscope.store import StoreUnavailable
from periscope_registry.catalogue import KIND
from tests.fakes import MemoryStore
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

PUBLISHERS = 50
FAILING_CALLS = (
    "get",
    "head",
    "list",
    "put_if_absent",
    "put_if_match",
    "put_file",
    "delete",
    "complete_upload",
)


class Killed(BaseException):
    """The process ends here: nothing catches it, nothing is tidied up."""


class FaultyStore(MemoryStore):
    """Kills or deafens the calling publisher at its n-th call; each thread counts for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mine = threading.local()
        self.reached: set[str] = set()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in FAILING_CALLS:
            return found

        def called(*arguments: Any, **options: Any) -> Any:
            left = getattr(self.mine, "left", None)
            if left is None:
                return found(*arguments, **options)
            self.mine.left = left - 1
            if left != 0:
                return found(*arguments, **options)
            self.reached.add(name)
            if self.mine.is_killed:
                raise Killed
            found(*arguments, **options)
            raise StoreUnavailable(f"the answer to {name} is lost")

        return called


def publish_with_a_fault(service: Service, store: FaultyStore, upload_id: str, number: int) -> None:
    """Every second publisher meets a fault, each at a call of its own: half are killed, half lose an answer."""
    if number % 2 == 0:
        service.finalize("buoys", upload_id)
        return
    store.mine.left, store.mine.is_killed = number // 4, number % 4 == 1
    try:
        service.finalize("buoys", upload_id)
    except Killed:
        pass
    finally:
        store.mine.left = None


@pytest.mark.slow
def test_fifty_publishers_make_versions_without_gap_or_double(tmp_path: Path) -> None:
    store = FaultyStore()
    service = Service(tmp_path, store)
    service.token("editor")
    uploads = [service.upload("buoys", model_zip(seed)) for seed in range(PUBLISHERS)]
    # Each replica has five of them; replicas share the store only.
    replicas = [service, *(Service(tmp_path, store) for _ in range(9))]
    with ThreadPoolExecutor(PUBLISHERS) as pool:
        list(
            pool.map(
                lambda pair: publish_with_a_fault(replicas[pair[0] % 10], store, pair[1], pair[0]),
                enumerate(uploads),
            )
        )
    assert {"get", "put_if_absent"} <= store.reached

    model_id = Documents(store).id_of_name(KIND, "buoys")
    assert model_id is not None
    present = [int(key[-8:]) for key in store.keys(keys.versions_prefix(KIND, model_id))]
    assert present == list(range(1, len(present) + 1))
    assert PUBLISHERS // 2 <= len(present) <= PUBLISHERS

    # Whoever got no answer asks again, as a client does.
    last = [Service(tmp_path, store).finalize("buoys", upload_id) for upload_id in uploads]
    assert {answer.status_code for answer in last} <= {200, 201}
    assert sorted(answer.json["version"] for answer in last) == list(range(1, PUBLISHERS + 1))
    assert len({answer.json["zip"]["sha256"] for answer in last}) == PUBLISHERS
