"""ECDSA P-256 over SHA-256: what signs release and root documents, and what ``openssl dgst -verify`` checks.

A signed text is the canonical JSON itself, so that nobody has to write it anew before checking it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_SCHEME = ec.ECDSA(hashes.SHA256())


class KeyUnusable(Exception):
    """A text is no P-256 key in PEM, or its passphrase is wrong."""


class PrivateKey:
    """A P-256 private key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_pem = _public_pem(key.public_key())
        self.key_id = key_id(self.public_pem)

    @classmethod
    def new(cls) -> PrivateKey:
        """A key that nobody had before."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: bytes | None = None) -> PrivateKey:
        """Raises KeyUnusable."""
        try:
            key = serialization.load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnusable(f"this is no private key that can be opened: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyUnusable("the key must be an ECDSA key on the curve P-256")
        return cls(key)

    def to_pem(self, passphrase: bytes | None = None) -> bytes:
        """PKCS 8, encrypted where a passphrase is given."""
        lock = (
            serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        )
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=lock
        )

    def sign(self, text: str) -> str:
        """Base64 of the DER signature of the text's bytes."""
        return base64.b64encode(self._key.sign(text.encode(), _SCHEME)).decode()


def canonical(body: Mapping[str, Any]) -> str:
    """The one text of a body: sorted keys, no spaces, ASCII only."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def key_id(public_pem: str) -> str:
    """Lower-case hex SHA-256 of the key's DER SubjectPublicKeyInfo. Raises KeyUnusable."""
    der = _public_key(public_pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def verifies(public_pem: str, text: str, signature: str) -> bool:
    """Whether a signature in base64 was made over this text with this key. Raises KeyUnusable."""
    key = _public_key(public_pem)
    try:
        key.verify(base64.b64decode(signature, validate=True), text.encode(), _SCHEME)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public_key(pem: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"this is no public key in PEM: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyUnusable("the key must be an ECDSA key on the curve P-256")
    return key


def _public_pem(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
