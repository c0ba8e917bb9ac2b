"""Where a training process is among the machines of one training, as the launcher tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from periscope.settings import required, whole_number


@dataclass(frozen=True)
class Place:
    """Which of how many machines this is, and where the first one is reached (``name:port``)."""

    nodes: int = 1
    node_rank: int = 0
    first_node: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Place:
        """Read what the launcher gives to trainings on several machines; one machine where it gives none."""
        nodes = whole_number(environ, "PERISCOPE_TRAINER_NODES", 1)
        if nodes == 1:
            return cls()
        return cls(
            nodes,
            int(required(environ, "PERISCOPE_NODE_RANK")),
            required(environ, "PERISCOPE_FIRST_NODE"),
        )

    @property
    def flags(self) -> list[str]:
        """Torchrun's. A static rendezvous: the first machine is known, nobody has to win an election."""
        if self.nodes == 1:
            return ["--standalone"]
        address, _, port = self.first_node.rpartition(":")
        return [
            f"--nnodes={self.nodes}", f"--node-rank={self.node_rank}",
            f"--master-addr={address}", f"--master-port={port}",
        ]  # fmt: skip
