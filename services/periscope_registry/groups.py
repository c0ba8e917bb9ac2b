"""Groups of devices: what each should have, and the rollout that is moving it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from periscope.clock import to_rfc3339, utc_now
from periscope.documents import Body, Conflict, Document, Documents
from periscope.ids import new_id
from periscope_registry import rollout_rules as rules
from periscope_registry.catalogue import find_by_name
from periscope_registry.rules import Changed, IllegalMove, Unknown

KIND = "device_groups"
FLEET = "fleet"
"""The group of the devices that are in none."""
WISH = ("model", "alias", "version", "activation")


class Groups:
    """All groups of one store."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def find(self, group: str) -> Document | None:
        """The group, or None."""
        return find_by_name(self._documents, KIND, group)

    def get(self, group: str) -> Document:
        """Raises Unknown."""
        found = self.find(group)
        if found is None:
            raise Unknown(f"there is no group {group!r}; PUT /v1/device-groups/{group} makes it")
        return found

    def list(self) -> Sequence[Document]:
        """All groups, oldest first."""
        return self._documents.list(KIND)

    def wish(self, group: str, wish: Body, expect: Callable[[str | None], None]) -> tuple[Document, bool]:
        """Say what all devices of a group should have at once; a rollout under way is aborted."""
        present = self.find(group)
        expect(None if present is None else present.etag)
        now = to_rfc3339(utc_now())
        change: Body = {**wish, "updated_at": now}
        try:
            if present is None:
                group_id = self._documents.claim_name(KIND, group, new_id())
                body = {"group": group, "rollout": None, "created_at": now, **change}
                return self._documents.create(KIND, body, group_id), True
            rollout = present.body["rollout"]
            if rollout is not None and rollout["state"] in rules.ACTIONS["abort"][0]:
                change["rollout"] = rollout | {
                    "state": rules.ABORTED,
                    "reason": "the group's wish was changed",
                }
            return self._documents.replace(present, present.body | change), False
        except Conflict as error:
            raise Changed(f"the group {group!r} was changed by another just now; try again") from error

    def wish_for(self, group: Document, device: str) -> Body:
        """What one device of a group should have: the group's wish, or the rollout's version."""
        wish = {name: group.body[name] for name in WISH}
        rollout = group.body["rollout"]
        if not rules.has_new_version(rollout, device):
            return wish
        return wish | {"alias": None, "version": rollout["version"], "activation": rollout["activation"]}

    def roll_out(self, group: Document, plan: Body, members: Sequence[str]) -> Document:
        """Begin a rollout. Raises IllegalMove where one is under way."""
        started = to_rfc3339(utc_now())
        rollout_id = new_id()

        def begin(body: Body) -> Body:
            present = body["rollout"]
            if present is not None and present["state"] in (rules.RUNNING, rules.PAUSED):
                raise IllegalMove("a rollout is under way in this group; abort it first")
            rollout = {
                **plan,
                "id": rollout_id,
                "model": body["model"],
                "started_at": started,
                "resumed_at": started,
                "state": rules.RUNNING,
                "reason": "",
                "stage": 0,
                "chosen": [],
                "before": {name: body[name] for name in WISH},
            }
            return body | {"rollout": rollout | {"chosen": rules.choose(rollout, 0, members)}}

        return self._documents.update(KIND, group.id, begin)

    def act(self, group: Document, action: str) -> Document:
        """Pause, resume, abort or roll back. Raises Unknown, IllegalMove."""
        froms, to = rules.ACTIONS[action]

        def moved(body: Body) -> Body:
            rollout = body["rollout"]
            if rollout is None:
                raise Unknown("this group has had no rollout")
            if rollout["state"] not in froms:
                raise IllegalMove(f"a rollout that is {rollout['state']} cannot {action}")
            # Who resumes has seen the failures: only later ones count.
            fresh = {"resumed_at": to_rfc3339(utc_now())} if action == "resume" else {}
            back = rollout["before"] if action == "rollback" else {}
            return body | back | {"rollout": rollout | {"state": to, "reason": ""} | fresh}

        return self._documents.update(KIND, group.id, moved)

    def reconcile(self, group: Document, reports: Mapping[str, Sequence[Mapping[str, Any]]]) -> Document:
        """Make the step that the reports of the members ask for. Called again, it changes nothing more."""
        if group.body["rollout"] is None or group.body["rollout"]["state"] != rules.RUNNING:
            return group
        members = sorted(reports)

        def stepped(body: Body) -> Body:
            rollout = body["rollout"]
            told = {name: rules.outcome(rollout, reports[name]) for name in members}
            fresh = rules.advance(rollout, told, members)
            if fresh["state"] != rules.SUCCEEDED or rollout["state"] == rules.SUCCEEDED:
                return body | {"rollout": fresh}
            wish = {"alias": None, "version": fresh["version"], "activation": fresh["activation"]}
            return body | wish | {"rollout": fresh}

        if stepped(group.body) == group.body:
            return group
        return self._documents.update(KIND, group.id, stepped)
