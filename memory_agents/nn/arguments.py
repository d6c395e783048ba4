"""Checks of arguments: an error names the argument, its value and the mend."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard


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
