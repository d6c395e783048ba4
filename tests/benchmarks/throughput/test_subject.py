from __future__ import annotations

from dataclasses import replace

import pytest
import torch as th

from memory_agents import PPO
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.throughput.subject import doubled, make
from tests.benchmarks.throughput.small import CARTPOLE, TMAZE


def test_all_agents_get_the_same_sizes() -> None:
    for name in ("compressive", "lstm", "recurrent_ppo", "memoryless"):
        agent, venv = make(replace(CARTPOLE, n_epochs=3).subject(name))
        venv.close()
        assert (agent.n_envs, agent.n_steps, agent.n_epochs) == (4, 16, 3)  # type: ignore[attr-defined]


def test_the_window_is_that_of_learning() -> None:
    agent, venv = make(CARTPOLE.subject("gru"))
    venv.close()
    assert isinstance(agent, PPO)
    assert agent.sequence_length == 16


def test_learning_changes_nothing() -> None:
    agent, venv = make(TMAZE.subject("lstm"))
    before = [each.clone() for each in agent.policy.parameters()]
    agent.learn(64)
    venv.close()
    assert all(th.equal(one, other) for one, other in zip(before, agent.policy.parameters(), strict=True))


def test_sizes_of_memories_go_to_agents_that_have_one() -> None:
    conditions = replace(CARTPOLE, memory_kwargs={"hidden_size": 8})
    assert conditions.subject("lstm").config.memory_kwargs == {"hidden_size": 8}
    assert conditions.subject("recurrent_ppo").config.memory_kwargs == {}
    assert conditions.subject("memoryless").config.memory_kwargs == {}


def test_arguments_of_policies_go_to_agents_with_a_memory_of_ours() -> None:
    conditions = replace(CARTPOLE, policy_kwargs={"autocast": "bfloat16"})
    agent, venv = make(conditions.subject("lstm"))
    venv.close()
    assert isinstance(agent, PPO)
    assert agent.policy.learning_mode.autocast == "bfloat16"
    assert conditions.subject("recurrent_ppo").config == CARTPOLE.subject("recurrent_ppo").config
    assert conditions.subject("memoryless").config.policy_kwargs == {}


def test_minibatches_are_looked_for_where_they_are_not_ours() -> None:
    conditions = replace(CARTPOLE, window=100)
    assert conditions.subject("lstm").batch_sizes == ()
    assert conditions.subject("recurrent_ppo").batch_sizes == (128, 256, 400)
    assert conditions.subject("memoryless").batch_sizes == (128, 256, 400)
    assert replace(conditions, search_batches=False).subject("memoryless").batch_sizes == (400,)
    assert replace(conditions, n_envs=32, search_batches=False).subject("memoryless").batch_sizes == (1024,)
    asked = replace(conditions, batch_sizes=(100, 200))
    assert asked.subject("lstm").batch_sizes == asked.subject("memoryless").batch_sizes == (100, 200)


def test_doubled() -> None:
    assert doubled(128, 1024) == (128, 256, 512, 1024)
    assert doubled(128, 100) == (100,)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [((24,), "must be a multiple of sequence_length=16"), ((128,), "a rollout has 64 transitions"), ((1,), "use 2")],
)
def test_minibatches_must_fit(sizes: tuple[int, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make(replace(CARTPOLE, batch_sizes=sizes).subject("lstm"))


def test_agents_that_do_not_learn_from_rollouts_are_refused() -> None:
    subject = CARTPOLE.subject("compressive")
    off = replace(subject, config=replace(subject.config, algorithm="DQN", algorithm_kwargs={}))
    with pytest.raises(UsageError, match="learns off-policy"):
        make(off)
