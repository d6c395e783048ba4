"""The algorithms by others that memory is given to."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm


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
    :raises ValueError: when the name is not known
    """
    if isinstance(policy, str) and policy not in algorithm.policy_aliases:
        raise ValueError(
            f"policy={policy!r} is not known here; use one of {', '.join(algorithm.policy_aliases)}. "
            f"Policies without memory belong to {'.'.join(stock_algorithm(algorithm))}"
        )
