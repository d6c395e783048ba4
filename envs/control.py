"""Gymnasium's classic control without velocities, ready to be registered."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.classic_control import AcrobotEnv, CartPoleEnv, Continuous_MountainCarEnv, PendulumEnv

from memory_agents.envs.velocity_mask import VELOCITIES, VelocityMask


def acrobot(**kwargs: Any) -> VelocityMask:
    """Return Acrobot without velocities.

    :param kwargs: Arguments of Gymnasium's environment.
    """
    return VelocityMask(AcrobotEnv(**kwargs), velocities=VELOCITIES["Acrobot-v1"])


def cart_pole(**kwargs: Any) -> VelocityMask:
    """Return CartPole without velocities.

    :param kwargs: Arguments of Gymnasium's environment.
    """
    return VelocityMask(CartPoleEnv(**kwargs), velocities=VELOCITIES["CartPole-v1"])


def mountain_car_continuous(**kwargs: Any) -> VelocityMask:
    """Return MountainCarContinuous without velocities.

    :param kwargs: Arguments of Gymnasium's environment.
    """
    return VelocityMask(Continuous_MountainCarEnv(**kwargs), velocities=VELOCITIES["MountainCarContinuous-v0"])


def pendulum(**kwargs: Any) -> VelocityMask:
    """Return Pendulum without velocities.

    :param kwargs: Arguments of Gymnasium's environment.
    """
    return VelocityMask(PendulumEnv(**kwargs), velocities=VELOCITIES["Pendulum-v1"])
