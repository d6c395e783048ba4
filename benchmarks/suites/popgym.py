"""
POPGym (Morad et al. 2023, arXiv 2303.01859): partially observable games and control tasks in three sizes each.

Returns of all of them lie between -1 and 1. Observations are what POPGym's own results were made with: the
environment's own, the previous action, and whether the episode begins, here as one flat array. So a policy without
memory can pass one action on to the next step, here as there.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym

from memory_agents.benchmarks.suites.suite import Suite
from memory_agents.benchmarks.suites.wrappers import PreviousAction, Wrapper


class FreshInfo(Wrapper):
    """
    A new info at every step. Some environments hand out the same arrays again and again and change them later.

    :param env: the environment
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        :param seed: passed on
        :param options: passed on
        :return: the first observation, and the info copied
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, copy.deepcopy(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: what the environment returns, the info copied
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, copy.deepcopy(info)


def adapt(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """
    :param env: one of POPGym's
    :return: it with flat observations
    """
    return PreviousAction(FreshInfo(env))


SUITE = Suite(
    package="popgym",
    distribution="popgym",
    install="pip install 'memory_agents[popgym]'",
    prefixes=("popgym-",),
    example="popgym-RepeatPreviousEasy-v0",
    adapt=adapt,
)
