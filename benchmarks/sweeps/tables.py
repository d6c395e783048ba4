"""Tables of TOML, read key by key: every complaint names the key, its value and the mend."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, time
from typing import Any

from memory_agents.benchmarks.arguments import UsageError, suggestions

_WORDS = {int: "a whole number", str: "a string", bool: "true or false", dict: "a table", list: "an array"}


class Table:
    """
    A table of a file.

    :param where: the file, and where the table stands in it, for messages
    :param content: the table
    :param known: the keys that it may have
    :raises UsageError: when it is no table or has another key
    """

    def __init__(self, where: str, content: Any, known: Iterable[str]) -> None:
        self.where, self.content, self.known = where, content, list(known)
        if not isinstance(content, dict):
            raise UsageError(f"{where} = {content!r} is no table; write {{ key = value }}")
        for key in content:
            if key not in self.known:
                near = suggestions(key, self.known)
                hint = f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(self.known)}"
                raise UsageError(f"{self.at(key)} is unknown; {hint}")

    def at(self, key: str) -> str:
        """
        :param key: a key
        :return: it and where it stands, for messages
        """
        return f"{self.where}{'' if self.where.endswith(': ') else '.'}{key}"

    def take(self, key: str, kind: type, default: Any = None) -> Any:
        """
        :param key: a key
        :param kind: int, str, bool, dict or list
        :param default: what holds without it
        :return: its value
        :raises UsageError: when it is of another kind, or a table with a date or a time in it, which TOML knows alone
        """
        if key not in self.content:
            return default
        value = self.content[key]
        # true is no number, though Python says so.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise UsageError(f"{self.at(key)} = {value!r} is not {_WORDS[kind]}; write {_WORDS[kind]}")
        if kind is dict:
            self._check_times(key, value)
        return value

    def _check_times(self, key: str, value: Any) -> None:
        if isinstance(value, date | time):
            raise UsageError(
                f"{self.at(key)} has {value.isoformat()}, a date or a time, which no argument is; write it as a string"
            )
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._check_times(key, inner)

    def need(self, key: str, kind: type) -> Any:
        """
        :param key: a key
        :param kind: int, str, bool, dict or list
        :return: its value
        :raises UsageError: when it is missing or of another kind
        """
        if key not in self.content:
            raise UsageError(f"{self.at(key)} is missing; add {key} = ... ({_WORDS[kind]})")
        return self.take(key, kind)

    def count(self, key: str, default: int | None = None, least: int = 1) -> int | None:
        """
        :param key: a key
        :param default: what holds without it
        :param least: the smallest value allowed
        :return: its value
        :raises UsageError: when it is no whole number, or too small
        """
        value: int | None = self.take(key, int, default)
        if value is not None and value < least:
            raise UsageError(f"{self.at(key)} = {value} is too small; use {least} or more")
        return value
