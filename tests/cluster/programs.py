"""Finds the programs of the cluster, and builds those that are missing with Go, once per version.

A program named by ``KUBEBUILDER_ASSETS`` or on the ``PATH`` is used first, if it is of the wanted Kubernetes
release; otherwise one from the cache folder ``<cache>/<version>``. What still lacks is built from the
versions pinned in ``go.mod``. Nothing is written outside the cache folder and Go's own caches.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILD_TIMEOUT_S = 3600
VERSION_TIMEOUT_S = 20
VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


@dataclass(frozen=True)
class Program:
    """Where a program comes from and how it tells its version."""

    package: str
    """The Go package of its ``main``."""

    module: str = "kubernetes"
    """The folder below ``programs`` whose go.mod pins it."""

    version_argument: str = "--version"

    version_pattern: str | None = None
    """What ``version_argument`` must print for a found program to be taken; None: only our own build will do."""


def kubernetes_version() -> str:
    """The pinned version, such as ``v1.34.4``; go.mod is the one place that names it."""
    return pinned("k8s.io/kubernetes")


def pinned(module: str, folder: str = "kubernetes") -> str:
    """The version of a module that a go.mod requires."""
    found = re.search(rf"\s{re.escape(module)} (v\S+)", (HERE / "programs" / folder / "go.mod").read_text())
    assert found is not None, module
    return found[1]


RELEASE = ".".join(kubernetes_version().split(".")[:2])

CONTROL_PLANE: Mapping[str, Program] = {
    "etcd": Program("go.etcd.io/etcd/server/v3", version_pattern=r"etcd Version: 3\.[56]\."),
    **{
        name: Program(f"k8s.io/kubernetes/cmd/{name}", version_pattern=rf"Kubernetes {re.escape(RELEASE)}\.")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    "kubectl": Program(
        "k8s.io/kubernetes/cmd/kubectl",
        version_argument="version --client",
        version_pattern=rf"{re.escape(RELEASE)}\.",
    ),
}
NODE: Mapping[str, Program] = {
    name: Program(f"k8s.io/kubernetes/cmd/{name}", version_pattern=rf"Kubernetes {re.escape(RELEASE)}\.")
    for name in ("kubelet", "kube-proxy")
} | {"dns": Program("periscope/tests/cluster/programs/dns", module="dns")}

STORE: Mapping[str, Program] = {"minio": Program("github.com/minio/minio", module="minio")}
COMPOSE: Mapping[str, Program] = {
    "compose": Program("periscope/tests/cluster/programs/compose", module="compose")
}


class ProgramsMissing(Exception):
    """A program is neither there nor can it be built; the text says what to install or what Go said."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where built programs are kept, one folder per version."""
    chosen = environ.get("PERISCOPE_KUBERNETES_CACHE")
    base = Path(chosen) if chosen else Path.home() / ".cache" / "periscope" / "kubernetes"
    return base / kubernetes_version()


def cached(name: str, folder: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where a program of ``programs/<folder>`` is kept; other pins or sources are another place."""
    digest = hashlib.sha256()
    for path in sorted((HERE / "programs" / folder).iterdir()):
        digest.update(path.read_bytes())
    return cache_folder(environ) / f"{folder}-{digest.hexdigest()[:8]}" / name


def ensure(
    programs: Mapping[str, Program],
    say: Callable[[str], None] = print,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """Return the path of each program, building what is missing (minutes, the first time).

    Raises:
        ProgramsMissing: Go is not there, or the build fails.
    """
    missing = [name for name in programs if find(name, programs[name], environ) is None]
    for folder in sorted({programs[name].module for name in missing}):
        names = [name for name in missing if programs[name].module == folder]
        say(f"building {', '.join(names)} for Kubernetes {kubernetes_version()}; minutes, this once")
        build({name: (programs[name].package, cached(name, folder, environ)) for name in names}, folder)
    paths = {name: find(name, programs[name], environ) for name in programs}
    return {name: path for name, path in paths.items() if path is not None}


def find(name: str, program: Program, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The program that is there already: in KUBEBUILDER_ASSETS, on the PATH or in the cache."""
    assets = environ.get("KUBEBUILDER_ASSETS")
    on_path = shutil.which(name, path=environ.get("PATH", ""))
    candidates = [Path(assets) / name] if assets else []
    candidates += [Path(on_path)] if on_path else []
    for path in candidates:
        if path.exists() and is_of_release(path, program):
            return path
    ours = cached(name, program.module, environ)
    return ours if ours.exists() else None


def is_of_release(path: Path, program: Program) -> bool:
    """Whether a program that somebody else installed is of the release we test on."""
    if program.version_pattern is None:
        return False
    try:
        said = subprocess.run(
            [str(path), *program.version_argument.split()],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and re.search(program.version_pattern, said.stdout + said.stderr) is not None


def build(wanted: Mapping[str, tuple[str, Path]], folder: str) -> None:
    """Build Go programs (name: package and destination) from one go.mod; each appears whole or not at all.

    Raises:
        ProgramsMissing: Go is not there, or it failed.
    """
    go = shutil.which("go")
    if go is None:
        raise ProgramsMissing(f"{', '.join(wanted)}: install Go 1.25 or newer, or set KUBEBUILDER_ASSETS")
    for name, (package, destination) in wanted.items():
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=destination.parent) as part:
            argv = [
                go,
                "build",
                "-mod=readonly",
                "-buildvcs=false",
                "-trimpath",
                "-ldflags",
                linker_flags(),
                "-o",
                f"{part}/{name}",
                package,
            ]
            done = subprocess.run(
                argv,
                cwd=HERE / "programs" / folder,
                env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                raise ProgramsMissing(f"go build {package}:\n{done.stderr[-4000:]}")
            Path(part, name).replace(destination)


def linker_flags() -> str:
    """Strip the symbols and set what ``--version`` and the API's ``/version`` tell."""
    version = kubernetes_version()
    major, minor = version.lstrip("v").split(".")[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    settings = [f"-X {place}.{key}={value}" for place in VERSION_VARIABLES for key, value in values.items()]
    return " ".join(["-s", "-w", *settings])
