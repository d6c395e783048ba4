"""One episode of a trained agent, with what it saw, what it thought of it, and what it remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import sb3_contrib
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib.common.maskable.distributions import MaskableMultiCategoricalDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import BernoulliDistribution, Distribution, MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.common import JudgerRecord, MemoryActorCriticPolicy
from memory_agents.common.judger_recorder import EpisodeNotes, judged_memory
from memory_agents.common.sequences import SequenceBatch
from memory_agents.memory.compressive import CompressiveMemory, MemoryShape, Reading


@dataclass(frozen=True)
class Thought:
    """
    What an agent had in mind at a step.

    :param probabilities: of the actions, one list for each part that an action has; None where actions are not chosen
        from a list
    :param mean: of the distribution of real-valued actions, None of others
    :param std: its standard deviation
    :param value: the critic's estimate of the return to come; None of agents without such a critic
    :param readings: attention of each layer; none of memories that tell nothing of the kind
    """

    probabilities: list[list[float]] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    value: float | None = None
    readings: tuple[Reading, ...] = ()


@dataclass
class Episode:
    """
    An episode of T steps.

    :param seed: seed of the environment
    :param deterministic: whether actions and decisions were the likeliest, in place of drawn ones
    :param frames: one picture per observation, the last one included; none where the environment draws none
    :param actions: as the environment had them
    :param rewards: of the steps
    :param thoughts: what the agent had in mind at each step
    :param shapes: sizes of the memory of each layer that ``thoughts`` have a reading of
    :param solved: whether the environment called it a success; None where it does not tell
    :param cut: whether it was ended here and not by the environment
    :param judged: of a judged memory, what it decided
    """

    seed: int
    deterministic: bool
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    thoughts: list[Thought] = field(default_factory=list)
    shapes: tuple[MemoryShape, ...] = ()
    solved: bool | None = None
    cut: bool = False
    judged: JudgerRecord | None = None

    @property
    def episode_return(self) -> float:
        """Sum of rewards."""
        return float(sum(self.rewards))

    def __len__(self) -> int:
        return len(self.actions)


def play_episode(
    agent: BaseAlgorithm,
    env: gym.Env[Any, Any],
    seed: int,
    *,
    deterministic: bool = True,
    max_steps: int | None = None,
    think: bool = False,
) -> Episode:
    """
    :param agent: the agent
    :param env: its environment, with ``rgb_array`` as its render mode or without one
    :param seed: seed of the episode: of what the environment draws, and of what the agent draws
    :param deterministic: the likeliest actions and decisions in place of drawn ones
    :param max_steps: where to end an episode that goes on (None: nowhere)
    :param think: whether to write down what the agent has in mind, which is several times slower
    :return: the episode
    """
    th.manual_seed(seed)
    obs, info = env.reset(seed=seed)
    episode = Episode(seed, deterministic)
    mind = _Mind(agent.policy) if think else None
    memory = judged_memory(agent.policy)
    notes = None
    if memory is not None and memory.judging is not None:
        notes = EpisodeNotes(memory.judging.shape, deterministic, info)
    _add_frame(episode, env)
    state: Any = None
    start, over = True, False
    # Agents that learn with masks are told which actions are valid, as in evaluations.
    is_masked = isinstance(agent, sb3_contrib.MaskablePPO)
    while not over:
        masks = env.get_wrapper_attr("action_masks")()[None] if is_masked else None
        if mind is not None:
            episode.thoughts.append(mind.at(obs, state, start, masks))
        told: dict[str, Any] = {"action_masks": masks} if is_masked else {}
        action, state = agent.predict(
            obs, state=state, episode_start=np.array([start]), deterministic=deterministic, **told
        )
        obs, reward, terminated, truncated, info = env.step(action)
        start, over = False, terminated or truncated
        episode.actions.append(np.asarray(action).tolist())
        episode.rewards.append(float(reward))
        if notes is not None:
            assert isinstance(agent.policy, MemoryActorCriticPolicy)
            notes.add(agent.policy.choices(state)[0], 0, float(reward), info)
        _add_frame(episode, env)
        if not over and max_steps is not None and len(episode) >= max_steps:
            episode.cut = over = True
    if mind is not None and isinstance(mind.memory, CompressiveMemory):
        episode.shapes = mind.memory.shapes
    episode.judged = None if notes is None else notes.record()
    success = info.get("is_success")
    episode.solved = None if success is None or episode.cut else bool(success)
    return episode


def _add_frame(episode: Episode, env: gym.Env[Any, Any]) -> None:
    if env.render_mode == "rgb_array":
        episode.frames.append(np.asarray(env.render(), dtype=np.uint8))


class _Mind:
    """
    Looks into a policy without changing what it does.

    :param policy: an agent's policy
    """

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.memory = policy.memories[0] if isinstance(policy, MemoryActorCriticPolicy) else None

    @th.no_grad()
    def at(self, obs: Any, state: Any, start: bool, masks: NDArray[np.bool_] | None) -> Thought:
        policy = self.policy
        if not isinstance(policy, ActorCriticPolicy | MaskableActorCriticPolicy):
            return Thought()
        policy.set_training_mode(False)
        seen = policy.obs_to_tensor(obs)[0]
        starts = th.tensor([start], device=policy.device)
        if isinstance(policy, MemoryActorCriticPolicy):
            before = policy.initial_state(1) if state is None else state
            readings: tuple[Reading, ...] = ()
            if isinstance(self.memory, CompressiveMemory):
                step = SequenceBatch(seen, starts[:, None], (), ())
                readings = self.memory.attention(policy.memory_inputs(step)[0][:, 0], before[0], starts)
            chances = policy.get_distribution(seen, before, starts, masks)
            return self._thought(chances, policy.predict_values(seen, before, starts), readings)
        if isinstance(policy, RecurrentActorCriticPolicy):
            # Its states are the actor's alone, so there is no value to be had.
            assert isinstance(seen, th.Tensor)
            layers, _, width = policy.lstm_hidden_state_shape
            parts = np.zeros((2, layers, 1, width), np.float32) if state is None else state
            hidden, cell = (th.as_tensor(part, device=policy.device) for part in parts)
            return self._thought(policy.get_distribution(seen, (hidden, cell), starts.float())[0])
        if isinstance(policy, MaskableActorCriticPolicy):
            return self._thought(policy.get_distribution(seen, masks), policy.predict_values(seen))
        # Policies from elsewhere may want to be told more.
        stock = (type(policy).get_distribution, type(policy).predict_values)
        if stock != (ActorCriticPolicy.get_distribution, ActorCriticPolicy.predict_values):
            return Thought()
        return self._thought(policy.get_distribution(seen), policy.predict_values(seen))

    @staticmethod
    def _thought(
        distribution: Distribution, values: th.Tensor | None = None, readings: tuple[Reading, ...] = ()
    ) -> Thought:
        told: dict[str, Any] = {} if values is None else {"value": float(values[0, 0])}
        inner: Any = getattr(distribution, "distribution", None)
        if isinstance(distribution, MaskableMultiCategoricalDistribution):
            told["probabilities"] = [part.probs[0].tolist() for part in distribution.distributions]
        elif isinstance(distribution, MultiCategoricalDistribution):
            told["probabilities"] = [part.probs[0].tolist() for part in inner]
        elif isinstance(distribution, BernoulliDistribution):
            told["probabilities"] = [[1 - chance, chance] for chance in inner.probs[0].tolist()]
        elif isinstance(inner, th.distributions.Categorical):
            told["probabilities"] = [inner.probs[0].tolist()]
        elif isinstance(inner, th.distributions.Normal):
            told |= {"mean": inner.mean[0].tolist(), "std": inner.stddev[0].tolist()}
        return Thought(readings=readings, **told)


def first_action(space: spaces.Space[Any]) -> list[int]:
    """
    :param space: a space of actions
    :return: for each part that an action has the number that its choices are counted from
    """
    if isinstance(space, spaces.Discrete):
        return [int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(number) for number in space.start.ravel()]
    return [0] * (int(space.n) if isinstance(space, spaces.MultiBinary) and isinstance(space.n, int) else 1)


def with_frames(make: Callable[[str | None], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    """
    :param make: makes an environment for a render mode
    :return: one that draws, or one that does not where it cannot
    :raises UsageError: when it cannot be made either way
    """
    try:
        return make("rgb_array")
    except UsageError:
        return make(None)
