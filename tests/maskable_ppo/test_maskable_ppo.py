"""MaskablePPO with memory: PPO where all is valid, no invalid action otherwise, evaluation that remembers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch as th
from sb3_contrib.common.maskable import callbacks as stock_callbacks
from sb3_contrib.common.maskable import evaluation as stock_evaluation
from sb3_contrib.common.wrappers import ActionMasker
from stable_baselines3.common.callbacks import StopTrainingOnNoModelImprovement
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from memory_agents import PPO, MaskablePPO
from memory_agents.common.actions import invalid_actions
from memory_agents.maskable_ppo import MaskableEvalCallback, MaskedPlayer, evaluate_policy
from memory_agents.memory import tree_leaves
from tests.algorithms.agents import Free, MaskedToy, make, venv
from tests.ppo.toys import ACTIONS, Toy, toy_venv

MASKABLE = [name for name, space in ACTIONS.items() if not isinstance(space, gym.spaces.Box)]


def parameters(agent: Any) -> list[th.Tensor]:
    return [parameter.detach().clone() for parameter in agent.policy.parameters()]


@pytest.mark.parametrize("action", MASKABLE)
def test_where_all_is_valid_it_is_ppo_to_the_last_bit(action: str) -> None:
    kwargs: dict[str, Any] = dict(action=action, truncate=True)
    free = make_vec_env(Free, 3, seed=0, env_kwargs=kwargs)
    masked = make("MaskablePPO", free).learn(192)
    unmasked = make("PPO", toy_venv(**kwargs)).learn(192)
    for one, other in zip(parameters(masked), parameters(unmasked), strict=True):
        assert th.equal(one, other)
    np.testing.assert_array_equal(masked.rollout_buffer.actions, unmasked.rollout_buffer.actions)


def test_its_defaults_are_those_of_ppo() -> None:
    masked, unmasked = (
        algorithm("CompressiveMemoryPolicy", make_vec_env(Free, 3), device="cpu") for algorithm in (MaskablePPO, PPO)
    )
    for name in (
        "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm",
        "normalize_advantage", "sequence_length", "refresh_states",
    ):  # fmt: skip
        assert getattr(masked, name) == getattr(unmasked, name), name
    for schedule in ("lr_schedule", "clip_range"):
        for left in (1.0, 0.5, 0.0):
            assert getattr(masked, schedule)(left) == getattr(unmasked, schedule)(left)


def test_use_masking_can_be_switched_off() -> None:
    masked = make("MaskablePPO", toy_venv()).learn(192, use_masking=False)
    unmasked = make("PPO", toy_venv()).learn(192)
    assert all(th.equal(a, b) for a, b in zip(parameters(masked), parameters(unmasked), strict=True))
    with pytest.raises(ValueError, match=r"env has no method action_masks\(\); add one, put ActionMasker"):
        make("MaskablePPO", toy_venv()).learn(96)


@pytest.mark.parametrize(("observation", "action"), [("dict", "discrete"), *(("box", action) for action in MASKABLE)])
def test_no_invalid_action_is_taken(observation: str, action: str) -> None:
    """Masked toys complain about invalid actions themselves."""
    env = venv("MaskablePPO", observation=observation, action=action, truncate=True)
    agent = make("MaskablePPO", env, n_steps=16, sequence_length=8, batch_size=24).learn(96)
    buffer = agent.rollout_buffer
    samples = buffer.sample_windows(np.arange(6))
    start = getattr(ACTIONS[action], "start", 0)
    masks = samples.action_masks.numpy() > 0
    assert not masks.all()
    assert not invalid_actions(samples.actions.numpy() + start, masks, ACTIONS[action]).any()
    for deterministic in (False, True):
        evaluate_policy(agent, env, n_eval_episodes=4, deterministic=deterministic)


def test_masks_stay_beside_their_observations() -> None:
    class Telling(MaskedToy):
        """The observation is the mask."""

        def __init__(self) -> None:
            super().__init__()
            self.observation_space = gym.spaces.Box(0, 1, (3,))

        def reset(self, **kwargs: Any) -> Any:
            super().reset(**kwargs)
            return self.valid.astype(np.float32), {}

        def step(self, action: Any) -> Any:
            _, *rest = super().step(action)
            return self.valid.astype(np.float32), *rest

    agent = make("MaskablePPO", make_vec_env(Telling, 3, seed=0)).learn(96)
    for samples in agent.rollout_buffer.get(32):
        assert th.equal(samples.action_masks, samples.observations.observations)


def test_masks_change_what_is_learned_and_what_is_predicted() -> None:
    masked = make("MaskablePPO").learn(96)
    free = make("MaskablePPO", make_vec_env(Free, 3, seed=0)).learn(96)
    assert not all(th.equal(a, b) for a, b in zip(parameters(free), parameters(masked), strict=True))
    obs = np.zeros((3, 3), np.float32)
    for action in range(3):
        masks = np.tile(np.arange(3) == action, (3, 1))
        actions, state = masked.predict(obs, deterministic=True, action_masks=masks)
        assert actions.tolist() == [action] * 3
        _, unmasked = masked.predict(obs, deterministic=True)
        assert all(th.equal(a, b) for a, b in zip(tree_leaves(state), tree_leaves(unmasked), strict=True))
        single, _ = masked.predict(obs[0], deterministic=True, action_masks=masks[0])
        assert single == action
    with pytest.raises(ValueError, match="pass 3 values for each"):
        masked.predict(obs, action_masks=np.ones(3))
    with pytest.raises(ValueError, match=r"of environment 0 .* leaves no valid action"):
        masked.predict(obs, action_masks=np.zeros((3, 3)))


def test_an_environment_without_valid_actions_is_an_error() -> None:
    env = make_vec_env(lambda: ActionMasker(Toy(), lambda _: np.zeros(3)), 2)
    with pytest.raises(ValueError, match=r"of environment 0 .* leaves no valid action"):
        make("MaskablePPO", env).learn(64)


@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
def test_wrappers_of_sb3_contrib_and_processes(vec_env: type) -> None:
    def first_two_only() -> gym.Env[Any, Any]:
        return ActionMasker(Toy(), lambda _: np.array([True, True, False]))

    env = vec_env([first_two_only] * 2)
    agent = make("MaskablePPO", env).learn(64)
    assert agent.rollout_buffer.actions.max() <= 1
    env.close()


def test_a_policy_of_the_stock_algorithm_is_refused() -> None:
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

    policy: Any = MaskableActorCriticPolicy
    with pytest.raises(TypeError, match="has no memory; use sb3_contrib's own MaskablePPO"):
        MaskablePPO(policy, MaskedToy())


class Recall(gym.Env[Any, Any]):
    """A number is shown at first; to name it five steps later is worth 1. One of the three numbers is ruled out."""

    observation_space = gym.spaces.Box(-1, 1, (4,))
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.time, self.number = 0, int(self.np_random.integers(3))
        self.ruled_out = (self.number + 1 + int(self.np_random.integers(2))) % 3
        return np.eye(4, dtype=np.float32)[self.number], {}

    def action_masks(self) -> np.ndarray:
        return np.array([number != self.ruled_out for number in range(3)])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.time += 1
        over = self.time == 6
        return np.eye(4, dtype=np.float32)[3], float(over and action == self.number), over, False, {}


@pytest.fixture(scope="module")
def trained() -> Any:
    env = make_vec_env(Recall, 8, seed=0)
    return make("MaskablePPO", env, batch_size=64, n_epochs=4, learning_rate=1e-3).learn(12_288)


def test_evaluation_remembers_and_that_of_sb3_contrib_is_caught(trained: Any) -> None:
    env = make_vec_env(Recall, 4, seed=99)
    mean, _ = evaluate_policy(trained, env, n_eval_episodes=60)
    assert mean > 0.95  # type: ignore[operator]
    single, _ = evaluate_policy(trained, Monitor(Recall()), n_eval_episodes=20)
    assert single > 0.9  # type: ignore[operator]
    returns, lengths = evaluate_policy(trained, env, 7, return_episode_rewards=True)
    assert len(returns) == len(lengths) == 7  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"use those of memory_agents\.maskable_ppo"):
        stock_evaluation.evaluate_policy(trained, env)
    with pytest.raises(ValueError, match=r"env has no method action_masks\(\)"):
        evaluate_policy(trained, toy_venv())


def test_evaluation_passes_its_arguments_on(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, env = make("MaskablePPO"), venv("MaskablePPO")
    asked: list[tuple[bool, bool]] = []
    predict = agent.predict

    def listening(*args: Any, deterministic: bool, **kwargs: Any) -> Any:
        asked.append((deterministic, "action_masks" in kwargs))
        return predict(*args, deterministic=deterministic, **kwargs)

    monkeypatch.setattr(agent, "predict", listening)
    for deterministic in (True, False):
        asked.clear()
        evaluate_policy(agent, env, 2, deterministic)
        assert set(asked) == {(deterministic, True)}
    asked.clear()
    evaluate_policy(agent, toy_venv(), 2, use_masking=False)
    assert set(asked) == {(True, False)}
    steps: list[int] = []
    evaluate_policy(agent, env, 2, callback=lambda now, _: steps.append(now["episode_counts"].sum()))
    assert steps
    with pytest.raises(AssertionError, match="below threshold"):
        evaluate_policy(agent, env, 2, reward_threshold=1e6)
    with pytest.warns(UserWarning, match="not wrapped with a ``Monitor`` wrapper"):
        evaluate_policy(agent, MaskedToy(), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_policy(agent, MaskedToy(), 2, warn=False)


def test_a_state_that_was_lost_is_missed_in_any_environment() -> None:
    agent, obs = make("MaskablePPO"), np.zeros((3, 3), np.float32)
    agent.predict(obs, None, np.array([True, True, True]))
    with pytest.raises(ValueError, match=r"state=None, but by episode_start not every episode starts"):
        agent.predict(obs, None, np.array([True, False, True]))


def test_evaluation_of_the_stock_algorithm_is_the_same_as_its_own() -> None:
    env = venv("MaskablePPO")
    stock = sb3_contrib.MaskablePPO("MlpPolicy", env, n_steps=32, batch_size=32, seed=0, device="cpu").learn(96)
    means = []
    for evaluate in (evaluate_policy, stock_evaluation.evaluate_policy):
        env.seed(5)
        means.append(evaluate(stock, env, n_eval_episodes=5))
    assert means[0] == means[1]


def test_callbacks_evaluate_with_memory(trained: Any, tmp_path: Path) -> None:
    stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=100)
    callback = MaskableEvalCallback(
        make_vec_env(Recall, 4, seed=99),
        n_eval_episodes=20,
        eval_freq=32,
        callback_after_eval=stop,
        best_model_save_path=str(tmp_path),
        log_path=str(tmp_path),
        verbose=0,
    )
    trained.learn(256, callback=callback, reset_num_timesteps=False)
    assert callback.best_mean_reward > 0.9
    assert callback.model is trained
    loaded = MaskablePPO.load(tmp_path / "best_model", device="cpu")
    assert evaluate_policy(loaded, make_vec_env(Recall, 4), n_eval_episodes=20)[0] > 0.9  # type: ignore[operator]
    with np.load(tmp_path / "evaluations.npz") as saved:
        assert saved["results"].shape == (1, 20)

    unmasked = MaskableEvalCallback(toy_venv(), n_eval_episodes=2, eval_freq=32, use_masking=False, verbose=0)
    make("MaskablePPO").learn(96, callback=unmasked)
    assert np.isfinite(unmasked.last_mean_reward)
    stock = stock_callbacks.MaskableEvalCallback(venv("MaskablePPO"), n_eval_episodes=2, eval_freq=32, verbose=0)
    with pytest.raises(ValueError, match=r"use those of memory_agents\.maskable_ppo"):
        make("MaskablePPO").learn(96, callback=stock)


def test_a_player_is_its_model_but_for_the_masks(trained: Any) -> None:
    player = MaskedPlayer(trained, make_vec_env(Recall, 2, seed=0))
    assert player.gamma == trained.gamma
    with pytest.raises(AttributeError, match="whiskers"):
        _ = player.whiskers


@pytest.mark.parametrize(("n_steps", "batch_size"), [(9, 4), (4, 1), (1, 1)])
def test_a_minibatch_of_one_transition_cannot_be_standardised(n_steps: int, batch_size: int) -> None:
    sizes = dict(n_steps=n_steps, batch_size=batch_size, sequence_length=1)
    with pytest.raises(ValueError, match="of one transition is learned from; use normalize_advantage=False, a larger"):
        make("MaskablePPO", venv("MaskablePPO", 1), **sizes)
    agent = make("MaskablePPO", venv("MaskablePPO", 1), normalize_advantage=False, **sizes).learn(18)
    assert all(parameter.isfinite().all() for parameter in parameters(agent))
