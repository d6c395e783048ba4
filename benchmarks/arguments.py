"""What the user types, turned into Python values; every complaint is one line that names the mend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import torch as th

PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


class UsageError(Exception):
    """
    An argument cannot be used. The command line prints the message and exits with code 2.

    :param message: what is wrong and what to do; line breaks and runs of spaces become one space
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class BrokenCodeError(UsageError):
    """
    Code by others cannot be used because it fails, whatever it is given. Of a sweep an environment like that fails its
    own runs alone, where arguments that are refused stop all before anything is trained.
    """


def described(error: BaseException) -> str:
    """
    :param error: what was raised
    :return: its type and its message, for a message
    """
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def chosen_device(device: str) -> th.device:
    """
    :param device: a device that :func:`check_device` has passed
    :return: it; of ``"auto"`` a CUDA device where there is one, the CPU otherwise
    """
    return th.device(("cuda" if th.cuda.is_available() else "cpu") if device == "auto" else device)


def parse_kwargs(option: str, items: Sequence[str]) -> dict[str, Any]:
    """
    Read keyword arguments: ``key=value`` items, whose values are JSON or plain strings, and JSON objects.

    :param option: name of the option, for messages
    :param items: what the option was given, in order
    :return: the keyword arguments
    :raises UsageError: when an item is neither, a key is no identifier, or two items have the same key
    """
    kwargs: dict[str, Any] = {}
    for item in items:
        read = _read_object(option, item) if item.lstrip().startswith("{") else _read_pair(option, item)
        for key, value in read.items():
            if not key.isidentifier():
                raise UsageError(
                    f"{option} {item!r}: {key!r} is not an argument name; write key=value or a JSON object"
                )
            if key in kwargs:
                raise UsageError(f"{option}: {key!r} is given twice; keep one")
            kwargs[key] = value
    return kwargs


def _read_object(option: str, item: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(item)
    except json.JSONDecodeError as error:
        raise UsageError(f"{option} {item!r} is not valid JSON ({error}); or write key=value") from None
    return value


def _read_pair(option: str, item: str) -> dict[str, Any]:
    key, equals, text = item.partition("=")
    if not equals:
        raise UsageError(f"{option} {item!r} has no value; write {item}=VALUE, with a JSON value, or a JSON object")
    if text in PYTHON_WORDS:
        raise UsageError(f"{option} {item!r}: values are JSON; write {key}={PYTHON_WORDS[text]}")
    try:
        return {key: json.loads(text)}
    except json.JSONDecodeError:
        # A bare word is meant as a string; a broken list is not.
        if text[:1] in ("", "[", "{", '"'):
            raise UsageError(f"{option} {item!r}: {text!r} is not valid JSON; check brackets and quotes") from None
        return {key: text}


def check_name(option: str, name: str, known: Iterable[str], mend: str) -> str:
    """
    :param option: name of the option, for the message
    :param name: its value
    :param known: the values allowed
    :param mend: where the whole list is to be found, for the message
    :return: the name
    :raises UsageError: when it is unknown; the message has the nearest known names
    """
    names = list(known)
    if name in names:
        return name
    near = suggestions(name, names)
    hint = f"did you mean {' or '.join(near)}?" if near else mend
    raise UsageError(f"{option} {name!r} is unknown; {hint}")


def suggestions(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """
    :param name: a misspelt name
    :param known: correct names; of an environment id ``Space/Name-v0`` the part ``Name`` alone counts, too
    :param n: how many to return at most
    :return: the nearest ones, best first
    """
    spellings: dict[str, str] = {}
    for full in known:
        spellings.setdefault(full.lower(), full)
        spellings.setdefault(full.lower().rpartition("/")[2].rpartition("-v")[0] or full.lower(), full)
    near = get_close_matches(name.lower(), spellings, n=2 * n, cutoff=0.6)
    return list(dict.fromkeys(spellings[spelling] for spelling in near))[:n]


def check_device(device: str) -> str:
    """
    :param device: ``"auto"``, ``"cpu"``, ``"cuda"`` or another of PyTorch's device strings
    :return: the device
    :raises UsageError: when PyTorch does not know it, or there is none
    """
    if device == "auto":
        return device
    try:
        kind = th.device(device)
    except RuntimeError:
        raise UsageError(f"--device {device!r} is unknown; use auto, cpu or cuda") from None
    if kind.type == "cuda" and (kind.index or 0) >= th.cuda.device_count():
        raise UsageError(f"--device {device!r}: PyTorch finds {th.cuda.device_count()} CUDA devices; use auto or cpu")
    if kind.type not in ("cpu", "cuda"):
        try:
            th.zeros(1, device=kind).item()
        except (RuntimeError, NotImplementedError, AssertionError):
            raise UsageError(f"--device {device!r} cannot compute here; use auto, cpu or cuda") from None
    return device


def words(given: Sequence[str] | None) -> list[str]:
    """
    :param given: what an option was given that takes names one by one and in rows
    :return: the names, each once
    """
    return list(dict.fromkeys(name for row in given or [] for name in row.split(",") if name))


#: A longer range is a slip, and would fill the memory.
MOST_NUMBERS = 10_000


def numbers(option: str, given: Sequence[str] | None, least: int = 1) -> list[int]:
    """
    :param option: name of an option, for messages
    :param given: what it was given, numbers one by one and in rows, and ranges such as 0-4
    :param least: the smallest number allowed
    :return: the numbers, each once; none where the option was not given
    :raises UsageError: when one is no number, or too small, a range is empty, or none is given
    """
    found: list[int] = []
    for word in words(given):
        first, dash, last = word.partition("-")
        ends = [first, last if dash else first]
        # Python reads no number that is too long.
        if not all(end.isdecimal() and len(end) < 20 for end in ends) or int(first) < least:
            raise UsageError(f"{option} {word!r} is out of bounds; write whole numbers from {least} up, as 1,8 or 2-5")
        span = range(int(ends[0]), int(ends[1]) + 1)
        if len(span) > MOST_NUMBERS:
            raise UsageError(f"{option} {word!r} is too many; name {MOST_NUMBERS:,} at most")
        if not span:
            raise UsageError(f"{option} {word!r} has no number in it; write the smaller one first, as 2-5")
        found += span
    if given and not found:
        raise UsageError(
            f"{option} {','.join(given)!r} has no number in it; write whole numbers from {least} up, as 1,8"
        )
    return list(dict.fromkeys(found))
