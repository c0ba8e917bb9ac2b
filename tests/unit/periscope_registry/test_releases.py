from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from periscope.documents import Documents
from periscope.roots import add_signature, make_root
from periscope.signing import PrivateKey, verifies
from periscope_registry.releases import Releases
from periscope_registry.rules import choose_flavour
from tests.fakes import MemoryStore
from tests.unit.periscope.test_signing import openssl_verifies
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip

KEY, ROOT_KEY = PrivateKey.new(), PrivateKey.new()
DEVICE = "/v1/devices/sub-1"


def root(version: int = 1, release_key: PrivateKey = KEY, signer: PrivateKey = ROOT_KEY) -> dict[str, Any]:
    return add_signature(make_root(version, 1, [ROOT_KEY.public_pem], [release_key.public_pem]), signer)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(tmp_path, release_key=KEY)
    for seed in range(3):
        service.publish("buoys", model_zip(seed))
    service.put("/v1/models/buoys/aliases/latest", {"version": 1})
    service.put(DEVICE, {"model": "buoys"})
    return service


def desired(service: Service) -> dict[str, Any]:
    answer = service.get(f"{DEVICE}/desired", role="device", device_id="sub-1")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def released(service: Service) -> dict[str, Any]:
    return dict(json.loads(desired(service)["release"]["document"]))


def test_a_device_gets_a_release_that_openssl_accepts(service: Service, tmp_path: Path) -> None:
    release = desired(service)["release"]

    assert release["key_id"] == KEY.key_id
    assert openssl_verifies(tmp_path, KEY.public_pem, release["document"], release["signature"])


def test_a_release_names_device_zip_and_members(service: Service) -> None:
    document, version = released(service), service.get("/v1/models/buoys/versions/1").json

    assert (document["format"], document["device"], document["group"]) == (
        "periscope-release/1",
        "sub-1",
        None,
    )
    assert (document["model"], document["version"], document["activation"]) == ("buoys", 1, "now")
    assert document["zip"] == {name: version["zip"][name] for name in ("sha256", "size_bytes")}
    assert document["members"] == version["members"]
    assert document["constraints"] == {"min_tensorrt": None, "max_tensorrt": None}


def test_an_unchanged_release_is_the_same_on_every_replica(service: Service, tmp_path: Path) -> None:
    other = Service(tmp_path, service.store, release_key=KEY)

    assert desired(service) == desired(service) == desired(other)


def test_every_move_raises_the_counter_and_so_does_the_way_back(service: Service) -> None:
    documents = [released(service)]
    for version in (2, 1, 3, 1):
        service.put("/v1/models/buoys/aliases/latest", {"version": version})
        documents.append(released(service))

    assert [document["version"] for document in documents] == [1, 2, 1, 3, 1]
    counters = [document["counter"] for document in documents]
    assert counters == sorted(set(counters))


def test_a_counter_grows_also_where_the_clock_stands_or_goes_back() -> None:
    moments = iter([5000, 5000, 1000, 9000])
    releases = Releases(Documents(MemoryStore()), KEY, lambda: next(moments))
    counters = []
    for version in (1, 2, 1, 2):
        release = releases.release("d", {"version": version})
        assert release is not None
        counters.append(json.loads(release["document"])["counter"])

    assert counters == [5000, 5001, 5002, 9000]


def test_after_a_restored_backup_the_next_release_is_above_all_that_robots_saw(service: Service) -> None:
    released(service)
    backup = copy.deepcopy(service.store.__dict__["_objects"])
    for version in (2, 3, 2, 3):
        service.put("/v1/models/buoys/aliases/latest", {"version": version})
        seen = released(service)["counter"]
    service.store.__dict__["_objects"] = backup
    service.put("/v1/models/buoys/aliases/latest", {"version": 2})

    assert released(service)["counter"] > seen


def test_a_robot_that_has_seen_a_higher_counter_says_so_and_gets_a_new_release(service: Service) -> None:
    before = released(service)
    own: dict[str, Any] = {"role": "device", "device_id": "sub-1"}
    told = {
        "id": "report-0001",
        "sequence": 1,
        "at": "1970-01-01T00:00:09Z",
        "state": "failed",
        "reason": "counter",
    }
    service.post(f"{DEVICE}/reports", {"reports": [told]}, **own)
    after = released(service)
    service.post(f"{DEVICE}/reports", {"reports": [told]}, **own)

    assert after["counter"] > before["counter"]
    assert after["version"] == before["version"]
    assert released(service) == after, "a report sent again counts once"


def test_a_new_release_key_signs_anew(service: Service, tmp_path: Path) -> None:
    before, fresh = released(service), PrivateKey.new()
    release = desired(Service(tmp_path, service.store, release_key=fresh))["release"]

    assert verifies(fresh.public_pem, release["document"], release["signature"])
    assert json.loads(release["document"])["counter"] > before["counter"]


def test_without_a_key_nothing_is_signed_and_that_is_said(service: Service, tmp_path: Path) -> None:
    keyless = Service(tmp_path, service.store)
    answer = keyless.get(f"{DEVICE}/release")

    assert desired(keyless)["release"] is None
    assert answer.status_code == 409
    assert "PERISCOPE_RELEASE_KEY_FILE" in answer.json["detail"]


def test_roots_are_taken_one_by_one_and_never_change(service: Service) -> None:
    first, second = root(), root(2)
    put = [
        service.put(f"/v1/roots/{number}", body, role="admin")
        for number, body in ((2, second), (1, first), (1, first), (2, second), (2, root(2, PrivateKey.new())))
    ]

    assert [answer.status_code for answer in put] == [422, 201, 200, 201, 412]
    assert service.get("/v1/roots/2", role="device", device_id="sub-1").json == second
    assert service.get("/v1/roots/3").status_code == 404
    assert desired(service)["root_version"] == 2
    assert service.get(f"{DEVICE}/release").json["roots"] == [first, second]


def test_a_root_that_a_stranger_signed_is_refused(service: Service) -> None:
    service.put("/v1/roots/1", root(), role="admin")
    stranger = PrivateKey.new()
    usurper = make_root(2, 1, [stranger.public_pem], [stranger.public_pem])
    answer = service.put("/v1/roots/2", add_signature(usurper, stranger), role="admin")

    assert answer.status_code == 422
    assert "root 1's root keys" in answer.json["detail"]
    assert service.put("/v1/roots/2", root(2), role="editor").status_code == 403


@pytest.mark.parametrize(
    ("tensorrt", "flavour"),
    [
        ("7.1.3", "caffe"),
        ("8.5.2.2-1+cuda11.4", "caffe"),
        ("10.3.0", "trt10"),
        (None, None),
        ("6.0", "caffe"),
    ],
)
def test_the_flavour_is_one_that_the_tensorrt_can_load(tensorrt: str | None, flavour: str | None) -> None:
    told = {"caffe": {"below": "10"}, "trt8": {"from": "7", "below": "10"}, "trt10": {"from": "10"}}

    assert choose_flavour(told, tensorrt) == flavour
    assert choose_flavour({"trt8": {"from": "7"}}, "6.0") is None
