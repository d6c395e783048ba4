"""Histories, previous actions and previous rewards as observations of vectorised environments."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from memory_agents.wrappers import HistoryRing, HistorySpace, PreviousStep


class VecPreviousActionReward(VecEnvWrapper):
    """
    :class:`~memory_agents.wrappers.PreviousActionReward` for environments that are vectorised already. Both are zero
    where an episode starts; the ``terminal_observation`` of an episode comes with its last action and reward.

    The reward shown is the one that comes from inside: around ``VecNormalize`` a normalised one, inside it a raw one,
    which ``VecNormalize`` may normalise as any other observation. Off-policy algorithms keep what ``VecNormalize`` is
    given, so for them it goes around: ``VecNormalize(VecPreviousActionReward(venv), norm_obs_keys=["observation"])``.

    :param venv: vectorised environments
    :param previous_action: whether to show the action
    :param previous_reward: whether to show the reward
    :raises TypeError: when ``venv`` is not vectorised
    :raises ValueError: as :class:`~memory_agents.wrappers.PreviousStep`
    """

    def __init__(self, venv: VecEnv, *, previous_action: bool = True, previous_reward: bool = True) -> None:
        _check_vectorised(venv, "PreviousActionReward")
        self._previous = PreviousStep(
            venv.observation_space,
            venv.action_space,
            previous_action=previous_action,
            previous_reward=previous_reward,
        )
        super().__init__(venv, observation_space=self._previous.observation_space)
        self._actions: np.ndarray = np.zeros(0)

    def reset(self) -> VecEnvObs:
        """
        :return: first observations, beside which nothing has been done or earned yet
        """
        return self._previous.join(self.venv.reset(), self._previous.nothing(self.num_envs))

    def step_async(self, actions: np.ndarray) -> None:
        """
        :param actions: actions, (n_envs, ...)
        """
        self._actions = actions
        super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: what the environments return, observations beside the action and the reward before them
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        added = self._previous.written(self._actions, rewards)
        for env in np.flatnonzero(dones):
            if infos[env].get("terminal_observation") is not None:
                last = {name: rows[env].copy() for name, rows in added.items()}
                infos[env]["terminal_observation"] = self._previous.join(infos[env]["terminal_observation"], last)
        for rows in added.values():
            # Numbers would be taken for indices.
            rows[np.asarray(dones, dtype=bool)] = 0
        return self._previous.join(observations, added), rewards, dones, infos


class VecHistory(VecEnvWrapper):
    """
    :class:`~memory_agents.wrappers.HistoryWrapper` for environments that are vectorised already. The
    ``terminal_observation`` of an episode becomes the history that ends with it.

    On-policy algorithms may have ``VecNormalize`` inside. Off-policy ones store what ``VecNormalize`` is given, so for
    them :class:`~memory_agents.common.VecNormalizeHistory` goes around the histories.

    :param venv: vectorised environments
    :param history_length: observations in a history, H
    :param previous_action: show with each of them the action before it, as :class:`VecPreviousActionReward` does
    :param previous_reward: show with each of them the reward before it, likewise
    :raises TypeError: when ``venv`` is not vectorised
    :raises ValueError: when histories cannot hold its observations, or the length is no positive integer
    """

    def __init__(
        self, venv: VecEnv, history_length: int, *, previous_action: bool = False, previous_reward: bool = False
    ) -> None:
        _check_vectorised(venv, "HistoryWrapper")
        if previous_action or previous_reward:
            flags = dict(previous_action=previous_action, previous_reward=previous_reward)
            venv = VecPreviousActionReward(venv, **flags)
        space = HistorySpace(venv.observation_space, history_length)
        super().__init__(venv, observation_space=space)
        self._ring = HistoryRing(space, venv.num_envs)

    def reset(self) -> VecEnvObs:
        """
        :return: histories of one observation each
        """
        return self._ring.add(self.venv.reset(), np.ones(self.num_envs, dtype=bool))

    def step_wait(self) -> VecEnvStepReturn:
        """
        :return: what the environments return, observations with those before them
        """
        observations, rewards, dones, infos = self.venv.step_wait()
        ended = [env for env in np.flatnonzero(dones) if infos[env].get("terminal_observation") is not None]
        if ended:
            last = _stack([infos[env]["terminal_observation"] for env in ended])
            histories = self._ring.ended(last, np.array(ended))
            for number, env in enumerate(ended):
                # Copies: a row of a batch would keep the whole batch alive.
                mine = {name: np.array(rows[number]) for name, rows in histories.items()}
                infos[env]["terminal_observation"] = mine
        return self._ring.add(observations, np.asarray(dones, dtype=bool)), rewards, dones, infos


def _stack(observations: list[Any]) -> Any:
    """
    :param observations: of one environment each
    :return: one batch
    """
    if isinstance(observations[0], dict):
        return {name: np.stack([observation[name] for observation in observations]) for name in observations[0]}
    return np.stack(observations)


def _check_vectorised(venv: Any, instead: str) -> None:
    if not isinstance(venv, VecEnv):
        raise TypeError(f"venv={venv!r} is not vectorised; put {instead} around a single environment")
