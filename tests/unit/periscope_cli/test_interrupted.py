"""Ctrl-C: nothing is half-written here, and what stays or goes on over there is told."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from periscope import client
from periscope_cli.client import calls
from periscope_cli.progress import ProgressLine
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import FakeServices

Periscope = Callable[..., Ran]


def press_ctrl_c(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_an_upload_that_was_interrupted_is_gone_on_with(
    periscope: Periscope, services: FakeServices, kitti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_part = client._put_part

    def interrupted(url: str, body: Any) -> None:
        if url.endswith("/2"):
            _thread.interrupt_main()
        else:
            put_part(url, body)

    with monkeypatch.context() as patch:
        patch.setattr(client, "_put_part", interrupted)
        ran = periscope("dataset", "push", "dive", kitti, "--json")
    sent_before = {number for _, number in services.puts}

    assert ran.code == 130
    assert ran.document["error"]["exit_code"] == 130
    assert "the same command goes on with it" in ran.err
    assert periscope("dataset", "push", "dive", kitti).code == 0
    assert len(services.uploads) == 1
    assert 2 not in sent_before
    assert [number for _, number in services.puts].count(1) == 1


def test_an_ingest_goes_on_without_its_watcher(
    periscope: Periscope, services: FakeServices, kitti: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.ingest_states = [{"state": "RUNNING"}]
    monkeypatch.setattr(calls.time, "sleep", press_ctrl_c)
    ran = periscope("dataset", "push", "dive", kitti)

    assert ran.code == 130
    assert "its ingest goes on" in ran.err


def test_a_download_that_was_interrupted_leaves_the_old_file_and_is_gone_on_with(
    periscope: Periscope, services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CHUNK_BYTES", 10_000)
    (tmp_path / "m.zip").write_bytes(b"the model of yesterday")
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "show", press_ctrl_c)
        ran = periscope("pull", "m", "-o", tmp_path / "m.zip")

    assert ran.code == 130
    assert "the same command goes on with it" in ran.err
    assert (tmp_path / "m.zip").read_bytes() == b"the model of yesterday"
    assert periscope("pull", "m", "-o", tmp_path / "m.zip").code == 0
    assert [start for _, path, start, _ in services.requests if path == "/blob"] == [0, 10_000]
    assert (tmp_path / "m.zip").read_bytes() == services.zip


def test_a_publication_goes_on_without_its_watcher(
    periscope: Periscope, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.add_job(1, "first", {"state": "SUCCEEDED"})
    services.publication_states = [{"state": "RUNNING"}]
    monkeypatch.setattr(calls.time, "sleep", press_ctrl_c)
    ran = periscope("publish", "first", "--model", "m", "--wait")

    assert ran.code == 130
    assert "the publication goes on" in ran.err
