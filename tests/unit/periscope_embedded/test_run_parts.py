"""Small parts of the embedded default: what a run remembers, its ports, its settings, its words."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from periscope.client import ServiceUnreachable
from periscope_embedded import loop
from periscope_embedded.home import Home
from periscope_embedded.resume import recall_run
from periscope_embedded.settings import BadSettings, Settings
from periscope_embedded.stack import PortTaken, choose_ports

WISHES = {"epochs": 9, "size": [320, 320]}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def test_an_interrupted_run_with_the_same_wishes_goes_on(home: Home) -> None:
    first, _ = recall_run(home, WISHES)
    first.keep("job_id", "J")
    again, abandoned = recall_run(home, WISHES)

    assert (again.is_resumed, again.key, again.get("job_id"), abandoned) == (True, first.key, "J", None)


def test_other_wishes_begin_anew_and_name_the_job_that_nobody_waits_for(home: Home) -> None:
    first, _ = recall_run(home, WISHES)
    first.keep("job_id", "J")
    again, abandoned = recall_run(home, {**WISHES, "epochs": 3})

    assert not again.is_resumed
    assert again.key != first.key
    assert (again.get("job_id"), abandoned) == (None, "J")


def test_a_finished_run_is_forgotten(home: Home) -> None:
    first, _ = recall_run(home, WISHES)
    first.forget()

    assert not recall_run(home, WISHES)[0].is_resumed


def test_ports_are_kept_from_start_to_start(home: Home) -> None:
    assert choose_ports(home, {}) == choose_ports(home, {})


def test_a_kept_port_that_is_taken_now_is_replaced(home: Home) -> None:
    first = choose_ports(home, {})
    with socket.create_server(("127.0.0.1", first["dataset"])):
        again = choose_ports(home, {})

    assert again["dataset"] != first["dataset"]
    assert again["training"] == first["training"]


def test_a_configured_port_that_is_taken_is_refused_by_name(home: Home) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(PortTaken, match="PERISCOPE_DATASET_PORT"),
    ):
        choose_ports(home, {"dataset": server.getsockname()[1]})


def test_settings_name_the_variable_that_is_no_port() -> None:
    with pytest.raises(BadSettings, match="PERISCOPE_S3_PORT"):
        Settings.from_environ({"PERISCOPE_S3_PORT": "http"})


def test_settings_without_any_variable_have_defaults() -> None:
    assert Settings.from_environ({}) == Settings(Path(".periscope"))


def test_a_step_is_repeated_while_a_service_is_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop.time, "sleep", lambda _: None)
    outcomes = [ServiceUnreachable("the registry is away"), ServiceUnreachable("the registry is away"), None]

    def step() -> str:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return "done"

    assert loop.persist(step) == "done"
    assert capsys.readouterr().out.count("the registry is away") == 2


def test_a_service_that_stays_away_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PATIENCE_S", 0)

    def step() -> None:
        raise ServiceUnreachable("the registry is away")

    with pytest.raises(ServiceUnreachable):
        loop.persist(step)
