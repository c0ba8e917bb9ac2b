"""Words of a command line, and the wish that a training's options make."""

from __future__ import annotations

from pathlib import Path

import pytest

from periscope_cli.command_line import globals_first
from periscope_cli.failures import CommandFailed
from periscope_cli.parsing import pair, size, stage
from periscope_cli.training_wish import merged, options_of, read_wish


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["jobs", "--json"], ["--json", "jobs"]),
        (["jobs", "show", "x", "--token", "t"], ["--token", "t", "jobs", "show", "x"]),
        (["pull", "--registry-url=http://a", "m"], ["--registry-url=http://a", "pull", "m"]),
        (["jobs", "show", "--", "--json"], ["jobs", "show", "--", "--json"]),
        (["jobs", "--token"], ["--token", "jobs"]),
    ],
)
def test_options_of_all_commands_may_stand_anywhere(words: list[str], ordered: list[str]) -> None:
    assert globals_first(words) == ordered


@pytest.mark.parametrize(
    ("text", "devices", "percent"),
    [("10%", [], 10.0), ("sub-1,sub-2", ["sub-1", "sub-2"], 0.0), ("sub-1, 12.5%", ["sub-1"], 12.5)],
)
def test_a_stage_names_robots_or_a_share(text: str, devices: list[str], percent: float) -> None:
    assert stage(text) == {"devices": devices, "percent": percent}


@pytest.mark.parametrize(("parse", "text"), [(stage, "ten%"), (size, "640*480"), (pair, "=x"), (pair, "x")])
def test_what_cannot_be_read_says_how_to_write_it(parse: object, text: str) -> None:
    with pytest.raises(ValueError, match=r"write|is no"):
        parse(text)  # type: ignore[operator]


def test_flags_go_before_the_file_and_none_is_not_given() -> None:
    from_file = {
        "epochs": 30,
        "augmentation": {"flip_prob": 0.5, "crop_prob": 1.0},
        "allow_findings": ["leak"],
    }
    flags = {"epochs": None, "seed": 3, "augmentation": {"flip_prob": 0.1}, "allow_findings": []}

    assert merged(from_file, flags) == {
        "epochs": 30,
        "seed": 3,
        "augmentation": {"flip_prob": 0.1, "crop_prob": 1.0},
        "allow_findings": ["leak"],
    }


def test_another_learning_rate_policy_takes_the_place_of_the_whole() -> None:
    step, fixed = {"lr_policy": {"name": "step", "gamma": 0.1}}, {"lr_policy": {"name": "fixed"}}
    assert merged(step, fixed) == fixed


def test_options_are_nested_by_dots_and_read_as_yaml() -> None:
    told = options_of({"augmentation.flip_prob": "0.5", "clip_gradients": "null", "lr_policy.name": "step"})
    assert told == {"augmentation": {"flip_prob": 0.5}, "clip_gradients": None, "lr_policy": {"name": "step"}}
    with pytest.raises(CommandFailed, match="has a value already"):
        options_of({"a": "1", "a.b": "2"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch: 30", "a job has no epoch; it has .*epochs"),
        ("- a", "must hold a mapping"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_says_nothing_of_use_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(text)
    with pytest.raises(CommandFailed, match=words):
        read_wish(path)
