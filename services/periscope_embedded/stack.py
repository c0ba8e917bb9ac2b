"""The store and the three services on the loopback interface, as one thing that is up or down."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from periscope_cli.connection import Connection
from periscope_embedded.child import ChildSpec
from periscope_embedded.home import SERVICES, Home
from periscope_embedded.release_keys import release_keys
from periscope_embedded.seaweedfs import HOST, SeaweedFS, free_ports
from periscope_embedded.settings import Settings
from periscope_embedded.supervisor import Supervisor, ignore_signals

READY_TIMEOUT_S = 90.0
STOP_GRACE_S = 30
"""Seconds a training run has for its checkpoint, on a busy machine too."""
TRAINING_STOP_TIMEOUT_S = 45.0
"""For the training service, which waits for that."""
STATE_FILE, CLIENT_FILE, PORTS_FILE = "state.json", "client.json", "ports.json"
NOT_PASSED_ON = ("S3_", "AWS_", "GUNICORN_", "PERISCOPE_TOKEN", "PERISCOPE_PROBE_BIND", "PERISCOPE_INSTANCE")
"""Other variables of the services, ``PERISCOPE_TRAINER_THREADS`` say, hold for the embedded ones too."""
GUNICORN = ("-m", "gunicorn", "-c", "python:periscope.web.gunicorn_conf", "--no-control-socket")
GUNICORN_MARGIN_S = 5

Tell = Callable[[str], None]


class PortTaken(Exception):
    """A configured port is in use."""


@dataclass(frozen=True)
class Addresses:
    """Where everything is, and the token that may do all."""

    dataset: str
    training: str
    registry: str
    store: str
    admin_token: str

    def connection(self) -> Connection:
        """For the command line's functions."""
        return Connection(self.dataset, self.training, self.registry, self.admin_token)

    def to_text(self) -> str:
        """For people, without the token."""
        return "\n".join(
            [
                f"  dataset service   {self.dataset}/docs",
                f"  training service  {self.training}/docs",
                f"  registry          {self.registry}/docs",
                f"  object store      {self.store}",
            ]
        )


@dataclass(frozen=True)
class Stack:
    """Everything up."""

    addresses: Addresses
    environ: Mapping[str, str]
    """For further processes: they end with the stack at the latest."""


@contextmanager
def running_stack(home: Home, settings: Settings, mode: str, tell: Tell) -> Iterator[Stack]:
    """Start everything and yield when it works; on leaving, end everything, whatever happens.

    Raises:
        child.NotReady: something does not come up.
        PortTaken: a configured port is in use.
        seaweedfs.StoreNotStarted: the store's program is missing.
    """
    store = SeaweedFS(home.path("store"))
    if settings.s3_port is not None:
        store.identity = replace(store.identity, s3_port=settings.s3_port)
    supervisor = Supervisor(home.folder, _child_environ(), tell, lambda: _save_state(home, supervisor, mode))
    try:
        supervisor.begin()
        supervisor.start(_store_spec(home, store, supervisor.marked_environ))
        addresses = _choose_addresses(home, settings, store)
        supervisor.start(*_service_specs(home, store, addresses, supervisor.marked_environ))
        home.save(CLIENT_FILE, client_document(addresses))
        _save_state(home, supervisor, mode)
        supervisor.keep_up()
        yield Stack(addresses, supervisor.marked_environ)
    finally:
        ignore_signals()
        supervisor.stop()
        home.forget(STATE_FILE)


def client_document(addresses: Addresses) -> dict[str, str]:
    """What the command line reads from ``client.json``."""
    return {
        "dataset_url": addresses.dataset,
        "training_url": addresses.training,
        "registry_url": addresses.registry,
        "token": addresses.admin_token,
    }


def _child_environ() -> dict[str, str]:
    """Ours, with a path that holds in any folder and without what is meant for another installation."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    if "PYTHONPATH" in kept:
        parts = [str(Path(part).absolute()) for part in kept["PYTHONPATH"].split(os.pathsep) if part]
        kept["PYTHONPATH"] = os.pathsep.join(parts)
    return kept


def _store_spec(home: Home, store: SeaweedFS, environ: Mapping[str, str]) -> ChildSpec:
    store.prepare()
    own = {name: value for name, value in store.command_environ().items() if name.startswith("WEED_")}
    return ChildSpec(
        name="store",
        command=tuple(store.command()),
        environ={**environ, **own},
        folder=store.folder,
        log_path=home.log_path("store"),
        is_ready=store.is_ready,
        ready_timeout_s=READY_TIMEOUT_S,
    )


def choose_ports(home: Home, configured: Mapping[str, int]) -> dict[str, int]:
    """Kept ports where they are free, so that addresses stay what they were; configured ones above all.

    Raises:
        PortTaken: a configured port is in use.
    """
    kept = home.load(PORTS_FILE) or {}
    ports: dict[str, int] = {}
    for name in SERVICES:
        port = configured.get(name)
        if port is not None and not _is_free(port):
            raise PortTaken(
                f"port {port} of the {name} service is in use: end what uses it, or choose another by "
                f"PERISCOPE_{name.upper()}_PORT (unset, a free one is taken)"
            )
        usable = kept[name] if name in kept and _is_free(kept[name]) else None
        fresh = (found for found in free_ports(len(SERVICES)) if found not in ports.values())
        ports[name] = port or usable or next(fresh)
    home.save(PORTS_FILE, dict(ports))
    return ports


def _choose_addresses(home: Home, settings: Settings, store: SeaweedFS) -> Addresses:
    ports = choose_ports(home, settings.service_ports)
    urls = {name: f"http://{HOST}:{port}" for name, port in ports.items()}
    return Addresses(**urls, store=store.endpoint, admin_token=home.secrets().admin_token)


def _service_specs(
    home: Home, store: SeaweedFS, addresses: Addresses, environ: Mapping[str, str]
) -> Iterator[ChildSpec]:
    secrets = home.secrets()
    urls = {"dataset": addresses.dataset, "training": addresses.training, "registry": addresses.registry}
    shared = {
        "PERISCOPE_STOP_GRACE_S": str(STOP_GRACE_S),
        # Threads that wait by spinning slow each other down many times when the processors are shared.
        "OMP_WAIT_POLICY": "PASSIVE",
        **environ,
        **store.environ(),
        **{f"PERISCOPE_{name.upper()}_URL": url for name, url in urls.items()},
        "PERISCOPE_ADMIN_TOKEN": secrets.admin_token,
        "PERISCOPE_SERVICE_TOKEN": secrets.admin_token,
        "PERISCOPE_JOB_TOKEN_SECRET": secrets.job_token_secret,
        "PERISCOPE_LAUNCHER": "process",
    }
    for name, url in urls.items():
        folder = home.path(name)
        own = {
            "PERISCOPE_SERVICE": name,
            "PERISCOPE_BIND": url.removeprefix("http://"),
            "PERISCOPE_WORK_DIR": str(folder),
            **(release_keys(home.path("keys")) if name == "registry" else {}),
        }
        stop_timeout_s = TRAINING_STOP_TIMEOUT_S if name == "training" else ChildSpec.stop_timeout_s
        patience = ("--graceful-timeout", f"{stop_timeout_s - GUNICORN_MARGIN_S:.0f}")
        yield ChildSpec(
            name=name,
            command=(sys.executable, *GUNICORN, *patience, f"periscope_{name}.app:create_app_from_environ()"),
            environ={**shared, **own},
            folder=folder,
            log_path=home.log_path(name),
            is_ready=_answers(f"{url}/readyz"),
            ready_timeout_s=READY_TIMEOUT_S,
            stop_timeout_s=stop_timeout_s,
        )


def _answers(url: str) -> Callable[[], bool]:
    def look() -> bool:
        try:
            return bool(requests.get(url, timeout=5).ok)
        except requests.RequestException:
            return False

    return look


def _save_state(home: Home, supervisor: Supervisor, mode: str) -> None:
    home.save(STATE_FILE, {"pid": os.getpid(), "mode": mode, "processes": supervisor.pids()})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
