"""Times as the whole project writes them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """Write a moment to the microsecond, as ``2026-05-04T10:20:30.000000Z``.

    Always of one length, so that texts sort as moments do.
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> datetime:
    """Read what :func:`to_rfc3339` wrote.

    Raises:
        ValueError: the text is no RFC 3339 time with a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment
