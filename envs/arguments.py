"""Checks of constructor arguments: every complaint names the argument, its value and the mend."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from numbers import Real
from operator import index
from typing import SupportsIndex

# A length that is fixed, or drawn anew from an inclusive range.
Span = SupportsIndex | Sequence[int]


def check_flag(name: str, value: object) -> bool:
    """Return ``value`` if it is a boolean.

    :param name: The argument's name, for the message.
    :param value: The argument's value.
    :raises ValueError: If it is anything but True or False.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r} is not a boolean: pass True or False.")
    return value


def check_integer(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return ``value`` as a plain integer within ``[low, high]``.

    :param name: The argument's name, for the message.
    :param value: The argument's value; NumPy integers are welcome, booleans are not.
    :param low: The smallest integer allowed.
    :param high: The largest integer allowed; None sets no limit.
    :raises ValueError: If it is no integer or outside the bounds.
    """
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{name}={value!r} is not an integer: pass an integer {bounds}.")
    try:
        number = index(value)
    except TypeError:
        # Arrays and tensors all have the method, but only those of one integer can use it.
        raise ValueError(f"{name}={value!r} is not an integer: pass an integer {bounds}.") from None
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name}={value!r} is out of bounds: pass an integer {bounds}.")
    return number


def check_span(name: str, value: object, low: int) -> tuple[int, int]:
    """Return ``value``, an integer or a pair ``(low, high)``, as an inclusive range.

    :param name: The argument's name, for the message.
    :param value: The argument's value.
    :param low: The smallest integer allowed in it.
    :raises ValueError: If it is neither, out of bounds, or upside down.
    """
    if isinstance(value, SupportsIndex):
        fixed = check_integer(name, value, low)
        return fixed, fixed
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"{name}={value!r} is not a length: pass an integer or a pair (low, high).")
    first, last = (check_integer(f"{name}[{i}]", number, low) for i, number in enumerate(value))
    if first > last:
        raise ValueError(f"{name}={value!r} is an empty range: pass (low, high) with low <= high.")
    return first, last


def check_option(name: str, value: object, options: Collection[str]) -> str:
    """Return ``value`` if it is one of ``options``.

    :param name: The argument's name, for the message.
    :param value: The argument's value.
    :param options: The values allowed.
    :raises ValueError: If it is not among them.
    """
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}={value!r} is unknown: pass one of {', '.join(map(repr, options))}.")
    return value


def check_probability(name: str, value: object, *, positive: bool = False) -> float:
    """Return ``value`` as a plain number from 0 to 1.

    :param name: The argument's name, for the message.
    :param value: The argument's value.
    :param positive: Whether 0 is out of bounds.
    :raises ValueError: If it is no number or outside the bounds.
    """
    bounds = "above 0 and at most 1" if positive else "from 0 to 1"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name}={value!r} is not a probability: pass a number {bounds}.")
    probability = float(value)
    if not 0.0 <= probability <= 1.0 or (positive and probability == 0.0):
        raise ValueError(f"{name}={value!r} is out of bounds: pass a number {bounds}.")
    return probability
