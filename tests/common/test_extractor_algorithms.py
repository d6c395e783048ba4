"""Algorithms that know nothing of memory, with memory as their features extractor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib as contrib
import stable_baselines3 as sb3
import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from memory_agents import CompressiveMemoryExtractor, HistoryWrapper, VecHistory
from tests.ppo.toys import TINY, Toy, toy_venv

ON_POLICY: dict[str, Any] = dict(n_steps=16)
MINIBATCHES: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=1)
OFF_POLICY: dict[str, Any] = dict(learning_starts=20, buffer_size=200, batch_size=8, train_freq=4)
DISCRETE: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
    "PPO": (sb3.PPO, MINIBATCHES),
    "A2C": (sb3.A2C, ON_POLICY),
    "DQN": (sb3.DQN, OFF_POLICY),
    "QRDQN": (contrib.QRDQN, OFF_POLICY),
    "TRPO": (contrib.TRPO, dict(n_steps=16, batch_size=16, cg_max_steps=3)),
    "MaskablePPO": (contrib.MaskablePPO, MINIBATCHES),
    "RecurrentPPO": (contrib.RecurrentPPO, MINIBATCHES),
}
CONTINUOUS: dict[str, tuple[type[BaseAlgorithm], dict[str, Any]]] = {
    "SAC": (sb3.SAC, OFF_POLICY),
    "TD3": (sb3.TD3, OFF_POLICY),
    "DDPG": (sb3.DDPG, OFF_POLICY),
    "TQC": (contrib.TQC, OFF_POLICY),
}


def toy_histories(name: str, observation: str = "box", **kwargs: Any) -> VecHistory:
    action = "box" if name in CONTINUOUS else "discrete"
    return VecHistory(toy_venv(n_envs=2, observation=observation, action=action, truncate=True), 6, **kwargs)


def make(name: str, env: Any, memory_class: str = "gru", **policy_kwargs: Any) -> BaseAlgorithm:
    memory_kwargs: dict[str, Any] = TINY if memory_class == "compressive" else dict(hidden_size=8)
    extractor: dict[str, Any] = dict(
        features_extractor_class=CompressiveMemoryExtractor,
        features_extractor_kwargs=dict(memory_class=memory_class, memory_kwargs=memory_kwargs),
    )
    algorithm, kwargs = {**DISCRETE, **CONTINUOUS}[name]
    policy = "MultiInputLstmPolicy" if name == "RecurrentPPO" else "MultiInputPolicy"
    extractor |= dict(net_arch=[8], **policy_kwargs)
    return algorithm(policy, env, seed=0, device="cpu", policy_kwargs=extractor, **kwargs)


def trained(agent: BaseAlgorithm) -> dict[str, th.Tensor]:
    """Parameters of memories but those of networks that only follow others."""
    named = agent.policy.named_parameters()
    return {name: p.detach().clone() for name, p in named if ".memory." in name and "target" not in name}


@pytest.mark.parametrize(
    ("name", "memory_class"),
    [
        *((name, "gru") for name in {**DISCRETE, **CONTINUOUS}),
        *((name, "compressive") for name in ("PPO", "TRPO", "SAC")),
    ],
)
def test_it_learns_saves_loads_and_predicts(name: str, memory_class: str, tmp_path: Path) -> None:
    venv = toy_histories(name, previous_action=True, previous_reward=True)
    agent = make(name, venv, memory_class)
    before = trained(agent)
    assert before
    learn: dict[str, Any] = dict(use_masking=False) if name == "MaskablePPO" else {}
    agent.learn(100 if memory_class == "compressive" else 200, **learn)
    # Some parameters move with steps too small for single precision, and unused slots not at all.
    moved = [not th.equal(p, before[label]) for label, p in trained(agent).items()]
    assert np.mean(moved) > (0.95 if memory_class == "gru" else 0.7)

    agent.save(tmp_path / "agent")
    loaded = type(agent).load(tmp_path / "agent", env=venv, device="cpu")
    observations = venv.reset()
    action, _ = agent.predict(observations, deterministic=True)  # type: ignore[arg-type]
    same, _ = loaded.predict(observations, deterministic=True)  # type: ignore[arg-type]
    np.testing.assert_array_equal(action, same)
    loaded.learn(40, reset_num_timesteps=False, **learn)

    env = HistoryWrapper(Toy(action="box" if name in CONTINUOUS else "discrete"), 6, previous_action=True)
    env = HistoryWrapper(env.env, 6, previous_reward=True)
    history, _ = env.reset(seed=0)
    action, _ = loaded.predict(history, deterministic=True)
    assert env.action_space.contains(action if action.shape else int(action))


@pytest.mark.parametrize("observation", ["discrete_from_three", "multi_discrete", "dict_image", "small_image"])
@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_it_learns_from_other_observations(name: str, observation: str) -> None:
    venv = toy_histories(name, observation)
    agent = make(name, venv).learn(60)
    for entry, space in venv.observation_space.items():  # type: ignore[attr-defined]
        buffer: Any = agent.replay_buffer if name == "SAC" else agent.rollout_buffer  # type: ignore[attr-defined]
        assert buffer.observations[entry].dtype == space.dtype


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("name", ["SAC", "TD3", "TQC", "PPO"])
def test_actor_and_critic_share_a_memory_or_do_not(name: str, share: bool) -> None:
    agent = make(name, toy_histories(name), share_features_extractor=share)
    before = trained(agent)
    agent.learn(200)
    policy: Any = agent.policy
    if name == "PPO":
        actor, critic = policy.pi_features_extractor, policy.vf_features_extractor
    else:
        actor, critic = policy.actor.features_extractor, policy.critic.features_extractor
        targets = policy.critic_target.features_extractor
        assert targets is not critic
        assert any((a - b).abs().max() > 0 for a, b in zip(targets.parameters(), critic.parameters(), strict=True))
    assert (actor is critic) == share
    for label, parameter in trained(agent).items():
        assert not th.equal(parameter, before[label]), label


def test_single_environments_are_wrapped_one_by_one() -> None:
    env = HistoryWrapper(Toy(truncate=True), 6)
    make("DQN", env).learn(60)
    venv = make_vec_env(lambda: HistoryWrapper(Toy(), 6), 2)
    make("PPO", venv).learn(60)


def test_the_replay_buffer_holds_the_histories_of_episodes_that_ended() -> None:
    agent = make("DQN", toy_histories("DQN")).learn(100)
    assert isinstance(agent, OffPolicyAlgorithm)
    buffer: Any = agent.replay_buffer
    ended = np.argwhere(buffer.dones[: buffer.pos] > 0)
    assert len(ended) > 4
    for step, env in ended:
        now, then = (
            {name: rows[step, env] for name, rows in entries.items()}
            for entries in (buffer.observations, buffer.next_observations)
        )
        n = int(now["history_length"][0])
        assert int(then["history_length"][0]) == min(n + 1, 6)
        np.testing.assert_array_equal(then["observation"][:-1], now["observation"][1:])
        assert then["observation"][-1].any()


@pytest.mark.parametrize("name", ["PPO", "SAC"])
def test_it_learns_from_what_vec_normalize_shows(name: str) -> None:
    outside = VecNormalize(toy_histories(name), norm_obs_keys=["observation"])
    make(name, outside).learn(100)
    assert outside.obs_rms["observation"].count > 90
    rewards = VecNormalize(toy_histories(name, previous_reward=True), norm_obs=False)
    make(name, rewards).learn(60)
    if name == "PPO":
        toys = VecNormalize(toy_venv(n_envs=2))
        make(name, VecHistory(toys, 6)).learn(60)


def test_lengths_are_never_normalised_unasked() -> None:
    with pytest.raises(ValueError, match="norm_obs_keys"):
        VecNormalize(toy_histories("PPO"))


def test_it_loads_with_its_space_alone(tmp_path: Path) -> None:
    make("PPO", toy_histories("PPO")).save(tmp_path / "agent")
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        sb3.PPO.load(tmp_path / "agent", env=VecHistory(toy_venv(n_envs=2), 7), device="cpu")


def tmaze(seed: int) -> VecHistory:
    return VecHistory(make_vec_env("MemoryAgents/TMaze-v0", 8, seed=seed, env_kwargs=dict(corridor=6)), 7)


def success(memory: bool, steps: int) -> float:
    """Of PPO, with memory or the newest observation alone."""
    env = tmaze(0) if memory else VecHistory(tmaze(0).venv, 1)
    unseen = tmaze(1_000) if memory else VecHistory(tmaze(1_000).venv, 1)
    policy_kwargs: dict[str, Any] = dict(
        features_extractor_class=CompressiveMemoryExtractor,
        features_extractor_kwargs=dict(memory_class="gru", memory_kwargs=dict(hidden_size=16)),
        net_arch=[],
    )
    sizes: dict[str, Any] = dict(n_steps=64, batch_size=128, n_epochs=4, learning_rate=5e-3, ent_coef=0.01)
    agent = sb3.PPO("MultiInputPolicy", env, seed=0, device="cpu", policy_kwargs=policy_kwargs, **sizes).learn(steps)
    return float(np.mean(evaluate_policy(agent, unseen, n_eval_episodes=200)[0]))


def test_with_memory_the_t_maze_is_solved() -> None:
    assert success(memory=True, steps=8_000) >= 0.9


def test_without_memory_it_is_not() -> None:
    assert success(memory=False, steps=8_000) < 0.7
