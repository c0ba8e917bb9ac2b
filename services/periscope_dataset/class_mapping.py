"""What becomes of the types in the labels: a class, don't care, or nothing. ``dontcare`` is implied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from detectnet.classes import DONTCARE, ClassMap, UnknownClass

Unknown = Literal["error", "dontcare", "drop"]


@dataclass(frozen=True)
class ClassMapping:
    """Types are compared lower-cased, as DIGITS does."""

    classes: ClassMap | None = None
    """In coverage order; None takes what the labels hold, in alphabetical order."""
    merge: Mapping[str, str] = field(default_factory=dict)
    """Other names: the type, and the class it counts as."""
    dontcare: frozenset[str] = frozenset()
    drop: frozenset[str] = frozenset()
    """Types whose objects are taken out, as if nobody had labelled them."""
    unknown: Unknown = "error"
    """What becomes of a type that is not named; only where classes are."""

    @classmethod
    def of(cls, told: Sequence[str] | Mapping[str, Any] | None) -> ClassMapping:
        """From an ingest's option: a list of classes, or the whole object. Raises ValueError."""
        if not isinstance(told, Mapping):
            return cls(ClassMap(told) if told else None)
        names = told["names"]
        mapping = cls(
            ClassMap(names) if names else None,
            {alias.lower(): name.lower() for alias, name in told["merge"].items()},
            frozenset(name.lower() for name in told["dontcare"]),
            frozenset(name.lower() for name in told["drop"]),
            told["unknown"],
        )
        mapping._require_sense()
        return mapping

    def kind_of(self, label_type: str) -> str | None:
        """The class of a type, ``dontcare``, or None for what is taken out. Raises UnknownClass."""
        kind = label_type.lower()
        if kind in self.drop:
            return None
        if kind in self.dontcare or kind == DONTCARE:
            return DONTCARE
        if kind in self.merge:
            return self.merge[kind]
        if self.classes is None:
            return kind
        try:
            self.classes.index_of(kind)
        except UnknownClass:
            if self.unknown == "error":
                raise
            return None if self.unknown == "drop" else DONTCARE
        return kind

    def rewritten(self, text: str) -> str:
        """A label's text with the classes for the types; a line that is taken out stays as an empty one.

        Lines keep their numbers. Raises UnknownClass.
        """
        return "".join(map(self._line, text.splitlines(keepends=True)))

    def _line(self, line: str) -> str:
        words = line.split(maxsplit=1)
        if not words:
            return line
        kind = self.kind_of(words[0])
        if kind is None:
            return "\n"
        return line if kind == words[0].lower() else line.replace(words[0], kind, 1)

    def _require_sense(self) -> None:
        lists = {"merge": set(self.merge), "dontcare": set(self.dontcare), "drop": set(self.drop)}
        if self.classes is not None:
            lists["names"] = set(self.classes.names)
            lost = sorted(set(self.merge.values()) - lists["names"] - {DONTCARE})
            if lost:
                raise ValueError(f"merge leads to {lost[0]!r}, which is not among the names; add it there")
        elif self.unknown != "error":
            raise ValueError("unknown says what becomes of types that are not named; give names too")
        seen: dict[str, str] = {}
        for where, kinds in lists.items():
            for kind in sorted(kinds):
                if kind in seen:
                    raise ValueError(f"{kind!r} stands in {seen[kind]} and in {where}; keep one of both")
                seen[kind] = where
