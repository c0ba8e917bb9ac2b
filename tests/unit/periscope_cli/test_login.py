"""Logging in: what is kept, where, and what goes before what."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from periscope_cli.connection import Connection
from periscope_cli.contexts import Contexts
from periscope_cli.errors import ConnectionUnusable
from tests.unit.periscope_cli.conftest import Ran
from tests.unit.periscope_cli.fake_services import TOKEN, FakeServices

Periscope = Callable[..., Ran]


def kept(tmp_path: Path) -> Path:
    return tmp_path / "config" / "periscope" / "contexts.json"


@pytest.fixture
def typed_token(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.delenv("PERISCOPE_TOKEN")
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))


def test_a_login_is_kept_where_only_its_owner_reads_it(
    services: FakeServices, periscope: Periscope, typed_token: Callable[[str], None], tmp_path: Path
) -> None:
    typed_token(TOKEN)
    ran = periscope("login")

    assert ran.code == 0, ran.err
    assert TOKEN not in ran.out + ran.err
    assert stat.S_IMODE(kept(tmp_path).stat().st_mode) == 0o600
    assert json.loads(kept(tmp_path).read_text())["contexts"]["default"]["token"] == TOKEN


def test_a_token_that_no_service_knows_is_not_kept(
    services: FakeServices, periscope: Periscope, typed_token: Callable[[str], None], tmp_path: Path
) -> None:
    typed_token("wrong")
    assert periscope("login").code == 4
    assert not kept(tmp_path).exists()


def test_after_a_login_no_address_needs_to_be_given(
    services: FakeServices,
    periscope: Periscope,
    typed_token: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed_token(TOKEN)
    periscope("login", "--name", "pool")
    for service in ("DATASET", "TRAINING", "REGISTRY"):
        monkeypatch.delenv(f"PERISCOPE_{service}_URL")

    assert periscope("jobs", "--json").document == {"items": []}
    assert periscope("--context", "pool", "jobs").code == 0
    told = periscope("contexts", "--json")
    assert [item["name"] for item in told.document["items"]] == ["pool"]
    assert TOKEN not in told.out
    assert periscope("--context", "lake", "jobs").code == 2
    assert periscope("logout").code == 0
    assert periscope("jobs").code == 2


def context(tmp_path: Path, *names: str) -> Contexts:
    contexts = Contexts(kept(tmp_path))
    for name in names:
        contexts.save(name, {"dataset_url": f"http://{name}", "token": name})
    return contexts


def test_a_context_that_is_asked_for_goes_before_the_file_of_the_folder(tmp_path: Path) -> None:
    context(tmp_path, "lake", "pool")
    folder = tmp_path / ".periscope"
    folder.mkdir()
    (folder / "client.json").write_text(json.dumps({"dataset_url": "http://file", "token": "file"}))
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}

    assert Connection.find({"context": "lake"}, environ, tmp_path).dataset_url == "http://lake"
    assert Connection.find({}, environ, tmp_path).dataset_url == "http://file"
    assert Connection.find({}, environ, Path("/")).dataset_url == "http://pool"
    named = {**environ, "PERISCOPE_CONTEXT": "lake", "PERISCOPE_TOKEN": "mine"}
    assert Connection.find({}, named, tmp_path) == Connection("http://lake", None, None, "mine")


def test_the_one_in_use_can_be_changed_and_forgotten(tmp_path: Path) -> None:
    contexts = context(tmp_path, "lake", "pool")
    contexts.use("lake")
    assert contexts.current_name() == "lake"
    contexts.forget("lake")
    assert (contexts.current_name(), list(contexts.all())) == (None, ["pool"])
    with pytest.raises(ConnectionUnusable, match="there is no context 'lake' \\(there is pool\\)"):
        contexts.use("lake")


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    context(tmp_path, "pool")
    kept(tmp_path).write_text("{")
    with pytest.raises(ConnectionUnusable, match="remove it and log in again"):
        Contexts(kept(tmp_path)).current()
