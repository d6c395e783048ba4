"""Arguments of PPO and its policies: defaults, what reaches the memory, errors that name the mend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces

from memory_agents import DQN, PPO, CompressiveMemoryPolicy, MemoryPolicy
from memory_agents.dqn import MemoryPolicy as DQNMemoryPolicy
from memory_agents.memory import CompressiveMemory, MemoryCore
from tests.ppo.toys import TINY, Toy, toy_agent, toy_venv


@pytest.mark.parametrize(
    ("n_envs", "expected"), [(1, (2048, 128, 512)), (7, (256, 256, 256)), (16, (128, 128, 512)), (64, (128, 128, 2048))]
)
def test_default_sizes(n_envs: int, expected: tuple[int, int, int]) -> None:
    agent = PPO("CompressiveMemoryPolicy", toy_venv(n_envs), device="cpu")
    assert (agent.n_steps, agent.sequence_length, agent.batch_size) == expected


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (
            dict(n_steps=100, sequence_length=32),
            "n_steps=100 must be a multiple of sequence_length=32.* use n_steps=96",
        ),
        (dict(batch_size=40, sequence_length=16), "batch_size=40 must be a multiple of sequence_length=16"),
        (dict(n_steps=128, batch_size=9), "^n_steps=128 and batch_size=9 would give training windows of length 1 only"),
        (dict(n_steps=1009), "^n_steps=1009 would give training windows of length 1 only; use n_steps=1024, or"),
        (dict(n_epochs=0), "n_epochs must be a positive integer, got 0"),
        (dict(n_epochs=2.5), "n_epochs must be a positive integer, got 2.5"),
        (dict(n_epochs=None), "n_epochs must be a positive integer, got None"),
        (dict(n_steps=16.0), "n_steps must be a positive integer, got 16.0"),
        (dict(n_steps="16"), "n_steps must be a positive integer, got '16'"),
        (dict(n_steps=True), "n_steps must be a positive integer, got True"),
        (dict(n_steps=0), "n_steps must be a positive integer, got 0"),
        (dict(batch_size="16"), "batch_size must be a positive integer, got '16'"),
        (dict(refresh_states="no"), "refresh_states must be True or False, got 'no'"),
        (dict(n_steps=16, rollout_buffer_kwargs=dict(sequence_length=8)), "pass it to PPO itself"),
        (dict(policy_kwargs="x"), r"policy_kwargs is 'x'; give a dictionary, as dict\("),
        (dict(policy_kwargs=dict(memory_kwargs=[1])), r"memory_kwargs is \[1\]; give a dictionary, as dict\("),
        (dict(sequence_length=0), "sequence_length must be a positive integer, got 0"),
        (dict(policy="MlpPolicy"), "policy='MlpPolicy' is not known here; use one of CompressiveMemoryPolicy"),
        (dict(policy_kwargs=dict(memory_class="elephant")), "unknown memory core 'elephant'; known: 'compressive'"),
    ],
)
def test_arguments_that_do_not_fit_fail_at_construction(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PPO(kwargs.pop("policy", "CompressiveMemoryPolicy"), Toy(), **kwargs)


@pytest.mark.parametrize(
    ("policy_kwargs", "message"),
    [
        (dict(memory_class=th.nn.Linear), "memory_class must be one of .* or a subclass of MemoryCore"),
        (dict(memory_class=th.nn.Linear(1, 1)), "memory_class must be one of .* or a subclass of MemoryCore"),
        (
            dict(memory_kwargs=dict(memory_lenght=3)),
            "memory_kwargs has 'memory_lenght', which .* known: memory_length,",
        ),
    ],
)
def test_wrong_memories_fail_at_construction(policy_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        PPO("MemoryPolicy", Toy(), policy_kwargs=policy_kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(policy_kwargs=dict(memory_length=4)), r"pass memory_kwargs=dict\(memory_length=4\)"),
        (dict(policy_kwargs=dict(memory_class="lstm", hidden_size=8)), r"pass memory_kwargs=dict\(hidden_size=8\)"),
        (dict(memory_class="lstm"), r"pass policy_kwargs=dict\(memory_class='lstm'\)"),
        (dict(policy=None), "policy is None; pass a name, such as 'CompressiveMemoryPolicy', or a class"),
        (dict(policy=5), "policy is 5; pass a name"),
    ],
)
@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_what_is_given_at_the_wrong_place_names_the_right_one(
    algorithm: type[Any], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        algorithm(**{"policy": "MemoryPolicy", "env": Toy(), **kwargs})


def test_numbers_of_numpy_are_numbers() -> None:
    kwargs: Any = dict(n_steps=np.int64(32), batch_size=np.int32(16), sequence_length=np.int64(8), n_epochs=np.int64(1))
    memory = {name: np.int64(value) for name, value in TINY.items()}
    agent = PPO("MemoryPolicy", Toy(), **kwargs, policy_kwargs=dict(memory_kwargs=memory)).learn(32)
    assert (agent.n_steps, agent.batch_size, agent.sequence_length) == (32, 16, 8)


def test_arguments_are_checked_when_an_agent_is_loaded(tmp_path: Path) -> None:
    agent = toy_agent(rollout_buffer_kwargs={})
    agent.save(tmp_path / "agent")
    with pytest.raises(ValueError, match="n_epochs must be a positive integer, got 0"):
        PPO.load(tmp_path / "agent", n_epochs=0)
    assert PPO.load(tmp_path / "agent", sequence_length=8).rollout_buffer.sequence_length == 8


def test_a_policy_of_another_algorithm_names_the_mend() -> None:
    with pytest.raises(TypeError, match=r"policy=MemoryPolicy is a policy of another algorithm; pass .* as a string"):
        PPO(DQNMemoryPolicy, Toy())  # type: ignore[arg-type]


def test_actions_of_two_dimensions_name_the_mend() -> None:
    env = Toy()
    env.action_space = spaces.MultiDiscrete(np.array([[2, 3], [2, 3]]))
    with pytest.raises(ValueError, match="of which one dimension only can be chosen; reshape them"):
        PPO("MemoryPolicy", env)


def test_layers_of_a_subclass_read_the_memory() -> None:
    class Layers(th.nn.Module):
        latent_dim_pi = latent_dim_vf = 5

        def __init__(self, width: int) -> None:
            super().__init__()
            self.linear = th.nn.Linear(width, 5)

        def forward_actor(self, x: th.Tensor) -> th.Tensor:
            y: th.Tensor = self.linear(x)
            return y

        forward_critic = forward_actor

    class Own(MemoryPolicy):
        def _build_mlp_extractor(self) -> None:
            self.mlp_extractor = Layers(self.features_dim)  # type: ignore[assignment]

    agent = toy_agent(policy=Own).learn(96)
    layers: Any = agent.policy.mlp_extractor
    assert layers.linear.in_features == TINY["d_model"]
    assert agent.policy.features_dim == 3


def test_stock_ppo_with_a_memory_policy_names_the_mend() -> None:
    with pytest.raises(TypeError, match=r"use memory_agents\.PPO in place of stable_baselines3\.PPO"):
        stable_baselines3.PPO(CompressiveMemoryPolicy, Toy(), n_steps=8, batch_size=8).learn(8)


def test_a_policy_without_memory_names_the_mend() -> None:
    policy: Any = stable_baselines3.common.policies.ActorCriticPolicy
    with pytest.raises(TypeError, match="ActorCriticPolicy has no memory; use stable_baselines3's own PPO"):
        PPO(policy, Toy())


def test_a_rollout_buffer_without_memory_names_the_mend() -> None:
    with pytest.raises(
        TypeError, match="RolloutBuffer keeps no memory states; use a subclass of SequenceRolloutBuffer"
    ):
        PPO("MemoryPolicy", Toy(), rollout_buffer_class=stable_baselines3.common.buffers.RolloutBuffer)


@pytest.mark.parametrize("critic", [False, True])
def test_environments_do_not_share_a_judgers_decisions(critic: bool) -> None:
    message = (
        r"makes one decision for all of a batch, but environments do not depend .* judger=dict\(decisions='sample'\)"
    )
    with pytest.raises(ValueError, match=message):
        toy_agent(
            policy_kwargs=dict(
                memory_kwargs={**TINY, "judger": dict(decisions="batch")}, share_features_extractor=not critic
            )
        )


class Forgetful(MemoryCore[tuple[()]]):
    """A core of a user's own: remembers nothing."""

    def __init__(self, input_dim: int, width: int = 3) -> None:
        super().__init__(input_dim, width)
        self.linear = th.nn.Linear(input_dim, width)

    def initial_state(self, batch_size: int) -> Any:
        return (th.zeros(batch_size, 1),)

    def step_(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> Any:
        return self.linear(x), state

    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> Any:
        return self.linear(x), state


def test_a_core_of_the_users_own_needs_no_registration() -> None:
    kwargs = dict(memory_class=Forgetful, memory_kwargs=dict(width=5))
    agent = toy_agent(policy="MemoryPolicy", policy_kwargs=kwargs).learn(96)
    assert agent.policy._memories[0].output_dim == 5
    assert agent._first_ratio_error() < 1
    with pytest.raises(ValueError, match=r"is not a CompressiveMemory, .* use MemoryPolicy for other cores"):
        toy_agent(policy_kwargs=kwargs)


def test_memory_arguments_reach_the_core() -> None:
    policy = toy_agent(policy="MemoryPolicy", policy_kwargs=dict(memory_class="compressive")).policy
    memory = policy._memories[0]
    assert isinstance(memory, CompressiveMemory)
    assert (memory.shapes[0].memory_length, memory.output_dim) == (TINY["memory_length"], TINY["d_model"])
    assert isinstance(toy_agent(policy=MemoryPolicy).policy, MemoryPolicy)
