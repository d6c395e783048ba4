"""The previous action and reward as part of the observation."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray


class PreviousStep:
    """
    What was done and earned in the step before, as entries of an observation: what :class:`PreviousActionReward` shows
    of one environment, and ``VecPreviousActionReward`` of many.

    :param observation_space: what an environment shows
    :param action_space: its actions
    :param previous_action: whether to show the action
    :param previous_reward: whether to show the reward
    :raises ValueError: when neither is to be shown, a flag is none, observations are a ``Dict`` with entries of these
        names, or actions cannot be written as a list of numbers of fixed length
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        previous_action: bool = True,
        previous_reward: bool = True,
    ) -> None:
        for name, flag in dict(previous_action=previous_action, previous_reward=previous_reward).items():
            if not isinstance(flag, bool):
                raise ValueError(f"{name} must be True or False, got {flag!r}")
        if not previous_action and not previous_reward:
            raise ValueError(
                "previous_action=False and previous_reward=False leave nothing to show: set one of them, or leave the "
                "wrapper out."
            )
        written = spaces.flatten_space(action_space)
        if not isinstance(written, spaces.Box):
            raise ValueError(
                f"env has actions in {action_space}, which PreviousActionReward cannot show: pass an environment "
                "whose actions are Discrete, MultiDiscrete, MultiBinary or Box."
            )
        # No action has been taken before the first step, so zeros must be among the bounds.
        low, high = np.minimum(written.low, 0), np.maximum(written.high, 0)
        # Rewards have no bounds that hold for all environments, and checkers dislike infinite ones.
        most = np.finfo(np.float32).max
        added: dict[str, spaces.Space[Any]] = {}
        if previous_action:
            added["previous_action"] = spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
        if previous_reward:
            added["previous_reward"] = spaces.Box(-most, most, (1,), np.float32)
        #: whether the entries join those of a dictionary
        self.merges = isinstance(observation_space, spaces.Dict)
        entries: dict[str, spaces.Space[Any]] = (
            dict(observation_space)
            if isinstance(observation_space, spaces.Dict)
            else {"observation": observation_space}
        )
        for name in added:
            if name in entries:
                raise ValueError(
                    f"env has an entry {name!r} in its observations, which PreviousActionReward adds: "
                    "rename that entry, or leave the wrapper out if it stands around env already."
                )
        #: what is shown with them
        self.observation_space = spaces.Dict({**entries, **added})
        self.action_space = action_space
        self._names = list(added)
        self._n_actions = low.size

    def join(self, observation: Any, added: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
        """
        :param observation: of one environment or of many
        :param added: what :meth:`nothing` or :meth:`written` returned for them
        :return: both in one dictionary
        """
        return {**(observation if self.merges else {"observation": observation}), **added}

    def nothing(self, n_envs: int) -> dict[str, NDArray[np.float32]]:
        """
        :param n_envs: number of environments
        :return: entries of the first step of an episode: zeros, (n_envs, ...) each
        """
        widths = dict(previous_action=self._n_actions, previous_reward=1)
        return {name: np.zeros((n_envs, widths[name]), np.float32) for name in self._names}

    def written(self, actions: Any, rewards: Any) -> dict[str, NDArray[np.float32]]:
        """
        :param actions: of many environments, (n_envs, ...)
        :param rewards: for these actions, (n_envs,)
        :return: the entries of the next step, (n_envs, ...) each, fresh arrays
        """
        entries = {}
        if "previous_action" in self._names:
            entries["previous_action"] = written_actions(self.action_space, actions)
        if "previous_reward" in self._names:
            entries["previous_reward"] = np.array(rewards, np.float32).reshape(-1, 1)
        return entries


def written_actions(space: spaces.Space[Any], actions: Any) -> NDArray[np.float32]:
    """
    :param space: action space
    :param actions: actions of many environments, (n_envs, ...)
    :return: each as a row of numbers, as ``gymnasium.spaces.flatten`` writes it, (n_envs, numbers)
    """
    n_envs = len(actions)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        n_choices = np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec).astype(np.int64)
        chosen = np.asarray(actions).reshape(n_envs, -1).astype(np.int64) - np.ravel(space.start)
        written = np.zeros((n_envs, n_choices.sum()), np.float32)
        np.put_along_axis(written, np.cumsum(n_choices) - n_choices + chosen, 1, axis=1)
        return written
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return np.array(actions, np.float32).reshape(n_envs, -1)
    return np.stack([np.asarray(spaces.flatten(space, action), np.float32) for action in actions])


class PreviousActionReward(gym.Wrapper[dict[str, Any], Any, Any, Any], RecordConstructorArgs):
    """Shows with every observation the action before it and the reward for that action.

    Policies of this library, like those of Stable-Baselines3, see observations only. Where the meaning of a reward
    depends on the action that earned it, or an action cannot be read off what is seen next, a memory needs all three
    (Duan et al. 2016, "RL^2"; Wang et al. 2016, "Learning to reinforcement learn"). ``VecPreviousActionReward`` does
    the same for environments that are vectorised already.

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
    :param previous_action: Whether to show the action.
    :param previous_reward: Whether to show the reward.
    :raises ValueError: If neither is to be shown, its observations are a ``Dict`` with entries of these names, or its
        actions cannot be written as a list of numbers of fixed length.
    """

    def __init__(self, env: gym.Env[Any, Any], *, previous_action: bool = True, previous_reward: bool = True) -> None:
        flags = dict(previous_action=previous_action, previous_reward=previous_reward)
        RecordConstructorArgs.__init__(self, **flags)
        gym.Wrapper.__init__(self, env)
        self._previous = PreviousStep(env.observation_space, env.action_space, **flags)
        self.observation_space = self._previous.observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode, in which nothing has been done or earned yet.

        :param seed: Passed on.
        :param options: Passed on.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        return self._join(observation, self._previous.nothing(1)), info

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step, and show its action and its reward beside what is seen after it.

        :param action: Passed on.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        written = self._previous.written([action], [float(reward)])
        return self._join(observation, written), reward, terminated, truncated, info

    def _join(self, observation: Any, added: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
        return self._previous.join(observation, {name: rows[0] for name, rows in added.items()})
