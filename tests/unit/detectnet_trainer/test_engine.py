from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from detectnet import network
from detectnet_trainer.batches import BatchMaker
from detectnet_trainer.checkpoint import (
    BadCheckpoint,
    dump_checkpoint,
    model_of_checkpoint,
    restore_checkpoint,
    write_durably,
)
from detectnet_trainer.engine import NotFinite, StepReport, TooLarge, Trainer
from detectnet_trainer.evaluate import evaluate
from detectnet_trainer.export import export_snapshot
from detectnet_trainer.model import weights_of
from detectnet_trainer.session import Session, bf16_is_fast, start_session
from tests.unit.detectnet_trainer.small_data import NAMES, options, pictures, split_of

pytestmark = pytest.mark.slow


def session_of(folder: Path, train: int = 6, **given: object) -> Session:
    splits = [split_of(pictures(count, seed=seed), folder) for count, seed in ((train, 0), (3, 1))]
    return start_session(splits[0], splits[1], NAMES, options(**given))


def run_to(session: Session, step: int | None = None) -> list[StepReport]:
    """Train to a step, or to the end."""
    reports: list[StepReport] = []

    def after_step(report: StepReport) -> bool:
        reports.append(report)
        return report.step != step

    session.trainer.run(after_step)
    return reports


def caffemodel(session: Session) -> bytes:
    return export_snapshot(session.trainer.model, 1, 64, 64).files["snapshot_iter_1.caffemodel"]


def resumed(tmp_path: Path, stop_at: int, **given: object) -> tuple[bytes, bytes]:
    """Final caffemodels of an unbroken training and of one that stopped and went on in fresh objects."""
    unbroken = session_of(tmp_path / "a", **given)
    run_to(unbroken)
    stopped = session_of(tmp_path / "b", **given)
    run_to(stopped, stop_at)
    content = dump_checkpoint(stopped.trainer, stopped.training)
    again = session_of(tmp_path / "c", **given)
    torch.manual_seed(12345)
    restore_checkpoint(again.trainer, again.training, content)
    run_to(again)
    return caffemodel(unbroken), caffemodel(again)


@pytest.mark.parametrize("stop_at", [2, 3], ids=["mid-epoch", "epoch's end"])
def test_a_training_that_goes_on_ends_in_the_same_bytes(tmp_path: Path, stop_at: int) -> None:
    unbroken, again = resumed(tmp_path, stop_at, augmentation={})

    assert unbroken == again


@pytest.mark.parametrize(
    "given",
    [
        {"solver": "sgd", "learning_rate": 1e-5},
        {"precision": "bf16"},
        {"batch_accumulation": 2, "batch_size": 1},
    ],
    ids=["momentum", "bfloat16", "accumulation"],
)
def test_resume_is_exact_with_every_kind_of_state(tmp_path: Path, given: dict[str, object]) -> None:
    unbroken, again = resumed(tmp_path, 2, augmentation={}, **given)

    assert unbroken == again


def test_another_seed_gives_another_network(tmp_path: Path) -> None:
    first, other = (session_of(tmp_path / str(seed), seed=seed, epochs=1) for seed in (0, 1))
    run_to(first)
    run_to(other)

    assert caffemodel(first) != caffemodel(other)


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path) -> None:
    first, other = session_of(tmp_path / "a"), session_of(tmp_path / "b", learning_rate=0.1, seed=7)
    content = dump_checkpoint(first.trainer, first.training)

    with pytest.raises(BadCheckpoint, match="another learning_rate, seed, weight_decay"):
        restore_checkpoint(other.trainer, other.training, content)


def test_a_machine_of_another_precision_goes_on_with_a_warning(tmp_path: Path) -> None:
    first, other = session_of(tmp_path / "a", precision="bf16"), session_of(tmp_path / "b")
    run_to(first, 2)
    content = dump_checkpoint(first.trainer, {**first.training, "precision": "bf16"})

    assert restore_checkpoint(other.trainer, other.training, content) == [
        "this machine goes on with precision fp32; until here it was bf16"
    ]
    assert other.trainer.step == 2


def test_a_checkpoint_whose_solver_lacks_something_is_refused_in_words(tmp_path: Path) -> None:
    first = session_of(tmp_path / "a")
    run_to(first, 2)
    state = torch.load(io.BytesIO(dump_checkpoint(first.trainer, first.training)), weights_only=True)
    for group in state["solver"]["param_groups"]:
        del group["step"]
    older = io.BytesIO()
    torch.save(state, older)
    again = session_of(tmp_path / "b")

    with pytest.raises(BadCheckpoint, match="an older program, whose solver did not keep step"):
        restore_checkpoint(again.trainer, again.training, older.getvalue())
    assert again.trainer.step == 0


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    session = session_of(tmp_path)
    if content == b"cut":
        content = dump_checkpoint(session.trainer, session.training)[:-1000]

    with pytest.raises(BadCheckpoint, match="cannot be read"):
        restore_checkpoint(session.trainer, session.training, content)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_durably(tmp_path / "a", b"old")
    write_durably(tmp_path / "a", b"new")

    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_checkpoint_gives_its_network_for_exporting(tmp_path: Path) -> None:
    session = session_of(tmp_path)
    run_to(session, 2)
    model, step, _ = model_of_checkpoint(dump_checkpoint(session.trainer, session.training))

    assert step == 2
    assert export_snapshot(model, 1, 64, 64).files == export_snapshot(session.trainer.model, 1, 64, 64).files


def test_accumulated_batches_give_the_gradient_of_one_large_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "DROPOUT_RATIO", 0.0)
    together, in_parts = (
        session_of(tmp_path / name, epochs=1, solver="sgd", learning_rate=1e-4, seed=3, **given)
        for name, given in (
            ("a", {"batch_size": 6}),
            ("b", {"batch_size": 2, "batch_accumulation": 3}),
        )
    )
    for session in (together, in_parts):
        run_to(session)
    first, second = (weights_of(session.trainer.model) for session in (together, in_parts))

    assert together.trainer.step == in_parts.trainer.step == 1
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_training_with_advice(tmp_path: Path) -> None:
    session = session_of(tmp_path, learning_rate=0.3)
    with torch.no_grad():
        session.trainer.model.weight_and_bias("bbox/regressor")[1].fill_(float("nan"))

    with pytest.raises(NotFinite, match=r"no number .* lower the learning rate 0\.3, for example to 0\.1"):
        run_to(session)
    assert session.trainer.step == 0


def test_the_rate_falls_as_the_policy_says(tmp_path: Path) -> None:
    policy = {"name": "poly", "power": 1.0}
    reports = run_to(session_of(tmp_path, lr_policy=policy, learning_rate=6e-4))

    assert [report.learning_rate for report in reports] == pytest.approx([6e-4, 5e-4, 4e-4, 3e-4, 2e-4, 1e-4])
    assert [report.epoch for report in reports] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])


def test_bfloat16_is_given_up_where_the_processor_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    session = session_of(tmp_path, precision="bf16")

    assert session.training["precision"] == "fp32"
    assert "bfloat16" in session.warnings[0]
    assert not bf16_is_fast(torch.device("cpu"))


def test_it_overfits_four_pictures(tmp_path: Path) -> None:
    split = split_of(pictures(4, side=96), tmp_path, side=96)
    training = options(epochs=100, batch_size=4, learning_rate=4e-4, validation_interval_epochs=100)
    session = start_session(split, split, NAMES, training)
    run_to(session)
    found = evaluate(session.trainer.model, session.validation, NAMES, session.device)

    assert found.all_zero_coverage_loss > 0
    assert found.loss_coverage < 0.5 * found.all_zero_coverage_loss


class SmallDevice:
    """A network on a device that holds so many pictures at once."""

    def __init__(self, session: Session, holds: int, monkeypatch: pytest.MonkeyPatch) -> None:
        forward = session.trainer.model.forward
        self.sizes: list[int] = []

        def forward_or_fail(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.sizes.append(len(images))
            if len(images) > holds:
                raise torch.OutOfMemoryError("no room")
            return forward(images)

        monkeypatch.setattr(session.trainer.model, "forward", forward_or_fail)


def test_a_batch_that_does_not_fit_is_taken_in_pieces_and_means_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(network, "DROPOUT_RATIO", 0.0)
    given = {"batch_size": 5, "learning_rate": 1e-4, "solver": "sgd"}
    whole, pieces = session_of(tmp_path / "a", **given), session_of(tmp_path / "b", **given)
    device = SmallDevice(pieces, 2, monkeypatch)

    expected, found = run_to(whole, 2), run_to(pieces, 2)

    assert device.sizes == [5, 3, 2, 2, 1, 2, 2, 1]
    assert "in pieces of 2, and the effective batch stays 5" in capsys.readouterr().err
    assert found[1].loss_coverage == pytest.approx(expected[1].loss_coverage, rel=1e-4)
    for name, weights in weights_of(whole.trainer.model).items():
        np.testing.assert_allclose(weights_of(pieces.trainer.model)[name], weights, atol=1e-5, err_msg=name)


def test_a_picture_that_does_not_fit_alone_is_said_to_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(tmp_path)
    SmallDevice(session, 0, monkeypatch)

    with pytest.raises(TooLarge, match="choose a smaller network input"):
        run_to(session)


def test_gradients_are_clipped_to_their_common_norm(tmp_path: Path) -> None:
    """SGD's first step subtracts rate times gradient, so the step's length shows the gradients' norm."""

    def norm(**given: object) -> float:
        session = session_of(
            tmp_path, solver="sgd", weight_decay=0.0, bbox_lr_mult=1.0, learning_rate=1e-3, **given
        )
        before = {name: value.detach().clone() for name, value in session.trainer.model.named_parameters()}
        run_to(session, 1)
        squares = 0.0
        for group in session.trainer.solver.param_groups:
            changed = {id(parameter) for parameter in group["params"]}
            for name, after in session.trainer.model.named_parameters():
                if id(after) in changed:
                    gradient = (before[name] - after.detach()).double() / (1e-3 * group["lr_mult"])
                    squares += float((gradient**2).sum())
        return float(np.sqrt(squares))

    assert norm() > 1
    assert norm(clip_gradients=0.5) == pytest.approx(0.5, rel=0.02)


def test_float16_steps_are_scaled_and_one_that_overflows_changes_nothing_but_the_scale(
    tmp_path: Path,
) -> None:
    session = session_of(tmp_path)
    training = session.training | {"precision": "fp16", "epochs": 4}
    maker = BatchMaker(session.validation.split, 2, None, 0)
    trainer = Trainer(session.trainer.model, maker, training, torch.device("cpu"))

    def weights_after(step: int) -> torch.Tensor:
        trainer.run(lambda report: report.step < step)
        return trainer.model.weight_and_bias("cvg/classifier")[0].detach().clone()

    first = weights_after(1)
    trainer.scaler.update(2.0**60)
    second = weights_after(2)
    scale = trainer.scaler.get_scale()
    trainer.scaler.update(1024.0)
    third = weights_after(3)

    assert torch.equal(first, second)
    assert scale == 2.0**59
    assert torch.isfinite(third).all()
    assert not torch.equal(second, third)


def test_a_machine_without_the_wished_precision_says_what_it_takes_instead(tmp_path: Path) -> None:
    session = session_of(tmp_path, precision="fp16")

    assert session.training["precision"] == "fp32"
    assert session.warnings == ["float16 is for GPUs; training goes on in fp32"]
