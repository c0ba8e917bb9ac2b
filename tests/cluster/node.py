"""A real node: kubelet, containerd, runc, kube-proxy and DNS, closed off in namespaces of its own.

Needs root and Debian's containerd, runc, containernetworking-plugins, nftables and iproute2. What the host
would notice is covered in :mod:`tests.cluster.node_init`; what remains is undone by the warden.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import requests
import yaml
from kubernetes import client
from kubernetes.client.rest import ApiException

from tests.cluster.control_plane import ControlPlane
from tests.cluster.images import PAUSE, PROBE, write_busybox_image
from tests.cluster.network import Network, plug_in
from tests.cluster.node_files import (
    CNI_PLUGINS,
    DNS_READY_PORT,
    cni,
    containerd_toml,
    corefile,
    kubelet_configuration,
    proxy_configuration,
)
from tests.cluster.pretend_node import wait_for
from tests.cluster.sandbox import SandboxBroken

NAME = "node-1"
READY_TIMEOUT_S = 90
IMPORT_TIMEOUT_S = 600
GPU = "nvidia.com/gpu"
NEEDED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "busybox": "busybox-static",
    "buildah": "buildah",
}
"""Programs that the distribution provides, and the Debian package of each."""

COVERED = {"/run": "run", "/var/lib": "var-lib", "/var/log": "var-log"}
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet insists on; it sees these values, the machine keeps its own."""


def missing_packages() -> list[str]:
    """The Debian packages that a node needs and this machine lacks."""
    lacking = {package for program, package in NEEDED.items() if shutil.which(program) is None}
    if not (CNI_PLUGINS / "bridge").exists():
        lacking.add("containernetworking-plugins")
    return sorted(lacking)


class Node:
    """The one node of a cluster whose control plane listens on the network's host address."""

    def __init__(self, plane: ControlPlane, network: Network, programs: Mapping[str, Path]) -> None:
        self.plane = plane
        self.network = network
        self.programs = programs
        self.core = client.CoreV1Api(plane.api())

    @property
    def socket(self) -> Path:
        """Where containerd listens."""
        return self.plane.folder / "containerd.sock"

    def start(self) -> None:
        """Start the node and wait until it takes pods that reach Services by name.

        Raises:
            SandboxBroken: a program did not get ready; the text holds its last words.
        """
        self._let_dns_look()
        sandbox = self.plane.sandbox
        self._write_inputs(sandbox.make_cgroup())
        flags = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
        init = [
            sys.executable,
            "-I",
            str(Path(__file__).with_name("node_init.py")),
            str(self._path("plan.json")),
        ]
        outer_pid = sandbox.start("node", ["unshare", *flags, *init])
        plug_in(self.network, first_child(outer_pid))
        sandbox.wait_until("containerd answers", self._containerd_is_up, READY_TIMEOUT_S, "node")
        self.import_image(write_busybox_image(self._path("busybox.tar"), (PAUSE, PROBE)))
        sandbox.wait_until("the node is ready", self._is_ready, READY_TIMEOUT_S, "node")
        sandbox.wait_until("names are known", self._dns_is_up, READY_TIMEOUT_S, "node")

    def import_image(self, archive: Path) -> None:
        """Give the node the images of a docker or OCI archive, as ``buildah push`` or ``docker save`` write them.

        Raises:
            SandboxBroken: containerd refused the archive.
        """
        done = self._ctr("images", "import", str(archive), timeout_s=IMPORT_TIMEOUT_S)
        if done.returncode != 0:
            raise SandboxBroken(f"{archive}: {done.stderr}")

    def name_by_digest(self, tag: str, repository: str) -> str:
        """Let the node know an imported image as ``repository@digest`` too, and return the digest.

        Raises:
            LookupError: the node has no image of this tag.
        """
        for line in self._ctr("images", "ls").stdout.splitlines():
            name, _, digest, *_ = line.split()
            if name.endswith(tag):
                self._ctr("images", "tag", name, f"{repository}@{digest}")
                return digest
        raise LookupError(f"the node does not have {tag}")

    def advertise(self, resource: str = GPU, count: int = 1) -> None:
        """Let the node claim an extended resource, so that pods which ask for it are placed, on the CPU."""
        self.core.patch_node_status(NAME, {"status": {"capacity": {resource: str(count)}}})
        wait_for(
            f"{count} {resource} can be given out",
            lambda: self.core.read_node(NAME).status.allocatable.get(resource) == str(count),
        )

    def _path(self, name: str) -> Path:
        return self.plane.folder / name

    def _ctr(self, *arguments: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        argv = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, check=False)

    def _containerd_is_up(self) -> bool:
        return self.socket.exists() and self._ctr("version").returncode == 0

    def _is_ready(self) -> bool:
        try:
            node = self.core.read_node(NAME)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or [])
        return ready and not node.spec.taints

    def _dns_is_up(self) -> bool:
        try:
            return requests.get(f"http://{self.network.node_address}:{DNS_READY_PORT}/ready", timeout=2).ok
        except requests.RequestException:
            return False

    def _let_dns_look(self) -> None:
        rbac = client.RbacAuthorizationV1Api(self.plane.api())
        rules = [
            {
                "apiGroups": [""],
                "resources": ["services", "pods", "namespaces", "endpoints"],
                "verbs": ["list", "watch"],
            },
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ]
        rbac.create_cluster_role({"metadata": {"name": "dns"}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "dns"}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:dns"}
        rbac.create_cluster_role_binding(
            {"metadata": {"name": "dns"}, "roleRef": role, "subjects": [subject]}
        )

    def _write_inputs(self, cgroup: str) -> None:
        self._path("cni").mkdir()
        self._path("cni/10-bridge.conflist").write_text(
            json.dumps(cni(self.network, self._path("cni-state")))
        )
        self._path("containerd.toml").write_text(containerd_toml(self.plane.folder))
        self._path("resolv.conf").write_text("")
        self._path("kubelet.yaml").write_text(
            yaml.safe_dump(kubelet_configuration(self.network, cgroup, self.plane.folder))
        )
        self._path("kube-proxy.yaml").write_text(
            yaml.safe_dump(proxy_configuration(self.network, self.plane.folder))
        )
        self._path("Corefile").write_text(corefile(self._path("dns.kubeconfig"), self.network))
        plan = {
            "covered": COVERED,
            "kernel_settings": KERNEL_SETTINGS,
            "address": f"{self.network.node_address}/30",
            "programs": self._argvs(),
        }
        self._path("plan.json").write_text(json.dumps(plan))

    def _argvs(self) -> dict[str, list[str]]:
        kubelet = {
            "config": self._path("kubelet.yaml"),
            "kubeconfig": self._path("kubelet.kubeconfig"),
            "root-dir": self._path("kubelet"),
            "cert-dir": self._path("kubelet-certs"),
            "hostname-override": NAME,
            "node-ip": self.network.node_address,
        }
        return {
            "containerd": ["containerd", "--config", str(self._path("containerd.toml"))],
            "kubelet": [
                str(self.programs["kubelet"]),
                *(f"--{key}={value}" for key, value in kubelet.items()),
            ],
            "kube-proxy": [str(self.programs["kube-proxy"]), f"--config={self._path('kube-proxy.yaml')}"],
            "dns": [str(self.programs["dns"]), "-conf", str(self._path("Corefile"))],
        }


def first_child(pid: int, timeout_s: float = 10) -> int:
    """The process id, as seen from here, of the first process inside the namespaces."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return int(wait_for("the node's first process", lambda: path.read_text().split()[:1], timeout_s)[0])
