"""The README's commands, read out of it and run as they stand; only the size of the training is cut."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.kitti_archives import sound_files
from tests.system.loop import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
CUT = {"--size 640x480": "--size 64x64", "--epochs 30": "--epochs 2"}
"""A stranger trains for an hour, a test does not."""


def commands_of_the_readme() -> list[str]:
    """The lines of its shell block that begin with the command ``periscope``."""
    lines = (ROOT / "README.md").read_text().splitlines()
    commands = [line for line in lines if line.startswith(".venv/bin/periscope ")]
    for words in CUT:
        assert any(words in command for command in commands), f"the README no longer says {words}"
    for words, fewer in CUT.items():
        commands = [command.replace(words, fewer) for command in commands]
    return commands


def write_dive(folder: Path) -> None:
    for path, content in sound_files(train=8, val=4).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def run(command: str, folder: Path, stack: Stack) -> None:
    words = shlex.split(command.replace("~", str(folder)))
    program = [sys.executable, "-m", "periscope_cli"]
    done = subprocess.run(
        [*program, *words[1:]],
        cwd=folder,
        env=stack.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_readmes_commands_lead_to_a_zip(stack: Stack, tmp_path: Path) -> None:
    write_dive(tmp_path / "dive-12")
    commands = commands_of_the_readme()

    for command in commands:
        run(command, tmp_path, stack)

    assert len(commands) == 4
    with zipfile.ZipFile(tmp_path / "buoys.zip") as archive:
        assert {"deploy.prototxt", "labels.txt"} <= set(archive.namelist())
        assert archive.testzip() is None
