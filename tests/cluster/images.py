"""Small container images, made without a builder: one layer with a static busybox."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

PAUSE = "localhost/pause:test"
"""What keeps a pod's namespaces; it only sleeps."""

PROBE = "localhost/busybox:test"
"""What the tests' pods run: sh, wget, nslookup, httpd and the rest of busybox."""

LENT_FOLDERS = ("lib", "lib64", "usr")
"""Links to what lent_python.py may mount under /machine; without it they lead nowhere."""

LENT_PYTHON = "/python/bin/python3"
"""The lent Python, as the program ``python``."""

FOLDERS = ("bin", "tmp", "etc", "proc", "sys", "dev", "run")


def write_busybox_image(archive: Path, names: Sequence[str]) -> Path:
    """Write a docker archive with one image under several names, and return its path.

    Raises:
        FileNotFoundError: there is no busybox; Debian's package is busybox-static.
    """
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox: install busybox-static")
    commands = subprocess.run(
        [busybox, "--list"], capture_output=True, text=True, timeout=10, check=True
    ).stdout.split()
    layer = busybox_layer(Path(busybox).read_bytes(), commands)
    digest = hashlib.sha256(layer).hexdigest()
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "2147483647"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as out:
        add_file(out, "layer.tar", layer)
        add_file(out, "config.json", json.dumps(image).encode())
        add_file(out, "manifest.json", json.dumps(manifest).encode())
    return archive


def busybox_layer(busybox: bytes, commands: Sequence[str]) -> bytes:
    """A root file system of busybox alone, as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            layer.addfile(folder)
        add_file(layer, "bin/busybox", busybox, mode=0o755)
        add_file(layer, "etc/passwd", b"root:x:0:0::/:/bin/sh\nprobe:x:1000:1000::/tmp:/bin/sh\n")
        links = {f"bin/{command}": "busybox" for command in {*commands} - {"busybox"}}
        links |= {name: f"machine/{name}" for name in LENT_FOLDERS}
        links["bin/python"] = LENT_PYTHON
        for name, target in sorted(links.items()):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            layer.addfile(link)
    return buffer.getvalue()


def add_file(out: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file with fixed times, so that the same content makes the same archive."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    out.addfile(member, io.BytesIO(content))
