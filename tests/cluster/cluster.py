"""The whole thing: a control plane, a real node, DNS, Services, one pretended GPU, kubectl and Helm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kubernetes import client

from tests.cluster.control_plane import ControlPlane
from tests.cluster.network import Network, make_network
from tests.cluster.node import Node, missing_packages
from tests.cluster.sandbox import Sandbox, SandboxBroken


@dataclass(frozen=True)
class Cluster:
    """A running cluster; its sandbox ends it."""

    plane: ControlPlane
    node: Node
    network: Network
    helm_program: Path

    @classmethod
    def start(cls, sandbox: Sandbox, programs: Mapping[str, Path], helm: Path) -> Self:
        """Start everything and wait until pods can run, with one ``nvidia.com/gpu`` to give out.

        Raises:
            SandboxBroken: this machine lacks something, or a program did not get ready.
        """
        if lacking := missing_packages():
            raise SandboxBroken(f"a real node needs the packages {' '.join(lacking)}")
        network = make_network(sandbox)
        plane = ControlPlane(sandbox, programs, network.host_address, network.service_range)
        plane.start()
        node = Node(plane, network, programs)
        node.start()
        node.advertise()
        return cls(plane, node, network, helm)

    @property
    def host_address(self) -> str:
        """This machine as pods reach it: servers that a test starts for its pods listen here."""
        return self.network.host_address

    def api(self) -> client.ApiClient:
        """The official client, as the administrator."""
        return self.plane.api()

    def import_image(self, archive: Path) -> None:
        """Give the node an image, from a docker or OCI archive."""
        self.node.import_image(archive)

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Run kubectl as the administrator and return what it prints."""
        return self.plane.kubectl(*arguments, stdin=stdin, timeout_s=timeout_s)

    def helm(self, *arguments: str, timeout_s: float = 120) -> str:
        """Run Helm as the administrator and return what it prints.

        Raises:
            subprocess.CalledProcessError: it failed; ``stderr`` says why.
        """
        done = subprocess.run(
            [str(self.helm_program), "--kubeconfig", str(self.plane.kubeconfig), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            env={"HOME": str(self.plane.folder), "PATH": os.environ["PATH"]},
        )
        return done.stdout
