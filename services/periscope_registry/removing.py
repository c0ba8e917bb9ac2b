"""Takes versions, aliases, groups and devices away, unless something needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from periscope.clock import utc_now
from periscope.documents import Document, Documents
from periscope.tokens import Tokens
from periscope.versions import Versions
from periscope_registry import aliases, devices, enrolment, groups, releases
from periscope_registry.catalogue import Catalogue
from periscope_registry.fleet_gauges import held
from periscope_registry.retention import DELETE, RESTORE, TRASH, Fate, Reasons, Retention, fates, holders
from periscope_registry.rules import Body, IllegalMove, Unknown


class InUse(IllegalMove):
    """Something needs it; ``reasons`` says what."""

    def __init__(self, what: str, reasons: Sequence[str]) -> None:
        shown = "; ".join(reasons[:10])
        more = f"; and {len(reasons) - 10} more reasons" if len(reasons) > 10 else ""
        super().__init__(f"{what} is in use: {shown}{more}")
        self.reasons = list(reasons)


class Remover:
    """Removes from one store."""

    def __init__(
        self,
        documents: Documents,
        versions: Versions,
        catalogue: Catalogue,
        tokens: Tokens,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._documents = documents
        self._versions = versions
        self._catalogue = catalogue
        self._tokens = tokens
        self._now = now

    def remove_version(self, model: Document, number: int) -> None:
        """Put a version into the trash; one that is there already stays. Raises Unknown, InUse."""
        if self._versions.get(model.id, number) is None:
            raise Unknown(f"the model {model.body['name']!r} has no version {number}")
        reasons = self._holders().get((model.body["name"], number))
        if reasons:
            raise InUse(f"version {number}", reasons)
        if not self._versions.is_removed(model.id, number):
            self._versions.mark(model.id, number)

    def restore_version(self, model: Document, number: int) -> Body:
        """Take a version out of the trash. Raises Unknown where it has been deleted or never was."""
        if self._versions.get(model.id, number) is None:
            raise Unknown(
                f"the model {model.body['name']!r} has no version {number}, not in the trash either"
            )
        self._versions.unmark(model.id, number)
        return self._catalogue.version(model, number)

    def trash(self, model: Document) -> Mapping[int, datetime]:
        """Versions in the trash, and since when."""
        present = set(self._versions.numbers(model.id))
        return {number: at for number, at in self._versions.removed(model.id).items() if number in present}

    def clean_up(self, grace: timedelta, *, dry_run: bool) -> list[Fate]:
        """Apply every model's retention, and delete what has been in the trash for the grace period.

        Begun anew after it was killed, it goes on; two at once do no harm.

        Raises:
            StoreUnavailable: it was not finished.
        """
        reasons, now, found = self._holders(), self._now(), []
        for model in self._catalogue.list():
            present = self._catalogue.manifests.all(model.id)
            retention, name = Retention.of(model.body), model.body["name"]
            for fate in fates(name, present, self.trash(model), retention, reasons, now, grace):
                found.append(fate)
                if not dry_run:
                    self._carry_out(model, fate)
        return found

    def _carry_out(self, model: Document, fate: Fate) -> None:
        if fate.action == TRASH:
            self._versions.mark(model.id, fate.version)
        elif fate.action == RESTORE:
            self._versions.unmark(model.id, fate.version)
        elif fate.action == DELETE:
            self._versions.remove(model.id, fate.version)

    def remove_alias(self, model: Document, alias: Document) -> None:
        """Take an alias away. Raises InUse where a device or a group follows it."""
        name, wanted = alias.body["alias"], (model.body["name"], alias.body["alias"])

        def follows(body: Body) -> bool:
            return body["version"] is None and (body["model"], body["alias"]) == wanted

        reasons = [
            f"the device {one.body['device']!r} follows it"
            for one in self._documents.matching(devices.KIND, follows)
        ] + [
            f"the group {one.body['group']!r} follows it"
            for one in self._documents.matching(groups.KIND, follows)
        ]
        if reasons:
            raise InUse(f"the alias {name!r}", reasons)
        self._documents.delete(aliases.KIND, alias.id)

    def remove_device(self, device: Document) -> None:
        """Forget a device; its tokens are worthless from then on. Killed in between, it is asked again."""
        for token in self._tokens.list():
            if token.body["device_id"] == device.body["device"]:
                self._tokens.revoke(token.id)
        for kind in (enrolment.KIND, releases.KIND, devices.STATES, devices.KIND):
            self._documents.delete(kind, device.id)

    def remove_group(self, group: Document) -> None:
        """Forget a group and its rollout. Raises InUse where it has devices."""
        name = group.body["group"]
        members = self._documents.matching(
            devices.KIND, lambda body: body["model"] is None and (body.get("group") or groups.FLEET) == name
        )
        if members:
            raise InUse(
                f"the group {name!r}", [f"the device {one.body['device']!r} is in it" for one in members]
            )
        self._documents.delete(groups.KIND, group.id)

    def _holders(self) -> Reasons:
        return holders(held(self._documents))
