"""One command's services and console."""

from __future__ import annotations

from periscope.client import ServiceClient
from periscope_cli.client import Periscope
from periscope_cli.connection import Connection
from periscope_cli.console import Console
from periscope_cli.progress import ProgressLine


class Session:
    """What a command works with; an address is asked for when it is needed."""

    def __init__(self, connection: Connection, console: Console) -> None:
        self.connection = connection
        self.console = console
        self.api = Periscope(connection)

    @property
    def dataset(self) -> ServiceClient:
        """The dataset service."""
        return self.api.dataset_service

    @property
    def training(self) -> ServiceClient:
        """The training service."""
        return self.api.training_service

    @property
    def registry(self) -> ServiceClient:
        """The registry."""
        return self.api.registry_service

    def progress(self) -> ProgressLine:
        """A progress line on standard error."""
        return ProgressLine(self.console.err, self.console.quiet)
