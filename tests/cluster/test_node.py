"""The real node: containers run, restricted and limited, get their signals, and find each other by name."""

from __future__ import annotations

import json
import shutil
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from kubernetes import client

from tests.cluster.cluster import Cluster
from tests.cluster.image_builder import ImageBuilder
from tests.cluster.jobs import FAIL_ON_65_IGNORE_EVICTIONS, job, restricted_pod
from tests.cluster.node import GPU, NAME
from tests.cluster.pretend_node import wait_for

ONE_GPU = {"limits": {GPU: "1", "memory": "64Mi", "cpu": "1"}}
WHO_AM_I = 'echo "user $(id -u)"; touch /tmp/spot 2>/dev/null && echo "root is writable"; echo "trained"'
TRAP = 'trap "echo caught TERM; exit 143" TERM; echo ready; while true; do sleep 0.1; done'
EAT_MEMORY = "head -c 200000000 /dev/zero | tail"


@pytest.fixture
def batch(cluster: Cluster) -> client.BatchV1Api:
    return client.BatchV1Api(cluster.api())


@pytest.fixture
def core(cluster: Cluster) -> client.CoreV1Api:
    return client.CoreV1Api(cluster.api())


def finished_job(
    batch: client.BatchV1Api, namespace: str, name: str, kind: str = "Complete", timeout_s: float = 60
) -> Any:
    def look() -> Any | None:
        conditions = batch.read_namespaced_job_status(name, namespace).status.conditions or []
        return next((each for each in conditions if each.type == kind and each.status == "True"), None)

    return wait_for(f"{name} is {kind}", look, timeout_s=timeout_s)


def only_pod(core: client.CoreV1Api, namespace: str, job_name: str) -> Any:
    def look() -> Any | None:
        pods = core.list_namespaced_pod(namespace, label_selector=f"job-name={job_name}").items
        return pods[0] if pods else None

    return wait_for(f"a pod of {job_name}", look)


def log_of(core: client.CoreV1Api, namespace: str, pod: Any) -> str:
    return core.read_namespaced_pod_log(pod.metadata.name, namespace)


def terminated(core: client.CoreV1Api, namespace: str, pod: Any) -> Any:
    def look() -> Any | None:
        statuses = core.read_namespaced_pod_status(pod.metadata.name, namespace).status.container_statuses
        return statuses[0].state.terminated if statuses else None

    return wait_for(f"{pod.metadata.name} ended", look, timeout_s=60)


def says(core: client.CoreV1Api, namespace: str, pod: Any, text: str) -> None:
    def look() -> bool:
        status = core.read_namespaced_pod_status(pod.metadata.name, namespace).status
        return status.phase != "Pending" and text in log_of(core, namespace, pod)

    wait_for(f"{pod.metadata.name} says {text!r}", look, timeout_s=60)


def test_a_restricted_job_gets_the_gpu_and_completes(
    batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    spec = restricted_pod(["sh", "-c", WHO_AM_I], resources=ONE_GPU)
    batch.create_namespaced_job(cluster_namespace, job("train", spec))
    finished_job(batch, cluster_namespace, "train")
    pod = only_pod(core, cluster_namespace, "train")

    assert pod.spec.node_name == NAME
    assert log_of(core, cluster_namespace, pod) == "user 1000\ntrained\n"


def test_a_second_gpu_job_waits_until_the_first_is_gone(
    batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    spec = restricted_pod(["sh", "-c", TRAP], resources=ONE_GPU)
    batch.create_namespaced_job(cluster_namespace, job("first", spec))
    first = only_pod(core, cluster_namespace, "first")
    says(core, cluster_namespace, first, "ready")
    batch.create_namespaced_job(cluster_namespace, job("second", restricted_pod(["true"], resources=ONE_GPU)))
    second = only_pod(core, cluster_namespace, "second")

    def refusal() -> Any | None:
        conditions = (
            core.read_namespaced_pod_status(second.metadata.name, cluster_namespace).status.conditions or []
        )
        return next((each for each in conditions if each.reason == "Unschedulable"), None)

    waiting = wait_for("the second is unschedulable", refusal)
    batch.delete_namespaced_job("first", cluster_namespace, propagation_policy="Background")
    finished_job(batch, cluster_namespace, "second")

    assert f"Insufficient {GPU}" in waiting.message


def test_sigterm_reaches_the_process(core: client.CoreV1Api, cluster_namespace: str) -> None:
    spec = restricted_pod(["sh", "-c", TRAP])
    spec["terminationGracePeriodSeconds"] = 20
    pod = core.create_namespaced_pod(
        cluster_namespace,
        {"metadata": {"name": "stopped", "finalizers": ["test.periscope/hold"]}, "spec": spec},
    )
    says(core, cluster_namespace, pod, "ready")
    asked_at = time.monotonic()
    core.delete_namespaced_pod("stopped", cluster_namespace)
    ended = terminated(core, cluster_namespace, pod)
    took_s = time.monotonic() - asked_at
    core.patch_namespaced_pod("stopped", cluster_namespace, {"metadata": {"finalizers": None}})

    assert ended.exit_code == 143
    assert took_s < spec["terminationGracePeriodSeconds"]


def test_too_much_memory_is_reported_as_oomkilled(
    batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    spec = restricted_pod(["sh", "-c", EAT_MEMORY], resources={"limits": {"memory": "32Mi"}})
    batch.create_namespaced_job(cluster_namespace, job("greedy", spec, backoffLimit=0))
    ended = terminated(core, cluster_namespace, only_pod(core, cluster_namespace, "greedy"))

    assert (ended.reason, ended.exit_code) == ("OOMKilled", 137)


def test_exit_code_65_of_a_real_process_fails_the_job(
    batch: client.BatchV1Api, cluster_namespace: str
) -> None:
    spec = restricted_pod(["sh", "-c", "exit 65"])
    fields = {"podFailurePolicy": FAIL_ON_65_IGNORE_EVICTIONS, "backoffLimit": 6}
    batch.create_namespaced_job(cluster_namespace, job("bad-data", spec, **fields))

    assert finished_job(batch, cluster_namespace, "bad-data", "Failed").reason == "PodFailurePolicy"


def test_a_deadline_ends_a_job(batch: client.BatchV1Api, cluster_namespace: str) -> None:
    spec = restricted_pod(["sleep", "60"])
    batch.create_namespaced_job(cluster_namespace, job("late", spec, activeDeadlineSeconds=2))

    assert finished_job(batch, cluster_namespace, "late", "Failed").reason == "DeadlineExceeded"


def test_pods_find_a_service_by_name_and_so_does_this_machine(
    cluster: Cluster, batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    serve = 'mkdir -p /tmp/www; echo "hello" > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www'
    spec = restricted_pod(["sh", "-c", serve], volumes=[{"name": "tmp", "emptyDir": {}}])
    spec["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    spec["containers"][0]["readinessProbe"] = {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1}
    core.create_namespaced_pod(
        cluster_namespace, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec}
    )
    service = core.create_namespaced_service(
        cluster_namespace,
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    ask = f"for i in $(seq 40); do wget -q -O - http://web.{cluster_namespace}.svc 2>/dev/null && exit 0; sleep 0.5; done; exit 1"
    batch.create_namespaced_job(cluster_namespace, job("ask", restricted_pod(["sh", "-c", ask])))
    finished_job(batch, cluster_namespace, "ask")

    assert log_of(core, cluster_namespace, only_pod(core, cluster_namespace, "ask")) == "hello\n"
    assert requests.get(f"http://{service.spec.cluster_ip}", timeout=5).text == "hello\n"


def test_a_pod_uses_the_api_with_its_own_account(
    cluster: Cluster, batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    ask = (
        "D=/var/run/secrets/kubernetes.io/serviceaccount; "
        'wget -q -O - --no-check-certificate --header "Authorization: Bearer $(cat $D/token)" '
        "https://kubernetes.default.svc/api/v1/namespaces/$(cat $D/namespace)/pods; ls $D"
    )
    batch.create_namespaced_job(cluster_namespace, job("who", restricted_pod(["sh", "-c", ask])))
    finished_job(batch, cluster_namespace, "who")
    account = f"system:serviceaccount:{cluster_namespace}:default"

    assert "ca.crt" in log_of(core, cluster_namespace, only_pod(core, cluster_namespace, "who"))
    assert cluster.plane.audit_events(
        lambda event: event["user"]["username"] == account and event["responseStatus"]["code"] == 403
    )


def test_a_pod_reaches_a_server_of_the_test(
    cluster: Cluster, batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "note").write_text("from the test\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer((cluster.host_address, 0), handler) as server:
        Thread(target=server.serve_forever).start()
        ask = ["wget", "-q", "-O", "-", f"http://{cluster.host_address}:{server.server_port}/note"]
        batch.create_namespaced_job(cluster_namespace, job("ask", restricted_pod(ask)))
        finished_job(batch, cluster_namespace, "ask")
        server.shutdown()

    assert log_of(core, cluster_namespace, only_pod(core, cluster_namespace, "ask")) == "from the test\n"


def test_a_name_outside_the_cluster_does_not_exist(
    batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str
) -> None:
    spec = restricted_pod(["nslookup", "elsewhere.test"])
    batch.create_namespaced_job(cluster_namespace, job("outside", spec, backoffLimit=0))
    pod = only_pod(core, cluster_namespace, "outside")
    terminated(core, cluster_namespace, pod)

    assert "NXDOMAIN" in log_of(core, cluster_namespace, pod)


def test_an_image_that_buildah_made_runs(
    cluster: Cluster, batch: client.BatchV1Api, core: client.CoreV1Api, cluster_namespace: str, tmp_path: Path
) -> None:
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(shutil.which("busybox") or "", context / "busybox")
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\nUSER 1000\nENV WORD=built\n"
    )
    builder = ImageBuilder(tmp_path / "builder")
    builder.build(context, "localhost/built:1")
    cluster.import_image(builder.save("localhost/built:1", tmp_path / "built.tar"))
    spec = restricted_pod(["/bin/busybox", "sh", "-c", "echo $WORD"], image="localhost/built:1")
    batch.create_namespaced_job(cluster_namespace, job("built", spec))
    finished_job(batch, cluster_namespace, "built")

    assert log_of(core, cluster_namespace, only_pod(core, cluster_namespace, "built")) == "built\n"


def test_helm_installs_waits_and_tests_a_release(
    cluster: Cluster, cluster_namespace: str, tmp_path: Path
) -> None:
    chart = write_chart(tmp_path / "chart")
    cluster.helm("install", "rel", str(chart), "-n", cluster_namespace, "--wait", "--timeout", "60s")
    said = cluster.helm("test", "rel", "-n", cluster_namespace, "--timeout", "60s")

    assert "Succeeded" in said
    assert "rel" in cluster.kubectl("get", "deployments", "-n", cluster_namespace)


def write_chart(folder: Path) -> Path:
    (folder / "templates").mkdir(parents=True)
    pod = restricted_pod(["sleep", "3600"])
    web = {**pod, "restartPolicy": "Always"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rel"},
        "spec": {
            "selector": {"matchLabels": {"app": "rel"}},
            "template": {"metadata": {"labels": {"app": "rel"}}, "spec": web},
        },
    }
    check = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "check", "annotations": {"helm.sh/hook": "test"}},
        "spec": restricted_pod(["true"]),
    }
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: sample\nversion: 0.1.0\n")
    (folder / "templates" / "deployment.yaml").write_text(json.dumps(deployment))
    (folder / "templates" / "test.yaml").write_text(json.dumps(check))
    return folder
