from __future__ import annotations

import pytest
import torch

from detectnet_trainer.losses import all_zero_coverage_loss, detectnet_losses, total_loss


def grids() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two pictures of one class on a 2x2 grid: a 40x80 box in one cell of the first, nothing in the second."""
    targets = torch.zeros(2, 9, 2, 2)
    targets[0, 0, 1, 0] = 1
    targets[0, 1:5, 1, 0] = torch.tensor([-8.0, -20.0, 32.0, 60.0])
    targets[0, 5:7, 1, 0] = torch.tensor([1 / 40, 1 / 80])
    targets[0, 7, 1, 0] = 0.5
    targets[0, 8, 1, 0] = 1
    coverage = torch.tensor([[[[0.5, 0.0], [0.8, 0.0]]], [[[0.0, 0.0], [0.0, 0.4]]]])
    bboxes = torch.full((2, 4, 2, 2), 1000.0)
    bboxes[0, :, 1, 0] = torch.tensor([-4.0, -28.0, 32.0, 64.0])
    return coverage, bboxes, targets


def test_the_box_loss_is_the_scaled_error_of_foreground_cells_over_the_batch_size_only() -> None:
    loss_bbox, _ = detectnet_losses(*grids())

    # |4|/40 + |-8|/80 + 0 + |4|/80, each times 0.5, over 2 pictures; the 1000s lie outside the foreground.
    assert loss_bbox.item() == pytest.approx((0.1 + 0.1 + 0 + 0.05) * 0.5 / 2)


def test_the_coverage_loss_is_half_the_squared_error_over_the_batch_size_only() -> None:
    _, loss_coverage = detectnet_losses(*grids())

    assert loss_coverage.item() == pytest.approx((0.5**2 + 0.2**2 + 0.4**2) / (2 * 2))


def test_boxes_count_twice_in_what_is_minimised() -> None:
    total = total_loss(torch.tensor(3.0), torch.tensor(5.0))

    assert total.item() == 11


def test_the_gradient_of_a_box_is_its_sign_over_the_batch_size() -> None:
    coverage, bboxes, targets = grids()
    bboxes.requires_grad_()
    detectnet_losses(coverage, bboxes, targets)[0].backward()  # type: ignore[no-untyped-call] # torch's stub

    assert bboxes.grad is not None
    assert bboxes.grad[0, :, 1, 0].tolist() == pytest.approx([0.5 / 40 / 2, -0.5 / 80 / 2, 0, 0.5 / 80 / 2])
    assert bboxes.grad[1].abs().sum().item() == 0


def test_an_empty_answer_loses_half_of_each_covered_cell() -> None:
    coverage, bboxes, targets = grids()

    assert all_zero_coverage_loss(targets) == pytest.approx(
        detectnet_losses(torch.zeros_like(coverage), bboxes, targets)[1].item()
    )
    assert all_zero_coverage_loss(targets) == 0.25
