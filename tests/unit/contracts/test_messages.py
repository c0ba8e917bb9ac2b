"""The examples of what programs tell each other: senders still make them, receivers accept them.

Programs of different ages meet: a trainer begun before an upgrade, an agent that nobody has updated.
"""

from __future__ import annotations

from typing import Any

import pytest

from detectnet.samples import input_options
from detectnet_trainer.job_data import load_spec
from periscope import keys
from periscope.wire.datasets import VersionManifest
from periscope.wire.devices import DesiredResponse, ReportsRequest
from periscope.wire.jobs import JobRequest, ProgressRequest
from periscope.wire.models import FinalizeRequest
from tests.unit.contracts.messages import FOLDER, MESSAGES, agent_module, example
from tests.unit.periscope_training.house import House


def missing(old: Any, new: Any, path: str = "") -> list[str]:
    """What ``old`` has and ``new`` lacks, or has of another kind; more is welcome."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            lack
            for key, value in old.items()
            for lack in (missing(value, new[key], f"{path}/{key}") if key in new else [f"{path}/{key}"])
        ]
    if isinstance(old, list) and isinstance(new, list):
        return missing(old[0], new[0], f"{path}/0") if old and new else []
    numbers = isinstance(old, float | int) and isinstance(new, float | int)
    return [] if numbers or type(old) is type(new) or None in (old, new) else [path]


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_sent_has_all_that_the_example_has(name: str) -> None:
    assert missing(example(name), MESSAGES[name]()) == []


def test_a_field_that_is_left_out_or_of_another_kind_is_seen() -> None:
    assert missing({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{}]}}) == ["/a/b/0/c"]
    assert missing({"a": 1}, {"a": "1"}) == ["/a"]


def test_every_example_is_one_of_the_messages() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*MESSAGES, "release"}


def test_the_training_service_takes_the_datasets_version() -> None:
    VersionManifest.model_validate(example("dataset-version"))
    house = House()
    house.datasets.manifests = [example("dataset-version")]

    job = house.submissions.submit_job(JobRequest(name="dive", dataset="dive"), None)

    assert job.body["network"]["classes"] == example("dataset-version")["classes"]


def test_the_trainer_takes_the_jobs_spec() -> None:
    house = House()
    house.store.put(keys.job_spec("01JOB"), (FOLDER / "job-spec.json").read_bytes())

    spec = load_spec(house.store, "01JOB")
    options = input_options(spec, validation=True)

    assert (options.width, options.height) == (spec["network"]["width"], spec["network"]["height"])
    assert spec["training"]["epochs"] == 4


def test_the_training_service_takes_a_trainers_progress() -> None:
    taken = ProgressRequest.model_validate(example("progress"))

    assert taken.val is not None
    assert set(taken.val.classes) == {"buoy", "gate"}


def test_the_registry_takes_what_is_told_of_a_zip() -> None:
    taken = FinalizeRequest.model_validate(example("publication"))

    assert taken.lineage is not None
    assert taken.lineage["job_id"] == "01JOB"


def test_a_robots_agent_takes_what_the_registry_wants() -> None:
    DesiredResponse.model_validate(example("desired"))

    release = agent_module().parse_release(example("desired"))

    assert (release.model, release.version, release.zip_size_bytes) == ("buoys", 3, 100)
    assert [member.name for member in release.members] == ["deploy.prototxt"]


def test_the_registry_takes_a_robots_reports() -> None:
    taken = ReportsRequest.model_validate(example("reports"))

    assert [report.state for report in taken.reports] == ["downloading", "failed"]
    assert taken.inventory is not None
    assert taken.inventory.tensorrt == "8.2.1"
