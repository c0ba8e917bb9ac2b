from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest

from periscope.signing import KeyUnusable, PrivateKey, canonical, key_id, verifies


def openssl_verifies(folder: Path, pem: str, text: str, signature: str) -> bool:
    """What a robot runs."""
    (folder / "key.pem").write_text(pem)
    (folder / "text").write_text(text)
    (folder / "signature").write_bytes(base64.b64decode(signature))
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "text"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_openssl_accepts_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    key, other = PrivateKey.new(), PrivateKey.new()
    text = canonical({"version": 7, "model": "bojen-ü"})
    signature = key.sign(text)

    assert openssl_verifies(tmp_path, key.public_pem, text, signature)
    assert not openssl_verifies(tmp_path, key.public_pem, text.replace("7", "8"), signature)
    assert not openssl_verifies(tmp_path, other.public_pem, text, signature)


def test_a_signature_holds_for_its_text_and_key_only() -> None:
    key, other = PrivateKey.new(), PrivateKey.new()
    signature = key.sign("text")

    assert verifies(key.public_pem, "text", signature)
    assert not verifies(key.public_pem, "Text", signature)
    assert not verifies(other.public_pem, "text", signature)
    assert not verifies(key.public_pem, "text", "no base64")
    assert not verifies(key.public_pem, "text", base64.b64encode(b"no DER").decode())


def test_a_key_id_is_the_hash_that_openssl_gives(tmp_path: Path) -> None:
    key = PrivateKey.new()
    (tmp_path / "key.pem").write_text(key.public_pem)
    command = ["openssl", "pkey", "-pubin", "-in", "key.pem", "-outform", "DER"]
    der = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout

    assert key.key_id == key_id(key.public_pem) == hashlib.sha256(der).hexdigest()


def test_a_key_file_opens_with_its_passphrase_only() -> None:
    key = PrivateKey.new()
    locked = key.to_pem(b"deep water")

    assert PrivateKey.from_pem(locked, b"deep water").key_id == key.key_id
    assert PrivateKey.from_pem(key.to_pem()).key_id == key.key_id
    for wrong in (None, b"shallow water"):
        with pytest.raises(KeyUnusable):
            PrivateKey.from_pem(locked, wrong)


@pytest.mark.parametrize("algorithm", [["ed25519"], ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]])
def test_a_key_that_old_robots_cannot_check_is_refused(algorithm: list[str]) -> None:
    command = ["openssl", "genpkey", "-algorithm", *algorithm]
    pem = subprocess.run(command, capture_output=True, check=True).stdout

    with pytest.raises(KeyUnusable, match="P-256"):
        PrivateKey.from_pem(pem)


def test_canonical_text_does_not_depend_on_the_order_of_fields() -> None:
    assert canonical({"b": "ü", "a": [1, None]}) == canonical({"a": [1, None], "b": "ü"})
    assert canonical({"b": "ü", "a": [1, None]}) == '{"a":[1,null],"b":"\\u00fc"}'
