"""The chart, rendered by a real Helm for every configuration of ci/."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from charts.values_page import described, page
from periscope_training.kubernetes_settings import KubernetesSettings
from tests.charts.rendering import (
    CASES,
    CHART,
    GATEWAY,
    LEAST,
    OPERATOR,
    HelmRefused,
    helm,
    of_kind,
    pod_specs,
    rendered,
)

pytestmark = pytest.mark.slow

SERVICES = ("dataset", "training", "registry")
OLDEST, NEWEST = "1.31", "1.37"


def environment(objects: Any, service: str) -> dict[str, str]:
    (deployment,) = of_kind(objects, "Deployment", f"pool-{service}")
    return {
        entry["name"]: entry.get("value", "")
        for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }


def names(objects: Any, kind: str) -> set[str]:
    return {one["metadata"]["name"] for one in of_kind(objects, kind)}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_say_against_it(case: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "--values", str(case))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_object_fits_the_oldest_and_the_newest_kubernetes(case: Path, version: str) -> None:
    for one in rendered(case):
        if one["apiVersion"] not in (OPERATOR, GATEWAY):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_pod_is_restricted_and_holds_images_by_digest(case: Path) -> None:
    for spec in pod_specs(rendered(case)):
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            inner = container["securityContext"]
            assert (inner["readOnlyRootFilesystem"], inner["allowPrivilegeEscalation"]) == (True, False)
            assert inner["capabilities"] == {"drop": ["ALL"]}
            assert "@sha256:" in container["image"]
            assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_the_training_service_can_read_its_settings(case: Path) -> None:
    given = environment(rendered(case), "training")
    settings = KubernetesSettings.from_environ(given)
    wished = yaml.safe_load(case.read_text())["trainings"]

    assert settings.gpus == wished.get("gpus", 1)
    assert settings.queue == wished.get("queue")
    assert settings.service_account == "pool-trainer"


def test_nothing_is_allowed_cluster_wide_and_only_the_training_service_has_rights() -> None:
    for case in CASES:
        objects = rendered(case)
        assert not of_kind(objects, "ClusterRole")
        assert not of_kind(objects, "ClusterRoleBinding")
        (role,) = of_kind(objects, "Role")
        assert role["rules"] == yaml.safe_load((CHART / "files" / "training-role.yaml").read_text())
        (binding,) = of_kind(objects, "RoleBinding")
        assert [subject["name"] for subject in binding["subjects"]] == ["pool-training"]
        for service in SERVICES:
            (deployment,) = of_kind(objects, "Deployment", f"pool-{service}")
            token = deployment["spec"]["template"]["spec"]["automountServiceAccountToken"]
            assert token == (service == "training")


def test_the_defaults_are_what_they_were() -> None:
    """A change of what an installation without wishes gets is seen: remove the file, run twice, and look at the difference."""
    snapshot = Path(__file__).with_name("defaults.json")
    now = json.dumps(rendered(), indent=1, sort_keys=True) + "\n"
    if not snapshot.exists():
        snapshot.write_text(now)
        pytest.fail("the snapshot was written anew: look at the difference, then run again")

    assert now == snapshot.read_text()


def bootstrap_environment(objects: Any) -> dict[str, Any]:
    job = of_kind(objects, "Job")[0]
    return {entry["name"]: entry for entry in job["spec"]["template"]["spec"]["containers"][0]["env"]}


def parents(objects: Any) -> list[dict[str, str]]:
    return [parent for route in of_kind(objects, "HTTPRoute") for parent in route["spec"]["parentRefs"]]


def training_settings(objects: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(environment(objects, "training")["PERISCOPE_KUBERNETES"])
    return found


SWITCHES: dict[str, Any] = {
    "bootstrap.enabled=true": lambda o: bootstrap_environment(o)["S3_BUCKET"]["value"] == "periscope" and "PERISCOPE_MAKE_USERS" not in bootstrap_environment(o),
    "bootstrap.enabled=true,bootstrap.users=minio": lambda o: (
        bootstrap_environment(o)["PERISCOPE_MAKE_USERS"]["value"] == "minio"
        and bootstrap_environment(o)["TRAINER_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"] == {"name": "periscope-store-admin", "key": "trainer-access-key-id"}
        and bootstrap_environment(o)["SERVICES_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"] == {"name": "periscope-store", "key": "access-key-id"}
    ),
    "bootstrap.enabled=true,bootstrap.existingSecret=root": lambda o: bootstrap_environment(o)["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == "root",
    "bootstrap.enabled=true,bootstrap.image.repository=mine/upkeep": lambda o: pod_specs(tuple(of_kind(o, "Job")))[0]["containers"][0]["image"] == f"mine/upkeep@{LEAST['image.digest']}",
    "gateway.enabled=true,gateway.name=edge": lambda o: (
        [route["spec"]["hostnames"] for route in of_kind(o, "HTTPRoute")] == [[f"{s}.periscope.example.org"] for s in SERVICES] and parents(o) == [{"name": "edge"}] * 3
    ),
    "gateway.enabled=true,gateway.name=edge,gateway.namespace=out,gateway.listener=https": lambda o: parents(o) == [{"name": "edge", "namespace": "out", "sectionName": "https"}] * 3,
    "store.kind=seaweedfs,store.seaweedfs.digest=" + LEAST["image.digest"]: lambda o: (
        names(o, "StatefulSet") == {"pool-seaweedfs"} and environment(o, "dataset")["S3_ENDPOINT"] == "http://pool-seaweedfs.app.svc:8333"
    ),
    "store.publicEndpoint=https://s3.example.org": lambda o: environment(o, "registry")["S3_PUBLIC_ENDPOINT"] == "https://s3.example.org",
    "services.dataset.replicas=5": lambda o: of_kind(o, "Deployment", "pool-dataset")[0]["spec"]["replicas"] == 5,
    "services.registry.replicas=1": lambda o: names(o, "PodDisruptionBudget") == {"pool-dataset", "pool-training"},
    "services.registry.env.TZ=UTC": lambda o: environment(o, "registry")["TZ"] == "UTC",
    "services.training.image.repository=mine/training": lambda o: (
        "mine/training@" in json.dumps(of_kind(o, "Deployment", "pool-training")) and "mine" not in json.dumps(of_kind(o, "Deployment", "pool-dataset"))
    ),
    "podDisruptionBudgets.enabled=false": lambda o: not of_kind(o, "PodDisruptionBudget"),
    "autoscaling.enabled=true": lambda o: (
        len(of_kind(o, "HorizontalPodAutoscaler")) == 3 and "replicas" not in of_kind(o, "Deployment", "pool-dataset")[0]["spec"]
    ),
    "networkPolicies.enabled=false": lambda o: not of_kind(o, "NetworkPolicy"),
    "networkPolicies.fromNamespaces={edge}": lambda o: "edge" in json.dumps(of_kind(o, "NetworkPolicy", "pool-services")),
    "networkPolicies.trainingsEgress={203.0.113.7/32}": lambda o: (
        of_kind(o, "NetworkPolicy", "pool-trainings-egress")[0]["spec"]["egress"][1]["to"][-1] == {"ipBlock": {"cidr": "203.0.113.7/32"}}
    ),
    "ingress.enabled=true": lambda o: {rule["host"] for rule in of_kind(o, "Ingress")[0]["spec"]["rules"]} == {f"{s}.periscope.example.org" for s in SERVICES},
    "ingress.enabled=true,ingress.tlsSecret=cert": lambda o: of_kind(o, "Ingress")[0]["spec"]["tls"][0]["secretName"] == "cert",
    "monitoring.serviceMonitor=true": lambda o: len(of_kind(o, "ServiceMonitor")) == 1,
    "monitoring.rules=true": lambda o: len(of_kind(o, "PrometheusRule")[0]["spec"]["groups"]) == 3,
    "monitoring.dashboards=true": lambda o: set(of_kind(o, "ConfigMap")[0]["data"]) == {f"periscope-{n}.json" for n in ("fleet", "jobs", "services", "training")},
    "trainings.createNamespace=false": lambda o: not of_kind(o, "Namespace"),
    "trainings.namespace=gpu": lambda o: names(o, "Namespace") == {"gpu"} and of_kind(o, "Role")[0]["metadata"]["namespace"] == "gpu",
    "trainings.maxConcurrentJobs=9": lambda o: environment(o, "training")["PERISCOPE_MAX_CONCURRENT_JOBS"] == "9",
    "trainings.gpuResource=nvidia.com/mig-1g.10gb": lambda o: "mig-1g" in environment(o, "training")["PERISCOPE_KUBERNETES"],
    "trainings.runtimeClass=nvidia": lambda o: json.loads(environment(o, "training")["PERISCOPE_KUBERNETES"])["runtime_class"] == "nvidia",
    "trainings.queue=robots": lambda o: json.loads(environment(o, "training")["PERISCOPE_KUBERNETES"])["queue"] == "robots",
    "trainings.env.NCCL_DEBUG=WARN": lambda o: training_settings(o)["env"] == {"NCCL_DEBUG": "WARN"},
    "image.pullSecrets={pull}": lambda o: all(
        spec["imagePullSecrets"] == [{"name": "pull"}] for spec in pod_specs(tuple(of_kind(o, "Deployment")))
    ),
    "auth.releaseSecret=signed": lambda o: (
        environment(o, "registry")["PERISCOPE_RELEASE_KEY_FILE"] == "/etc/periscope/release/release-key.pem"
        and pod_specs(tuple(of_kind(o, "Deployment", "pool-registry")))[0]["volumes"][0] == {"name": "release", "secret": {"secretName": "signed"}}
        and "signed" not in json.dumps(of_kind(o, "Deployment", "pool-training"))
    ),
    "auth.existingSecret=mine": lambda o: '"name": "mine"' in json.dumps(of_kind(o, "Deployment", "pool-training")),
}  # fmt: skip


@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_a_switch_does_what_it_says(switch: str) -> None:
    assert SWITCHES[switch](rendered(None, switch))
    # Without it, it does not: what the check looks at may not even be there.
    with contextlib.suppress(KeyError, IndexError):
        assert not SWITCHES[switch](rendered())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("services.dataset.replica=3", "replica"),
        ("store.kind=minio", "kind"),
        ("image.digest=latest", "digest"),
        ("trainings.memory=lots", "memory"),
        ("services.training.replicas=0", "replicas"),
        ("store.endpoint=", "store.endpoint is needed"),
        ("trainings.image.digest=", "trainings.image.digest is needed"),
        ("bootstrap.users=aws", "users"),
        ("networkPolicies.trainingsEgress={store.example.org}", "trainingsEgress"),
        ("gateway.enabled=true", "gateway.name is needed"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(setting: str, words: str) -> None:
    with pytest.raises(HelmRefused, match=words):
        rendered(None, setting)


def test_the_readme_tells_every_value_with_a_sentence() -> None:
    assert (CHART / "README.md").read_text() == page()
    assert len(described()) >= 50
    assert all(told for _, _, told in described())


def test_templates_stay_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in CHART.glob("templates/**/*.*")}

    assert max(lengths.values()) <= 150
