from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from periscope.wire.publications import PublishRequest
from periscope_training.publish import BuiltZip, NotPublishable, Publisher
from tests.unit.periscope_training.fake_registry import FakeRegistry
from tests.unit.periscope_training.fate import Killed
from tests.unit.periscope_training.house import House
from tests.unit.periscope_training.test_submit import EPOCH


class FakeBuilder:
    """Makes a file of the publication's step; local, so a restart may find it gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flavour = b"1"
        self.broken: Exception | None = None
        self.discarded: list[str] = []

    def build(self, publication_id: str, body: dict[str, Any]) -> BuiltZip:
        if self.broken is not None:
            raise self.broken
        content = b"zip of step %d, flavour %s" % (body["step"], self.flavour)
        path = self.folder / publication_id
        path.write_bytes(content)
        return BuiltZip(
            path, hashlib.sha256(content).hexdigest(), len(content), {"coverage": 1e-6}, ("dark",)
        )

    def discard(self, publication_id: str) -> None:
        self.discarded.append(publication_id)


class Press:
    """A house that publishes."""

    def __init__(self, folder: Path) -> None:
        self.house = House()
        self.registry = FakeRegistry(self.house.fate)
        self.builder = FakeBuilder(folder)
        self.leads = True
        self.job_id = self.house.add_job()
        self.house.documents.update("checkpoints", self.job_id, lambda body: {**body, "epochs": [EPOCH]})
        self.restart()

    def restart(self) -> None:
        self.house.restart()
        self.publisher = Publisher(
            self.house.documents, self.registry, self.builder, backoff_s=10, now=self.house.clock
        )

    def ask(
        self, model: str = "buoys", key: str | None = None, aliases: tuple[str, ...] = ("latest",)
    ) -> str:
        request = PublishRequest(model=model, aliases=list(aliases))
        return self.house.submissions.submit_publication(self.job_id, "1", request, key).id

    def work(self) -> float | None:
        return self.publisher.publish_all(lambda: self.leads)

    def publication(self, publication_id: str) -> dict[str, Any]:
        return self.house.documents.get("publications", publication_id).body

    def numbers(self, model: str = "buoys") -> list[int]:
        return [version["number"] for version in self.registry.models.get(model, [])]


@pytest.fixture
def press(tmp_path: Path) -> Press:
    return Press(tmp_path)


def test_an_epoch_becomes_a_version_with_aliases_and_lineage(press: Press) -> None:
    asked = press.ask(aliases=("latest", "prod"))
    press.work()

    done = press.publication(asked)
    assert (done["state"], done["version"], done["warnings"]) == ("SUCCEEDED", 1, ["dark"])
    assert done["parity"] == {"coverage": 1e-6}
    assert press.registry.aliases == {("buoys", "latest"): 1, ("buoys", "prod"): 1}
    lineage = press.registry.models["buoys"][0]["metadata"]["lineage"]
    told = {"job_id": press.job_id, "epoch": 1.0, "step": 60, "publication": asked}
    trained_on = press.house.documents.get("jobs", press.job_id).body["dataset"]
    dataset = {"id": trained_on["id"], "version": trained_on["version"]}
    assert lineage == told | {"dataset": dataset, "parity": {"coverage": 1e-6}}
    assert press.builder.discarded == [asked]


def test_the_same_bytes_are_one_version_however_often_they_are_published(press: Press) -> None:
    first, second = press.ask(), press.ask(aliases=("prod",))
    press.work()

    assert press.numbers() == [1]
    assert [press.publication(asked)["version"] for asked in (first, second)] == [1, 1]
    assert press.registry.aliases == {("buoys", "latest"): 1, ("buoys", "prod"): 1}


def test_a_publisher_that_is_killed_anywhere_makes_one_version(tmp_path: Path) -> None:
    deaths = 0
    for appointed in range(1, 1000):
        press = Press(tmp_path)
        asked = press.ask()
        press.house.fate.points = 0
        press.house.fate.appointed = appointed
        try:
            press.work()
            break
        except Killed:
            deaths += 1
        press.restart()
        press.work()

        assert press.publication(asked)["state"] == "SUCCEEDED", appointed
        assert press.numbers() == [1], appointed
        assert press.registry.aliases == {("buoys", "latest"): 1}, appointed

    assert deaths == 14, "seven steps, each with a before and an after"


def test_an_epoch_that_is_not_in_parity_is_not_published_and_the_numbers_are_told(press: Press) -> None:
    asked = press.ask()
    press.builder.broken = NotPublishable("OpenCV's boxes differ by 3 px.", {"boxes_px": 3.0})
    press.work()

    failed = press.publication(asked)
    assert (failed["state"], failed["reason"]) == ("FAILED", "OpenCV's boxes differ by 3 px.")
    assert failed["parity"] == {"boxes_px": 3.0}
    assert press.numbers() == []


def test_a_registry_that_refuses_is_quoted(press: Press) -> None:
    asked = press.ask()
    press.registry.refuses = "labels.txt has 3 lines, the network 2 classes"
    press.work()

    failed = press.publication(asked)
    assert (failed["state"], failed["reason"]) == (
        "FAILED",
        "The registry refused it: labels.txt has 3 lines, the network 2 classes",
    )


def test_a_registry_that_does_not_answer_is_asked_again_later(press: Press) -> None:
    asked = press.ask()
    press.registry.silent_for = 2
    assert press.work() == 10
    assert (press.publication(asked)["state"], press.work()) == ("RUNNING", 10)

    press.house.clock.advance(10)
    assert press.work() == 20
    press.house.clock.advance(20)
    assert press.work() is None
    assert (press.publication(asked)["state"], press.numbers()) == ("SUCCEEDED", [1])


def test_a_registry_that_never_answers_fails_the_publication(press: Press) -> None:
    asked = press.ask()
    press.registry.silent_for = 1000
    while press.work() is not None:
        press.house.clock.advance(300)

    assert press.publication(asked)["state"] == "FAILED"
    assert "does not answer" in press.publication(asked)["reason"]


def test_what_nobody_foresaw_is_tried_again_and_does_not_stop_the_others(press: Press) -> None:
    press.house.documents.create("publications", {"state": "RUNNING"}, "0" * 26)
    first = press.ask()
    press.builder.broken = MemoryError("not enough")
    press.work()
    assert press.publication(first)["reason"] == "MemoryError: not enough"

    press.builder.broken = None
    press.house.clock.advance(10)
    press.work()
    assert press.publication(first)["state"] == "SUCCEEDED"


def test_a_lost_upload_is_made_again(press: Press) -> None:
    asked = press.ask()
    press.house.fate.points = 0
    press.house.fate.appointed = 7  # The upload is on record, finalize has not been asked.
    with pytest.raises(Killed):
        press.work()
    assert press.publication(asked)["upload_id"] is not None
    press.registry.uploads.clear()
    press.restart()
    press.work()
    press.house.clock.advance(10)
    press.work()

    assert (press.publication(asked)["state"], press.numbers()) == ("SUCCEEDED", [1])


def test_a_service_that_builds_other_bytes_after_an_update_uploads_those(press: Press) -> None:
    asked = press.ask()
    press.registry.silent_for = 1
    press.work()
    before = press.publication(asked)["zip"]["sha256"]
    press.builder.flavour = b"2"
    press.house.clock.advance(10)
    press.work()

    done = press.publication(asked)
    assert done["zip"]["sha256"] != before
    assert press.registry.models["buoys"][0]["sha256"] == done["zip"]["sha256"]


def test_a_replica_that_does_not_lead_leaves_publications_alone(press: Press) -> None:
    asked = press.ask()
    press.leads = False
    press.work()

    assert press.publication(asked)["state"] == "QUEUED"
