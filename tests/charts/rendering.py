"""Renders the chart by a real Helm."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.helm_program import ensure_helm

CHART = Path(__file__).parents[2] / "charts" / "periscope"
CASES = sorted((CHART / "ci").glob("*.yaml"))
DIGEST = "sha256:" + "0" * 64
LEAST = {
    "image.digest": DIGEST, "trainings.image.digest": DIGEST, "store.endpoint": "http://store:9000",
}  # fmt: skip
OPERATOR = "monitoring.coreos.com/v1"
GATEWAY = "gateway.networking.k8s.io/v1"

Manifest = dict[str, Any]


class HelmRefused(Exception):
    """Helm's own words."""


def helm(*arguments: str) -> str:
    done = subprocess.run(
        [str(ensure_helm()), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise HelmRefused(done.stdout + done.stderr)
    return done.stdout


@functools.cache
def rendered(case: Path | None = None, *settings: str) -> tuple[Manifest, ...]:
    """Every object, of a values file or of the least that is needed, with ``a.b=c`` on top."""
    values = ["--values", str(case)] if case else [f"--set={name}={value}" for name, value in LEAST.items()]
    more = [f"--set={setting}" for setting in settings]
    text = helm(
        "template", "pool", str(CHART), "--namespace", "app", "--api-versions", OPERATOR, *values, *more
    )
    return tuple(document for document in yaml.safe_load_all(text) if document)


def of_kind(objects: tuple[Manifest, ...], kind: str, name: str | None = None) -> list[Manifest]:
    return [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]


def pod_specs(objects: tuple[Manifest, ...]) -> list[Manifest]:
    """Of every workload."""
    specs = [one["spec"]["template"]["spec"] for one in objects if "template" in one.get("spec", {})]
    return specs + [one["spec"] for one in of_kind(objects, "Pod")]
