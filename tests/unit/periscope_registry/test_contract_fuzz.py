"""Schemathesis on the registry with a model, two versions, an alias, devices, a group and a root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from periscope.roots import add_signature, make_root
from periscope.signing import PrivateKey
from tests.contract_fuzz import fuzz, never_reached
from tests.unit.periscope_registry.service import ADMIN, Service
from tests.unit.periscope_registry.zips import model_zip

KEY = PrivateKey.new()
ROOT = add_signature(make_root(1, 1, [KEY.public_pem], [KEY.public_pem]), KEY)
ZIPS = [model_zip(seed) for seed in range(3)]
STAGES = [{"percent": 100}]


class Seeded:
    """A service in which everything exists; what was removed is made again before it is named."""

    def __init__(self, folder: Path) -> None:
        self.service = Service(folder, release_key=KEY)
        for body in ZIPS[:2]:
            self.service.publish("buoys", body)
        self.service.put("/v1/roots/1", ROOT, role="admin")
        self._settle()

    def _settle(self) -> None:
        """The alias holds both versions: one it points to, to the other it would go back."""
        if self.service.get("/v1/models/buoys/aliases/latest").status_code == 404:
            for version in (2, 1):
                self.service.put("/v1/models/buoys/aliases/latest", {"version": version})
        self.service.put("/v1/device-groups/pool", {"model": "buoys", "version": 1})
        self.service.put("/v1/devices/sub-1", {"group": "pool"})

    def resources(self) -> dict[str, str]:
        self._settle()
        made = self.service.post("/v1/tokens", {"role": "viewer", "name": "x"}, role="admin").json
        return {
            "name": "buoys",
            "alias": "latest",
            "number": "1",
            "version": "1",
            "device": "sub-1",
            "group": "pool",
            "token_id": made["id"],
        }

    def plain_requests(self) -> dict[str, tuple[str, str, Any]]:
        """What chance seldom finds: bodies that name what exists, states, the zip's own bytes."""
        self._settle()
        code = self.service.post("/v1/devices/sub-1:code", {}).json["code"]
        upload_id = self.service.upload("buoys", ZIPS[2])
        group = "/v1/device-groups"
        self.service.put(f"{group}/empty", {"model": "buoys", "version": 1})
        self.service.publish("spare", ZIPS[2])
        plan = {"version": 2, "stages": STAGES}
        return {
            "GET /v1/models/{name}/versions/{number}/zip": (
                "GET",
                "/v1/models/buoys/versions/1/zip?proxy=1",
                None,
            ),
            "GET /v1/models/{name}/uploads/{upload_id}": (
                "GET",
                f"/v1/models/buoys/uploads/{upload_id}",
                None,
            ),
            "POST /v1/models/{name}/uploads/{upload_id}:finalize": (
                "POST",
                f"/v1/models/buoys/uploads/{upload_id}:finalize",
                {},
            ),
            "GET /v1/models/{name}/versions/{number}/comparison": (
                "GET",
                "/v1/models/buoys/versions/2/comparison?base=1",
                None,
            ),
            "DELETE /v1/models/{name}/versions/{number}": ("DELETE", "/v1/models/spare/versions/1", None),
            "POST /v1/models/{name}/versions/{number}:restore": (
                "POST",
                "/v1/models/buoys/versions/2:restore",
                None,
            ),
            "DELETE /v1/device-groups/{group}": ("DELETE", f"{group}/empty", None),
            "PUT /v1/models/{name}/gate": ("PUT", "/v1/models/buoys/gate", {"aliases": []}),
            "GET /v1/models/{name}/gate": ("GET", "/v1/models/buoys/gate", None),
            "PUT /v1/models/{name}/aliases/{alias}": ("PUT", "/v1/models/buoys/aliases/x", {"version": 1}),
            "PUT /v1/devices/{device}": ("PUT", "/v1/devices/sub-1", {"group": "pool"}),
            "PUT /v1/device-groups/{group}": ("PUT", f"{group}/pool", {"model": "buoys"}),
            "POST /v1/device-groups/{group}:rollout": ("POST", f"{group}/pool:rollout", plan),
            "POST /v1/device-groups/{group}/rollout:{action}": ("POST", f"{group}/pool/rollout:pause", {}),
            "PUT /v1/roots/{version}": ("PUT", "/v1/roots/1", ROOT),
            "POST /v1/devices/{device}:enrol": ("POST", "/v1/devices/sub-1:enrol", {"code": code}),
        }


@pytest.mark.slow
def test_no_request_gets_an_undeclared_answer_and_every_operation_works(tmp_path: Path) -> None:
    seeded = Seeded(tmp_path)
    headers = {"Authorization": f"Bearer {ADMIN}"}

    found = fuzz(seeded.service.app, headers, seeded.resources)

    assert len(found) >= 25
    plain = seeded.plain_requests()
    assert set(never_reached(found)) <= set(plain)
    for operation, (method, url, body) in plain.items():
        answered = seeded.service.call(method, url, "admin", json=body)
        assert 200 <= answered.status_code < 300, (operation, answered.text)
