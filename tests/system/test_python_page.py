"""The script of docs/python-client.md, read out of it and run as it stands; only the size of the training is cut."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import pytest

from tests.kitti_archives import picture, sound_files
from tests.system.loop import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "python-client.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CUT = {
    '"width": 640, "height": 480': '"width": 64, "height": 64',
    '"epochs": 30': '"epochs": 2, "batch_size": 2',
}
"""A reader trains for an hour, a test does not."""


def script_of_the_page() -> str:
    script = "\n".join(BLOCK.findall(PAGE.read_text()))
    for words, fewer in CUT.items():
        assert words in script, f"the page no longer says {words}"
        script = script.replace(words, fewer)
    return script


def test_the_script_of_the_page_goes_through_the_whole_loop(stack: Stack, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dive-12.zip", "w") as archive:
        for path, content in sound_files(train=8, val=4).items():
            archive.writestr(path, content)
    (tmp_path / "dive.png").write_bytes(picture(width=100, height=80))
    checks = 'print("curve", len(curve), "epochs", len(mean_ap), "rollout", group.rollout.state)'

    done = subprocess.run(
        [sys.executable, "-c", f"{script_of_the_page()}\n{checks}"],
        cwd=tmp_path,
        env=stack.environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "['buoy', 'gate'] {'train': 8, 'val': 4}" in lines
    assert [line for line in lines if re.fullmatch(r"epoch [12]: mAP \d+\.\d%", line)] != []
    assert any(line.startswith("  /input 641x480") for line in lines)
    assert "CANCELLED" in lines
    assert re.fullmatch(r"curve \d+ epochs 2 rollout PAUSED", lines[-1]), lines[-1]
    assert cv2.imread(str(tmp_path / "found.png")).shape == (80, 100, 3)
    with zipfile.ZipFile(tmp_path / "buoys.zip") as bundle:
        assert bundle.testzip() is None
        assert "deploy.prototxt" in bundle.namelist()
