"""``periscope devices`` and ``periscope tokens``."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from periscope_cli.connection import Session, pages
from periscope_cli.console import table
from periscope_cli.idempotency import keyed

Document = dict[str, Any]


def run_devices(session: Session, _: Namespace) -> None:
    """``periscope devices``."""
    items = list(pages(session.registry, "/v1/devices"))
    rows = [(_device_id(item), item.get("model"), _wish_text(item), item.get("updated_at")) for item in items]
    session.console.result({"items": items}, table(("DEVICE", "MODEL", "WISH", "CHANGED"), rows))


def run_set_device(session: Session, arguments: Namespace) -> None:
    """``periscope devices set``."""
    device = set_device(session, arguments.device, arguments.model, arguments.alias, arguments.version)
    session.console.result(device, f"{arguments.device} gets {arguments.model}")


def run_show_device(session: Session, arguments: Namespace) -> None:
    """``periscope devices show``."""
    wanted = session.registry.get(f"/v1/devices/{arguments.device}/desired")
    text = f"{arguments.device} should have {wanted['model']} version {wanted['version']}"
    session.console.result(wanted, text)


def run_tokens(session: Session, _: Namespace) -> None:
    """``periscope tokens``."""
    items = list(pages(session.registry, "/v1/tokens"))
    rows = [
        (item["name"], item["role"], item.get("device_id"), item["created_at"], item["id"]) for item in items
    ]
    session.console.result({"items": items}, table(("NAME", "ROLE", "DEVICE", "CREATED", "ID"), rows))


def run_make_token(session: Session, arguments: Namespace) -> None:
    """``periscope tokens create``."""
    made = make_token(session, arguments.role, arguments.name, arguments.device)
    session.console.note("this token is shown once and never again:")
    session.console.result(made, made["token"])


def run_revoke_token(session: Session, arguments: Namespace) -> None:
    """``periscope tokens revoke``."""
    session.registry.delete(f"/v1/tokens/{arguments.token_id}")
    session.console.result({"id": arguments.token_id, "revoked": True}, f"{arguments.token_id} is revoked")


def set_device(
    session: Session, device: str, model: str, alias: str | None = None, version: int | None = None
) -> Document:
    """Register a device, or change what it should have; the alias ``latest`` where nothing is given."""
    wish: Document = {"model": model}
    wish |= {"version": version} if version is not None else {"alias": alias or "latest"}
    answer: Document = session.registry.put(f"/v1/devices/{device}", json=wish)
    return answer


def make_token(session: Session, role: str, name: str, device: str | None = None) -> Document:
    """Make a token; the answer holds its text."""
    wish = {"role": role, "name": name} | ({"device_id": device} if device else {})
    answer: Document = session.registry.post("/v1/tokens", json=wish, headers=keyed())
    return answer


def _device_id(item: Document) -> Any:
    return item.get("device") or item.get("id")


def _wish_text(item: Document) -> str | None:
    if item.get("version") is not None:
        return f"version {item['version']}"
    return f"@{item['alias']}" if item.get("alias") else None
