"""Devices: what each should have, and what it said of itself.

What people wish and what a device tells are two documents of one id, so that neither waits for the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Body, Conflict, Document, DocumentMissing, Documents
from periscope.ids import new_id
from periscope_registry.aliases import Precondition
from periscope_registry.catalogue import Catalogue, find_by_name
from periscope_registry.desires import Desired, Desires
from periscope_registry.groups import FLEET, Groups
from periscope_registry.releases import Releases, release_content
from periscope_registry.rollout_rules import RUNNING
from periscope_registry.roots import Roots
from periscope_registry.rules import (
    Changed,
    NoReleaseKey,
    Unfit,
    Unknown,
    add_reports,
    choose_flavour,
    desired_document,
)

KIND = "devices"
STATES = "device_states"
CONTACT_INTERVAL_S = 60.0
"""A device's contact is written down at most this often."""


@dataclass(frozen=True)
class Wish:
    """What a device should have: an alias's version, or one version for good."""

    model: str | None
    """None: what its group should have."""
    alias: str | None
    version: int | None
    group: str | None = None
    activation: str = "now"


class Devices:
    """All devices of one store."""

    def __init__(
        self,
        documents: Documents,
        catalogue: Catalogue,
        groups: Groups,
        poll_interval_s: int,
        releases: Releases,
        roots: Roots,
        now: Desires,
        lately: Desires,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._catalogue = catalogue
        self._poll_interval_s = poll_interval_s
        self._releases = releases
        self._roots = roots
        self._groups = groups
        self._now = now
        self._lately = lately
        self._monotonic = monotonic
        self._contacts: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, device: str) -> Document:
        """Raises Unknown."""
        found = self.find(device)
        if found is None:
            raise Unknown(f"there is no device {device!r}; PUT /v1/devices/{device} registers it")
        return found

    def list(self) -> Sequence[Document]:
        """All devices, oldest first."""
        return self._documents.list(KIND)

    def states(self) -> dict[str, Body]:
        """What devices told, by document id."""
        return {document.id: document.body for document in self._documents.list(STATES)}

    def state(self, device: Document) -> Body:
        """What a device told; empty before its first contact."""
        found = self._state_document(device)
        return {"last_contact_at": None, "reports": []} if found is None else found.body

    def _state_document(self, device: Document) -> Document | None:
        try:
            return self._documents.get(STATES, device.id)
        except DocumentMissing:
            return None

    def wish(self, device: str, wish: Wish, expect: Precondition) -> tuple[Document, bool]:
        """Say what a device should have; return the device and whether it is new.

        Raises:
            Unfit: the model or the version does not exist. An alias may come later.
            Changed: the precondition does not hold, or another was faster.
        """
        if wish.model is not None:
            self.require_model(wish.model, wish.version)
        elif self._groups.find(wish.group or FLEET) is None:
            message = (
                f"give a model, or say first by PUT /v1/device-groups/{wish.group or FLEET} what all have"
            )
            raise Unfit("/model", message)
        now = to_rfc3339(utc_now())
        change: Body = {**asdict(wish), "updated_at": now}
        present = self.find(device)
        expect(None if present is None else present.etag)
        try:
            if present is not None:
                return self._documents.replace(present, present.body | change), False
            device_id = self._documents.claim_name(KIND, device, new_id())
            return self._documents.create(
                KIND, {"device": device, **change, "created_at": now}, device_id
            ), True
        except Conflict as error:
            raise Changed(f"the device {device!r} was changed by another just now; try again") from error

    def poll(self, device: str) -> Body:
        """What the device, which asks itself, is told; its contact is written down. Raises Unknown."""
        found = self.get(device)
        state = self._state_document(found)
        self._note_contact(found, state)
        return self._told(found, {} if state is None else state.body)

    def desired(self, device: str) -> Body:
        """What the device is told. Raises Unknown."""
        found = self.get(device)
        return self._told(found, self.state(found))

    def _told(self, device: Document, state: Body) -> Body:
        """What is signed is looked at twice: a wish of a moment ago never makes a new release."""
        desired = self._lately.desired(device)
        release = None
        if self._releases.can_sign:
            release = self._releases.kept(device.id, self._content(device, state, desired))
            if release is None:
                desired = self._now.desired(device)
                release = self._releases.release(device.id, self._content(device, state, desired))
        told = desired_document(device.body["device"], desired.manifest, self._poll_interval_s)
        return told | {"release": release, "root_version": self._roots.newest()}

    def _content(self, device: Document, state: Body, desired: Desired) -> Body:
        inventory = state.get("inventory") or {}
        flavour = choose_flavour(desired.manifest.get("flavours", {}), inventory.get("tensorrt"))
        return release_content(device.body["device"], desired.manifest, flavour, desired.activation)

    def release_file(self, device: str) -> Body:
        """The release and all roots, as they stand beside a zip. Raises Unknown, NoReleaseKey."""
        release = self.desired(device)["release"]
        if release is None:
            raise NoReleaseKey(
                "this registry has no release key; set PERISCOPE_RELEASE_KEY_FILE and start it anew"
            )
        return {"release": release, "roots": self._roots.all()}

    def _note_contact(self, device: Document, state: Document | None) -> None:
        """Write down that a device was here, unless that was done a moment ago."""
        name, now = device.body["device"], self._monotonic()
        with self._lock:
            if now - self._contacts.get(name, float("-inf")) < CONTACT_INTERVAL_S:
                return
            self._contacts[name] = now
        with suppress(Conflict):  # Then what it told, with its contact, was written just now.
            if state is None:
                self._documents.create(STATES, _contacted({"reports": []}), device.id)
            else:
                self._documents.replace(state, _contacted(state.body))
        self._reconcile_group_of(device)

    def add_reports(self, device: str, reports: Sequence[Body], inventory: Body | None = None) -> int:
        """Keep what a device tells; return how many reports were new. Raises Unknown."""
        found = self.get(device)
        new: list[Body] = []

        def add(body: Body) -> Body:
            nonlocal new
            kept, new = add_reports(body["reports"], reports, to_rfc3339(utc_now()))
            return body | {"reports": kept} | ({} if inventory is None else {"inventory": inventory})

        self._change_state(found, add)
        if any(report.get("reason") == "counter" for report in new):
            self._releases.renew(found.id)
        self._reconcile_group_of(found)
        return len(new)

    def _change_state(self, device: Document, change: Callable[[Body], Body]) -> None:
        with suppress(Conflict):  # It was here before.
            self._documents.create(STATES, {"last_contact_at": None, "reports": []}, device.id)
        self._documents.update(STATES, device.id, lambda body: _contacted(change(body)))

    def wish_of(self, device: Document) -> Body:
        """Model, alias or version, and activation: its own, or those of its group. Raises Unknown."""
        return self._now.wish_of(device)

    def reports_of(self, group: str) -> dict[str, Sequence[Body]]:
        """What the devices that follow a group told, by name."""

        def follows(body: Body) -> bool:
            return body["model"] is None and (body.get("group") or FLEET) == group

        states = self.states()
        members = self._documents.matching(KIND, follows)
        return {one.body["device"]: states.get(one.id, {}).get("reports", []) for one in members}

    def reconcile(self, group: Document) -> Document:
        """Make the step that a rollout is due for."""
        if group.body["rollout"] is None or group.body["rollout"]["state"] != RUNNING:
            return group
        return self._groups.reconcile(group, self.reports_of(group.body["group"]))

    def _reconcile_group_of(self, device: Document) -> None:
        group = self._lately.group_of(device)
        if group is not None and group.body["rollout"] is not None:
            self.reconcile(self._groups.get(group.body["group"]))

    def find(self, device: str) -> Document | None:
        """The device, or None."""
        return find_by_name(self._documents, KIND, device)

    def require_model(self, name: str, version: int | None) -> None:
        """Raise Unfit where there is no such model or version."""
        try:
            model = self._catalogue.get(name)
        except Unknown as error:
            raise Unfit("/model", str(error)) from error
        if version is not None and self._catalogue.manifests.get(model.id, version) is None:
            raise Unfit("/version", f"the model {name!r} has no version {version}")


def _contacted(body: Body) -> Body:
    return body | {"last_contact_at": to_rfc3339(utc_now())}
