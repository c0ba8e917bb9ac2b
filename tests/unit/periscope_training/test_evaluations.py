from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detectnet import judging
from detectnet.classes import ClassMap
from detectnet.coverage import BBOX, COVERAGE_START, encode_targets
from detectnet.samples import InputOptions, SourceImage, prepare
from periscope_training.epoch_files import EpochFiles
from periscope_training.evaluating import Evaluator
from periscope_training.predicting import Predictor
from tests.unit.periscope_training.epoch_files import HEIGHT, WIDTH, epoch_files, save_epoch_files
from tests.unit.periscope_training.service import Service, committed_epoch

pytestmark = pytest.mark.slow

LABEL = "{} 0.0 0 0.0 {} {} {} {} 0 0 0 0 0 0 0\n"
OPTIONS = InputOptions(160, 96, ClassMap(["buoy", "gate"]))


def source(name: str, *objects: tuple[Any, ...]) -> SourceImage:
    image = cv2.imencode(".png", np.zeros((192, 320, 3), np.uint8))[1].tobytes()
    return SourceImage(name, image, "".join(LABEL.format(*item) for item in objects))


SOURCES = [
    source("a", ("buoy", 40, 40, 140, 140)),
    source("b", ("gate", 100, 20, 260, 180), ("buoy", 10, 100, 80, 170)),
    source("c"),
]


def knowing(sources: list[SourceImage]) -> Any:
    """A network that gives the truth of one picture after the other, but never sees the buoys of ``b``."""
    grids = []
    for item in sources:
        _, boxes, indices = prepare(item, OPTIONS)
        if item.name == "b":
            boxes, indices = boxes[indices == 1], indices[indices == 1]
        targets = encode_targets(boxes, indices, 160, 96, 2)
        grids.append((targets[COVERAGE_START:], targets[BBOX]))
    rest = iter(grids)
    return lambda _: next(rest)


@pytest.mark.parametrize("decoder", ["digits", "jetson-caffe"])
def test_figures_count_hits_misses_and_false_alarms(decoder: Any) -> None:
    network = knowing(SOURCES)
    seen = [judging.see_picture(network, item, OPTIONS, decoder, 0.5) for item in SOURCES]

    found = judging.figures(seen, ["buoy", "gate"])

    assert found["classes"]["buoy"]["recall"] == 0.5
    assert found["classes"]["buoy"]["precision"] == 1.0
    assert found["classes"]["gate"]["pooled_map"] == 1.0
    assert found["pooled_map"] == pytest.approx(0.75)
    # Of two buoys one is found: every precision up to half the recalls is 1 (51 of 101 places), the rest 0.
    assert found["classes"]["buoy"]["coco_ap50"] == pytest.approx(51 / 101)
    assert found["classes"]["gate"]["coco_ap50"] == pytest.approx(1.0)
    assert found["coco_ap50"] == pytest.approx((51 / 101 + 1) / 2)


class Trained:
    def __init__(self, folder: Path) -> None:
        self.service = Service(folder)
        self.service.house.datasets.labelled = {
            ("val", item.name): (item.image, item.label) for item in SOURCES
        }
        self.job_id = self.service.create_job(input={"width": WIDTH, "height": HEIGHT})
        files = save_epoch_files(self.service.house.store, self.job_id, epoch_files())
        self.service.commit(self.job_id, {**committed_epoch(1, 0.5), "files": files})
        self.service.lead()

    def ask(self, **wish: Any) -> Any:
        return self.service.post(f"/v1/jobs/{self.job_id}/epochs/best:evaluate", json=wish)

    def work(self) -> None:
        self.service.service.evaluate_loop.step()


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


@pytest.mark.parametrize("decoder", ["digits", "jetson-caffe", "jetson-onnx"])
def test_a_split_is_evaluated_in_the_background(trained: Trained, decoder: str) -> None:
    asked = trained.ask(decoder=decoder)
    assert (asked.status_code, asked.json["state"], asked.json["total"]) == (202, "QUEUED", 60)

    trained.work()

    done = trained.service.get(asked.headers["Location"]).json
    assert (done["state"], done["done"], done["reason"]) == ("SUCCEEDED", 3, "")
    assert set(done["metrics"]["classes"]) == {"buoy", "gate"}
    assert done["dataset"] == {"id": "01DATASET", "version": 3, "name": "pool"}
    listed = trained.service.get(f"/v1/evaluations?job_id={trained.job_id}").json["items"]
    assert [item["id"] for item in listed] == [done["id"]]
    assert trained.service.get("/v1/evaluations?job_id=other").json["items"] == []


def test_what_cannot_be_evaluated_says_why_and_the_next_one_goes_on(trained: Trained) -> None:
    trained.service.house.datasets.labelled["val", "b"] = (b"no picture", "")
    broken = trained.ask().json["id"]
    trained.work()
    trained.service.house.datasets.labelled["val", "b"] = (SOURCES[1].image, SOURCES[1].label)
    sound = trained.ask().json["id"]
    trained.work()

    told = trained.service.get(f"/v1/evaluations/{broken}").json
    assert (told["state"], told["metrics"]) == ("FAILED", None)
    assert "b: the file is no PNG" in told["reason"]
    assert trained.service.get(f"/v1/evaluations/{sound}").json["state"] == "SUCCEEDED"


def test_an_evaluation_can_be_removed(trained: Trained) -> None:
    location = trained.ask().headers["Location"]

    assert trained.service.call("DELETE", location).status_code == 204
    assert trained.service.get(location).status_code == 404
    assert trained.service.get("/v1/evaluations/nonsense").status_code == 404
    trained.work()
    assert trained.service.get("/v1/evaluations").json["items"] == []


def test_half_a_split_gives_no_figures_though_leadership_comes_back(trained: Trained) -> None:
    location = trained.ask().headers["Location"]
    house = trained.service.house
    files = EpochFiles(house.documents, house.store)
    evaluator = Evaluator(house.documents, files, house.datasets, Predictor(files), house.clock)
    leads = iter([True, True, False])

    evaluator.evaluate_all(lambda: next(leads, True))
    assert trained.service.get(location).json["metrics"] is None

    evaluator.evaluate_all(lambda: True)
    assert trained.service.get(location).json["done"] == 3
