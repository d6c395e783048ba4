"""Classic control without velocities, which have to be told from how positions change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from memory_agents.envs.arguments import check_integer

#: Where the velocities stand in the observations of Gymnasium's environments.
VELOCITIES: dict[str, tuple[int, ...]] = {
    "Acrobot-v1": (4, 5),
    "CartPole-v1": (1, 3),
    "MountainCar-v0": (1,),
    "MountainCarContinuous-v0": (1,),
    "Pendulum-v1": (2,),
}


class VelocityMask(
    gym.ObservationWrapper[NDArray[Any], Any, NDArray[Any]],
    RecordConstructorArgs,
):
    """Removes the velocities from the observation, so that one frame no longer tells the state.

    Task: that of the environment inside. What moves, and how fast, has to be remembered from earlier positions. This
    makes four registered environments: ``MemoryAgents/AcrobotNoVelocity-v0``, ``MemoryAgents/CartPoleNoVelocity-v0``,
    ``MemoryAgents/MountainCarContinuousNoVelocity-v0`` and ``MemoryAgents/PendulumNoVelocity-v0``. They were used to
    test recurrent agents as early as Wierstra et al. 2007 ("Solving Deep Memory POMDPs with Recurrent Policy
    Gradients").

    Observation: a ``Box`` with the velocities left out; it is smaller than the one inside, and the order of the other
    entries stays. What is left:

    - Acrobot: cosine and sine of the first angle, cosine and sine of the second;
    - CartPole: position of the cart, angle of the pole;
    - MountainCar and MountainCarContinuous: position of the car;
    - Pendulum: cosine and sine of the angle.

    Actions, Rewards, Ends: those of the environment inside.

    Anchors: none are known; returns are compared as they are.

    :param env: An environment with observations in a ``Box`` of one dimension.
    :param velocities: Which entries of the observation to remove. None looks them up by the id of the environment, for
        Acrobot-v1, CartPole-v1, MountainCar-v0, MountainCarContinuous-v0 and Pendulum-v1.
    :raises ValueError: If the observations are of another kind, ``velocities`` is None for an environment that is not
        listed here, or it names entries that there are not, the same one twice, none or all of them.
    """

    def __init__(self, env: gym.Env[NDArray[Any], Any], *, velocities: Sequence[int] | None = None) -> None:
        # As JSON gives it back.
        recorded = list(velocities) if isinstance(velocities, Iterable) else velocities
        RecordConstructorArgs.__init__(self, velocities=recorded)
        gym.ObservationWrapper.__init__(self, env)
        space = env.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise ValueError(
                f"env has observations in {space}, of which VelocityMask cannot remove entries: "
                "pass an environment with a Box of one dimension, or put FlattenObservation of Gymnasium around it."
            )
        hidden = self._listed(env) if velocities is None else velocities
        if not isinstance(hidden, Iterable):
            raise ValueError(f"velocities={hidden!r} is no list of entries: pass one, such as velocities=[1, 3].")
        removed = [check_integer(f"velocities[{i}]", entry, 0, space.shape[0] - 1) for i, entry in enumerate(hidden)]
        if not 0 < len(set(removed)) == len(removed) < space.shape[0]:
            raise ValueError(
                f"velocities={hidden!r} must remove some entries but not all, each once: "
                f"pass different integers from 0 to {space.shape[0] - 1}, at most {space.shape[0] - 1} of them."
            )
        self._kept = np.setdiff1d(np.arange(space.shape[0]), removed)
        self.observation_space = spaces.Box(space.low[self._kept], space.high[self._kept], dtype=space.dtype.type)

    @staticmethod
    def _listed(env: gym.Env[Any, Any]) -> tuple[int, ...]:
        env_id = None if env.spec is None else env.spec.id
        if env_id not in VELOCITIES:
            raise ValueError(
                f"velocities=None is possible for {', '.join(VELOCITIES)} only, and env is {env_id or type(env)}: "
                "pass the entries of its observation to remove, such as velocities=[1, 3]."
            )
        return VELOCITIES[env_id]

    def observation(self, observation: NDArray[Any]) -> NDArray[Any]:
        """Return a new array with what is left of an observation.

        :param observation: An observation of the environment inside.
        """
        return observation[self._kept]
