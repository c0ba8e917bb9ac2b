"""The command line against a server that plays the services."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from periscope import client
from periscope_cli.__main__ import main
from periscope_cli.client import calls
from tests.unit.periscope_cli.fake_services import TOKEN, FakeServices, serve


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServices]:
    services = FakeServices()
    server = serve(services)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    for name in ("DATASET", "TRAINING", "REGISTRY"):
        monkeypatch.setenv(f"PERISCOPE_{name}_URL", services.url)
    monkeypatch.setenv("PERISCOPE_TOKEN", TOKEN)
    monkeypatch.setattr(client, "BACKOFF_S", 0.005)
    monkeypatch.setattr(calls, "POLL_S", 0.005)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    yield services
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def periscope(services: FakeServices, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*arguments: object) -> Ran:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """A KITTI folder of small files."""
    root = tmp_path / "dive-12"
    for split in ("train", "val"):
        for part, suffix in (("images", "jpg"), ("labels", "txt")):
            folder = root / split / part
            folder.mkdir(parents=True)
            for number in range(3):
                (folder / f"{number}.{suffix}").write_text(f"{split} {part} {number}\n" * 50)
    return root
