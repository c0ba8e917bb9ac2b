"""Keys that sign releases, made at the first start: the embedded default serves loopback only.

Elsewhere the root key is made offline by ``periscope keys init`` and never comes near a service.
"""

from __future__ import annotations

import json
from pathlib import Path

from periscope.roots import add_signature, make_root
from periscope.signing import PrivateKey

ROOT_NAME = "root-1.json"
"""What a robot gets as its first root document."""


def release_keys(folder: Path) -> dict[str, str]:
    """What the registry reads from its environment; the files are made where there are none."""
    release_path, root_path = folder / "release-key.pem", folder / ROOT_NAME
    if not root_path.exists():
        root_key = _make_key(folder / "root-key-1.pem")
        release_key = _make_key(release_path)
        signed = make_root(1, 1, [root_key.public_pem], [release_key.public_pem])
        # Last and whole: whoever is killed before makes all of them anew.
        draft = root_path.with_suffix(".new")
        draft.write_text(json.dumps(add_signature(signed, root_key), indent=2) + "\n")
        draft.replace(root_path)
    return {"PERISCOPE_RELEASE_KEY_FILE": str(release_path), "PERISCOPE_ROOT_FILE": str(root_path)}


def _make_key(path: Path) -> PrivateKey:
    key = PrivateKey.new()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.to_pem())
    return key
