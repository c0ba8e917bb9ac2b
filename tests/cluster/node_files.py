"""The configuration files of a node's programs, as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cluster.images import PAUSE
from tests.cluster.network import Network

CLUSTER_DOMAIN = "cluster.local"
DNS_READY_PORT = 8181
CNI_PLUGINS = Path("/usr/lib/cni")


def cni(network: Network, state: Path) -> dict[str, Any]:
    """A bridge inside the node's network namespace; pods have no way out of the machine."""
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "dataDir": str(state), "ranges": [[{"subnet": network.pod_range}]]},
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def containerd_toml(folder: Path) -> str:
    """Containerd with everything it writes inside the folder."""
    return f"""version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
oom_score = 0
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def kubelet_configuration(network: Network, cgroup: str, folder: Path) -> dict[str, Any]:
    """A kubelet below its own cgroup, which trusts whoever reaches it: only this machine and the pods can."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node_address,
        "readOnlyPort": 0,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "protectKernelDefaults": True,
        "makeIPTablesUtilChains": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "maxPods": 60,
        "resolvConf": f"{folder}/resolv.conf",
        "clusterDNS": [network.node_address],
        "clusterDomain": CLUSTER_DOMAIN,
        "nodeStatusUpdateFrequency": "2s",
        "volumePluginDir": f"{folder}/volume-plugins",
    }


def proxy_configuration(network: Network, folder: Path) -> dict[str, Any]:
    """kube-proxy in nftables mode, which leaves connection tracking's limits alone."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": f"{folder}/kube-proxy.kubeconfig"},
        "clusterCIDR": network.pod_range,
        "hostnameOverride": "node-1",
        "bindAddress": network.node_address,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "0.1s", "syncPeriod": "30s"},
    }


def corefile(kubeconfig: Path, network: Network) -> str:
    """CoreDNS on the node itself; names outside the cluster do not exist."""
    return f""". {{
    ready {network.node_address}:{DNS_READY_PORT}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 1
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
