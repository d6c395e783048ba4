"""What users of Stable-Baselines3 know goes on working."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import FlattenExtractor, NatureCNN
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from memory_agents import PPO, CompressiveMemoryPolicy, SmallCNN
from memory_agents.common import CombinedFeatures
from memory_agents.memory import tree_leaves
from tests.ppo.toys import ACTIONS, OBSERVATIONS, TINY, StopAfter, Toy, toy_agent, toy_venv


@pytest.mark.parametrize(
    ("observation", "action"),
    [(observation, "discrete") for observation in OBSERVATIONS] + [("box", action) for action in ACTIONS],
)
def test_every_space_learns_saves_loads_and_predicts(observation: str, action: str, tmp_path: Path) -> None:
    env = toy_venv(observation=observation, action=action, truncate=True)
    agent = toy_agent(env, n_steps=16, batch_size=16, n_epochs=1).learn(96)
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", device="cpu")
    obs: Any = env.reset()
    state, loaded_state, starts = None, None, np.ones(3, dtype=bool)
    for _ in range(5):
        actions, state = agent.predict(obs, state, starts, deterministic=True)
        loaded_actions, loaded_state = loaded.predict(obs, loaded_state, starts, deterministic=True)
        np.testing.assert_array_equal(actions, loaded_actions)
        obs, _, starts, _ = env.step(actions)


@pytest.mark.parametrize(
    ("kind", "extractor"),
    [
        ("box", FlattenExtractor),
        ("multi_discrete", FlattenExtractor),
        ("image", NatureCNN),
        ("small_image", SmallCNN),
        ("dict", CombinedFeatures),
    ],
)
def test_the_extractor_fits_the_observation_space(kind: str, extractor: type) -> None:
    policy = toy_agent(toy_venv(observation=kind)).policy
    assert type(policy.features_extractor) is extractor


class Halving(FlattenExtractor):
    """Half of every observation."""

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return super().forward(observations) / 2


POLICY_OPTIONS: dict[str, dict[str, Any]] = {
    "net_arch": dict(net_arch=dict(pi=[8], vf=[4, 4])),
    "share_features_extractor": dict(share_features_extractor=False),
    "features_extractor_class": dict(features_extractor_class=Halving),
    "activation_fn": dict(net_arch=[8], activation_fn=th.nn.ReLU),
    "ortho_init": dict(ortho_init=False),
    "action_gain": dict(action_gain=0.5),
    "optimizer_class": dict(optimizer_class=th.optim.SGD),
    "optimizer_kwargs": dict(optimizer_kwargs=dict(eps=1e-3)),
}


@pytest.mark.parametrize("option", POLICY_OPTIONS)
def test_policy_arguments_of_sb3_change_the_learned_policy(option: str) -> None:
    obs = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)
    outputs = []
    for kwargs in ({}, POLICY_OPTIONS[option]):
        policy = toy_agent(policy_kwargs=kwargs).learn(96).policy
        obs_tensor, starts = th.as_tensor(obs), th.ones(3, dtype=th.bool)
        distribution: Any = policy.get_distribution(obs_tensor, policy.initial_state(3), starts).distribution
        outputs.append(distribution.logits.detach())
    assert not th.equal(*outputs)


def test_normalize_images_is_honoured() -> None:
    raw = toy_agent(toy_venv(observation="image"), policy_kwargs=dict(normalize_images=False)).policy
    normalized = toy_agent(toy_venv(observation="image")).policy
    normalized.load_state_dict(raw.state_dict())
    image = th.full((1, 1, 64, 64), 200, dtype=th.uint8)
    assert not th.allclose(raw._features(image)[0], normalized._features(image)[0])
    th.testing.assert_close(raw._features(image / 255)[0], normalized._features(image)[0])


@pytest.mark.parametrize(("side", "extractor"), [(64, NatureCNN), (63, SmallCNN), (3, SmallCNN)])
def test_float_images_get_a_cnn_when_the_policy_is_told_so(side: int, extractor: type) -> None:
    class FloatImages(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gym.spaces.Box(0, 1, (3, side, side))

    env = make_vec_env(FloatImages, 2)
    assert type(toy_agent(env).policy.features_extractor) is FlattenExtractor
    policy = toy_agent(env, policy_kwargs=dict(normalize_images=False)).learn(64).policy
    assert type(policy.features_extractor) is extractor


def test_separate_extractors_have_separate_memories() -> None:
    policy = toy_agent(policy_kwargs=dict(share_features_extractor=False)).policy
    assert len(policy.memories) == 2
    obs, starts = th.randn(2, 3), th.ones(2, dtype=th.bool)
    state = policy.initial_state(2)
    before = policy.predict_values(obs, state, starts), policy.get_distribution(obs, state, starts).mode()
    logits: Any = policy.get_distribution(obs, state, starts).distribution
    policy.memories[1].input.weight.data.add_(1.0)  # type: ignore[operator, union-attr]
    after: Any = policy.get_distribution(obs, state, starts).distribution
    assert not th.equal(before[0], policy.predict_values(obs, state, starts))
    assert th.equal(logits.logits, after.logits)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_exploration(squash: bool) -> None:
    agent = toy_agent(toy_venv(action="box"), use_sde=True, sde_sample_freq=4, policy_kwargs=dict(squash_output=squash))
    agent.learn(192)
    action, _ = agent.predict(np.zeros(3, np.float32))
    assert agent.action_space.contains(action.astype(np.float32))


def test_predict_for_one_and_for_many_environments() -> None:
    agent = toy_agent()
    obs = np.stack([Toy().observation_space.sample() for _ in range(3)])
    actions, state = agent.predict(obs, deterministic=True)
    assert actions.shape == (3,)
    action, single = agent.predict(obs[1], deterministic=True)
    assert action.shape == ()
    assert action == actions[1]
    next_actions, _ = agent.predict(obs, state, deterministic=True)
    next_action, _ = agent.predict(obs[1], single, deterministic=True)
    assert next_action == next_actions[1]


def test_predict_is_functional() -> None:
    policy = toy_agent().learn(96).policy
    obs = np.ones((2, 3), np.float32)
    _, state = policy.predict(obs)
    before = [leaf.clone() for leaf in tree_leaves(state)]
    first, _ = policy.predict(-obs, state, deterministic=True)
    second, _ = policy.predict(-obs, state, deterministic=True)
    np.testing.assert_array_equal(first, second)
    assert all(th.equal(a, b) for a, b in zip(before, tree_leaves(state), strict=True))


def test_episode_start_forgets() -> None:
    policy = toy_agent().learn(96).policy
    obs = np.ones((1, 3), np.float32)
    _, used = policy.predict(5 * obs)
    for start in (True, False):
        _, after = policy.predict(obs, used, np.array([start]))
        _, fresh = policy.predict(obs, None, np.array([start]))
        equal = all(th.equal(a, b) for a, b in zip(tree_leaves(after), tree_leaves(fresh), strict=True))
        assert equal is start


def test_predict_says_what_does_not_fit() -> None:
    agent = toy_agent()
    _, state = agent.predict(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="state is of 2 environments, observation of 3; pass state=None"):
        agent.predict(np.zeros((3, 3), np.float32), state)
    with pytest.raises(ValueError, match="episode_start has 1 entries for 2 environments"):
        agent.predict(np.zeros((2, 3), np.float32), state, np.array([True]))
    with pytest.raises(ValueError, match="pass the first element"):
        agent.predict(Toy().reset())  # type: ignore[arg-type]


def test_evaluation_uses_the_memory() -> None:
    agent = toy_agent()
    mean, _ = evaluate_policy(agent, Monitor(Toy()), n_eval_episodes=4)
    assert np.isfinite(mean)
    returns, lengths = evaluate_policy(agent, toy_venv(3), n_eval_episodes=7, return_episode_rewards=True)
    assert len(returns) == len(lengths) == 7  # type: ignore[arg-type]


def test_callbacks(tmp_path: Path) -> None:
    evaluation = EvalCallback(
        toy_venv(2), eval_freq=20, n_eval_episodes=2, best_model_save_path=str(tmp_path), verbose=0
    )
    agent = toy_agent().learn(192, callback=[evaluation, CheckpointCallback(32, str(tmp_path))])
    assert (tmp_path / "best_model.zip").exists()
    assert list(tmp_path.glob("rl_model_*_steps.zip"))
    assert agent.num_timesteps == 192


def test_vec_normalize_and_subprocesses() -> None:
    env = VecNormalize(make_vec_env(Toy, 2, vec_env_cls=SubprocVecEnv, vec_env_kwargs=dict(start_method="fork")))
    agent = toy_agent(env)
    agent.learn(128)
    assert agent.num_timesteps == 128
    env.close()


@pytest.mark.parametrize(
    "memory", [{}, dict(memory_length=9, compressed_length=0), dict(n_layers=1, d_model=24, n_heads=3)]
)
def test_saving_the_model_and_the_policy(memory: dict[str, Any], tmp_path: Path) -> None:
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={**TINY, **memory}, share_features_extractor=False)).learn(96)
    agent.save(tmp_path / "agent")
    agent.policy.save(str(tmp_path / "policy"))
    loaded = PPO.load(tmp_path / "agent", device="cpu").policy
    loaded_policy = CompressiveMemoryPolicy.load(str(tmp_path / "policy"), device="cpu")
    for policy in (loaded, loaded_policy):
        for name, tensor in agent.policy.state_dict().items():
            assert th.equal(tensor, policy.state_dict()[name])
        obs = np.ones((2, 3), np.float32)
        _, state = agent.policy.predict(obs)
        a, b = (p.predict(obs, state, deterministic=True)[1] for p in (agent.policy, policy))
        assert all(th.equal(x, y) for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True))


@pytest.mark.parametrize("n_envs", [3, 5])
def test_learning_goes_on_after_loading(n_envs: int, tmp_path: Path) -> None:
    agent = toy_agent().learn(192)
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", env=toy_venv(n_envs), device="cpu")
    assert loaded.num_timesteps == 192
    before = [p.detach().clone() for p in loaded.policy.parameters()]
    loaded.learn(n_envs * 64, reset_num_timesteps=False)
    assert loaded.num_timesteps == 192 + n_envs * 64
    assert not all(th.equal(a, b) for a, b in zip(before, loaded.policy.parameters(), strict=True))
    assert loaded._memory_state is not None


def test_an_agent_loaded_without_environment_gets_one_later(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    toy_agent().learn(96).save(buffer)
    buffer.seek(0)
    loaded = PPO.load(buffer, device="cpu")
    loaded.set_env(toy_venv(3))
    loaded.learn(96)


def test_sizes_changed_while_loading_must_fit_too(tmp_path: Path) -> None:
    toy_agent().save(tmp_path / "agent")
    with pytest.raises(ValueError, match="batch_size=24 must be a multiple of sequence_length=16"):
        PPO.load(tmp_path / "agent", env=toy_venv(), device="cpu", batch_size=24)


def test_learning_continued_keeps_its_memory() -> None:
    whole = toy_agent().learn(192)
    parts = toy_agent().learn(96)
    parts.learn(96, reset_num_timesteps=False)
    assert parts.num_timesteps == whole.num_timesteps == 192
    assert all(th.equal(a, b) for a, b in zip(whole.policy.parameters(), parts.policy.parameters(), strict=True))


def test_a_callback_that_stops_early_keeps_observation_and_memory_together() -> None:
    agent = toy_agent().learn(96, callback=StopAfter(5))
    assert agent.num_timesteps == 15
    assert agent.env is not None
    assert agent._memory_state is not None
    left = agent.env.get_attr("seen")
    starts = np.asarray(agent._last_episode_starts)
    # Memory has seen every observation of an episode but the newest, which is yet to be answered.
    for index, (seen, start) in enumerate(zip(left, starts, strict=True)):
        if not start:
            assert int(agent._memory_state[0].steps[index]) == len(seen) - 1
        np.testing.assert_array_equal(agent._last_obs[index], seen[-1])  # type: ignore[index]


def test_env_by_name_and_policy_by_class() -> None:
    agent = PPO(
        CompressiveMemoryPolicy, "CartPole-v1", n_steps=32, policy_kwargs=dict(memory_kwargs=TINY), device="cpu"
    )
    agent.learn(32)
    assert isinstance(agent.env.envs[0].unwrapped, gym.Env)  # type: ignore[union-attr]


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_agents_move_between_devices(devices: tuple[str, str], tmp_path: Path) -> None:
    agent = toy_agent(device=devices[0]).learn(96)
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", env=toy_venv(), device=devices[1])
    obs = np.linspace(-1, 1, 9, dtype=np.float32).reshape(3, 3)
    state = loaded_state = None
    for _ in range(30):
        _, state = agent.predict(obs, state, deterministic=True)
        _, loaded_state = loaded.predict(obs, loaded_state, deterministic=True)
    for leaf, other in zip(tree_leaves(state), tree_leaves(loaded_state), strict=True):
        th.testing.assert_close(leaf.cpu(), other.cpu(), atol=1e-4, rtol=1e-4)
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.logger.name_to_value is not None
