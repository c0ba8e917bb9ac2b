from __future__ import annotations

from typing import Any

import pytest

from periscope.client import ServiceProblem, ServiceUnreachable
from periscope_training.datasets import DatasetMissing, DatasetsUnavailable
from periscope_training.http_datasets import HttpDatasets

DATASET = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Client:
    """The dataset service's answers by path, as a ServiceClient gives them."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "/v1/datasets?name=pool": {"items": [{"id": DATASET}]},
            "/v1/datasets?name=sea": {"items": []},
            f"/v1/datasets/{DATASET}/versions/latest": {"version": 3},
            f"/v1/datasets/{DATASET}/versions/2": {"version": 2},
            f"/v1/datasets/{DATASET}": {"id": DATASET, "name": "pool"},
            f"/v1/datasets/{DATASET}/ingests/01I": {
                "state": "FAILED",
                "progress": 0.5,
                "version": None,
                "errors": [{"message": f"{place} is wrong."} for place in "abcd"],
            },
        }
        self.error: Exception | None = None

    def get(self, path: str, params: dict[str, str] | None = None) -> Any:
        if self.error is not None:
            raise self.error
        asked = path + "".join(f"?{name}={value}" for name, value in (params or {}).items())
        if asked not in self.answers:
            raise ServiceProblem(404, {"detail": "Not found"})
        return self.answers[asked]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def datasets(client: Client) -> HttpDatasets:
    return HttpDatasets(client)  # type: ignore[arg-type] # the part of it that is used


@pytest.mark.parametrize(
    ("dataset", "version", "found"), [("pool", None, 3), ("pool", 2, 2), (DATASET, None, 3)]
)
def test_a_version_is_found_by_name_and_by_id(
    datasets: HttpDatasets, dataset: str, version: int | None, found: int
) -> None:
    assert datasets.manifest(dataset, version)["version"] == found


@pytest.mark.parametrize(
    ("dataset", "version", "words"),
    [("sea", None, "no dataset 'sea'"), ("pool", 9, "no version 9"), ("0" * 26, None, "no version yet")],
)
def test_what_does_not_exist_is_named(
    datasets: HttpDatasets, dataset: str, version: int | None, words: str
) -> None:
    with pytest.raises(DatasetMissing, match=words):
        datasets.manifest(dataset, version)


@pytest.mark.parametrize(
    "error",
    [ServiceUnreachable("no answer"), ServiceProblem(500, {}), ServiceProblem(401, {"detail": "who?"})],
)
def test_a_service_that_cannot_answer_is_not_a_missing_dataset(
    datasets: HttpDatasets, client: Client, error: Exception
) -> None:
    client.error = error

    with pytest.raises(DatasetsUnavailable):
        datasets.manifest("pool", None)


@pytest.mark.parametrize("dataset", ["pool", DATASET])
def test_an_ingest_is_told_with_its_first_errors(datasets: HttpDatasets, dataset: str) -> None:
    found = datasets.ingest(dataset, "01I")

    assert (found.dataset_id, found.dataset_name, found.state, found.version) == (
        DATASET,
        "pool",
        "FAILED",
        None,
    )
    assert found.trouble == "a is wrong. b is wrong. c is wrong."
    with pytest.raises(DatasetMissing, match="no ingest '01J'"):
        datasets.ingest(dataset, "01J")
