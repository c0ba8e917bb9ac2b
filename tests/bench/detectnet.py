"""DetectNet itself: a training step, its parts, evaluation, export and inference, against the plain port."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import optim

from detectnet.caffe_runtime import CaffeNet
from detectnet.classes import ClassMap
from detectnet.clustering import cluster_detections, cluster_ground_truth
from detectnet.coverage import encode_targets
from detectnet.metrics import score_image
from detectnet.recipes import resolve_training
from detectnet_trainer.augment import Augmentation, apply_to_image, draw, sample_generator
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.dataset import Split, build_folder_split
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import export_snapshot, raw_outputs
from detectnet_trainer.session import Session, start_session
from periscope_embedded.underwater import write_dataset
from tests.bench import plain
from tests.bench.measure import Row, in_turns

NAMES = ("buoy", "gate")
SIDE, IMAGES, BATCH = 320, 40, 5


class Bench:
    """Pictures, sessions and networks that the comparisons share."""

    def __init__(self, folder: Path, threads: int) -> None:
        write_dataset(folder / "sea", train_images=IMAGES, val_images=BATCH, width=SIDE, height=SIDE)
        self.split: Split = build_folder_split(
            folder / "sea" / "train", (SIDE, SIDE), ClassMap(NAMES), folder / "train.npy"
        )
        self.threads = threads
        self.session = self._session(None)
        self.augmented = self._session({})
        self.model = self.session.trainer.model
        # As torch.nn has it: full precision, its own memory format and normalisation.
        self.plain_model = plain.PlainDetectNet(len(NAMES))
        self.plain_model.load_state_dict(self.model.state_dict())

    def _session(self, augmentation: dict[str, float] | None) -> Session:
        wishes = {"batch_size": BATCH, "epochs": 1000, "augmentation": augmentation}
        training = resolve_training("default", wishes, threads=self.threads)
        return start_session(self.split, self.split, NAMES, training)


@contextmanager
def prepared(threads: int) -> Iterator[Bench]:
    """Everything made, in a folder that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        yield Bench(Path(folder), threads)


def rows(threads: int) -> Iterator[Row]:
    """All comparisons, one after another."""
    with prepared(threads) as bench:
        for group in (_encode, _augment, _cluster, _train_step, _loading, _evaluate, _export, _inference):
            yield from group(bench)


def _encode(bench: Bench) -> list[Row]:
    split = bench.split

    def ours() -> None:
        for boxes, classes in zip(split.boxes, split.class_indices, strict=True):
            encode_targets(boxes, classes, SIDE, SIDE, len(NAMES))

    def loops() -> None:
        for boxes, classes in zip(split.boxes, split.class_indices, strict=True):
            plain.encode(boxes, classes, SIDE, SIDE, len(NAMES))

    return in_turns("ground truth of a picture", {"plain": loops, "periscope": ours}, units=len(split))


def _augment(bench: Bench) -> list[Row]:
    options = Augmentation()
    draws = [draw(options, sample_generator(0, 0, index), (SIDE, SIDE)) for index in range(IMAGES)]

    def ours() -> None:
        for image, drawn in zip(bench.split.images, draws, strict=True):
            apply_to_image(image, drawn)

    def by_pil() -> None:
        for image, drawn in zip(bench.split.images, draws, strict=True):
            plain.augment(image, drawn)

    return in_turns("augmentation of a picture", {"plain": by_pil, "periscope": ours}, units=IMAGES)


def _cluster(bench: Bench) -> list[Row]:
    grids = []
    for boxes, classes in zip(bench.split.boxes, bench.split.class_indices, strict=True):
        targets = encode_targets(boxes, classes, SIDE, SIDE, len(NAMES))
        grids.append((targets[8:], targets[1:5]))

    def ours() -> None:
        for coverage, bboxes in grids:
            cluster_detections(coverage, bboxes)

    def loops() -> None:
        for coverage, bboxes in grids:
            plain.cluster(coverage, bboxes)

    return in_turns("clustering of a picture", {"plain": loops, "periscope": ours}, units=IMAGES)


def _train_step(bench: Bench) -> list[Row]:
    images, targets = _fixed_batch(bench)
    solver = optim.Adam(bench.plain_model.parameters(), lr=1e-4)
    bench.plain_model.train()

    def eager() -> None:
        solver.zero_grad()
        coverage, bboxes = bench.plain_model(images)
        plain.losses(coverage, bboxes, targets).backward()  # type: ignore[no-untyped-call] # torch's stub
        solver.step()

    return in_turns(
        f"training step, an image of {SIDE}x{SIDE}",
        {"plain": eager, "periscope": _steps(bench.session, 1)},
        units=BATCH,
    )


def _loading(bench: Bench) -> list[Row]:
    """A whole epoch with its batches made ahead, against as many steps on one batch that is there already."""
    steps = IMAGES // BATCH
    alone = bench.session.trainer
    made = bench.session.validation.train_batch(0, np.arange(BATCH))

    def model_only() -> None:
        for _ in range(steps):
            alone._take_step([made], 0.0)  # The loop around it is what is left out.

    variants: dict[str, Callable[[], object]] = {
        "network alone": model_only,
        "with its batches": _steps(bench.session, steps),
        "with augmented batches": _steps(bench.augmented, steps),
    }
    told = {
        f"{name} ({_processor_s(call) / IMAGES:.3f} CPU-s an image)": call for name, call in variants.items()
    }
    return in_turns("training, an image", told, units=steps * BATCH)


def _processor_s(call: Callable[[], object]) -> float:
    """Seconds of all processors together that one call takes; the second one, when all is warm."""
    call()
    before = time.process_time()
    call()
    return time.process_time() - before


def _steps(session: Session, count: int) -> Callable[[], object]:
    """Go on for some steps with batches as they come."""

    def run() -> None:
        last = session.trainer.step + count
        session.trainer.run(lambda report: report.step < last)

    return run


def _evaluate(bench: Bench) -> list[Row]:
    maker = BatchMaker(bench.split, len(NAMES), None, 0)
    device = torch.device("cpu")
    bench.plain_model.eval()

    def eager() -> None:
        with torch.no_grad():
            for batch in maker.validation_batches(BATCH):
                coverage, bboxes = bench.plain_model(batch.images)
                for cover, boxes, targets in zip(coverage, bboxes, batch.targets, strict=True):
                    found = plain.cluster(cover.numpy(), boxes.numpy())
                    truth = cluster_ground_truth(targets.numpy())
                    for index in range(len(NAMES)):
                        score_image(truth[index], np.array(found[index], np.float32).reshape(-1, 5))

    def ours() -> None:
        evaluate(bench.model, maker, NAMES, device, BATCH)

    return in_turns("evaluation of a picture", {"plain": eager, "periscope": ours}, units=IMAGES)


def _export(bench: Bench) -> list[Row]:
    def by_torch() -> None:
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            example = torch.zeros(1, 3, SIDE, SIDE)
            torch.onnx.export(bench.plain_model, (example,), f"{folder}/plain.onnx", dynamo=False)

    def ours() -> None:
        export_snapshot(bench.model, 1, SIDE, SIDE)

    return in_turns(
        "export of an epoch",
        {"torch.onnx.export, ONNX alone": by_torch, "periscope, ONNX and Caffe pair": ours},
    )


def _inference(bench: Bench) -> list[Row]:
    files = export_snapshot(bench.model, 1, SIDE, SIDE).files
    caffe = CaffeNet(files["deploy.prototxt"], files["snapshot_iter_1.caffemodel"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = bench.threads
    onnx = onnxruntime.InferenceSession(files["grid.onnx"], options, providers=["CPUExecutionProvider"])
    name = onnx.get_inputs()[0].name
    image = np.ascontiguousarray(bench.split.images[0].transpose(2, 0, 1), np.float32)
    bench.plain_model.eval()
    return in_turns(
        f"inference, a picture of {SIDE}x{SIDE}",
        {
            "PyTorch, plain": lambda: raw_outputs(bench.plain_model, bench.split.images[:1]),
            "PyTorch, periscope": lambda: raw_outputs(bench.model, bench.split.images[:1]),
            "OpenCV on the Caffe pair": lambda: caffe.run(image),
            "onnxruntime on grid.onnx": lambda: onnx.run(None, {name: image[None]}),
        },
    )


def _fixed_batch(bench: Bench) -> tuple[torch.Tensor, torch.Tensor]:
    batch = bench.session.validation.train_batch(0, np.arange(BATCH))
    return batch.images, batch.targets
