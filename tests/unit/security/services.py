"""The three services in memory, with a token of each role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask

from periscope.documents import Documents
from periscope.roles import ROLES, Role
from periscope.store import ObjectStore
from periscope.tokens import Tokens
from periscope.web.auth import access_of, allows
from periscope_dataset.app import create_service as dataset_service
from periscope_dataset.settings import Settings as DatasetSettings
from periscope_registry.app import create_app as registry_app
from periscope_registry.settings import Settings as RegistrySettings
from tests.fakes import MemoryStore
from tests.unit.periscope_training.service import Service as TrainingService

EXAMPLES = {"int": "1", "path": "x/y"}
"""Values of path parameters that are no plain words."""


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    service: str
    method: str
    rule: str
    url: str
    access: Any

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.rule}"

    def lets_in(self, role: Role) -> bool:
        """Whether its own mark says so."""
        needed = self.access if isinstance(self.access, tuple) else (self.access,)
        return any(allows(one, role) for one in needed)


@dataclass(frozen=True)
class Services:
    """Applications by name, and tokens by role for each."""

    apps: Mapping[str, Flask]
    tokens: Mapping[str, Mapping[Role, str]]

    @classmethod
    def open(cls, folder: Path) -> Services:
        """All three, each on a store of its own."""
        training = TrainingService(folder / "training")
        dataset_store, registry_store = MemoryStore(), MemoryStore()
        apps: dict[str, tuple[Flask, ObjectStore]] = {
            "dataset": (
                dataset_service(DatasetSettings(folder / "dataset", "admin"), dataset_store, "holder").app,
                dataset_store,
            ),
            "training": (training.service.app, training.house.store),
            "registry": (registry_app(RegistrySettings("admin", folder), registry_store), registry_store),
        }
        tokens = {name: _tokens(store) for name, (_, store) in apps.items()}
        return cls({name: app for name, (app, _) in apps.items()}, tokens)

    def routes(self) -> Iterator[Route]:
        """Every method of every address."""
        for name, app in self.apps.items():
            for rule in app.url_map.iter_rules():
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                    yield Route(name, method, rule.rule, _url(rule), access_of(app, rule.endpoint))

    def status(self, route: Route, token: str | None) -> int:
        """What a call without a body is answered with."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = self.apps[route.service].test_client()
        return client.open(route.url, method=route.method, headers=headers, buffered=True).status_code


def _tokens(store: ObjectStore) -> dict[Role, str]:
    tokens = Tokens(Documents(store))
    return {role: tokens.issue(role, role, "sub-1" if role == "device" else None)[0] for role in ROLES}


def _url(rule: Any) -> str:
    built = rule.rule
    for name, converter in rule._converters.items():
        kind = {"IntegerConverter": "int", "PathConverter": "path"}.get(type(converter).__name__, "")
        value = next(iter(getattr(converter, "items", [])), None) or EXAMPLES.get(kind, "x")
        start = built.index("<")
        end = built.index(">")
        assert name in built[start:end]
        built = built[:start] + value + built[end + 1 :]
    return str(built)
