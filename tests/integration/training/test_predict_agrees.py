"""``:predict`` by onnxruntime in the service, and ``detectnet predict`` by OpenCV on its own, see the same."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detectnet.decoders import DECODERS
from detectnet_trainer.__main__ import main
from tests.unit.periscope_training.epoch_files import (
    CAFFEMODEL,
    HEIGHT,
    WIDTH,
    epoch_files,
    save_epoch_files,
)
from tests.unit.periscope_training.service import Service, committed_epoch


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("threshold", [0.5, 0.953])
def test_both_find_the_same_boxes(
    decoder: str, threshold: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = epoch_files()
    folder = tmp_path / "model"
    folder.mkdir()
    for name in (CAFFEMODEL, "deploy.prototxt"):
        (folder / name).write_bytes(files[name])
    (folder / "labels.txt").write_text("buoy\ngate\n")
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.random.default_rng(4).integers(0, 256, (110, 150, 3), dtype=np.uint8))
    service = Service(tmp_path / "work")
    job_id = service.create_job(input={"width": WIDTH, "height": HEIGHT})
    described = save_epoch_files(service.house.store, job_id, files)
    service.commit(job_id, {**committed_epoch(1, 0.5), "files": described})

    arguments = ["--json", "predict", str(folder), str(picture), "--decoder", decoder]
    assert main([*arguments, "--threshold", str(threshold)]) == 0
    alone = json.loads(capsys.readouterr().out.splitlines()[-1])["boxes"]
    url = f"/v1/jobs/{job_id}/epochs/1:predict?decoder={decoder}&threshold={threshold}"
    served = service.post(url, data=picture.read_bytes(), content_type="image/png").json["boxes"]

    if decoder != "digits" and threshold == 0.5:
        assert served
    assert [box["label"] for box in served] == [box["class"] for box in alone]
    np.testing.assert_allclose(
        np.array([[*box["xyxy"], box["confidence"]] for box in served]).reshape(-1, 5),
        np.array([[*box["xyxy"], box["confidence"]] for box in alone]).reshape(-1, 5),
        atol=0.02,
    )
