"""Which label types are classes, and which coverage channel each has. ``dontcare`` is always implied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

DONTCARE = "dontcare"


class UnknownClass(ValueError):
    """A label type that the class map does not name."""


class ClassMap:
    """Names in coverage order, with aliases. Types are compared lower-cased, as DIGITS does."""

    def __init__(
        self, names: Sequence[str], aliases: Mapping[str, str] | None = None, *, may_be_empty: bool = False
    ) -> None:
        """Raises ValueError for a class that is listed twice, and for no class unless it ``may_be_empty``."""
        cleaned = [name.strip().lower() for name in names]
        self.names: tuple[str, ...] = tuple(name for name in cleaned if name and name != DONTCARE)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a class is listed twice: {', '.join(self.names)}")
        if not self.names and not may_be_empty:
            raise ValueError("there is no class; list at least one beside dontcare")
        self._index: dict[str, int | None] = {name: index for index, name in enumerate(self.names)}
        self._index[DONTCARE] = None
        for alias, name in (aliases or {}).items():
            self._index[alias.lower()] = self._index[name.lower()]

    @classmethod
    def of_types(cls, types: Iterable[str]) -> ClassMap:
        """All types that occur, in alphabetical order, without dontcare."""
        return cls(sorted({name.lower() for name in types} - {DONTCARE}))

    def index_of(self, label_type: str) -> int | None:
        """The coverage channel of a type, or None for don't care. Raises UnknownClass."""
        try:
            return self._index[label_type.lower()]
        except KeyError as error:
            raise UnknownClass(
                f"the class {label_type!r} is not among {', '.join(self.names)}; "
                "add it to the classes, or rename it to dontcare"
            ) from error
