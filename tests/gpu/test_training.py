"""A training on the GPU means the same as one on the CPU, in every precision, and after a pause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from detectnet import network
from detectnet_trainer import session as session_module
from detectnet_trainer.checkpoint import dump_checkpoint, restore_checkpoint
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import raw_outputs
from detectnet_trainer.session import Session
from tests.unit.detectnet_trainer.small_data import NAMES
from tests.unit.detectnet_trainer.test_engine import run_to, session_of

pytestmark = pytest.mark.gpu
STEPS = 6


@pytest.fixture(autouse=True)
def _without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its draws are another on every kind of device."""
    monkeypatch.setattr(network, "DROPOUT_RATIO", 0.0)


def on(device: torch.device, folder: Path, **given: object) -> Session:
    """A session on this device, whatever else the machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_module.torch.cuda, "is_available", lambda: device.type == "cuda")
        return session_of(folder, epochs=6, learning_rate=1e-4, **given)


def losses(session: Session) -> np.ndarray:
    """Both losses of the first steps: [STEPS,2]."""
    return np.array([(report.loss_bbox, report.loss_coverage) for report in run_to(session, STEPS)])


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 5e-2), ("fp16", 5e-2)])
def test_every_precision_learns_as_the_cpu_does(
    device: torch.device, tmp_path: Path, precision: str, tolerance: float
) -> None:
    expected = losses(on(torch.device("cpu"), tmp_path / "cpu"))
    found = losses(on(device, tmp_path / "gpu", precision=precision))

    np.testing.assert_allclose(found, expected, rtol=tolerance)
    assert found[-1].sum() < found[0].sum()


def test_grids_and_figures_are_those_of_the_cpu(device: torch.device, tmp_path: Path) -> None:
    """Float32 on a GPU is float32: with TF32 the grids would differ in the third digit."""
    here, there = on(torch.device("cpu"), tmp_path / "cpu"), on(device, tmp_path / "gpu")
    pictures = here.validation.split.images
    there.trainer.model.load_state_dict(here.trainer.model.state_dict())
    figures = [
        evaluate(one.trainer.model, one.validation, NAMES, one.device).as_dict() for one in (here, there)
    ]
    grids = [raw_outputs(one.trainer.model, pictures) for one in (here, there)]

    assert figures[1]["loss_bbox"] == pytest.approx(figures[0]["loss_bbox"], rel=1e-4)
    assert figures[1]["loss_coverage"] == pytest.approx(figures[0]["loss_coverage"], rel=1e-4)
    for first, second in zip(*grids, strict=True):
        np.testing.assert_allclose(second, first, atol=1e-5)


def test_the_same_training_twice_is_the_same(device: torch.device, tmp_path: Path) -> None:
    first, second = (losses(on(device, tmp_path / name)) for name in ("a", "b"))

    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_training_that_goes_on_follows_the_unbroken_one(
    device: torch.device, tmp_path: Path, precision: str
) -> None:
    unbroken = losses(on(device, tmp_path / "a", precision=precision))
    stopped = on(device, tmp_path / "b", precision=precision)
    run_to(stopped, 3)
    content = dump_checkpoint(stopped.trainer, stopped.training)
    again = on(device, tmp_path / "c", precision=precision)
    restore_checkpoint(again.trainer, again.training, content)

    rest = [(report.loss_bbox, report.loss_coverage) for report in run_to(again, STEPS)]

    np.testing.assert_allclose(rest, unbroken[3:], rtol=1e-5)


def test_a_batch_that_the_device_cannot_hold_is_taken_in_pieces(
    device: torch.device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The device's own memory runs out, not a pretended one."""
    if device.type != "cuda":
        pytest.skip("a processor's memory is not the device's")
    session = on(device, tmp_path, train=32, batch_size=32)
    free, total = torch.cuda.mem_get_info()
    torch.cuda.reset_peak_memory_stats()
    run_to(session, 1)
    needed = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.6 * needed / total))
    try:
        run_to(session, 2)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert needed < free
    assert session.trainer.piece_images < 32
    assert "the effective batch stays 32" in capsys.readouterr().err
