from __future__ import annotations

import io

import pytest

from detectnet_trainer.console import TrainingConsole
from detectnet_trainer.engine import StepReport


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def report(step: int) -> StepReport:
    return StepReport(step, step / 10, 1e-3, 2.5, 0.75, 10.0)


def written(stream: io.StringIO, **options: bool) -> str:
    with TrainingConsole(stream, **options) as console:
        console.show(report(41), 100)
        console.say("epoch 4: it learns")
        for step in range(42, 60):
            console.show(report(step), 100)
    return stream.getvalue()


def test_a_terminal_gets_a_bar_that_goes_on_where_the_training_does() -> None:
    text = written(Terminal())

    assert "41/100" in text
    assert "loss_coverage 0.75" in text
    assert "epoch 4: it learns\n" in text


@pytest.mark.parametrize(("stream", "bar"), [(io.StringIO(), True), (Terminal(), False)])
def test_elsewhere_and_with_json_there_are_lines_only(stream: io.StringIO, bar: bool) -> None:
    assert written(stream, bar=bar) == "epoch 4: it learns\n"
