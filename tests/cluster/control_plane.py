"""A real Kubernetes control plane: etcd, API server, controller manager and scheduler, as plain processes.

RBAC, Pod Security admission and the audit log are on, etcd is fresh, ports are free ones, and TLS is
verified. There is no node: play one with :mod:`tests.cluster.pretend_node`, or start a real one with
:mod:`tests.cluster.node`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests
import yaml
from kubernetes import client, config
from kubernetes.client.rest import ApiException

from tests.cluster.control_plane_flags import (
    Flags,
    api_server_flags,
    client_flags,
    controller_manager_flags,
    etcd_flags,
)
from tests.cluster.sandbox import Sandbox, free_ports

READY_TIMEOUT_S = 90
PROBE_TIMEOUT_S = 2
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
IDENTITIES = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": ("system:node:node-1", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "dns": ("system:dns", ""),
}


class ControlPlane:
    """A running control plane; start it in a sandbox, which also ends it."""

    def __init__(
        self,
        sandbox: Sandbox,
        programs: Mapping[str, Path],
        address: str = "127.0.0.1",
        service_range: str = "10.215.255.0/24",
        extra_flags: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.sandbox = sandbox
        self.programs = programs
        self.address = address
        self.service_range = service_range
        self.extra_flags = extra_flags or {}
        self.tokens = {name: secrets.token_hex(16) for name in IDENTITIES}
        self.etcd_url, self.peer_url = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        (self.port,) = free_ports(1, address)
        self.controller_manager_port, self.scheduler_port = free_ports(2)

    @property
    def folder(self) -> Path:
        """Where keys, configuration and logs are."""
        return self.sandbox.folder

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://{self.address}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig file of the administrator."""
        return self.folder / "admin.kubeconfig"

    @property
    def ca_file(self) -> Path:
        """The certificate that the API server is checked against."""
        return self.folder / "certs" / "apiserver.crt"

    def start(self) -> None:
        """Start the four programs and wait until Jobs and Pods are acted on.

        Raises:
            SandboxBroken: one of them did not get ready; the text holds its last words.
        """
        self._write_inputs()
        self.sandbox.start("etcd", self._argv("etcd", etcd_flags(self.folder, self.etcd_url, self.peer_url)))
        self.start_api()
        self._write_kubeconfigs()
        controllers = controller_manager_flags(self.folder, self.controller_manager_port, self.ca_file)
        self.sandbox.start("kube-controller-manager", self._argv("kube-controller-manager", controllers))
        scheduler = client_flags(self.folder, self.folder / "scheduler.kubeconfig", self.scheduler_port)
        self.sandbox.start("kube-scheduler", self._argv("kube-scheduler", scheduler))
        self.sandbox.wait_until(
            "controllers make service accounts",
            self._has_service_account,
            READY_TIMEOUT_S,
            "kube-controller-manager",
        )
        self.sandbox.wait_until(
            "the scheduler is up", self._scheduler_is_up, READY_TIMEOUT_S, "kube-scheduler"
        )

    def start_api(self) -> None:
        """Start the API server and wait until it is ready."""
        flags = api_server_flags(self.folder, self.etcd_url, self.address, self.port, self.service_range)
        self.sandbox.start("kube-apiserver", self._argv("kube-apiserver", flags))
        self.sandbox.wait_until(
            "the API is ready", self._api_is_ready, READY_TIMEOUT_S, "kube-apiserver", "etcd"
        )

    def stop_api(self) -> None:
        """Kill the API server, as an outage; :meth:`start_api` ends it."""
        self.sandbox.stop("kube-apiserver", signal.SIGKILL)

    def forget_history(self) -> None:
        """Compact etcd and start the API server anew, so that every older resource version is gone (410)."""
        status = self._etcd_call("maintenance/status", {})
        self._etcd_call("kv/compaction", {"revision": status["header"]["revision"], "physical": True})
        self.stop_api()
        self.start_api()

    def api(self, user: str | None = None, groups: Sequence[str] = ()) -> client.ApiClient:
        """The official client, as the administrator or impersonating somebody else."""
        api = config.new_client_from_config(str(self.kubeconfig))
        if user is not None:
            api.set_default_header("Impersonate-User", user)
        for group in groups:
            api.set_default_header("Impersonate-Group", group)
        return api

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Run kubectl as the administrator and return what it prints.

        Raises:
            subprocess.CalledProcessError: it failed; ``stderr`` says why.
        """
        done = subprocess.run(
            [str(self.programs["kubectl"]), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
            env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )
        return done.stdout

    def audit_events(
        self, matches: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> list[dict[str, Any]]:
        """The audit log so far: who did what to which object, and whether it was allowed."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        return [event for event in map(json.loads, lines) if matches(event)]

    def make_namespace(self, name: str, pod_security: str = "restricted") -> str:
        """Make a namespace that enforces a Pod Security level, and wait for its service account."""
        core = client.CoreV1Api(self.api())
        labels = {"pod-security.kubernetes.io/enforce": pod_security}
        core.create_namespace({"metadata": {"name": name, "labels": labels}})
        self.sandbox.wait_until(
            f"{name} has a service account", lambda: self._has_service_account(name), READY_TIMEOUT_S
        )
        return name

    def _write_inputs(self) -> None:
        folder = self.folder
        subprocess.run(
            ["openssl", "genrsa", "-out", str(folder / "service-account.key"), "2048"],
            check=True,
            capture_output=True,
        )
        lines = [
            f'{self.tokens[name]},{user},{name},"{groups}"\n' for name, (user, groups) in IDENTITIES.items()
        ]
        (folder / "tokens.csv").write_text("".join(lines))
        (folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))

    def _write_kubeconfigs(self) -> None:
        for name, token in self.tokens.items():
            path = self.folder / f"{name}.kubeconfig"
            path.write_text(yaml.safe_dump(kubeconfig(self.url, self.ca_file, name, token)))
            path.chmod(0o600)

    def _argv(self, program: str, flags: Flags) -> list[str]:
        argv = [f"--{name}={value}" for name, value in flags.items()]
        return [str(self.programs[program]), *argv, *self.extra_flags.get(program, ())]

    def _etcd_call(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        answer = requests.post(f"{self.etcd_url}/v3/{path}", json=body, timeout=30)
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
        return said

    def _api_is_ready(self) -> bool:
        if not self.ca_file.exists():
            return False
        headers = {"Authorization": f"Bearer {self.tokens['admin']}"}
        try:
            answer = requests.get(
                f"{self.url}/readyz", headers=headers, verify=str(self.ca_file), timeout=PROBE_TIMEOUT_S
            )
        except requests.RequestException:
            return False
        return answer.ok

    def _scheduler_is_up(self) -> bool:
        url = f"https://127.0.0.1:{self.scheduler_port}/readyz"
        try:  # Its certificate is its own; only its being there is asked.
            return requests.get(
                url, verify=str(self.folder / "certs" / "kube-scheduler.crt"), timeout=PROBE_TIMEOUT_S
            ).ok
        except (requests.RequestException, OSError):
            return False

    def _has_service_account(self, namespace: str = "default") -> bool:
        try:
            client.CoreV1Api(self.api()).read_namespaced_service_account("default", namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return False
        return True


def kubeconfig(url: str, ca_file: Path, name: str, token: str) -> dict[str, Any]:
    """A kubeconfig with one user, who has a token."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
        "current-context": "test",
    }
