"""The addresses of one test cluster and the wire between this machine and its node.

The wire is a veth pair; its routes, and with them every way into the cluster, vanish when it is removed.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from tests.cluster.sandbox import Sandbox, SandboxBroken

NETWORKS = 200
IP_TIMEOUT_S = 10


@dataclass(frozen=True)
class Network:
    """Addresses that follow from a number which no other cluster on this machine has."""

    number: int

    @property
    def link(self) -> str:
        """The wire's name on this machine."""
        return f"psc{self.number}"

    @property
    def host_address(self) -> str:
        """This machine as the pods see it: what a test serves for pods must listen here."""
        return f"10.213.{self.number}.1"

    @property
    def node_address(self) -> str:
        """The node as this machine sees it."""
        return f"10.213.{self.number}.2"

    @property
    def pod_range(self) -> str:
        """Where pods get their addresses."""
        return f"10.214.{self.number}.0/24"

    @property
    def service_range(self) -> str:
        """Where Services get their addresses; the wire leads there, too."""
        return f"10.215.{self.number}.0/24"


def make_network(sandbox: Sandbox) -> Network:
    """Claim a network and give this machine its end of the wire; the other end waits inside.

    Raises:
        SandboxBroken: the machine allows no such thing, or all networks are taken.
    """
    said = ""
    for network in map(Network, range(NETWORKS)):
        done = ip(
            "link", "add", network.link, "type", "veth", "peer", "name", f"{network.link}n", check=False
        )
        if done.returncode == 0:
            sandbox.at_end(["ip", "link", "del", network.link])
            ip("address", "add", f"{network.host_address}/30", "dev", network.link)
            ip("link", "set", network.link, "up", "alias", sandbox.folder.name)
            return network
        said = done.stderr.strip()
        if "exists" not in said:
            break
    raise SandboxBroken(f"no network for the node: {said}")


def plug_in(network: Network, node_pid: int) -> None:
    """Move the other end of the wire into a process's network namespace and lead pods and Services through it."""
    ip("link", "set", f"{network.link}n", "netns", str(node_pid), "name", "eth0")
    for reached in (network.pod_range, network.service_range):
        ip("route", "add", reached, "via", network.node_address, "dev", network.link)


def ip(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the ``ip`` command."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=IP_TIMEOUT_S, check=False
    )
    if check and done.returncode != 0:
        raise SandboxBroken(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done
