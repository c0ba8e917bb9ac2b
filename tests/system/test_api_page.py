"""The commands of docs/api.md, read out of it and run in one shell; its answers have the fields that it shows."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.kitti_archives import sound_files
from tests.system.loop import Stack

pytestmark = [pytest.mark.system, pytest.mark.timeout(420)]

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CUT = "@@@ end of a block @@@"


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall(PAGE.read_text())


def documents_in(text: str) -> list[Any]:
    """The JSON documents that stand one behind the other, and whatever else is printed left out."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while (position := text.find("{", position)) >= 0:
        try:
            document, position = decoder.raw_decode(text, position)
        except ValueError:
            position += 1
        else:
            found.append(document)
    return found


def shows(shown: Any, given: Any) -> bool:
    """Whether every field of the page is in the answer, with a value of its type; of lists the first entry."""
    if isinstance(shown, dict):
        return isinstance(given, dict) and all(
            name in given and shows(value, given[name]) for name, value in shown.items()
        )
    if isinstance(shown, list):
        return isinstance(given, list) and (not shown or not given or shows(shown[0], given[0]))
    numbers = (int, float)
    return (
        shown is None
        or given is None
        or type(shown) is type(given)
        or (isinstance(shown, numbers) and isinstance(given, numbers))
    )


def test_the_commands_of_the_page_work_and_answer_what_it_shows(stack: Stack, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "dive-12.zip", "w") as archive:
        for path, content in sound_files(train=8, val=4).items():
            archive.writestr(path, content)
    cv2.imwrite(str(tmp_path / "picture.png"), np.full((80, 100, 3), 90, np.uint8))
    commands = [text for kind, text in blocks() if kind == "sh"]

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"\necho '{CUT}'\n".join(commands)],
        cwd=tmp_path,
        env=stack.environ,
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    answers = dict(enumerate(done.stdout.split(CUT)))
    number = -1
    for kind, text in blocks():
        number += kind == "sh"
        if kind == "json":
            given, shown = documents_in(answers[number]), documents_in(text)
            assert len(given) == len(shown), answers[number]
            for wanted, found in zip(shown, given, strict=True):
                assert shows(wanted, found), (wanted, found)
    with zipfile.ZipFile(tmp_path / "buoys.zip") as bundle:
        assert "deploy.prototxt" in bundle.namelist()
    assert cv2.imread(str(tmp_path / "history.png")).shape == (800, 900, 3)
    assert cv2.imread(str(tmp_path / "found.png")).shape == (80, 100, 3)
    assert "59 of 59 layers begin with pretrained weights" in done.stdout
