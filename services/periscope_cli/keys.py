"""``periscope keys``: root keys and root documents, made and kept offline. No service is called."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from periscope.roots import RootRefused, add_signature, check_root, make_root, read_root
from periscope.signing import KeyUnusable, PrivateKey
from periscope_cli.console import Console
from periscope_cli.failures import CommandFailed

PASSPHRASE = "PERISCOPE_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable


def init(console: Console, folder: Path, root_keys: int, threshold: int) -> None:
    """``periscope keys init``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root_paths = [folder / f"root-key-{number}.pem" for number in range(1, root_keys + 1)]
    release_path, root_path = folder / "release-key.pem", folder / "root-1.json"
    taken = [path for path in (*root_paths, release_path, root_path) if path.exists()]
    if taken:
        raise CommandFailed(f"{taken[0]} exists already; choose an empty folder")
    try:
        made = [_make_key(path, _passphrase()) for path in root_paths]
        release_key = _make_key(release_path, None)
        pems = [key.public_pem for key in made]
        signed = make_root(1, threshold, pems, [release_key.public_pem])
    except RootRefused as error:
        for path in (*root_paths, release_path):
            path.unlink(missing_ok=True)
        raise CommandFailed(str(error)) from error
    for key in made:
        signed = add_signature(signed, key)
    _write(root_path, _root_text(signed))
    console.note("keep the root keys offline; the registry gets release-key.pem and root-1.json")
    console.result({"root": str(root_path), "release_key": str(release_path)}, str(root_path))


def sign_root(console: Console, root: Path, key_path: Path) -> None:
    """``periscope keys sign-root``."""
    signed, key = _read_root_file(root), _open_key(key_path)
    _write(root, _root_text(add_signature(signed, key)), replace=True)
    console.result({"root": str(root), "key_id": key.key_id}, f"{root} is signed by {key.key_id[:16]}")


@dataclass(frozen=True)
class Rotation:
    """From one root document to the next."""

    root: Path
    keys: list[Path]
    new_root_keys: list[Path]
    release_key: Path | None
    threshold: int | None
    revoke: bool
    output: Path | None


def rotate(console: Console, wish: Rotation) -> None:
    """``periscope keys rotate``: the next root, with a fresh release key, and fresh root keys if wished."""
    signed = _read_root_file(wish.root)
    before = read_root(signed)
    version = before["version"] + 1
    target = wish.output or wish.root.with_name(f"root-{version}.json")
    release_path = wish.release_key or wish.root.with_name(f"release-key-{version}.pem")
    taken = [path for path in (*wish.new_root_keys, release_path, target) if path.exists()]
    if taken:
        raise CommandFailed(f"{taken[0]} exists already; it is not overwritten")
    signers = [_open_key(path) for path in wish.keys]
    made = [_make_key(path, _passphrase()) for path in wish.new_root_keys]
    release = _make_key(release_path, None)
    old = [] if wish.revoke else [key["pem"] for key in before["release_keys"]]
    root_pems = [key.public_pem for key in made] or [key["pem"] for key in before["root_keys"]]
    try:
        fresh = make_root(
            version, wish.threshold or before["threshold"], root_pems, [*old, release.public_pem]
        )
        for key in (*signers, *made):
            fresh = add_signature(fresh, key)
        _write(target, _root_text(fresh))
    except (RootRefused, CommandFailed) as error:
        for path in (*wish.new_root_keys, release_path):
            path.unlink(missing_ok=True)
        raise CommandFailed(str(error)) from error
    try:
        check_root(fresh, signed)
    except RootRefused as error:
        console.note(f"not complete yet: {error}; add signatures with `periscope keys sign-root`")
    console.result({"root": str(target), "release_key": str(release_path)}, str(target))


def _passphrase() -> bytes | None:
    return os.environ.get(PASSPHRASE, "").encode() or None


def _open_key(path: Path) -> PrivateKey:
    try:
        pem = path.read_bytes()
        passphrase = _passphrase() if b"ENCRYPTED" in pem else None
        return PrivateKey.from_pem(pem, passphrase)
    except (OSError, KeyUnusable) as error:
        raise CommandFailed(f"{path}: {error}; a passphrase is read from {PASSPHRASE}") from error


def _make_key(path: Path, passphrase: bytes | None) -> PrivateKey:
    key = PrivateKey.new()
    _write(path, key.to_pem(passphrase).decode(), mode=0o600)
    return key


def _read_root_file(path: Path) -> dict[str, Any]:
    try:
        signed: dict[str, Any] = json.loads(path.read_text())
        read_root(signed)
    except (OSError, ValueError, TypeError, KeyError, RootRefused) as error:
        raise CommandFailed(f"{path} is no root document: {error}") from error
    return signed


def _root_text(signed: dict[str, Any]) -> str:
    return json.dumps(signed, indent=2) + "\n"


def _write(path: Path, text: str, mode: int = 0o644, *, replace: bool = False) -> None:
    """Write a file whole, with its rights from the first byte on; none is overwritten unless asked for."""
    if path.exists() and not replace:
        raise CommandFailed(f"{path} exists already; it is not overwritten")
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=mode)
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be written: {error}") from error
