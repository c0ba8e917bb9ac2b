"""The trainer's image, built for real, trains in a restricted pod, as its own user and on a read-only root.

Only where PERISCOPE_TRAINER_IMAGE is set: the image has PyTorch, which takes gigabytes and minutes.
"""

from __future__ import annotations

import os

import pytest
from kubernetes import client

from tests.cluster.cluster import Cluster
from tests.cluster.jobs import job, restricted_pod
from tests.cluster.project_images import TRAINER_TAG, trainer_image
from tests.cluster.test_node import finished_job, log_of, only_pod

pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        not os.environ.get("PERISCOPE_TRAINER_IMAGE"),
        reason="set PERISCOPE_TRAINER_IMAGE=1: gigabytes and minutes",
    ),
]
TRAIN = """
import os, runpy, sys
from pathlib import Path
import cv2, numpy as np
print("user", os.getuid(), flush=True)
for split, count in (("train", 4), ("val", 2)):
    for kind in ("images", "labels"):
        Path("/tmp/dive", split, kind).mkdir(parents=True)
    for number in range(count):
        picture = np.full((64, 64, 3), 110, np.uint8)
        cv2.rectangle(picture, (10, 10), (45, 45), (40, 60, 220), -1)
        cv2.imwrite(f"/tmp/dive/{split}/images/{number}.png", picture)
        Path(f"/tmp/dive/{split}/labels/{number}.txt").write_text("buoy 0 0 0 10 10 46 46 0 0 0 0 0 0 0\\n")
sys.argv = ["detectnet", "train", "/tmp/dive", "--out", "/tmp/out", "--size", "64x64", "--epochs", "1", "--batch-size", "2"]
try:
    runpy.run_module("detectnet_trainer", run_name="__main__")
finally:
    print("made", sorted(path.suffix for path in Path("/tmp/out").rglob("*.*")), flush=True)
"""


def test_the_image_trains_as_its_own_user(cluster: Cluster, cluster_namespace: str) -> None:
    cluster.import_image(trainer_image())
    batch, core = client.BatchV1Api(cluster.api()), client.CoreV1Api(cluster.api())
    pod = restricted_pod(["python", "-c", TRAIN], TRAINER_TAG, volumes=[{"name": "tmp", "emptyDir": {}}])
    pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]

    batch.create_namespaced_job(cluster_namespace, job("train", pod, backoffLimit=0))
    finished_job(batch, cluster_namespace, "train", timeout_s=600)

    log = log_of(core, cluster_namespace, only_pod(core, cluster_namespace, "train"))
    assert "user 10001" in log
    assert ".caffemodel" in log.rpartition("made")[2], log
