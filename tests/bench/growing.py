"""What is asked most, on a real store, with ten and a hundred times as much in it; jobs are in ``reconciling``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import requests
from flask import Flask

from periscope import keys
from periscope.store import ObjectStore
from periscope_dataset.app import create_service as dataset_service
from periscope_dataset.settings import Settings as DatasetSettings
from periscope_registry.app import RegistryService
from periscope_registry.app import create_service as registry_service
from periscope_registry.settings import Settings as RegistrySettings
from tests.bench.measure import Row, in_turns
from tests.bench.stores import CountingStore, real_buckets
from tests.unit.periscope_registry.zips import model_zip

ADMIN = "admin"
DATASETS, VERSIONS, DEVICES = (30, 300, 3000), (10, 100, 1000), (30, 300, 3000)


def rows(_threads: int) -> Iterator[Row]:
    """Each call at three sizes; the smallest is what the others are compared with."""
    with tempfile.TemporaryDirectory() as name, real_buckets(Path(name)) as make_store:
        for what, counts, build in (
            ("data sets", DATASETS, _datasets),
            ("versions", VERSIONS, _versions),
            ("devices", DEVICES, _devices),
        ):
            grown = {
                count: build(
                    make_store(f"{what.replace(' ', '')}-{count}"), Path(name) / f"{what}-{count}", count
                )
                for count in counts
            }
            for call in grown[counts[0]].calls:
                yield from in_turns(
                    call,
                    {f"{count} {what} ({one.told(call)})": one.calls[call] for count, one in grown.items()},
                )


@dataclass(frozen=True)
class Grown:
    """A service with something in it, and what is asked of it."""

    store: CountingStore
    calls: Mapping[str, Callable[[], object]]

    def told(self, call: str) -> str:
        """Which store calls it makes, once it has been made before."""
        self.calls[call]()
        return self.store.calls_of(self.calls[call]) or "no call"


class Asker:
    """Calls of one application in this process."""

    def __init__(self, app: Flask, token: str = ADMIN) -> None:
        self._client = app.test_client()
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer; a refusal ends the bench."""
        answer = self._client.open(path, method=method, json=body, headers={**self._headers, **headers})
        assert answer.status_code < 400, f"{method} {path}: {answer.get_data(as_text=True)}"
        return answer


def _counted(store: ObjectStore) -> tuple[CountingStore, ObjectStore]:
    counting = CountingStore(store)
    return counting, cast(ObjectStore, counting)


def _datasets(store: ObjectStore, folder: Path, count: int) -> Grown:
    counting, seen = _counted(store)
    app = dataset_service(DatasetSettings(folder, ADMIN), seen, "bench").app
    with ThreadPoolExecutor(8) as pool:
        ids = list(
            pool.map(
                lambda number: Asker(app)("POST", "/v1/datasets", {"name": f"dive-{number}"}).json["id"],
                range(count),
            )
        )
    ask = Asker(app)
    return Grown(
        counting,
        {
            "a page of data sets": lambda: ask("GET", "/v1/datasets?page_size=20"),
            "a data set by its name": lambda: ask("GET", "/v1/datasets?name=dive-7"),
            "a data set by its id": lambda: ask("GET", f"/v1/datasets/{ids[7]}"),
        },
    )


def _registry(store: ObjectStore, folder: Path) -> tuple[CountingStore, RegistryService, Asker]:
    folder.mkdir(parents=True)
    counting, seen = _counted(store)
    service = registry_service(RegistrySettings(ADMIN, folder), seen)
    return counting, service, Asker(service.app)


def _publish(store: ObjectStore, ask: Asker) -> str:
    """One version of the model ``buoys``, as publishers make it; return the model's id."""
    body = model_zip(1)
    ask("PUT", "/v1/models/buoys", {})
    upload = ask("POST", "/v1/models/buoys/uploads", {"filename": "m.zip", "size_bytes": len(body)}).json
    [part] = upload["parts"]
    requests.put(part["url"], data=body, timeout=60).raise_for_status()
    ask("POST", f"/v1/models/buoys/uploads/{upload['upload_id']}:finalize", {})
    claim = json.loads(store.get(keys.name_claim("models", "buoys")).body)
    return str(claim["id"])


def _versions(store: ObjectStore, folder: Path, count: int) -> Grown:
    counting, _, ask = _registry(store, folder)
    model_id = _publish(store, ask)
    first = json.loads(store.get(keys.version("models", model_id, 1)).body)

    def copy(number: int) -> None:
        sha256 = f"{number:064x}"
        made = {**first, "version": number, "zip": {**first["zip"], "sha256": sha256}}
        store.put(keys.version("models", model_id, number), json.dumps(made).encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, range(2, count + 1)))
    ask("PUT", "/v1/models/buoys/aliases/latest", {"version": count})
    return Grown(
        counting,
        {
            "a page of versions": lambda: ask("GET", "/v1/models/buoys/versions?page_size=20"),
            "a version by its number": lambda: ask("GET", f"/v1/models/buoys/versions/{count // 2}"),
            "an alias": lambda: ask("GET", "/v1/models/buoys/aliases/latest"),
        },
    )


def _devices(store: ObjectStore, folder: Path, count: int) -> Grown:
    counting, service, ask = _registry(store, folder)
    _publish(store, ask)
    ask("PUT", "/v1/models/buoys/aliases/latest", {"version": 1})
    wish = {"model": "buoys", "alias": "latest"}
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: Asker(service.app)("PUT", f"/v1/devices/sub-{number}", wish), range(count)
            )
        )
    token = ask("POST", "/v1/tokens", {"role": "device", "name": "sub-7", "device_id": "sub-7"}).json["token"]
    robot = Asker(service.app, token)
    return Grown(
        counting,
        {
            "a poll of one robot": lambda: robot("GET", "/v1/devices/sub-7/desired"),
            "a page of devices": lambda: ask("GET", "/v1/devices?page_size=20"),
            "a look at the fleet, for Prometheus": service.gauges.step,
        },
    )
