"""A newcomer's path: `make run`, then the commands of docs/tutorial.md, read out of it and run in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
CUT = {"--size 256x256": "--size 64x64", "--epochs 10": "--epochs 2"}
"""A newcomer trains for half an hour, a test does not."""
PLAYED = """
make() {{
  case $1 in
    run) {python} -m periscope_embedded run --epochs 1 --size 64x64 --train-images 12 --val-images 6 ;;
    *) {python} -m periscope_embedded "$1" ;;
  esac
}}
periscope() {{ {python} -m periscope_cli "$@"; }}
trap 'make down || true' EXIT
"""
"""The same programs in a folder of the test's own, and a smaller run."""


def test_the_commands_of_the_tutorial_lead_from_nothing_to_a_model_on_a_robot(tmp_path: Path) -> None:
    commands = "\n".join(BLOCK.findall(PAGE.read_text()))
    for words, fewer in CUT.items():
        assert words in commands, f"the tutorial no longer says {words}"
        commands = commands.replace(words, fewer)
    (tmp_path / "services").symlink_to(ROOT / "services")
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("shared", "services")),
    }
    for name in ("PERISCOPE_HOME", "PERISCOPE_CLIENT_FILE", "PERISCOPE_TOKEN"):
        environ.pop(name, None)

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", PLAYED.format(python=sys.executable) + commands],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "sub-1 should have buoys version 1" in done.stdout
    assert "last report: active" in done.stdout
    assert cv2.imread(str(tmp_path / "found" / "000004.boxes.png")) is not None
    assert (tmp_path / "buoys.zip").stat().st_size > 1 << 20
    assert len(list((tmp_path / "robot" / "models" / "current").resolve().glob("*.caffemodel"))) == 1
