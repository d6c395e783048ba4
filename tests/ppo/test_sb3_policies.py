"""Policies as users of Stable-Baselines3 build and question them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from memory_agents import CompressiveMemoryPolicy, MemoryPolicy
from memory_agents.memory import tree_leaves
from tests.ppo.toys import ACTIONS, OBSERVATIONS, TINY, toy_agent, toy_venv


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_values_and_distributions_of_any_observation(observation: str) -> None:
    env = toy_venv(3, observation=observation)
    policy = toy_agent(env).policy
    obs, vectorized = policy.obs_to_tensor(env.reset())  # type: ignore[arg-type]
    assert vectorized
    state, starts = policy.initial_state(3), th.ones(3, dtype=th.bool)
    before = [leaf.clone() for leaf in tree_leaves(state)]
    assert policy.predict_values(obs, state, starts).shape == (3, 1)
    distribution = policy.get_distribution(obs, state, starts)
    actions, values, log_prob, after = policy(obs, state, starts)
    assert (actions.shape, values.shape, log_prob.shape) == ((3,), (3, 1), (3,))
    th.testing.assert_close(distribution.log_prob(actions), log_prob)
    th.testing.assert_close(values, policy.predict_values(obs, state, starts))
    assert all(th.equal(a, b) for a, b in zip(before, tree_leaves(state), strict=True))
    assert not all(th.equal(a, b) for a, b in zip(before, tree_leaves(after), strict=True))


@pytest.mark.parametrize("action", ACTIONS)
def test_distributions_over_any_action(action: str) -> None:
    env = toy_venv(3, action=action)
    policy = toy_agent(env).policy
    obs: Any = policy.obs_to_tensor(env.reset())[0]  # type: ignore[arg-type]
    state, starts = policy.initial_state(3), th.ones(3, dtype=th.bool)
    distribution = policy.get_distribution(obs, state, starts)
    mode = distribution.mode()
    assert mode.reshape(3, -1).shape == (3, spaces.flatdim(policy.action_space) if action == "box" else mode[0].numel())
    assert distribution.log_prob(mode).shape == (3,)
    assert policy(obs, state, starts)[2].shape == (3,)
    for deterministic in (True, False):
        chosen, _ = policy.predict(obs.numpy(), None, starts.numpy(), deterministic)
        assert all(policy.action_space.contains(np.asarray(one, policy.action_space.dtype)) for one in chosen)


def test_values_depend_on_what_the_state_remembers() -> None:
    policy = toy_agent().learn(96).policy
    obs, starts = th.ones(2, 3), th.zeros(2, dtype=th.bool)
    fresh = policy.initial_state(2)
    used = policy(10 * obs, fresh, starts)[3]
    assert not th.equal(policy.predict_values(obs, fresh, starts), policy.predict_values(obs, used, starts))
    th.testing.assert_close(policy.predict_values(obs, fresh, starts), policy.predict_values(obs, used, ~starts))


@pytest.mark.parametrize("kind", [list, np.array, th.as_tensor, lambda flags: th.as_tensor(flags).float()])
def test_episode_starts_may_be_of_any_kind(kind: Any) -> None:
    """sb3-contrib's recurrent policies are given floats."""
    policy = toy_agent().policy
    obs, flags = th.randn(2, 3), [True, False]
    state = policy(obs, policy.initial_state(2), th.ones(2, dtype=th.bool))[3]
    expected = policy.predict_values(obs, state, th.as_tensor(flags))
    th.testing.assert_close(policy.predict_values(obs, state, kind(flags)), expected)


@pytest.mark.parametrize("share", [True, False])
def test_a_state_of_another_number_of_environments_is_refused(share: bool) -> None:
    policy = toy_agent(policy_kwargs=dict(share_features_extractor=share)).policy
    obs, starts = th.randn(3, 3), th.ones(3, dtype=th.bool)
    for state, message in (
        (policy.initial_state(2), "state is of 2 environments, observation of 3; begin with initial_state.3."),
        (policy.initial_state(1), "state is of 1 environments, observation of 3"),
    ):
        for ask in (policy.predict_values, policy.get_distribution, policy):
            with pytest.raises(ValueError, match=message):
                ask(obs, state, starts)
    with pytest.raises(ValueError, match=r"episode_starts has shape \(2,\) for 3 environments"):
        policy.predict_values(obs, policy.initial_state(3), starts[:2])


MEMORIES: list[dict[str, Any]] = [
    dict(memory_class="compressive", memory_kwargs={**TINY, "n_layers": 3, "d_model": 24, "n_heads": 3}),
    dict(memory_class="lstm", memory_kwargs=dict(hidden_size=10, n_layers=2)),
    dict(memory_class="rmt", memory_kwargs=dict(n_memory_tokens=3, segment_length=5, d_model=16, n_heads=2)),
]


@pytest.mark.parametrize("memory", MEMORIES, ids=lambda memory: memory["memory_class"])
@pytest.mark.parametrize("observation", ["box", "small_image", "dict_image"])
def test_a_policy_alone_is_saved_with_its_sizes(observation: str, memory: dict[str, Any], tmp_path: Path) -> None:
    kwargs = dict(
        **memory,
        net_arch=dict(pi=[9], vf=[7, 5]),
        activation_fn=nn.ELU,
        ortho_init=False,
        share_features_extractor=False,
        normalize_images=observation != "dict_image",
        optimizer_kwargs=dict(eps=1e-3),
    )
    env = toy_venv(2, observation=observation)
    policy = toy_agent(env, policy="MemoryPolicy", policy_kwargs=kwargs).policy
    policy.save(str(tmp_path / "policy"))
    loaded = MemoryPolicy.load(str(tmp_path / "policy"), device="cpu")
    assert str(loaded) == str(policy)
    assert loaded.optimizer.defaults["eps"] == 1e-3
    assert (loaded.normalize_images, loaded.ortho_init) == (policy.normalize_images, False)
    obs: Any = env.reset()
    state, loaded_state = policy.predict(obs)[1], loaded.predict(obs)[1]
    assert all(th.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(loaded_state), strict=True))


def test_a_policy_alone_is_saved_with_its_gain(tmp_path: Path) -> None:
    toy_agent(policy_kwargs=dict(action_gain=0.3)).policy.save(str(tmp_path / "policy"))
    loaded = MemoryPolicy.load(str(tmp_path / "policy"), device="cpu")
    assert loaded.action_gain == 0.3


def test_arguments_of_image_networks() -> None:
    env = toy_venv(2, observation="image")
    wide = toy_agent(env, policy_kwargs=dict(features_extractor_kwargs=dict(features_dim=32)))
    assert isinstance(wide.policy.features_extractor, NatureCNN)
    assert wide.policy.features_extractor.features_dim == 32
    assert wide.policy.memories[0].input_dim == 32
    wide.learn(64)


@pytest.mark.parametrize(
    ("net_arch", "actor", "critic"),
    [
        (None, [64], [64]),
        ([], [], []),
        ([9, 7], [9, 7], [9, 7]),
        (dict(pi=[9], vf=[]), [9], []),
        (dict(pi=[], vf=[9, 7]), [], [9, 7]),
    ],
)
def test_arguments_of_mlps(net_arch: Any, actor: list[int], critic: list[int]) -> None:
    agent = toy_agent(policy_kwargs=dict(net_arch=net_arch))
    widths = [
        [layer.out_features for layer in net if isinstance(layer, nn.Linear)]
        for net in (agent.policy.mlp_extractor.policy_net, agent.policy.mlp_extractor.value_net)
    ]
    assert widths == [actor, critic]
    agent.learn(96)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.ELU, nn.LeakyReLU])
def test_activation_functions(activation: type[nn.Module]) -> None:
    policy = toy_agent(policy_kwargs=dict(net_arch=[4, 4], activation_fn=activation)).policy
    kinds = [type(layer) for layer in policy.mlp_extractor.policy_net]
    assert kinds == [nn.Linear, activation, nn.Linear, activation]


@pytest.mark.parametrize(("options", "gain"), [({}, 1.0), (dict(action_gain=0.01), 0.01), (dict(action_gain=3), 3.0)])
def test_the_action_net_is_orthogonal_with_the_gain_asked_for(options: dict[str, Any], gain: float) -> None:
    policy = toy_agent(policy_kwargs=dict(net_arch=[8], **options)).policy
    actor, critic = policy.action_net.get_parameter("weight"), policy.value_net.get_parameter("weight")
    th.testing.assert_close(actor @ actor.T, gain**2 * th.eye(len(actor)), atol=1e-6 * gain**2, rtol=1e-5)
    th.testing.assert_close(critic @ critic.T, th.ones(1, 1))


def test_without_orthogonal_initialisation_nets_are_pytorchs() -> None:
    policy = toy_agent(policy_kwargs=dict(ortho_init=False, net_arch=[8])).policy
    weight = policy.action_net.get_parameter("weight")
    product = weight @ weight.T
    assert not th.allclose(product, product[0, 0] * th.eye(len(weight)), rtol=1e-3, atol=1e-3)
    assert 0.05 < weight.abs().max() <= 8**-0.5


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf"), True, "1"])
def test_a_gain_that_is_no_positive_number_is_refused(gain: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"action_gain is {gain!r}; give a positive number, or None")):
        toy_agent(policy_kwargs=dict(action_gain=gain))


def test_a_gain_of_no_consequence_is_refused() -> None:
    with pytest.raises(ValueError, match=r"action_gain=1\.0 is for ortho_init=True; leave one of the two out"):
        toy_agent(policy_kwargs=dict(action_gain=1.0, ortho_init=False))


def test_the_noise_begins_as_wide_as_asked_for() -> None:
    policy = toy_agent(toy_venv(action="box"), policy_kwargs=dict(log_std_init=-1.5)).policy
    obs, starts = th.randn(2, 3), th.ones(2, dtype=th.bool)
    distribution: Any = policy.get_distribution(obs, policy.initial_state(2), starts).distribution
    th.testing.assert_close(distribution.stddev, th.full((2, 2), float(np.exp(-1.5))))


SDE_OPTIONS: list[dict[str, Any]] = [{}, dict(full_std=False), dict(use_expln=True), dict(log_std_init=-2.0)]


@pytest.mark.parametrize("options", SDE_OPTIONS, ids=str)
def test_state_dependent_exploration_keeps_squashed_actions_in_bounds(options: dict[str, Any]) -> None:
    env = toy_venv(3, action="box")
    agent = toy_agent(env, use_sde=True, sde_sample_freq=8, policy_kwargs=dict(squash_output=True, **options))
    agent.learn(96)
    state, obs, starts = None, env.reset(), np.ones(3, dtype=bool)
    space = agent.action_space
    assert isinstance(space, spaces.Box)
    for _ in range(8):
        actions, state = agent.predict(obs, state, starts)  # type: ignore[arg-type]
        assert (actions >= space.low).all()
        assert (actions <= space.high).all()
        obs, _, starts, _ = env.step(actions)


def test_squashed_actions_are_scaled_to_the_bounds() -> None:
    env = toy_venv(2, action="box")
    policy = toy_agent(env, use_sde=True, policy_kwargs=dict(squash_output=True)).policy
    head: Any = policy.action_net
    with th.no_grad():
        head.bias.fill_(100.0)
    actions, _ = policy.predict(np.zeros((2, 3), np.float32), deterministic=True)
    np.testing.assert_allclose(actions, 2.0)


def test_unsquashed_actions_are_clipped_to_the_bounds() -> None:
    policy = toy_agent(toy_venv(2, action="box")).policy
    head: Any = policy.action_net
    with th.no_grad():
        head.bias.fill_(-100.0)
    actions, _ = policy.predict(np.zeros((2, 3), np.float32), deterministic=True)
    np.testing.assert_allclose(actions, -2.0)


def test_squashing_needs_state_dependent_exploration() -> None:
    with pytest.raises(AssertionError, match="squash_output=True is only available when using gSDE"):
        toy_agent(toy_venv(action="box"), policy_kwargs=dict(squash_output=True))


def test_acting_deterministically_is_repeatable_and_sampling_is_seeded() -> None:
    agent = toy_agent().learn(96)
    obs = np.linspace(-1, 1, 60, dtype=np.float32).reshape(20, 3)
    sure = [agent.predict(obs, deterministic=True)[0] for _ in range(2)]
    np.testing.assert_array_equal(sure[0], sure[1])
    drawn = []
    for seed in (3, 3, 4):
        agent.set_random_seed(seed)
        drawn.append(np.stack([agent.predict(obs)[0] for _ in range(5)]))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_policy_without_its_state_says_what_is_missing() -> None:
    policy = toy_agent().policy
    assert isinstance(policy, CompressiveMemoryPolicy)
    for ask in (policy.predict_values, policy.get_distribution, policy):
        with pytest.raises(TypeError, match="needs its memory state and the episode starts at every step"):
            ask(th.zeros(2, 3))
