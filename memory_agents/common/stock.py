"""The algorithms by others that memory is given to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy


def stock_algorithm(algorithm: type[BaseAlgorithm]) -> tuple[str, str]:
    """
    :param algorithm: an algorithm with memory
    :return: package and name of the algorithm that memory was given to
    """
    packages = ("stable_baselines3", "sb3_contrib")
    stock = next(base for base in algorithm.__mro__ if base.__module__.split(".")[0] in packages)
    return stock.__module__.split(".")[0], stock.__name__


def check_policy_name(algorithm: type[BaseAlgorithm], policy: object) -> None:
    """
    :param algorithm: an algorithm with memory
    :param policy: name of a policy, or a class, which is not looked at
    :raises TypeError: when it is neither
    :raises ValueError: when the name is not known
    """
    if not isinstance(policy, str | type):
        raise TypeError(
            f"policy is {policy!r}; pass a name, such as {next(iter(algorithm.policy_aliases))!r}, or a class"
        )
    if isinstance(policy, str) and policy not in algorithm.policy_aliases:
        raise ValueError(
            f"policy={policy!r} is not known here; use one of {', '.join(algorithm.policy_aliases)}. "
            f"Policies without memory belong to {'.'.join(stock_algorithm(algorithm))}"
        )


def check_policy_kwargs(policy_kwargs: object, others: Mapping[str, Any]) -> None:
    """
    :param policy_kwargs: arguments of the policy
    :param others: arguments of the algorithm that it hands on
    :raises TypeError: when an argument of the policy is among the others
    :raises ValueError: when ``policy_kwargs`` is no dictionary
    """
    if policy_kwargs is not None and not isinstance(policy_kwargs, Mapping):
        raise ValueError(f"policy_kwargs is {policy_kwargs!r}; give a dictionary, as dict(memory_class='lstm')")
    for name in ("memory_class", "memory_kwargs"):
        if name in others:
            raise TypeError(
                f"{name}={others[name]!r} is an argument of the policy; "
                f"pass policy_kwargs=dict({name}={others[name]!r})"
            )


def check_policy_class(
    algorithm: type[BaseAlgorithm], policy: type[BasePolicy], mine: type[BasePolicy], others: tuple[type, ...]
) -> None:
    """
    :param algorithm: an algorithm with memory
    :param policy: class of its policy
    :param mine: what that has to be derived from
    :param others: policies with memory of all algorithms
    :raises TypeError: when it is not
    """
    name = policy.__name__
    if issubclass(policy, mine):
        return
    if issubclass(policy, others):
        package = algorithm.policy_aliases["MemoryPolicy"].__module__.rpartition(".")[0]
        raise TypeError(
            f"policy={name} is a policy of another algorithm; pass policy={name!r} as a string, or the class from "
            f"{package}"
        )
    package, stock = stock_algorithm(algorithm)
    raise TypeError(
        f"policy={name} has no memory; use {package}'s own {stock} for it, "
        f"or one of {', '.join(algorithm.policy_aliases)} here"
    )
