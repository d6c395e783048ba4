"""Environments that are played all at once, as a vectorised environment of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from memory_agents.envs.arguments import check_integer
from memory_agents.envs.batched import BatchedEnv, Infos, Step

TIME_LIMIT = "TimeLimit.truncated"
MOST_FLAGS = 8
# What a single environment has of its own state.
STATE = frozenset({"np_random", "np_random_seed", "reset", "step", "render", "close"})


class BatchedVecEnv(VecEnv):
    """Copies of an environment, played all at once; to the bit what as many single ones give in a ``DummyVecEnv``.

    Attributes and methods are those of one single environment that is never played: what follows from the arguments,
    such as ``optimal_return``, ``normalized_score`` or ``oracle``. ``action_masks`` are those of every copy.

    :param batched: The copies.
    :param monitor: Whether the info of an episode's last step tells its return, length and time, as ``Monitor`` does.
    """

    def __init__(self, batched: BatchedEnv, *, monitor: bool = True) -> None:
        self.batched, self.monitor = batched, monitor
        super().__init__(batched.num_envs, batched.single_observation_space, batched.single_action_space)
        self._returns = np.zeros(self.num_envs)
        self._plain_infos = [{TIME_LIMIT: False}] * self.num_envs
        self._start_time = time.time()

    def reset(self) -> NDArray[Any]:
        """Begin new episodes in all copies, with the seeds that :meth:`seed` has set.

        :return: Observations, ``(n_envs, ...)``.
        """
        self.batched.check_options({name for options in self._options for name in options})
        observations, infos = self.batched.begin(self._seeds)
        self.reset_infos = _dictionaries(infos, self.num_envs)
        self._returns[:] = 0.0
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`.

        :param actions: One action for each copy, ``(n_envs, ...)``.
        """
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Take the step.

        :return: Observations, rewards, whether episodes are over, and infos.
        """
        step = self.batched.advance(self._actions)
        if step.infos:
            infos = _dictionaries(step.infos, self.num_envs, **{TIME_LIMIT: False})
        else:
            infos = list(map(dict.copy, self._plain_infos))
        if self.monitor:
            self._returns += step.rewards
        dones = step.terminated | step.truncated
        if step.ended.size:
            self._finish(step, infos)
        return step.observations, step.rewards.astype(np.float32), dones, infos

    def _finish(self, step: Step, infos: list[dict[str, Any]]) -> None:
        """Complete the infos of the copies whose episodes are over."""
        ended, finished = step.ended.tolist(), step.finished.tolist()
        last_infos = [infos[copy] for copy in ended]
        if self.monitor:
            seconds = round(time.time() - self._start_time, 6)
            returns = map(_rounded, self._returns[step.ended].tolist())
            self._returns[step.ended] = 0.0
            # Both in one loop, as two would take a step of few ends 3% longer.
            for info, observation, total, length in zip(
                last_infos, step.final_observations, returns, step.lengths.tolist(), strict=True
            ):
                info["terminal_observation"] = observation
                info["episode"] = {"r": total, "l": length, "t": seconds}
        else:
            for info, observation in zip(last_infos, step.final_observations, strict=True):
                info["terminal_observation"] = observation
        # Of a few copies, finding the numbers takes less time than asking whether there is any.
        cut = step.truncated.nonzero()[0]
        if cut.size:
            for copy in cut[~step.terminated[cut]].tolist():
                infos[copy][TIME_LIMIT] = True
        finished_infos = last_infos if finished == ended else [infos[copy] for copy in finished]
        for key, values in step.final_infos.items():
            for info, value in zip(finished_infos, values.tolist(), strict=True):
                info[key] = value
        if step.reset_infos:
            for copy, info in zip(ended, _dictionaries(step.reset_infos, len(ended)), strict=True):
                self.reset_infos[copy] = info

    def close(self) -> None:
        """Nothing is open."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return what all copies have in common, once for each; or ``action_masks``, a method for each.

        :param attr_name: Its name.
        :param indices: The copies; None means all.
        :raises AttributeError: If there is none, or it is part of the state of a single environment.
        """
        copies = list(self._get_indices(indices))
        if attr_name == "action_masks" and hasattr(self.batched, "action_masks"):
            return [partial(self._masks_of, copy) for copy in copies]
        if attr_name in STATE:
            raise AttributeError(
                f"{attr_name!r} is part of the state of one environment, and copies that are played all at once keep "
                "theirs together: make a single environment with gymnasium.make."
            )
        return [self.batched.env.get_wrapper_attr(attr_name) for _ in copies]

    def _masks_of(self, copy: int) -> NDArray[np.bool_]:
        masks: NDArray[np.bool_] = self.batched.action_masks()[copy]  # type: ignore[attr-defined]
        return masks

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: copies that are played all at once differ in their state only.

        :param attr_name: Not used.
        :param value: Not used.
        :param indices: Not used.
        :raises AttributeError: Always.
        """
        raise AttributeError(
            f"{attr_name!r} cannot be set in copies that are played all at once: pass it to make_batched if it is an "
            "argument, or use make_vec_env of Stable-Baselines3, which keeps single environments."
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method that does not depend on the state, once for each copy; or return the ``action_masks`` of each.

        :param method_name: Its name.
        :param method_args: Its arguments.
        :param indices: The copies; None means all.
        :param method_kwargs: Its keyword arguments.
        :raises AttributeError: If there is none, or it depends on the state.
        """
        if method_name == "action_masks" and hasattr(self.batched, "action_masks"):
            masks = self.batched.action_masks()
            return [masks[copy] for copy in self._get_indices(indices)]
        return [method(*method_args, **method_kwargs) for method in self.get_attr(method_name, indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Tell whether copies behave as if they had a wrapper around them.

        :param wrapper_class: The wrapper; ``Monitor`` is there if it was asked for.
        :param indices: The copies; None means all.
        """
        if wrapper_class is Monitor:
            wrapped = self.monitor
        elif wrapper_class is TimeLimit:
            wrapped = self.batched.max_episode_steps is not None
        else:
            wrapped = is_wrapped(self.batched.env, wrapper_class)
        return [wrapped for _ in self._get_indices(indices)]

    def render(self, mode: str | None = None) -> NDArray[Any] | None:
        """Refuse: copies that are played all at once draw no frames.

        :param mode: Not used.
        :raises NotImplementedError: Always.
        """
        self.get_images()
        return None

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """Refuse: copies that are played all at once draw no frames.

        :raises NotImplementedError: Always.
        """
        raise NotImplementedError(
            "Environments that are played all at once draw no frames: make a single environment with "
            "gymnasium.make(..., render_mode='rgb_array')."
        )


@lru_cache
def _rounded(total: float) -> float:
    """Return it as ``Monitor`` rounds it, which takes half a microsecond; many episodes have the same return."""
    return round(total, 6)


def _dictionaries(infos: Infos, count: int, **always: Any) -> list[dict[str, Any]]:
    """Return new dictionaries, one for each row of the arrays; all of them hold what is always there, too."""
    if len(infos) > MOST_FLAGS or any(values.dtype != np.bool_ for values in infos.values()):
        rows = zip(*(values.tolist() for values in infos.values()), strict=True)
        return [{**dict(zip(infos, row, strict=True)), **always} for row in rows]
    # Of booleans there are few combinations, and copying a dictionary takes less time than filling one.
    kinds = np.zeros(count, np.uint8)
    for bit, values in enumerate(infos.values()):
        kinds += values.view(np.uint8) << bit
    return list(map(dict.copy, _combinations(tuple(infos), tuple(always.items())).take(kinds).tolist()))


@cache
def _combinations(keys: tuple[str, ...], always: tuple[tuple[str, Any], ...]) -> NDArray[Any]:
    """Return all dictionaries that booleans with these names can make; the first name is the index's lowest bit."""
    values = ([bool(kind >> bit & 1) for bit in range(len(keys))] for kind in range(1 << len(keys)))
    return np.array([{**dict(zip(keys, row, strict=True)), **dict(always)} for row in values], object)


def make_batched(
    env_id: str | EnvSpec, n_envs: int, seed: int | None = None, *, monitor: bool = True, **kwargs: Any
) -> BatchedVecEnv:
    """Make copies of an environment that are played all at once.

    It is what ``make_vec_env(env_id, n_envs, seed, env_kwargs=kwargs)`` of Stable-Baselines3 gives, many times faster.

    :param env_id: An id, ``module:id``, or a specification.
    :param n_envs: Number of copies.
    :param seed: Seed of the first copy, those of the others follow it; None seeds them from the operating system.
    :param monitor: Whether the info of an episode's last step tells its return, length and time, as ``Monitor`` does.
    :param kwargs: Arguments of the environment; ``max_episode_steps`` cuts episodes, as in ``gymnasium.make``:
        None where it does by default, -1 never.
    :raises TypeError: If the environment's arguments are in a dictionary ``env_kwargs``.
    :raises ValueError: If the environment cannot be played so, or an argument is out of bounds.
    """
    if "env_kwargs" in kwargs:
        raise TypeError(
            f"env_kwargs={kwargs['env_kwargs']!r} is make_vec_env's; pass the environment's arguments themselves, as "
            "make_batched(env_id, n_envs, **env_kwargs)"
        )
    if isinstance(env_id, str):
        module, colon, name = env_id.rpartition(":")
        if colon:
            import_module(module)
        spec = gym.spec(name)
    else:
        spec = env_id
    entry_point = spec.vector_entry_point
    creator: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    if not (isinstance(creator, type) and issubclass(creator, BatchedEnv)):
        raise ValueError(
            f"env_id={spec.id!r} has no form in which copies are played all at once: use make_vec_env of "
            "Stable-Baselines3."
        )
    arguments = {**spec.kwargs, **kwargs}
    max_episode_steps = arguments.pop("max_episode_steps", None)
    if max_episode_steps is None:
        max_episode_steps = spec.max_episode_steps
    elif max_episode_steps == -1:
        max_episode_steps = None
    n_envs = check_integer("n_envs", n_envs, 1)
    batched: BatchedEnv = creator(num_envs=n_envs, max_episode_steps=max_episode_steps, **arguments)
    around = [wrapper.name for wrapper in spec.additional_wrappers if wrapper.name not in _wrappers(batched.env)]
    if around:
        raise ValueError(
            f"env_id={spec.id!r} is a specification with {', '.join(around)} around the environment, which copies that "
            "are played all at once lack: use make_vec_env of Stable-Baselines3, or leave it out and put a vectorised "
            "form around them, such as VecPreviousActionReward or VecHistory."
        )
    batched.spec = deepcopy(spec)
    batched.spec.kwargs, batched.spec.max_episode_steps = arguments, max_episode_steps
    batched.env.unwrapped.spec = batched.spec
    vec_env = BatchedVecEnv(batched, monitor=monitor)
    if seed is not None:
        vec_env.seed(seed)
        vec_env.action_space.seed(seed)
    return vec_env


def _wrappers(env: gym.Env[Any, Any]) -> set[str]:
    """Return the names of the wrappers that an environment has of its own."""
    found = set()
    while isinstance(env, gym.Wrapper):
        found.add(type(env).__name__)
        env = env.env
    return found
