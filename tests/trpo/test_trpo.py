"""TRPO with memory: second derivatives, the trust region, whole windows as samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib.common.utils import flat_grad
from stable_baselines3.common.distributions import kl_divergence
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from memory_agents import TRPO
from memory_agents.memory import memory_registry
from memory_agents.trpo.second_derivatives import second_derivatives
from tests.algorithms.agents import SMALL, make, venv
from tests.ppo.toys import TINY

OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, SMALL.get(name, {})) for name in memory_registry},
    "learned positions": ("compressive", {**TINY, "positions": "learned"}),
    "rotary positions": ("compressive", {**TINY, "positions": "rotary"}),
    "most used": ("compressive", {**TINY, "compression": "most_used"}),
    "mogrifier": ("compressive", {**TINY, "mogrifier_rounds": 2}),
    "replay": ("rmt", {**SMALL["rmt"], "memory_replay": True}),
}


def rollout(agent: Any) -> Any:
    agent.learn(96)
    return next(iter(agent.rollout_buffer.get(None)))


def flat(tensors: Any) -> th.Tensor:
    return th.cat([tensor.detach().flatten() for tensor in tensors])


@pytest.mark.parametrize("share", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("option", OPTIONS)
def test_curvature_is_that_of_finite_differences(option: str, share: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name, memory_kwargs = OPTIONS[option]
    kwargs = dict(memory_class=name, memory_kwargs=memory_kwargs, share_features_extractor=share)
    agent = make("TRPO", policy="MemoryPolicy", policy_kwargs=kwargs, n_steps=16, cg_max_steps=1, n_critic_updates=1)
    batch = rollout(agent).observations
    agent.policy.double()
    # Past the preprocessing, which makes singles of everything.
    monkeypatch.setattr(agent.policy, "_features", lambda obs: (obs,) * len(agent.policy.memories))
    batch = batch._replace(observations=batch.observations.double(), states=as_double(batch.states))
    with th.no_grad():
        old = agent.policy.get_distribution(batch).distribution.logits.clone()

    def gradient() -> tuple[list[th.Tensor], th.Tensor]:
        new = agent.policy.get_distribution(batch)
        divergence = (new.distribution.probs * (new.distribution.logits - old)).sum(1).mean()
        actor, _, grads, _ = agent._compute_actor_grad(divergence, new.distribution.logits[:, 0].mean())
        return actor, grads

    with second_derivatives():
        actor, grads = gradient()
        # Nothing of the actor is left out, whatever its name.
        names = {id(p): key for key, p in agent.policy.named_parameters()}
        assert {names[id(p)] for p in actor} == {
            key for key in names.values() if "value_net" not in key and (share or not key.startswith("memories.1"))
        }
        vector = th.randn(len(grads), dtype=th.float64, generator=th.Generator().manual_seed(0))
        product = agent.hessian_vector_product(actor, grads, vector) - agent.cg_damping * vector
        step, moved = 1e-5, []
        for sign in (1, -1):
            shift(actor, sign * step * vector)
            moved.append(gradient()[1].detach())
            shift(actor, -sign * step * vector)
    expected = (moved[0] - moved[1]) / (2 * step)
    # Rectifiers that the step happens to switch are all that may differ.
    assert float((product - expected).norm()) < 1e-3 * float(expected.norm())


def as_double(tree: Any) -> Any:
    from memory_agents.memory.state import tree_map

    return tree_map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, tree)


def shift(parameters: list[th.Tensor], step: th.Tensor) -> None:
    start = 0
    for parameter in parameters:
        parameter.data += step[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()


@pytest.mark.parametrize("enabled", [True, False])
def test_without_other_kernels_recurrent_layers_have_no_curvature(
    enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(th.backends.mkldnn, "enabled", enabled)
    lstm = th.nn.LSTM(3, 4)
    x = th.randn(5, 2, 3)

    def curvature() -> th.Tensor:
        weights = list(lstm.parameters())
        grads = th.autograd.grad(lstm(x)[0].square().sum(), weights, create_graph=True)
        return flat_grad(sum(grad.square().sum() for grad in grads), weights)

    before = th.backends.mkldnn.enabled, th.backends.cudnn.enabled
    with second_derivatives():
        assert curvature().abs().sum() > 0
    assert (th.backends.mkldnn.enabled, th.backends.cudnn.enabled) == before


def test_steps_stay_within_the_trust_region_and_the_critic_leaves_the_actor_alone() -> None:
    agent = make("TRPO", target_kl=0.02, cg_max_steps=10).learn(96)
    agent.collect_rollouts(agent.env, agent._init_callback(None), agent.rollout_buffer, agent.n_steps)
    samples = next(iter(agent.rollout_buffer.get(None)))
    with th.no_grad():
        logits = agent.policy.get_distribution(samples.observations).distribution.logits.clone()
    agent.train()
    assert agent.logger.name_to_value["train/is_line_search_success"] == 1
    with th.no_grad():
        new = agent.policy.get_distribution(samples.observations)
        old_distribution = agent.policy.get_distribution(samples.observations)
        old_distribution = type(old_distribution)(3).proba_distribution(logits)
        divergence = float(kl_divergence(new, old_distribution).mean())
    # What the critic learned after the step has not moved the actor further.
    assert divergence == pytest.approx(agent.logger.name_to_value["train/kl_divergence_loss"], abs=1e-6)
    assert 0 < divergence < 0.02


def test_sub_sampling_takes_whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make("TRPO", sub_sampling_factor=3)
    sizes: list[tuple[int, ...]] = []
    see = agent.policy.get_distribution

    def get_distribution(obs: Any, *args: Any) -> Any:
        sizes.append(tuple(obs.episode_starts.shape))
        return see(obs, *args)

    monkeypatch.setattr(agent.policy, "get_distribution", get_distribution)
    agent.learn(96)
    assert set(sizes) == {(2, 16)}
    assert agent.sub_sampling_factor == 3
    assert len(agent.rollout_buffer.get(None).__next__().actions) == 96

    learned = [flat(make("TRPO", sub_sampling_factor=factor).learn(96).policy.parameters()) for factor in (1, 2)]
    assert not th.equal(*learned)


@pytest.mark.parametrize("factor", [0, 7, 1.5, True])
def test_sub_sampling_needs_windows(factor: Any) -> None:
    with pytest.raises(ValueError, match=r"of which a rollout has 6; use an integer from 1 to 6, or a shorter"):
        make("TRPO", sub_sampling_factor=factor)


@pytest.mark.parametrize(
    ("memory_kwargs", "message"),
    [
        (dict(dropout=0.1), "TRPO compares the policy with itself; use dropout=0"),
        (
            dict(compression_loss="attention", compression_gradient="both"),
            "use compression_gradient='auxiliary', or another algorithm",
        ),
    ],
)
def test_memories_that_do_not_fit(memory_kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("TRPO", policy_kwargs=dict(memory_kwargs={**TINY, **memory_kwargs}))


def test_compiled_programs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"compile=True, but TRPO needs derivatives of derivatives.*use compile=False"):
        make("TRPO", policy_kwargs=dict(compile=True))


@pytest.mark.parametrize(
    "dropout", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]
)
def test_networks_of_ones_own_that_drop_something_are_refused(dropout: type[nn.Module]) -> None:
    class Dropping(FlattenExtractor):
        def __init__(self, observation_space: spaces.Space[Any]) -> None:
            super().__init__(observation_space)
            self.dropping = dropout(0.1)

    with pytest.raises(ValueError, match="use dropout=0"):
        make("TRPO", policy_kwargs=dict(features_extractor_class=Dropping))


def test_refreshed_states_change_what_the_critic_learns() -> None:
    learned = [flat(make("TRPO", refresh_states=refresh).learn(96).policy.parameters()) for refresh in (True, False)]
    assert not th.equal(*learned)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_exploration(squash: bool) -> None:
    kwargs = dict(use_sde=True, sde_sample_freq=4, policy_kwargs=dict(squash_output=squash))
    agent = make("TRPO", venv("TRPO", action="box"), **kwargs).learn(192)
    assert agent.logger.name_to_value["memory/first_ratio_error"] < 1e-3
    action, _ = agent.predict(np.zeros(3, np.float32))
    assert agent.action_space.contains(action.astype(np.float32))


def test_default_sizes() -> None:
    agent = TRPO("CompressiveMemoryPolicy", venv("TRPO", 16), device="cpu")
    assert (agent.n_steps, agent.sequence_length, agent.batch_size) == (128, 128, 512)


@pytest.mark.parametrize(("factor", "sequence_length", "n_steps"), [(4, 1, 4), (2, 1, 2)])
def test_one_transition_cannot_be_standardised(factor: int, sequence_length: int, n_steps: int) -> None:
    sizes = dict(sub_sampling_factor=factor, sequence_length=sequence_length, n_steps=n_steps, batch_size=2)
    with pytest.raises(ValueError, match="of one transition is learned from; use normalize_advantage=False, a larger"):
        make("TRPO", venv("TRPO", 1), **sizes)
    agent = make("TRPO", venv("TRPO", 1), normalize_advantage=False, **sizes).learn(12)
    assert flat(agent.policy.parameters()).isfinite().all()
    make("TRPO", venv("TRPO", 1), **{**sizes, "sub_sampling_factor": 1})
