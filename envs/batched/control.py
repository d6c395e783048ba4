"""Many environments of classic control without velocities at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from memory_agents.envs import control
from memory_agents.envs.batched import physics
from memory_agents.envs.batched.batched_env import BatchedEnv, Copies
from memory_agents.envs.velocity_mask import VelocityMask


class BatchedControl(BatchedEnv):
    """Copies of an environment of Gymnasium's classic control, without velocities.

    Actions of real numbers are taken in single precision, which is that of their space.

    :param num_envs: Number of copies.
    :param max_episode_steps: Steps after which an episode is cut; None never cuts it.
    :param kwargs: Arguments of the single environment.
    """

    #: Makes a single one.
    maker: ClassVar[Callable[..., VelocityMask]]
    physics_class: ClassVar[type[physics.Physics]]

    env: VelocityMask
    episodes: physics.Beginnings

    def __init__(self, num_envs: int = 1, *, max_episode_steps: int | None = None, **kwargs: Any) -> None:
        super().__init__(num_envs, max_episode_steps=max_episode_steps, **kwargs)
        self._states = np.zeros((self.episodes.states.shape[1], num_envs))
        self._seen = np.zeros((num_envs, self.episodes.seen.shape[1]), np.float32)

    def _make(self, **kwargs: Any) -> VelocityMask:
        env = type(self).maker(**kwargs)
        self._physics = self.physics_class(env)
        return env

    def _draws(self) -> int:
        return self._physics.draws

    def _plan(self, uniforms: NDArray[np.float64]) -> physics.Beginnings:
        return self._physics.begin(uniforms)

    def _begin(self, which: NDArray[np.int64]) -> None:
        row = self.row[which]
        self._states[:, which] = self.episodes.states[row].T
        self._seen[which] = self.episodes.seen[row]

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        moved = self._physics.move(self._states, actions, self.elapsed == 1)
        self._states, self._seen = moved.states, moved.seen
        return moved.rewards, moved.terminated

    def _observe(self, which: Copies) -> NDArray[Any]:
        return self._seen[which].copy()

    def _check_actions(self, actions: NDArray[Any]) -> NDArray[Any]:
        if isinstance(self.single_action_space, gym.spaces.Discrete):
            return super()._check_actions(actions)
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, 1):
            raise ValueError(
                f"actions of shape {actions.shape} are not one number for each of {self.num_envs} environments."
            )
        return actions.astype(np.float32)


class BatchedAcrobot(BatchedControl):
    """Copies of Acrobot without velocities."""

    maker, physics_class = staticmethod(control.acrobot), physics.Acrobot


class BatchedCartPole(BatchedControl):
    """Copies of CartPole without velocities."""

    maker, physics_class = staticmethod(control.cart_pole), physics.CartPole


class BatchedMountainCarContinuous(BatchedControl):
    """Copies of MountainCarContinuous without velocities."""

    maker, physics_class = staticmethod(control.mountain_car_continuous), physics.MountainCarContinuous


class BatchedPendulum(BatchedControl):
    """Copies of Pendulum without velocities."""

    maker, physics_class = staticmethod(control.pendulum), physics.Pendulum
