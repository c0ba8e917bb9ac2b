from __future__ import annotations

import pytest

from periscope.web.auth import unprotected_routes
from tests.unit.periscope_registry.service import Service
from tests.unit.periscope_registry.zips import model_zip


def test_every_route_says_who_may_call_it(service: Service) -> None:
    assert unprotected_routes(service.app) == []


def test_a_model_is_made_once_and_found_by_its_name(service: Service) -> None:
    made = service.put("/v1/models/buoys", {"description": "of the pool"})
    again = service.put("/v1/models/buoys", {})

    assert (made.status_code, again.status_code) == (201, 200)
    found = service.get("/v1/models/buoys").json
    assert (found["name"], found["description"]) == ("buoys", "of the pool")
    assert (found["latest_version"], found["aliases"]) == (None, [])


def test_a_description_can_be_changed(service: Service) -> None:
    service.put("/v1/models/buoys", {"description": "old"})
    service.put("/v1/models/buoys", {"description": "new"})

    assert service.get("/v1/models/buoys").json["description"] == "new"


def test_a_maker_who_died_after_the_name_leaves_a_name_that_can_be_used(service: Service) -> None:
    service.put("/v1/models/buoys", {})
    (document,) = service.store.keys("documents/models/")
    service.store.delete(document)

    assert service.get("/v1/models/buoys").status_code == 404
    assert service.put("/v1/models/buoys", {}).status_code == 201
    assert service.store.keys("documents/models/") == [document]


@pytest.mark.parametrize("name", ["Buoys", "-a", "a" * 64, "a b", ".."])
def test_a_name_that_fits_no_url_is_refused(service: Service, name: str) -> None:
    assert service.put(f"/v1/models/{name}", {}).status_code in (404, 422)


def test_what_does_not_exist_is_a_problem_document_that_says_so(service: Service) -> None:
    for path in ("", "/versions", "/versions/1", "/versions/1/zip", "/aliases", "/aliases/latest"):
        answer = service.get(f"/v1/models/none{path}")

        assert answer.status_code == 404
        assert answer.content_type == "application/problem+json"
        assert "none" in answer.json["detail"]


def test_models_are_listed_page_by_page(service: Service) -> None:
    for number in range(5):
        service.put(f"/v1/models/m{number}", {})
    first = service.get("/v1/models?page_size=3").json
    second = service.get(f"/v1/models?page_size=3&page_token={first['next_page_token']}").json

    names = [item["name"] for item in first["items"] + second["items"]]
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert second["next_page_token"] is None


def test_a_model_tells_its_newest_version_and_aliases(service: Service) -> None:
    service.publish("buoys", model_zip(1))
    service.publish("buoys", model_zip(2))
    service.put("/v1/models/buoys/aliases/stable", {"version": 1})

    found = service.get("/v1/models/buoys").json
    assert found["latest_version"] == 2
    assert found["aliases"] == [{"alias": "stable", "version": 1}]


def test_a_viewer_may_look_and_not_change(service: Service) -> None:
    service.put("/v1/models/buoys", {})

    assert service.get("/v1/models/buoys", role="viewer").status_code == 200
    assert service.put("/v1/models/buoys", {}, role="viewer").status_code == 403
    assert service.put("/v1/models/buoys/aliases/a", {"version": 1}, role="viewer").status_code == 403
    assert service.client.get("/v1/models").status_code == 401


def test_a_device_sees_no_models(service: Service) -> None:
    assert service.get("/v1/models", role="device", device_id="sub-1").status_code == 403


def test_a_misspelt_field_is_refused_by_name(service: Service) -> None:
    answer = service.put("/v1/models/buoys", {"descripton": "x"})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/descripton"


def test_the_openapi_document_names_every_call(service: Service) -> None:
    document = service.client.get("/openapi.json").json

    assert document["openapi"].startswith("3.1")
    assert {
        "/v1/models/{name}",
        "/v1/models/{name}/uploads/{upload_id}:finalize",
        "/v1/models/{name}/versions/{number}/zip",
        "/v1/models/{name}/aliases/{alias}",
        "/v1/devices/{device}/desired",
        "/v1/tokens/{token_id}",
    } <= set(document["paths"])
