"""The command-line flags of the control plane's programs, as values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Flags = Mapping[str, object]


def etcd_flags(folder: Path, client_url: str, peer_url: str) -> Flags:
    """One etcd, alone and on loopback."""
    return {
        "name": "default",
        "data-dir": folder / "etcd",
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"default={peer_url}",
        "unsafe-no-fsync": "true",  # Nothing here has to survive the machine.
    }


def api_server_flags(folder: Path, etcd_url: str, address: str, port: int, service_range: str) -> Flags:
    """RBAC, Pod Security (on by default), node restriction and an audit log that no request overtakes."""
    key = folder / "service-account.key"
    return {
        "etcd-servers": etcd_url,
        "bind-address": address,
        "advertise-address": address,
        "secure-port": port,
        "cert-dir": folder / "certs",
        "token-auth-file": folder / "tokens.csv",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": service_range,
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-signing-key-file": key,
        "service-account-key-file": key,
        # A Service cannot point to loopback, so a control plane that listens there has none of its own.
        "endpoint-reconciler-type": "none" if address.startswith("127.") else "master-count",
        "kubelet-preferred-address-types": "InternalIP",
        "audit-policy-file": folder / "audit-policy.yaml",
        "audit-log-path": folder / "audit.log",
        "audit-log-mode": "blocking",
        "allow-privileged": "true",
        "profiling": "false",
        # A test may add volumes to Jobs that a deployed service makes (lent_python.py).
        "feature-gates": "MutatingAdmissionPolicy=true",
        "runtime-config": "admissionregistration.k8s.io/v1beta1=true",
    }


def controller_manager_flags(folder: Path, port: int, ca_file: Path) -> Flags:
    """All default controllers, each with a service account of its own."""
    return {
        **client_flags(folder, folder / "controller-manager.kubeconfig", port),
        "use-service-account-credentials": "true",
        "kube-api-qps": 500,  # At the default rate the many accounts alone take seconds.
        "kube-api-burst": 1000,
        "service-account-private-key-file": folder / "service-account.key",
        "root-ca-file": ca_file,
        "node-monitor-grace-period": "10m",  # A pretended node sends no heartbeats.
    }


def client_flags(folder: Path, kubeconfig: Path, port: int) -> Flags:
    """What the scheduler and the controller manager have in common."""
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": port,
        "cert-dir": folder / "certs",
        "leader-elect": "false",
    }
