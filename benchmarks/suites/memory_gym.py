"""
Memory Gym (Pleines et al. 2023, ICLR; arXiv 2309.17207): Mortar Mayhem, Mystery Path and Searing Spotlights, seen as
images of 84 x 84 pixels, some as endless tasks.

Its package demands versions of Gymnasium and pygame that are too old, but runs with new ones. pip cannot express that
as an extra: install it with ``--no-deps``, and pygame-ce beside it. Observations and actions are kept as they are.
Success is what the environment itself calls so; the endless tasks have none.
"""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym

from memory_agents.benchmarks.suites.suite import Suite
from memory_agents.benchmarks.suites.wrappers import Wrapper


class SuccessByInfo(Wrapper):
    """
    Put ``is_success`` into the info of an episode's last step, from the environment's own ``success``.

    :param env: an environment with an end
    """

    reports_success = True

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: what the environment returns, the info completed
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            info = {**info, "is_success": bool(info.get("success", False))}
        return observation, reward, terminated, truncated, info


def adapt(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """
    :param env: one of Memory Gym's
    :return: it, telling whether it was solved, where it can be solved
    """
    assert env.spec is not None
    return env if env.spec.id.startswith("Endless-") else SuccessByInfo(env)


def prepare() -> None:
    """It opens a sound device at every start, which a server does not have."""
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")


SUITE = Suite(
    package="memory_gym",
    distribution="memory-gym",
    install="pip install pygame-ce && pip install --no-deps memory-gym",
    prefixes=tuple(
        f"{kind}{task}" for kind in ("", "Endless-") for task in ("MortarMayhem", "MysteryPath", "SearingSpotlights")
    ),
    example="MysteryPath-Grid-v0",
    adapt=adapt,
    prepare=prepare,
)
