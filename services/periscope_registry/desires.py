"""What a device should have: its own wish or that of its group, resolved to a version."""

from __future__ import annotations

from dataclasses import dataclass

from periscope.documents import Body, Document, Documents
from periscope_registry.aliases import Aliases
from periscope_registry.catalogue import Catalogue, Manifests
from periscope_registry.groups import FLEET, WISH, Groups


@dataclass(frozen=True)
class Desired:
    """A version's manifest, and when it is to be put to use."""

    manifest: Body
    activation: str


class Desires:
    """Reads wishes from documents: fresh ones, or those of a moment ago."""

    def __init__(self, documents: Documents, manifests: Manifests) -> None:
        self._catalogue = Catalogue(documents, manifests)
        self._aliases = Aliases(documents, manifests)
        self._groups = Groups(documents)

    def wish_of(self, device: Document) -> Body:
        """Model, alias or version, and activation. Raises Unknown."""
        own = {"activation": "now", **device.body}
        if own["model"] is not None:
            return {name: own[name] for name in WISH}
        return self._groups.wish_for(self._groups.get(own["group"] or FLEET), own["device"])

    def desired(self, device: Document) -> Desired:
        """Raises Unknown."""
        wish = self.wish_of(device)
        model = self._catalogue.get(wish["model"])
        number = wish["version"]
        if number is None:
            number = self._aliases.get(model, wish["alias"]).body["version"]
        return Desired(self._catalogue.version_in_use(model, number), wish["activation"])

    def group_of(self, device: Document) -> Document | None:
        """The group that a device follows, or None."""
        if device.body["model"] is not None:
            return None
        return self._groups.find(device.body.get("group") or FLEET)
