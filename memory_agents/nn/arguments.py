"""Checks of arguments: an error names the argument, its value and the mend."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeGuard


def is_integer(value: object) -> TypeGuard[int]:
    """
    :param value: an argument
    :return: whether it is an integer, NumPy's included, and no boolean
    """
    return not isinstance(value, bool) and isinstance(value, Integral)


def check_integers(*, least: int = 1, **values: object) -> None:
    """
    :param least: the smallest that will do
    :param values: arguments by name
    :raises ValueError: when one is not an integer, or too small
    """
    kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
    for name, value in values.items():
        if not is_integer(value) or value < least:
            raise ValueError(f"{name} must be {kind}, got {value!r}")


def check_flags(**values: object) -> None:
    """
    :param values: arguments by name
    :raises ValueError: when one is not a boolean; any text, ``"no"`` too, would count as true
    """
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")


def keywords(*called: Callable[..., Any]) -> list[str] | None:
    """
    :param called: classes or functions, each of which hands on to the next what it does not know itself
    :return: the arguments that they take by name alone, ``None`` where the last one takes any
    """
    signatures = [list(inspect.signature(each).parameters.values()) for each in called]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signatures[-1]):
        return None
    return [parameter.name for part in signatures for parameter in part if parameter.kind is parameter.KEYWORD_ONLY]


def check_known(given: str, names: Iterable[str], whose: str, known: Sequence[str] | None) -> None:
    """
    :param given: what has the names, as an error calls it
    :param names: of arguments
    :param whose: who takes them, as an error calls it
    :param known: those that it takes, ``None`` for any
    :raises TypeError: when it does not take one of them
    """
    for name in names:
        if known is not None and name not in known:
            raise TypeError(f"{given} has {name!r}, which {whose} does not know; known: {', '.join(known) or 'none'}")


def is_finite(value: object) -> TypeGuard[float]:
    """
    :param value: an argument
    :return: whether it is a finite number, and no boolean
    """
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def check_dropout(dropout: object) -> None:
    """
    :param dropout: an argument
    :raises ValueError: when it is no probability below 1
    """
    if not is_finite(dropout) or not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout is {dropout!r}; give a probability, at least 0 and below 1")


def initial_bias(name: str, bias: float | None, default: float) -> float:
    """
    :param name: of the argument
    :param bias: its value, None for the default
    :param default: what None stands for
    :return: the bias
    :raises ValueError: when it is not a finite number
    """
    if bias is None:
        return default
    if not is_finite(bias):
        raise ValueError(f"{name} is {bias!r}; give a finite number, or None for the default, {default:g}")
    return float(bias)
