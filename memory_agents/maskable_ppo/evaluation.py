"""Evaluation with masks and memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from sb3_contrib import MaskablePPO as StockMaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy as evaluate_with_state
from stable_baselines3.common.vec_env import VecEnv


class MaskedPlayer:
    """
    A model that asks its environments which actions are valid whenever it acts, so that whoever knows nothing of masks
    can play with it. Everything else of the model is there, too.

    :param model: an algorithm that predicts with masks, with memory or without
    :param env: the environments that it acts in
    :raises ValueError: when they do not tell which actions are valid
    """

    def __init__(self, model: StockMaskablePPO, env: gym.Env[Any, Any] | VecEnv) -> None:
        if not is_masking_supported(env):
            raise ValueError(
                "env has no method action_masks(); add one, put ActionMasker of sb3_contrib.common.wrappers around "
                "each environment, or pass use_masking=False"
            )
        self.model = model
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """
        :param observation: observations of the environments
        :param args: further arguments of the model's ``predict``, but the masks
        :param kwargs: the same by name
        :return: valid actions, and the state to pass to the next call
        """
        kwargs["action_masks"] = get_action_masks(self.env)
        return self.model.predict(observation, *args, **kwargs)


def evaluate_policy(
    model: StockMaskablePPO,
    env: gym.Env[Any, Any] | VecEnv,
    n_eval_episodes: int = 10,
    deterministic: bool = True,
    render: bool = False,
    callback: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
    reward_threshold: float | None = None,
    return_episode_rewards: bool = False,
    warn: bool = True,
    use_masking: bool = True,
) -> tuple[float, float] | tuple[list[float], list[int]]:
    """
    In place of sb3-contrib's function of that name, which hands its model no state from the second step on. It is that
    of Stable-Baselines3, with masks.

    :param model: the agent
    :param env: environments that tell which actions are valid
    :param n_eval_episodes: episodes to play
    :param deterministic: most likely actions in place of sampled ones
    :param render: whether to render
    :param callback: called after every step with local and global variables
    :param reward_threshold: the mean return that must be exceeded
    :param return_episode_rewards: whether to return every episode's return and length in place of mean and deviation
    :param warn: whether to warn of environments without a monitor
    :param use_masking: whether invalid actions are masked
    :return: mean and standard deviation of the return, or all returns and lengths
    :raises ValueError: when the environments do not tell which actions are valid
    """
    player: Any = MaskedPlayer(model, env) if use_masking else model
    return evaluate_with_state(
        player,
        env,
        n_eval_episodes,
        deterministic=deterministic,
        render=render,
        callback=callback,
        reward_threshold=reward_threshold,
        return_episode_rewards=return_episode_rewards,
        warn=warn,
    )


class MaskableEvalCallback(EvalCallback):
    """
    In place of sb3-contrib's callback of that name, whose evaluations lose the memory's state.

    :param args: arguments of :class:`stable_baselines3.common.callbacks.EvalCallback`
    :param use_masking: whether invalid actions are masked
    :param kwargs: the same by name
    """

    def __init__(self, *args: Any, use_masking: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.use_masking = use_masking

    def _on_step(self) -> bool:
        if not self.use_masking:
            return super()._on_step()
        model: Any = self.model
        self.model = MaskedPlayer(model, self.eval_env)  # type: ignore[assignment]
        try:
            return super()._on_step()
        finally:
            self.model = model
