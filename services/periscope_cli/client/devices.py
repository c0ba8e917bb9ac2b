"""Robots, groups of them and their rollouts, and bearer tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from periscope.client import ServiceClient
from periscope.wire.device_groups import EnrolmentCode, GroupResponse
from periscope.wire.devices import DesiredResponse, DeviceResponse
from periscope.wire.models import NewTokenResponse, TokenResponse
from periscope_cli.client.calls import Document, keyed, pages, typed_pages


class Devices:
    """Robots of one registry."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def list(self) -> Iterator[DeviceResponse]:
        """Oldest first, with the last that was heard of each."""
        return typed_pages(self._client, "/v1/devices", DeviceResponse)

    def get(self, device: str) -> DeviceResponse:
        """Raises ServiceProblem."""
        return DeviceResponse.model_validate(self._client.get(f"/v1/devices/{device}"))

    def set(self, device: str, wish: Mapping[str, Any]) -> DeviceResponse:
        """Register a robot or change what it should have: fields of ``DeviceRequest``."""
        return DeviceResponse.model_validate(self._client.put(f"/v1/devices/{device}", json=dict(wish)))

    def desired(self, device: str) -> DesiredResponse:
        """What it should have now."""
        return DesiredResponse.model_validate(self._client.get(f"/v1/devices/{device}/desired"))

    def reports(self, device: str) -> Iterator[Document]:
        """What it told, in the order it came."""
        return pages(self._client, f"/v1/devices/{device}/reports")

    def release(self, device: str) -> Document:
        """The signed release and all roots, as they stand beside a zip on a stick."""
        found: Document = self._client.get(f"/v1/devices/{device}/release")
        return found

    def code(self, device: str) -> EnrolmentCode:
        """A code with which the robot gets its token, once, within a day."""
        return EnrolmentCode.model_validate(self._client.post(f"/v1/devices/{device}:code"))

    def delete(self, device: str) -> None:
        """Forget a robot, with its tokens."""
        self._client.delete(f"/v1/devices/{device}")


class Groups:
    """Groups of robots; ``fleet`` is that of the robots that are in none."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def list(self) -> Iterator[GroupResponse]:
        """Oldest first."""
        return typed_pages(self._client, "/v1/device-groups", GroupResponse)

    def get(self, group: str) -> GroupResponse:
        """With its newest rollout. Raises ServiceProblem."""
        return GroupResponse.model_validate(self._client.get(f"/v1/device-groups/{group}"))

    def set(self, group: str, wish: Mapping[str, Any]) -> GroupResponse:
        """Say what all its robots should have, at once: fields of ``GroupRequest``."""
        return GroupResponse.model_validate(self._client.put(f"/v1/device-groups/{group}", json=dict(wish)))

    def roll_out(
        self, group: str, version: int, stages: Sequence[Mapping[str, Any]], **options: Any
    ) -> GroupResponse:
        """Move a group to a version stage by stage; options are those of ``RolloutRequest``."""
        body = {"version": version, "stages": [dict(stage) for stage in stages], **options}
        return GroupResponse.model_validate(
            self._client.post(f"/v1/device-groups/{group}:rollout", json=body)
        )

    def act(self, group: str, action: Literal["pause", "resume", "abort", "rollback"]) -> GroupResponse:
        """What a person does with a rollout."""
        path = f"/v1/device-groups/{group}/rollout:{action}"
        return GroupResponse.model_validate(self._client.post(path))

    def delete(self, group: str) -> None:
        """Raises ServiceProblem where robots are in it."""
        self._client.delete(f"/v1/device-groups/{group}")


class Tokens:
    """Tokens of all services (admin)."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def list(self) -> Iterator[TokenResponse]:
        """Without their texts, oldest first."""
        return typed_pages(self._client, "/v1/tokens", TokenResponse)

    def create(self, role: str, name: str, device: str | None = None) -> NewTokenResponse:
        """Make a token; its text is in this answer and nowhere else."""
        wish = {"role": role, "name": name} | ({"device_id": device} if device else {})
        return NewTokenResponse.model_validate(self._client.post("/v1/tokens", json=wish, headers=keyed()))

    def revoke(self, token_id: str) -> None:
        """Make a token worthless."""
        self._client.delete(f"/v1/tokens/{token_id}")
