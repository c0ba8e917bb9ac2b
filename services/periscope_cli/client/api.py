"""The three services behind one object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from periscope.client import ServiceClient
from periscope_cli.client.datasets import Datasets
from periscope_cli.client.devices import Devices, Groups, Tokens
from periscope_cli.client.jobs import Jobs
from periscope_cli.client.models import Models
from periscope_cli.connection import Connection
from periscope_cli.errors import AddressMissing

TIMEOUT_S = 60.0


class Periscope:
    """Everything that a token may do."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def connect(
        cls,
        context: str | None = None,
        *,
        dataset_url: str | None = None,
        training_url: str | None = None,
        registry_url: str | None = None,
        token: str | None = None,
        environ: Mapping[str, str] = os.environ,
        folder: Path | None = None,
    ) -> Periscope:
        """As the command line connects: what is given here, then environment, file or ``periscope login``.

        Raises:
            ConnectionUnusable: a file with addresses cannot be read, or there is no such context.
        """
        given = {
            "context": context,
            "dataset_url": dataset_url,
            "training_url": training_url,
            "registry_url": registry_url,
            "token": token,
        }
        return cls(Connection.find(given, environ, folder or Path.cwd()))

    @cached_property
    def dataset_service(self) -> ServiceClient:
        """The dataset service itself, for calls that have no method here."""
        return self._client("dataset", self._connection.dataset_url)

    @cached_property
    def training_service(self) -> ServiceClient:
        """The training service itself."""
        return self._client("training", self._connection.training_url)

    @cached_property
    def registry_service(self) -> ServiceClient:
        """The registry itself."""
        return self._client("registry", self._connection.registry_url)

    @property
    def datasets(self) -> Datasets:
        """Data sets and their versions."""
        return Datasets(self.dataset_service)

    @property
    def jobs(self) -> Jobs:
        """Training jobs, their curves, epochs and publications."""
        return Jobs(self.training_service)

    @property
    def models(self) -> Models:
        """Registered models, versions, aliases."""
        return Models(self.registry_service)

    @property
    def devices(self) -> Devices:
        """Robots."""
        return Devices(self.registry_service)

    @property
    def groups(self) -> Groups:
        """Groups of robots and their rollouts."""
        return Groups(self.registry_service)

    @property
    def tokens(self) -> Tokens:
        """Bearer tokens."""
        return Tokens(self.registry_service)

    def _client(self, service: str, url: str | None) -> ServiceClient:
        if not url:
            raise AddressMissing(
                f"where is the {service} service? Give --{service}-url or PERISCOPE_{service.upper()}_URL, "
                f"call `periscope login`, or start the embedded services (`make serve`) in this folder"
            )
        return ServiceClient(url, self._connection.token, timeout_s=TIMEOUT_S)
