"""The folder of the embedded default: one supervisor at a time, private secrets, whole files."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from periscope_embedded.home import AlreadyRunning, Home

HOLDING = """
import sys, time
from pathlib import Path
from periscope_embedded.home import Home
with Home(Path(sys.argv[1])).held("serve"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / ".periscope")
    home.make()
    return home


def hold_elsewhere(home: Home) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[1:])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(home.folder)], stdout=subprocess.PIPE, text=True, env=environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_supervisor_is_refused_and_told_about_the_first(home: Home) -> None:
    process = hold_elsewhere(home)

    with (
        pytest.raises(AlreadyRunning, match=rf"process {process.pid} \(serve\).*make down"),
        home.held("run"),
    ):
        pass
    process.kill()
    process.communicate()


def test_the_folder_is_free_again_after_a_kill(home: Home) -> None:
    process = hold_elsewhere(home)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    assert home.holder() is None
    with home.held("run"):
        assert home.holder() == {"pid": os.getpid(), "mode": "run"}


def test_down_ends_the_holder_and_says_whether_there_was_one(home: Home) -> None:
    process = hold_elsewhere(home)

    assert home.end_holder()
    assert process.wait(5) == -signal.SIGTERM
    assert not home.end_holder()
    process.communicate()


def test_secrets_are_made_once_and_private(home: Home) -> None:
    first = home.secrets()

    assert home.secrets() == first
    assert len(first.admin_token) >= 32
    assert stat.S_IMODE((home.folder / "secrets.json").stat().st_mode) == 0o600


def test_a_saved_file_is_private_even_where_a_draft_was_left(home: Home) -> None:
    (home.folder / "client.json.new").write_text("half")
    (home.folder / "client.json.new").chmod(0o644)
    home.save("client.json", {"token": "t"})

    assert home.load("client.json") == {"token": "t"}
    assert stat.S_IMODE((home.folder / "client.json").stat().st_mode) == 0o600


def test_a_long_log_is_set_aside(home: Home) -> None:
    home.log_path("store").write_bytes(b"x" * ((10 << 20) + 1))

    assert not home.log_path("store").exists()
    assert (home.folder / "logs" / "store.log.1").exists()
