"""The Dockerfiles: what hadolint, and what we, ask of them. tests/cluster builds and runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCKERFILES = sorted((Path(__file__).parents[2] / "docker").glob("Dockerfile.*"))
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    done = subprocess.run([HADOLINT, "--no-color", path], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.suffix)
def test_the_base_is_an_argument_and_the_user_a_number(path: Path) -> None:
    lines = path.read_text().splitlines()

    assert {line.split(" AS ")[0] for line in lines if line.startswith("FROM ")} == {"FROM ${BASE}"}
    assert [line for line in lines if line.startswith("ARG BASE")] == ["ARG BASE"]
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]


def test_hadolint_would_have_something_to_say(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text("FROM python:latest\nRUN pip install flask\n")
    done = subprocess.run([HADOLINT, careless], capture_output=True, text=True, check=False)

    assert done.returncode != 0
