from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from detectnet.coverage import BBOX, COVERAGE_START
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.evaluate import Evaluation, evaluate
from detectnet_trainer.model import DetectNet
from tests.unit.detectnet_trainer.small_data import NAMES, pictures, split_of

Answer = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Knowing(DetectNet):
    """Answers with the truth of the picture it is shown, changed by a rule."""

    def __init__(self, maker: BatchMaker, rule: Answer) -> None:
        super().__init__(2)
        self.shown = [(item.images[0], item.targets[0]) for item in maker.validation_batches(1)]
        self.rule = rule

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not torch.is_autocast_enabled("cpu")
        truth = torch.stack(
            [next(targets for known, targets in self.shown if torch.equal(known, one)) for one in images]
        )
        return self.rule(truth)


def told(truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return truth[:, COVERAGE_START:], truth[:, BBOX]


def silent(truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros_like(truth[:, COVERAGE_START:]), truth[:, BBOX]


def confused(truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return truth[:, COVERAGE_START:].flip(1), truth[:, BBOX]


def evaluated(tmp_path: Path, rule: Answer, count: int = 8, batch: int = 6) -> Evaluation:
    maker = BatchMaker(split_of(pictures(count, side=128), tmp_path, side=128), 2, None, 0)
    return evaluate(Knowing(maker, rule), maker, NAMES, torch.device("cpu"), batch)


def test_a_gpu_is_told_to_compute_float32_as_float32(tmp_path: Path) -> None:
    torch.backends.cudnn.allow_tf32 = True

    evaluated(tmp_path, told)

    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_truth_itself_is_perfect(tmp_path: Path) -> None:
    found = evaluated(tmp_path, told)

    assert found.loss_bbox == found.loss_coverage == 0
    for score in found.classes.values():
        assert (score.precision, score.recall, score.digits_map, score.pooled_map) == (1, 1, 1, 1)


def test_an_empty_answer_has_the_all_zero_loss_and_no_figures(tmp_path: Path) -> None:
    found = evaluated(tmp_path, silent)

    assert found.loss_coverage == pytest.approx(found.all_zero_coverage_loss)
    assert all(score.digits_map == score.recall == 0 for score in found.classes.values())


def test_classes_are_kept_apart(tmp_path: Path) -> None:
    found = evaluated(tmp_path, confused)

    assert all(score.pooled_map == 0 for score in found.classes.values())


@pytest.mark.parametrize("rule", [told, silent])
def test_losses_do_not_depend_on_the_batch(tmp_path: Path, rule: Answer) -> None:
    first, second = (evaluated(tmp_path / str(batch), rule, batch=batch) for batch in (6, 3))

    assert first.loss_coverage == pytest.approx(second.loss_coverage)
    assert first.all_zero_coverage_loss == pytest.approx(second.all_zero_coverage_loss)


def test_the_record_holds_means_over_the_classes(tmp_path: Path) -> None:
    record = evaluated(tmp_path, told).as_dict()

    assert record["digits_map"] == record["pooled_map"] == 1
    assert set(record["classes"]) == set(NAMES)
    assert record["decoder"] == "digits"
    assert record["coco_ap"] == pytest.approx(np.mean([one["coco_ap"] for one in record["classes"].values()]))
    assert set(record["classes"]["ball"]) == {
        "precision", "recall", "digits_map", "pooled_map", "coco_ap", "coco_ap50",
    }  # fmt: skip
    assert not np.isnan(record["loss_bbox"])


def test_the_network_goes_back_to_training_afterwards(tmp_path: Path) -> None:
    maker = BatchMaker(split_of(pictures(2), tmp_path), 2, None, 0)
    model = DetectNet(2).train()
    evaluate(model, maker, NAMES, torch.device("cpu"))

    assert model.training
