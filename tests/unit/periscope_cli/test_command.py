"""The command as a whole: where it finds services, how it ends, what goes to which stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from periscope_cli.__main__ import main
from periscope_cli.connection import Connection
from periscope_cli.errors import ConnectionUnusable
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices

Periscope = Callable[..., Ran]
FROM_FILE = {"dataset_url": "http://file:1", "training_url": "http://file:2", "token": "from-file"}


def client_file(folder: Path) -> Path:
    path = folder / ".periscope" / "client.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(FROM_FILE))
    return path


def test_options_come_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    client_file(tmp_path)
    environ = {"PERISCOPE_TRAINING_URL": "http://environ:2", "PERISCOPE_DATASET_URL": "http://environ:1"}
    found = Connection.find({"dataset_url": "http://option:1"}, environ, tmp_path)

    assert found == Connection("http://option:1", "http://environ:2", None, "from-file")


def test_the_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    client_file(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)

    assert Connection.find({}, {}, below).token == "from-file"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    client_file(tmp_path).write_text("{")

    with pytest.raises(ConnectionUnusable, match=r"client\.json cannot be read"):
        Connection.find({}, {}, tmp_path)


def test_a_missing_address_is_a_usage_error_that_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PERISCOPE_TRAINING_URL", raising=False)

    assert main(["jobs"]) == 2
    assert "PERISCOPE_TRAINING_URL" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_exit_code_3(periscope: Periscope) -> None:
    ran = periscope("jobs", "--training-url", "http://127.0.0.1:9", "--json")

    assert ran.code == ran.document["error"]["exit_code"] == 3


def test_a_refused_token_is_exit_code_4(periscope: Periscope) -> None:
    ran = periscope("jobs", "--token", "wrong", "--json")

    assert ran.code == 4
    assert ran.document["error"]["details"]["status"] == 401


@pytest.mark.parametrize("arguments", [("--json", "jobs"), ("jobs", "--json"), ("jobs", "list", "--json")])
def test_json_may_stand_anywhere(arguments: tuple[str, ...], periscope: Periscope) -> None:
    assert periscope(*arguments).document == {"items": []}


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "x"),
        ("train", "x", "--dataset", "d", "--size", "640"),
        ("train", "x", "--dataset", "d", "--epochs", "0"),
        ("pull", "No Such Name"),
        ("dataset",),
        ("tokens", "create", "king", "arthur"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert any(capsys.readouterr()), "an error, or the help of a command that needs an action"


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "exit codes:" in capsys.readouterr().out


def test_nothing_but_the_result_goes_to_standard_output(
    services: FakeServices, periscope: Periscope, kitti: Path
) -> None:
    ran = periscope("dataset", "push", "dive", kitti, "--json")

    assert ran.document["version"] == 1
    assert "upload" in ran.err


@pytest.mark.slow
def test_a_reader_that_has_enough_is_no_error(services: FakeServices) -> None:
    for number in range(20):
        services.add_job(number, f"job-{number}")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[1:])}
    process = subprocess.Popen(
        [sys.executable, "-m", "periscope_cli", "jobs", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, b"")
