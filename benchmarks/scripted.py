"""Players who follow a script: the best there is, and none at all. They learn nothing; scores are measured by them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback

from memory_agents.envs import MemoryEnv


class ScriptedPolicy(BasePolicy):
    """
    :param observation_space: observation space
    :param action_space: action space
    :param env: environment id
    :param env_kwargs: its keyword arguments
    :param seed: seed of what is drawn
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        env: str,
        env_kwargs: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__(observation_space, action_space)
        self.env_id, self.env_kwargs, self.seed = env, env_kwargs, seed

    def _predict(self, observation: Any, deterministic: bool = False) -> Any:
        raise NotImplementedError("scripted players play by predict(), which has their state")

    def _is_batch(self, observation: Any) -> bool:
        """Whether there is one observation per environment, or one alone."""
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            name, space = next(iter(space.spaces.items()))
            observation = observation[name]
        # Shapes do not tell: images may come with their channels last.
        return bool(np.ndim(observation) > len(space.shape or ()))


class RandomPolicy(ScriptedPolicy):
    """Uniformly random actions."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """
        :param observation: observations, of which nothing but the number counts
        :param state: the action space that the last actions were drawn from; None: a newly seeded one
        :param episode_start: not used
        :param deterministic: not used: the seed alone decides
        :return: actions, and the action space
        """
        space = state
        if space is None:
            space = copy.deepcopy(self.action_space)
            space.seed(self.seed)
        if not self._is_batch(observation):
            return space.sample(), space
        return np.stack([space.sample() for _ in range(_batch_size(observation))]), space


class OraclePolicy(ScriptedPolicy):
    """
    The environment's own oracle.

    :param args: those of the parent
    :param kwargs: those of the parent
    :raises ValueError: when the environment has none
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not isinstance(self._make_env(), MemoryEnv):
            raise ValueError(f"{self.env_id} has no oracle; the environments with known returns have one")

    def _make_env(self) -> gym.Env[Any, Any]:
        return gym.make(self.env_id, **self.env_kwargs).unwrapped

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[Any, Any]:
        """
        :param observation: observations
        :param state: the oracles that have seen the earlier ones, one for each environment; None: new ones
        :param episode_start: which episodes begin
        :param deterministic: not used
        :return: actions, and the oracles
        """
        is_batch = self._is_batch(observation)
        n_envs = _batch_size(observation) if is_batch else 1
        if state is None:
            env = self._make_env()
            assert isinstance(env, MemoryEnv)
            state, episode_start = tuple(env.oracle() for _ in range(n_envs)), np.ones(n_envs, np.bool_)
        begins = np.zeros(n_envs, np.bool_) if episode_start is None else np.ravel(episode_start)
        actions = []
        for i, oracle in enumerate(state):
            if begins[i]:
                oracle.reset()
            actions.append(oracle.act(_of_env(observation, i) if is_batch else observation))
        return np.asarray(actions) if is_batch else actions[0], state


def _batch_size(observation: Any) -> int:
    return len(next(iter(observation.values())) if isinstance(observation, dict) else observation)


def _of_env(observation: Any, index: int) -> Any:
    return {k: v[index] for k, v in observation.items()} if isinstance(observation, dict) else observation[index]


class Scripted(BaseAlgorithm):
    """
    A player who follows a script, with the interface of an algorithm.

    :param policy: ``"Oracle"`` or ``"Random"``
    :param env: environments
    :param policy_kwargs: ``env``, ``env_kwargs`` and ``seed`` of a :class:`ScriptedPolicy`
    :param kwargs: further arguments of the parent class
    :raises ValueError: when the environment has no oracle
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"Oracle": OraclePolicy, "Random": RandomPolicy}

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: GymEnv | str | None,
        policy_kwargs: dict[str, Any] | None = None,
        *,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, 0.0, policy_kwargs, support_multi_env=True, **kwargs)
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self.set_random_seed(self.seed)
        self.policy = self.policy_class(self.observation_space, self.action_space, **self.policy_kwargs)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy"], []

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 100,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Scripted:
        """
        Learn nothing.

        :param total_timesteps: not used
        :param callback: not used
        :param log_interval: not used
        :param tb_log_name: not used
        :param reset_num_timesteps: not used
        :param progress_bar: not used
        :return: the player
        """
        return self
