"""What every service reads from its environment, once, at start; what is missing stops the start by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(Exception):
    """A variable of the environment is missing or makes no sense; the text names it."""


def required(environ: Mapping[str, str], name: str) -> str:
    """The variable's value.

    Raises:
        SettingsError: it is absent or empty.
    """
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"the environment variable {name} is missing")
    return value


def whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    """The variable as a whole number of at least 1, or the default.

    Raises:
        SettingsError: it is no such number.
    """
    text = environ.get(name, "")
    if not text:
        return default
    if not text.isdigit() or int(text) < 1:
        raise SettingsError(f"{name} must be a whole number of at least 1, not {text!r}")
    return int(text)


@dataclass(frozen=True)
class S3Settings:
    """How to reach the bucket."""

    endpoint: str
    """URL of the S3 server as the services reach it."""

    public_endpoint: str
    """URL of the same server as clients and robots reach it; presigned URLs carry it."""

    bucket: str
    """The one bucket; it must exist."""

    access_key_id: str
    secret_access_key: str

    region: str = "us-east-1"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> S3Settings:
        """Read ``S3_*`` and ``AWS_*``. Raises SettingsError naming what is missing."""
        endpoint = required(environ, "S3_ENDPOINT")
        return cls(
            endpoint=endpoint,
            public_endpoint=environ.get("S3_PUBLIC_ENDPOINT") or endpoint,
            bucket=required(environ, "S3_BUCKET"),
            access_key_id=required(environ, "AWS_ACCESS_KEY_ID"),
            secret_access_key=required(environ, "AWS_SECRET_ACCESS_KEY"),
            region=environ.get("S3_REGION") or "us-east-1",
        )
