"""
bsuite (Osband et al. 2020, arXiv 1908.03568): small diagnostic tasks, among them ``memory_len`` (remember one bit for
longer and longer), ``memory_size`` (remember more and more bits) and ``umbrella_length`` (credit over a delay).

Its id ``memory_len/10`` is ``bsuite-memory_len-10-v0`` here; ``--env-kwargs`` replace its settings, as in
``--env-kwargs memory_length=40``. Observations are flat. Where an episode's last reward says whether it was solved,
that is its success. Episodes that a time limit ends are terminated, as bsuite has it. bsuite itself fixes a seed for
each task; here ``reset(seed=...)`` decides, as everywhere but in ``deep_sea_stochastic``, which bsuite cannot seed.
"""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from memory_agents.benchmarks.suites.suite import Suite
from memory_agents.benchmarks.suites.wrappers import SuccessByReward

PREFIX = "bsuite-"

#: Experiments whose last reward is 1 for a solved episode and -1 for any other.
REWARDED_AT_THE_END = ("memory_len", "memory_size", "umbrella_distract", "umbrella_length")


class BsuiteEnv(gym.Env[NDArray[np.float32], np.int64]):
    """
    An experiment of bsuite as a Gymnasium environment.

    :param experiment: its name in bsuite, such as ``memory_len``
    :param settings: its settings, as bsuite's sweep has them
    :raises TypeError: when the experiment does not know a setting
    """

    def __init__(self, experiment: str, **settings: Any) -> None:
        from bsuite.bsuite import EXPERIMENT_NAME_TO_ENVIRONMENT

        self._load = EXPERIMENT_NAME_TO_ENVIRONMENT[experiment]
        self._settings = settings
        self._seeded = "seed" in inspect.signature(self._load).parameters
        self.experiment = experiment
        self._env = self._load(**settings)
        seen, taken = self._env.observation_spec(), self._env.action_spec()
        size = int(np.prod(seen.shape))
        low, high = (
            np.broadcast_to(getattr(seen, bound, unbounded), seen.shape).ravel()
            for bound, unbounded in (("minimum", -np.inf), ("maximum", np.inf))
        )
        self.observation_space = spaces.Box(
            low.astype(np.float32), high.astype(np.float32), shape=(size,), dtype=np.float32
        )
        self.action_space = spaces.Discrete(int(taken.num_values))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """
        :param seed: None draws on; another one makes the experiment anew, where it is random
        :param options: not used
        :return: the first observation, and an empty info
        """
        super().reset(seed=seed)
        if seed is not None and self._seeded:
            self._env = self._load(**{**self._settings, "seed": seed})
        return self._flat(self._env.reset().observation), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """
        :param action: an action
        :return: observation, reward, whether the episode ended, False, and an empty info
        """
        after = self._env.step(int(action))
        return self._flat(after.observation), float(after.reward), after.last(), False, {}

    @staticmethod
    def _flat(observation: Any) -> NDArray[np.float32]:
        return np.array(observation, dtype=np.float32).ravel()


def register() -> None:
    """Register every experiment of bsuite's sweep with Gymnasium; calling it again changes nothing."""
    from bsuite.sweep import SETTINGS

    for bsuite_id, settings in SETTINGS.items():
        experiment, _, index = bsuite_id.partition("/")
        env_id = f"{PREFIX}{experiment}-{index}-v0"
        if env_id not in gym.registry:
            gym.register(env_id, f"{__name__}:{BsuiteEnv.__name__}", kwargs={"experiment": experiment, **settings})


def adapt(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """
    :param env: one of :class:`BsuiteEnv`
    :return: it, telling whether it was solved where bsuite has a notion of that
    """
    assert isinstance(env.unwrapped, BsuiteEnv)
    return SuccessByReward(env) if env.unwrapped.experiment in REWARDED_AT_THE_END else env


SUITE = Suite(
    package="bsuite",
    distribution="bsuite",
    install="pip install 'memory_agents[bsuite]'",
    prefixes=(PREFIX,),
    example="bsuite-memory_len-10-v0",
    adapt=adapt,
    register=register,
)
