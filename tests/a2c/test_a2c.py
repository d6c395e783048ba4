"""A2C with memory: its sizes, its options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents import A2C
from tests.algorithms.agents import make, venv
from tests.ppo.toys import TINY


def flat(agent: Any) -> th.Tensor:
    return th.cat([parameter.detach().flatten() for parameter in agent.policy.parameters()])


@pytest.mark.parametrize(("n_envs", "expected"), [(1, (256, 256)), (16, (16, 16)), (64, (16, 16))])
def test_default_sizes(n_envs: int, expected: tuple[int, int]) -> None:
    agent = A2C("CompressiveMemoryPolicy", venv("A2C", n_envs), device="cpu")
    assert (agent.n_steps, agent.sequence_length) == expected


def test_there_is_one_gradient_step_per_rollout() -> None:
    agent = make("A2C")
    steps = []
    agent.policy.optimizer.register_step_post_hook(lambda *_: steps.append(agent.num_timesteps))
    agent.learn(288)
    assert steps == [96, 192, 288]


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(use_rms_prop=True),
        dict(use_rms_prop=True, rms_prop_eps=1e-2),
        dict(normalize_advantage=False),
        dict(ent_coef=0.1),
        dict(vf_coef=0.1),
        dict(gae_lambda=0.5),
        dict(max_grad_norm=1e-3),
        dict(sequence_length=4),
    ],
    ids=str,
)
def test_options_change_what_is_learned(kwargs: dict[str, Any]) -> None:
    assert not th.equal(flat(make("A2C").learn(192)), flat(make("A2C", **kwargs).learn(192)))


def test_rms_prop_is_sb3s_and_arguments_stay_as_they_were() -> None:
    policy_kwargs: dict[str, Any] = dict(memory_kwargs=TINY)
    agent = A2C("MemoryPolicy", venv("A2C"), use_rms_prop=True, rms_prop_eps=1e-3, policy_kwargs=policy_kwargs)
    optimizer = agent.policy.optimizer
    assert isinstance(optimizer, th.optim.RMSprop)
    assert (optimizer.defaults["alpha"], optimizer.defaults["eps"]) == (0.99, 1e-3)
    assert policy_kwargs == dict(memory_kwargs=TINY)
    assert isinstance(make("A2C").policy.optimizer, th.optim.Adam)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_exploration(squash: bool) -> None:
    kwargs = dict(use_sde=True, sde_sample_freq=4, policy_kwargs=dict(squash_output=squash))
    agent = make("A2C", venv("A2C", action="box"), **kwargs).learn(192, log_interval=1)
    assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-3
    action, _ = agent.predict(np.zeros(3, np.float32))
    assert agent.action_space.contains(action.astype(np.float32))


def test_states_cannot_be_refreshed_where_rollouts_are_learned_from_once() -> None:
    with pytest.raises(ValueError, match="refresh_states=True changes nothing here, because A2C learns"):
        make("A2C", refresh_states=True)


def test_one_transition_cannot_be_standardised() -> None:
    with pytest.raises(ValueError, match="of one transition is learned from; use normalize_advantage=False, a larger"):
        make("A2C", venv("A2C", 1), n_steps=1, sequence_length=1)
    agent = make("A2C", venv("A2C", 1), n_steps=1, sequence_length=1, normalize_advantage=False)
    assert flat(agent.learn(12)).isfinite().all()
    assert flat(make("A2C", venv("A2C", 2), n_steps=1, sequence_length=1).learn(12)).isfinite().all()
