"""The previous action and reward as part of the observation."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray


class PreviousActionReward(gym.Wrapper[dict[str, Any], Any, Any, Any], RecordConstructorArgs):
    """Shows with every observation the action before it and the reward for that action.

    Policies of this library, like those of Stable-Baselines3, see observations only. Where the meaning of a reward
    depends on the action that earned it, or an action cannot be read off what is seen next, a memory needs all three
    (Duan et al. 2016, "RL^2"; Wang et al. 2016, "Learning to reinforcement learn").

    Observation: a ``Dict`` of

    - ``observation``: what the environment inside shows. Where that is a ``Dict`` itself, its entries stand here in its
      place, under their own names;
    - ``previous_action``: a ``Box`` of one dimension and float32: one-hot for ``Discrete``, one one-hot after the other
      for ``MultiDiscrete``, zeros and ones for ``MultiBinary``, the numbers themselves for ``Box``. It is all zeros
      at the first step of an episode;
    - ``previous_reward``: a ``Box`` of one number of float32, 0 at the first step of an episode.

    Actions, Rewards, Ends: those of the environment inside.

    Anchors: ``memoryless_return`` of the environment inside no longer bounds what can be had without memory, because an
    action may now be a note to oneself.

    :param env: An environment.
    :raises ValueError: If its observations are a ``Dict`` with entries of these names, or its actions cannot be written
        as a list of numbers of fixed length.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        actions = spaces.flatten_space(env.action_space)
        if not isinstance(actions, spaces.Box):
            raise ValueError(
                f"env has actions in {env.action_space}, which PreviousActionReward cannot show: pass an environment "
                "whose actions are Discrete, MultiDiscrete, MultiBinary or Box."
            )
        # No action has been taken before the first step, so zeros must be among the bounds.
        low, high = np.minimum(actions.low, 0), np.maximum(actions.high, 0)
        # Rewards have no bounds that hold for all environments, and checkers dislike infinite ones.
        most = np.finfo(np.float32).max
        added: dict[str, spaces.Space[Any]] = {
            "previous_action": spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32),
            "previous_reward": spaces.Box(-most, most, (1,), np.float32),
        }
        seen = env.observation_space
        self._merge = isinstance(seen, spaces.Dict)
        entries: dict[str, spaces.Space[Any]] = dict(seen) if isinstance(seen, spaces.Dict) else {"observation": seen}
        for name in added:
            if name in entries:
                raise ValueError(
                    f"env has an entry {name!r} in its observations, which PreviousActionReward adds: "
                    "rename that entry, or leave the wrapper out if it stands around env already."
                )
        self.observation_space = spaces.Dict({**entries, **added})
        self._n_actions = low.size

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode, in which nothing has been done or earned yet.

        :param seed: Passed on.
        :param options: Passed on.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._join(observation, np.zeros(self._n_actions, np.float32), 0.0), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step, and show its action and its reward beside what is seen after it.

        :param action: Passed on.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        written = np.array(spaces.flatten(self.env.action_space, action), np.float32)
        return self._join(observation, written, float(reward)), reward, terminated, truncated, info

    def _join(self, observation: Any, action: NDArray[np.float32], reward: float) -> dict[str, Any]:
        entries = observation if self._merge else {"observation": observation}
        return {**entries, "previous_action": action, "previous_reward": np.array([reward], np.float32)}
