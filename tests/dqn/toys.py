"""Agents small enough for tests, and what they replay, computed in plain loops."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from memory_agents import DQN, QRDQN
from memory_agents.common import MemoryNetwork, MemoryOffPolicyAlgorithm, SequenceReplayBuffer
from tests.ppo.toys import TINY, toy_venv

SETTINGS: dict[str, Any] = dict(
    buffer_size=600,
    learning_starts=48,
    batch_size=32,
    train_freq=8,
    target_update_interval=72,
    sequence_length=8,
    burn_in=4,
    learning_rate=1e-2,
    seed=0,
    device="cpu",
)


def toy_agent(env: Any = None, **kwargs: Any) -> DQN:
    """A DQN agent with a tiny memory in three environments."""
    policy_kwargs = {"memory_kwargs": TINY, **kwargs.pop("policy_kwargs", {})}
    policy = kwargs.pop("policy", "CompressiveMemoryPolicy")
    return DQN(policy, toy_venv() if env is None else env, policy_kwargs=policy_kwargs, **{**SETTINGS, **kwargs})


def toy_qrdqn(env: Any = None, **kwargs: Any) -> QRDQN:
    """The same with quantiles."""
    policy_kwargs = {"memory_kwargs": TINY, "n_quantiles": 5, **kwargs.pop("policy_kwargs", {})}
    policy = kwargs.pop("policy", "CompressiveMemoryPolicy")
    return QRDQN(policy, toy_venv() if env is None else env, policy_kwargs=policy_kwargs, **{**SETTINGS, **kwargs})


def collected(agent: Any, steps: int = 60) -> SequenceReplayBuffer:
    """So many steps of every environment, without learning."""
    usual = agent.train_freq, agent.gradient_steps, agent.learning_starts
    agent.train_freq, agent.gradient_steps, agent.learning_starts = TrainFreq(1, TrainFrequencyUnit.STEP), 0, 0
    agent.learn(steps * agent.n_envs)
    agent.train_freq, agent.gradient_steps, agent.learning_starts = usual
    buffer: SequenceReplayBuffer = agent.replay_buffer
    return buffer


def all_windows(buffer: SequenceReplayBuffer) -> Any:
    """Every window once."""
    return buffer.sample_windows(np.arange(buffer.n_envs * buffer.windows_per_env))


def parameters(agent: MemoryOffPolicyAlgorithm) -> th.Tensor:
    """Of both networks."""
    return th.cat([parameter.detach().flatten() for parameter in agent.policy.parameters()])


class Step(NamedTuple):
    """One transition as the environment gave it."""

    obs: th.Tensor
    next_obs: th.Tensor
    start: th.Tensor
    action: int
    reward: float
    terminal: bool


def time_line(buffer: SequenceReplayBuffer, env: int) -> list[Step]:
    """All steps of an environment, of a buffer that is not full yet."""
    assert not buffer.full
    return [
        Step(
            th.as_tensor(buffer.observations[t, env][None]),
            th.as_tensor(buffer.next_observations[t, env][None]),
            th.tensor([bool(buffer.episode_starts[t, env])]),
            int(buffer.actions[t, env, 0]),
            float(buffer.rewards[t, env]),
            bool(buffer.dones[t, env] and not buffer.timeouts[t, env]),
        )
        for t in range(buffer.pos)
    ]


@th.no_grad()
def reference(agent: MemoryOffPolicyAlgorithm, env: int, window: int) -> list[tuple[th.Tensor, th.Tensor]]:
    """
    For every step of a window what the learning network says of its action and what it should say, one step after the
    other. Parameters must be those of acting.
    """
    buffer = agent.replay_buffer
    online, target = agent.policy.network, agent.policy.target_network
    steps = time_line(buffer, env)
    first = window * buffer.sequence_length
    learned = range(first + buffer.burn_in, first + buffer.burn_in + buffer.sequence_length)
    state = online.memory.initial_state(1)
    if buffer.stored_state:
        for step in steps[:first]:
            state = online.act(step.obs, state, step.start)[1]
    online_state, target_state = state, state
    target_state = target.memory.unpack_state(target.memory.pack_state(target_state))

    said: dict[int, th.Tensor] = {}
    follows: dict[int, th.Tensor] = {}
    none = th.tensor([False])
    for t in range(first, learned.stop):
        step = steps[t]
        output, online_state = outputs(online, step.obs, online_state, step.start)
        _, target_state = outputs(target, step.obs, target_state, step.start)
        said[t] = output[..., step.action]
        next_target = outputs(target, step.next_obs, target_state, none)[0]
        next_online = outputs(online, step.next_obs, online_state, none)[0] if agent.double_q else next_target
        chooser = online if agent.double_q else target
        follows[t] = next_target[..., int(chooser.expected(next_online).argmax())]

    pairs = []
    for t in learned:
        goal, discount, last = th.zeros_like(said[t]), 1.0, t
        for last in range(t, min(t + agent.n_steps, learned.stop)):
            goal, discount = goal + discount * steps[last].reward, discount * agent.gamma
            cut = last + 1 == learned.stop or bool(steps[last + 1].start)
            if steps[last].terminal or cut:
                break
        if not steps[last].terminal:
            goal = goal + discount * follows[last]
        pairs.append((said[t], goal))
    return pairs


def outputs(network: MemoryNetwork, obs: th.Tensor, state: Any, start: th.Tensor) -> tuple[th.Tensor, Any]:
    """What the network says of every action, (1, ..., actions), not only what is expected, and the state after."""
    y, state = network.memory.step(network._features(obs), state, start)
    return network.head(y), state
