"""What is measured: an agent, its environments, and the sizes that its speed depends on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.agents import has_memory, make_agent, make_training_env
from memory_agents.benchmarks.algorithms import has_memory_of_ours
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.other_agents import other_algorithm, policy_of
from memory_agents.benchmarks.throughput.peers import find_learner
from memory_agents.common.defaults import DEFAULT_EPOCHS
from memory_agents.common.on_policy import MemoryOnPolicyAlgorithm
from memory_agents.common.sequences import check_sequence_length

#: What sb3-contrib's RecurrentPPO takes by default: where the search for the quickest minibatch begins.
SMALLEST_BATCH = 128
#: About what is quickest for RecurrentPPO on a CPU: with much more, its sequences no longer fit into the caches.
LARGE_BATCH = 1024


@dataclass(frozen=True)
class Subject:
    """
    :param name: the agent's name
    :param config: the arguments of its run, those below among its ``algorithm_kwargs``
    :param window: steps per environment and rollout, and of a training window
    :param batch_sizes: minibatches to choose the quickest of, in transitions; none: the agent's own default
    """

    name: str
    config: TrainingConfig
    window: int
    batch_sizes: tuple[int, ...] = ()

    @property
    def transitions(self) -> int:
        """Transitions of a rollout over all environments."""
        return self.window * self.config.n_envs


@dataclass(frozen=True)
class Conditions:
    """
    Under which agents are compared.

    :param env: environment id
    :param env_kwargs: its arguments
    :param n_envs: environments side by side
    :param window: steps per environment and rollout, and of a training window
    :param threads: PyTorch's threads
    :param device: PyTorch's device
    :param memory_kwargs: arguments of the memories of agents that have one of this library's
    :param policy_kwargs: further arguments of the policies of these agents, as ``autocast``
    :param batch_sizes: minibatches to choose the quickest of for every agent; none: this library's agents have their
        default, and of the others' the quickest of 128 transitions, the double of it and so on up to a whole rollout
    :param search_batches: False: without ``batch_sizes`` the others learn from whole rollouts, or from minibatches of
        1024 transitions where rollouts are larger
    :param n_epochs: passes over a rollout
    :param seed: seed of everything
    """

    env: str = "MemoryAgents/CartPoleNoVelocity-v0"
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 8
    window: int = 128
    threads: int = 1
    device: str = "cpu"
    memory_kwargs: dict[str, Any] = field(default_factory=dict)
    policy_kwargs: dict[str, Any] = field(default_factory=dict)
    batch_sizes: tuple[int, ...] = ()
    search_batches: bool = True
    n_epochs: int = DEFAULT_EPOCHS
    seed: int = 0

    def subject(self, name: str, where: str = "--policies") -> Subject:
        """
        :param name: an agent's name
        :param where: the option that it comes from, for messages
        :return: the agent under these conditions. Its learning rate is zero, so that all the work of learning is done
            and yet every rollout is played, and learned from, by the same network: repeats differ by noise alone
        :raises UsageError: when the agent is unknown
        """
        label, arguments = find_learner(where, name)
        known: dict[str, Any] = {"n_steps": self.window, "learning_rate": 0.0}
        # An algorithm of the user's own has its own hyperparameters, and perhaps not these.
        is_foreign = ":" in arguments.get("algorithm", "")
        if not is_foreign:
            known["n_epochs"] = self.n_epochs
        settings = {**arguments, "algorithm_kwargs": {**arguments.get("algorithm_kwargs", {}), **known}}
        config = TrainingConfig(
            env=self.env,
            env_kwargs=dict(self.env_kwargs),
            n_envs=self.n_envs,
            device=self.device,
            threads=self.threads,
            seed=self.seed,
            **settings,
        )
        sizes = self.batch_sizes
        if remembers(config):
            config = replace(
                config,
                memory_kwargs={**config.memory_kwargs, **self.memory_kwargs},
                policy_kwargs={**config.policy_kwargs, **self.policy_kwargs},
            )
        elif not is_foreign:
            rollout = self.window * self.n_envs
            sizes = sizes or (doubled(SMALLEST_BATCH, rollout) if self.search_batches else (min(rollout, LARGE_BATCH),))
            config = replace(config, algorithm_kwargs={**config.algorithm_kwargs, "batch_size": sizes[0]})
        return Subject(label, config, self.window, sizes)


def remembers(config: TrainingConfig) -> bool:
    """
    :param config: the arguments of a run
    :return: whether its agent has a memory of this library's
    :raises UsageError: when a class that it names cannot be imported
    """
    other = other_algorithm(config)
    if other is not None:
        return has_memory_of_ours(other)
    return has_memory(policy_of(config))


def doubled(first: int, last: int) -> tuple[int, ...]:
    """
    :param first: a number
    :param last: another
    :return: the first, its double and so on below the last, then the last
    """
    sizes = []
    while first < last:
        sizes.append(first)
        first *= 2
    return (*sizes, last)


def make(subject: Subject) -> tuple[OnPolicyAlgorithm, VecEnv]:
    """
    :param subject: what to make
    :return: the untrained agent, which logs nothing, and its environments
    :raises UsageError: when an argument cannot be used, or the agent does not learn from rollouts
    """
    venv = make_training_env(subject.config)
    agent: BaseAlgorithm = make_agent(subject.config, venv)
    if not isinstance(agent, OnPolicyAlgorithm):
        raise UsageError(
            f"--policies {subject.name!r} learns off-policy ({type(agent).__name__}), and what is measured here is a "
            "rollout and the learning from it; choose an agent of PPO or another on-policy algorithm"
        )
    agent.set_logger(Logger(None, []))
    for size in subject.batch_sizes:
        check_batch_size(agent, size)
    return agent, venv


def check_batch_size(agent: OnPolicyAlgorithm, size: int) -> None:
    """
    :param agent: an agent
    :param size: transitions of a minibatch
    :raises UsageError: when the agent cannot learn from minibatches of this size
    """
    if not hasattr(agent, "batch_size"):
        raise UsageError(f"--batch-size {size}: {type(agent).__name__} has no minibatches; leave it out")
    transitions = agent.n_steps * agent.n_envs
    if not 2 <= size <= transitions:
        raise UsageError(
            f"--batch-size {size} is out of bounds; a rollout has {transitions} transitions, use 2 or more"
        )
    if isinstance(agent, MemoryOnPolicyAlgorithm):
        try:
            check_sequence_length(agent.sequence_length, batch_size=size)
        except ValueError as error:
            raise UsageError(f"--batch-size {size}: {error}") from error
