"""The Dockerfiles: what hadolint, and what we, ask of them. tests/cluster builds and runs them, the trainer's on request."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
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


def packages_of(extra: str) -> set[str]:
    """What an image made with this extra asks for by name, at second hand within the project too."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found: set[str] = set()
    for wish in extras[extra]:
        name, _, inner = wish.partition("[")
        if name == "periscope":
            found |= packages_of(inner.partition("]")[0])
        else:
            found.add(re.split(r"[<>=!\[ ]", wish)[0])
    return found


@pytest.mark.parametrize(
    ("extra", "needed", "kept_out"),
    [
        ("dataset", {"flask", "boto3"}, {"torch", "kubernetes", "onnxruntime", "minio"}),
        ("training", {"flask", "kubernetes", "onnxruntime"}, {"torch", "minio"}),
        ("registry", {"flask", "cryptography"}, {"torch", "kubernetes", "onnxruntime", "minio"}),
        ("trainer", {"torch", "boto3"}, {"flask", "kubernetes", "pydantic", "minio"}),
        ("upkeep", {"minio", "boto3"}, {"torch", "kubernetes", "flask"}),
    ],
)
def test_an_image_of_one_part_asks_for_what_it_needs_and_no_more(
    extra: str, needed: set[str], kept_out: set[str]
) -> None:
    assert needed <= packages_of(extra)
    assert not kept_out & packages_of(extra)
