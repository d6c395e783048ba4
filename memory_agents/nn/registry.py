"""Named variants of one kind, open to a user's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class UnknownNameError(KeyError, ValueError):
    """A name that no entry has."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, T], Generic[T]):
    """
    A mapping from names to entries of one kind, filled by a decorator.

    :param kind: what an entry is, as error messages call it
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """
        :param name: the name under which the decorated object is found
        :return: a decorator that registers its argument and returns it unchanged
        :raises ValueError: when the name already stands for another object. One that is defined anew, as when a cell
            of a notebook runs again, takes its own place
        """

        def add(entry: T) -> T:
            if _origin(self._entries.get(name, entry)) != _origin(entry):
                raise ValueError(f"{self.kind} {name!r} is already registered; choose another name")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):  # the latter where what stands for a name cannot be one, a list for example
            known = ", ".join(map(repr, self._entries)) or "none"
            raise UnknownNameError(f"unknown {self.kind} {name!r}; known: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries


def _origin(entry: object) -> object:
    """Where a class or a function is defined; of other objects themselves."""
    name = getattr(entry, "__qualname__", None)
    return entry if name is None else (getattr(entry, "__module__", None), name)
