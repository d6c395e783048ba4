"""Policies, algorithms, memories and environments of the user's own, by ``module:name``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from memory_agents.benchmarks.arguments import BrokenCodeError, UsageError, described, suggestions


def import_from_here(asked: str, module: str) -> ModuleType:
    """
    :param asked: what it is needed for, for messages
    :param module: name of a module that is installed, or lies in the folder one stands in
    :return: the module
    :raises UsageError: when there is none, or a path stands in its place
    :raises BrokenCodeError: when it raises, or wants to exit, while it is imported
    """
    if "/" in module or module.startswith(".") or module.endswith(".py"):
        raise UsageError(f"{asked}: {module!r} is a path; write the module's name alone, and stand in its folder")
    # A console script, unlike `python -m`, does not look there. Last, so that no installed module is hidden.
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        return import_module(module)
    # Whatever the module does while it is imported, the user wants to know in a line.
    except (Exception, SystemExit) as error:
        what = f"{asked}: {module!r} cannot be imported ({described(error)})"
        # A module that is there may lack another one; its own name, or the beginning of that, is what was misspelt.
        missing = str(error.name) if isinstance(error, ModuleNotFoundError) else None
        if not module or (missing is not None and f"{module}.".startswith(f"{missing}.")):
            raise UsageError(f"{what}; stand in its folder, or install it") from error
        raise BrokenCodeError(f"{what}; mend it there") from error


def load_policy(option: str, dotted: str) -> type[BasePolicy]:
    """
    :param option: name of the option, for messages
    :param dotted: ``module:Class``
    :return: the policy's class
    :raises UsageError: when it cannot be imported, or is no policy of Stable-Baselines3
    """
    found: type[BasePolicy] = load_class(option, dotted, BasePolicy)
    return found


def load_algorithm(option: str, dotted: str) -> type[BaseAlgorithm]:
    """
    :param option: name of the option, for messages
    :param dotted: ``module:Class``
    :return: the algorithm's class
    :raises UsageError: when it cannot be imported, or is no algorithm of Stable-Baselines3
    """
    found: type[BaseAlgorithm] = load_class(option, dotted, BaseAlgorithm)
    return found


def load_class(option: str, dotted: str, *bases: Any) -> Any:
    """
    :param option: name of the option, for messages
    :param dotted: ``module:Class``
    :param bases: classes, of which it must be derived from one
    :return: the class
    :raises UsageError: when it cannot be imported, or is no such class
    """
    module_name, _, name = dotted.rpartition(":")
    module = import_from_here(f"{option} {dotted!r}", module_name)
    classes = {
        key: value for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, bases)
    }
    if name in classes:
        return classes[name]
    near = suggestions(name, classes) or [key for key, value in classes.items() if value.__module__ == module_name]
    hint = f"use {' or '.join(f'{module_name}:{each}' for each in near)}" if near else "derive it from one"
    wanted = " or ".join(base.__name__ for base in bases)
    raise UsageError(f"{option} {dotted!r} is no subclass of {wanted}; {hint}")
