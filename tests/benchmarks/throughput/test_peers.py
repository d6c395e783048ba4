from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from torch import nn

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.throughput.peers import PEERS, LooplessLstmPolicy, find_learner
from memory_agents.benchmarks.throughput.subject import make
from tests.benchmarks.throughput.small import CARTPOLE


def processed(
    policy: type[RecurrentActorCriticPolicy], x: th.Tensor, state: th.Tensor, starts: th.Tensor, lstm: nn.LSTM
) -> list[th.Tensor]:
    lstm.zero_grad()
    inputs = x.clone().requires_grad_()
    before = (state[0].clone().requires_grad_(), state[1].clone().requires_grad_())
    outputs, after = policy._process_sequence(inputs, before, starts, lstm)
    (outputs.square().sum() + after[0].sum() + after[1].square().sum()).backward()  # type: ignore[no-untyped-call]
    gradients = [inputs.grad, *(part.grad for part in before), *(each.grad for each in lstm.parameters())]
    return [outputs, *after, *(each.clone() for each in gradients if each is not None)]


@given(n_sequences=st.integers(1, 4), length=st.integers(1, 9), layers=st.integers(1, 2), data=st.data())
def test_without_the_loop_numbers_and_gradients_are_the_same(
    n_sequences: int, length: int, layers: int, data: st.DataObject
) -> None:
    flags = data.draw(st.lists(st.booleans(), min_size=n_sequences * length, max_size=n_sequences * length))
    lstm = nn.LSTM(3, 5, num_layers=layers)
    x, state = th.randn(n_sequences * length, 3), th.randn(2, layers, n_sequences, 5)
    starts = th.tensor(flags, dtype=th.float32)
    theirs = processed(RecurrentActorCriticPolicy, x, state, starts, lstm)
    ours = processed(LooplessLstmPolicy, x, state, starts, lstm)
    assert len(theirs) == len(ours) == 6 + 4 * layers
    for one, other in zip(ours, theirs, strict=True):
        th.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_size", [16, 64])
def test_learning_from_a_rollout_is_the_same(batch_size: int) -> None:
    agents = []
    for name in ("recurrent_ppo", "recurrent_ppo_loopless"):
        subject = replace(CARTPOLE, window=32).subject(name)
        config = replace(
            subject.config,
            algorithm_kwargs={**subject.config.algorithm_kwargs, "learning_rate": 1e-3, "batch_size": batch_size},
        )
        agent, venv = make(replace(subject, config=config, batch_sizes=()))
        agent.learn(2 * subject.transitions)
        venv.close()
        agents.append(agent)
    assert all(isinstance(agent, RecurrentPPO) for agent in agents)
    assert isinstance(agents[1].policy, LooplessLstmPolicy)
    parameters: list[Any] = [dict(agent.policy.named_parameters()) for agent in agents]
    assert parameters[0].keys() == parameters[1].keys()
    for name, value in parameters[0].items():
        th.testing.assert_close(parameters[1][name], value, rtol=0, atol=1e-5, msg=name)


def test_one_call_for_each_span() -> None:
    calls = []

    class Watched(nn.LSTM):
        def forward(self, x: th.Tensor, state: Any = None) -> Any:  # type: ignore[override]
            calls.append(len(x))
            return super().forward(x, state)

    lstm, x, state = Watched(3, 5), th.randn(2 * 8, 3), th.zeros(2, 1, 2, 5)
    starts = th.zeros(2, 8)
    starts[:, 0] = 1
    LooplessLstmPolicy._process_sequence(x, (state[0], state[1]), starts.flatten(), lstm)
    assert calls == [8]
    calls.clear()
    starts[1, 3] = 1
    LooplessLstmPolicy._process_sequence(x, (state[0], state[1]), starts.flatten(), lstm)
    assert calls == [3, 5]


@pytest.mark.parametrize("name", PEERS)
def test_peers_can_be_made(name: str) -> None:
    agent, venv = make(CARTPOLE.subject(name))
    venv.close()
    policy = agent.policy
    assert isinstance(policy, RecurrentActorCriticPolicy)
    assert isinstance(policy, LooplessLstmPolicy) == name.endswith("loopless")
    assert policy.lstm_actor.hidden_size == (256 if "256" in name or "defaults" in name else 64)
    assert policy.shared_lstm == ("shared" in name)


def test_their_own_hyperparameters() -> None:
    _, arguments = find_learner("--policies", "recurrent_ppo_defaults")
    assert arguments["algorithm_kwargs"] == dict(
        learning_rate=3e-4,
        n_steps=128,
        batch_size=128,
        n_epochs=10,
        gamma=0.99,
        gae_lambda=0.95,
        ent_coef=0.0,
        vf_coef=0.5,
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("recurrent_ppo_lopless", "did you mean recurrent_ppo_loopless"),
        ("comprssive", "did you mean compressive"),
        ("zzz", "use compressive, .*, recurrent_ppo, recurrent_ppo_256, .*, or module:Class"),
        ("random_", "is unknown; use compressive"),
        ("oracle", "follows a script and learns nothing"),
        ("nowhere:Policy", "cannot be imported"),
    ],
)
def test_unknown_agents_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        find_learner("--policies", name)
