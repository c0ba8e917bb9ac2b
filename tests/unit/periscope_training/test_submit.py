from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from periscope import keys
from periscope.documents import DocumentMissing
from periscope.wire.jobs import JobRequest
from periscope.wire.publications import PublishRequest
from periscope_training.curves import NoSuchEpoch
from periscope_training.rules import UnusableRequest
from periscope_training.submit import KeyReused, Submissions, wish_of
from tests.unit.periscope_training.fate import Killed
from tests.unit.periscope_training.house import MANIFEST, House

REQUEST = JobRequest(name="dive", dataset="pool", epochs=2)
PUBLISH = PublishRequest(model="buoys")
EPOCH = {
    "epoch": 1.0,
    "step": 60,
    "attempt": 1,
    "files": {},
    "metrics": {"val": {"digits_map": 0.1, "pooled_map": 0.1}},
}


@pytest.fixture
def house() -> House:
    return House()


def jobs(house: House) -> list[str]:
    return [document.id for document in house.documents.list("jobs")]


def test_a_job_is_a_spec_a_checkpoint_document_and_a_job_document(house: House) -> None:
    document = house.submissions.submit_job(REQUEST, None)

    spec = json.loads(house.store.get(keys.job_spec(document.id)).body)
    checkpoint = house.documents.get("checkpoints", document.id).body
    assert (spec["job_id"], spec["training"]["epochs"]) == (document.id, 2)
    assert (checkpoint["attempt"], checkpoint["epochs"], checkpoint["complete"]) == (0, [], False)
    assert (document.body["dataset"]["version"], document.body["dataset"]["name"]) == (3, "pool")
    assert document.body["state"] == "QUEUED"


def test_requests_without_a_key_are_different_jobs(house: House) -> None:
    first = house.submissions.submit_job(REQUEST, None)
    second = house.submissions.submit_job(REQUEST, None)

    assert first.id != second.id


def test_the_same_key_gives_the_same_job(house: House) -> None:
    first = house.submissions.submit_job(REQUEST, "ann 1")
    second = house.submissions.submit_job(REQUEST, "ann 1")

    assert (first.id, len(jobs(house))) == (second.id, 1)
    assert house.datasets.asked == [("pool", None)]


def test_a_key_cannot_be_used_for_another_request(house: House) -> None:
    house.submissions.submit_job(REQUEST, "ann 1")

    with pytest.raises(KeyReused):
        house.submissions.submit_job(REQUEST.model_copy(update={"epochs": 3}), "ann 1")


def test_a_refused_request_leaves_nothing_and_may_be_mended_under_the_same_key(house: House) -> None:
    house.datasets.manifests = [{**MANIFEST, "classes": []}]
    with pytest.raises(UnusableRequest):
        house.submissions.submit_job(REQUEST, "ann 1")
    assert jobs(house) == []
    assert house.store.keys("jobs/") == []

    house.datasets.manifests = [MANIFEST]
    house.submissions.submit_job(REQUEST.model_copy(update={"epochs": 5}), "ann 1")
    assert len(jobs(house)) == 1


def test_a_service_that_is_killed_anywhere_makes_one_whole_job_when_asked_again() -> None:
    deaths = 0
    for appointed in range(1, 100):
        house = House()
        house.fate.appointed = appointed
        try:
            house.submissions.submit_job(REQUEST, "ann 1")
            break
        except Killed:
            deaths += 1
        house.restart()
        for document_id in jobs(house):
            assert house.store.keys(keys.job_spec(document_id)), "no job is visible without its spec"
            assert house.documents.get("checkpoints", document_id)
        # In the meantime the newest version of the dataset is another one.
        house.datasets.manifests = [{**MANIFEST, "version": 4}]
        document = house.submissions.submit_job(REQUEST, "ann 1")

        spec = json.loads(house.store.get(keys.job_spec(document.id)).body)
        assert jobs(house) == [document.id]
        assert spec["dataset"]["version"] == document.body["dataset"]["version"]

    assert deaths == 8


def test_two_equal_requests_at_once_are_one_job_on_one_version(house: House) -> None:
    """While the first one reads the dataset, the second one is answered, on a newer version."""

    class SlowDatasets:
        def manifest(self, dataset: str, version: int | None) -> dict:
            house.datasets.manifests = [{**MANIFEST, "version": 4}]
            second.append(house.submissions.submit_job(REQUEST, "ann 1"))
            return MANIFEST

    second: list = []
    slow = Submissions(house.documents, house.store, SlowDatasets(), 2, house.clock)
    first = slow.submit_job(REQUEST, "ann 1")

    spec = json.loads(house.store.get(keys.job_spec(first.id)).body)
    assert jobs(house) == [first.id] == [second[0].id]
    assert spec["dataset"]["version"] == first.body["dataset"]["version"] == 4


def test_null_means_something_for_augmentation_only() -> None:
    assert wish_of(JobRequest(name="a", dataset="d", augmentation=None, epochs=None)).options == {
        "augmentation": None
    }
    assert wish_of(JobRequest(name="a", dataset="d")).options == {}


def test_a_policy_is_complete_and_an_augmentation_may_be_partial() -> None:
    request = JobRequest.model_validate(
        {"name": "a", "dataset": "d", "lr_policy": {"name": "step"}, "augmentation": {"flip_prob": 0.1}}
    )

    assert wish_of(request).options == {
        "lr_policy": {"name": "step", "step": 33.0, "gamma": 0.1},
        "augmentation": {"flip_prob": 0.1},
    }


@pytest.mark.parametrize(
    "field",
    [
        {"epochs": 0},
        {"batch_size": "many"},
        {"learning_rate": float("nan")},
        {"learning_rate": -1},
        {"lr_policy": {"name": "cosine"}},
        {"lr_policy": {"name": "step", "power": 2}},
        {"augmentation": {"flip": 1}},
        {"augmentation": {"flip_prob": 1.5}},
        {"input": {"width": 640}},
        {"epoch": 3},
        {"name": ""},
    ],
)
def test_values_without_sense_do_not_come_in(field: dict) -> None:
    with pytest.raises(ValidationError):
        JobRequest.model_validate({"name": "a", "dataset": "d", **field})


def test_the_best_epoch_is_published(house: House) -> None:
    job_id = house.add_job()
    better = {**EPOCH, "epoch": 2.0, "step": 120, "metrics": {"val": {"digits_map": 0.2, "pooled_map": 0}}}
    worse = {**EPOCH, "epoch": 3.0, "step": 180}
    house.documents.update("checkpoints", job_id, lambda body: {**body, "epochs": [EPOCH, better, worse]})
    document = house.submissions.submit_publication(job_id, "best", PUBLISH, None)

    assert (document.body["step"], document.body["aliases"], document.body["state"]) == (
        120,
        ["latest"],
        "QUEUED",
    )


def test_the_same_key_gives_the_same_publication_though_the_best_epoch_is_another_now(house: House) -> None:
    job_id = house.add_job()
    house.documents.update("checkpoints", job_id, lambda body: {**body, "epochs": [EPOCH]})
    first = house.submissions.submit_publication(job_id, "latest", PUBLISH, "ann 2")
    house.documents.update(
        "checkpoints", job_id, lambda body: {**body, "epochs": [EPOCH, {**EPOCH, "epoch": 2.0}]}
    )
    second = house.submissions.submit_publication(job_id, "latest", PUBLISH, "ann 2")

    assert (second.id, second.body["epoch"]) == (first.id, 1.0)
    with pytest.raises(KeyReused):
        house.submissions.submit_publication(job_id, "1", PUBLISH, "ann 2")


def test_what_does_not_exist_cannot_be_published(house: House) -> None:
    with pytest.raises(DocumentMissing):
        house.submissions.submit_publication("01NOJOB", "best", PUBLISH, None)
    with pytest.raises(NoSuchEpoch):
        house.submissions.submit_publication(house.add_job(), "best", PUBLISH, None)
