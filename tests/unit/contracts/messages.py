"""What programs of this project tell each other, made by the code that sends it.

An example of each lies in ``tests/contracts``; ``python -m tests.unit.contracts.messages`` writes those that are
missing. One that exists is never written anew: older programs send it still.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from detectnet.classes import ClassMap
from detectnet.recipes import resolve_training
from detectnet_trainer.dataset import build_folder_split
from detectnet_trainer.engine import StepReport
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.job_progress import ProgressReporter
from detectnet_trainer.session import start_session
from periscope.documents import Document
from periscope.wire.jobs import JobRequest
from periscope_registry.rules import desired_document
from periscope_training.publish import metadata_of
from tests.fakes import MemoryStore
from tests.kitti_archives import as_tar, sound_files, write_files
from tests.unit.periscope_dataset.conftest import open_house
from tests.unit.periscope_training.house import House

FOLDER = Path("tests/contracts")
AGENT = Path("services/jetson_agent/jetson_agent.py")
CLASSES = ("buoy", "gate")
Message = dict[str, Any]


def dataset_version() -> Message:
    """What the dataset service answers of a version, and what it keeps for the trainer."""
    with tempfile.TemporaryDirectory() as folder:
        house = open_house(MemoryStore(), Path(folder))
        dataset_id = house.dataset()
        ingest = house.ingest(dataset_id, as_tar(sound_files(train=8, val=4)))
        assert ingest["state"] == "SUCCEEDED", ingest
        told: Message = house.call("GET", f"/v1/datasets/{dataset_id}/versions/1", 200)
        return told


def job_spec() -> Message:
    """What the training service puts down for the trainer."""
    house = House()
    house.datasets.manifests = [example("dataset-version")]
    wish = JobRequest(name="dive", dataset="dive", epochs=4, batch_size=2)
    job = house.submissions.submit_job(wish, None)
    spec: Message = json.loads(house.store.get(f"jobs/{job.id}/spec.json").body)
    return spec


def progress() -> Message:
    """What the trainer posts after a validation."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_files(sound_files(train=2, val=1), folder)
        split = build_folder_split(folder / "train", (64, 64), ClassMap(CLASSES), folder / "train.npy")
        training = resolve_training("default", {"epochs": 2, "batch_size": 2}, threads=1)
        session = start_session(split, split, CLASSES, training)
        session.trainer.run(lambda report: report.step < 1)
        report = StepReport(1, 1.0, 1e-4, 0.5, 0.25, 30.0)
        evaluation = evaluate(
            session.trainer.model, session.validation, CLASSES, session.device, training["val_batch_size"]
        )
        return ProgressReporter(None, "", session.trainer)._record(report, evaluation.as_dict())


def publication() -> Message:
    """What the training service tells the registry of a zip."""
    body = {
        "job_id": "01JOB", "epoch": 4.0, "step": 16, "dataset": {"id": "01DATASET", "version": 1},
        "parity": {"max_difference": 1e-6}, "metrics": example("progress")["val"],
    }  # fmt: skip
    return metadata_of(Document("publications", "01PUBLICATION", body, "etag"))


def desired() -> Message:
    """What the registry tells a robot's agent."""
    member = {"name": "deploy.prototxt", "sha256": "a" * 64, "size_bytes": 10}
    zip_ = {"sha256": "b" * 64, "size_bytes": 100, "url": "/v1/models/buoys/versions/3/zip"}
    return desired_document("sub-1", {"model": "buoys", "version": 3, "zip": zip_, "members": [member]}, 60)


def reports() -> Message:
    """What a robot's agent tells the registry."""
    agent = agent_module()
    with tempfile.TemporaryDirectory() as folder:
        journal = agent.Journal(folder)
        about = {"model": "buoys", "version": 3, "zip_sha256": "b" * 64}
        journal.report("downloading", about)
        journal.report("failed", about, "the zip is damaged", "damaged")
        inventory = {
            "python": "3.6.9", "agent_version": agent.AGENT_VERSION, "group": None, "free_bytes": 1 << 30,
            "jetpack": "4.6.4", "tensorrt": "8.2.1", "module": "Jetson Nano",
        }  # fmt: skip
        return {"reports": journal.pending(), "inventory": inventory}


MESSAGES: dict[str, Callable[[], Message]] = {
    "dataset-version": dataset_version,
    "job-spec": job_spec,
    "progress": progress,
    "publication": publication,
    "desired": desired,
    "reports": reports,
}


def example(name: str) -> Message:
    """As it is kept."""
    kept: Message = json.loads((FOLDER / f"{name}.json").read_text())
    return kept


@cache
def agent_module() -> ModuleType:
    """The agent, which is one file and no package."""
    spec = importlib.util.spec_from_file_location("jetson_agent_of_the_contracts", AGENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Write the examples that are missing."""
    for name, make in MESSAGES.items():
        path = FOLDER / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(make(), indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
