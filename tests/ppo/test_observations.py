"""Agents learn from nested observations."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from memory_agents import PPO, FlatDictObservation
from memory_agents.common import CombinedFeatures
from memory_agents.envs import PreviousActionReward, TMaze
from memory_agents.memory import tree_leaves
from tests.ppo.toys import NESTED, Toy, toy_agent

SIZES: dict[str, Any] = dict(n_steps=32, sequence_length=16, batch_size=32, n_epochs=1)


@pytest.mark.parametrize("observation", NESTED)
def test_an_environment_is_flattened_unasked(observation: str) -> None:
    env = Toy(observation, truncate=True)
    agent = toy_agent(env, **SIZES).learn(64)
    assert isinstance(agent.observation_space, spaces.Dict)
    assert isinstance(agent.policy.features_extractor, CombinedFeatures)

    buffer = io.BytesIO()
    agent.save(buffer)
    buffer.seek(0)
    loaded = PPO.load(buffer, env=Toy(observation), device="cpu")
    loaded.learn(32)
    agent.set_env(Toy(observation))

    buffer.seek(0)
    loaded = PPO.load(buffer, device="cpu")
    flat = FlatDictObservation(env)
    seen, _ = flat.reset(seed=1)
    state = flat_state = None
    for _ in range(5):
        # What the environment itself shows is understood, too.
        action, state = loaded.predict(env.seen[-1], state, deterministic=True)
        flat_action, flat_state = agent.predict(seen, flat_state, deterministic=True)
        assert action.shape == ()
        assert action == flat_action
        seen, *_ = flat.step(action)


@pytest.mark.parametrize("observation", NESTED)
def test_vectorised_environments_are_flattened_one_by_one(observation: str) -> None:
    env = make_vec_env(Toy, 3, wrapper_class=FlatDictObservation, env_kwargs=dict(observation=observation))
    agent = toy_agent(env, **SIZES).learn(96)
    mean_return, _ = evaluate_policy(agent, env, n_eval_episodes=4)
    assert np.isfinite(mean_return)


def test_vectorised_tuples_name_the_wrapper() -> None:
    env = DummyVecEnv([lambda: Toy("tuple")])
    with pytest.raises(ValueError, match=r"make_vec_env\(\.\.\., wrapper_class=FlatDictObservation\)"):
        toy_agent(env)
    agent = toy_agent(Toy("tuple"))
    mean_return, _ = evaluate_policy(agent, env, n_eval_episodes=2, warn=False)
    assert np.isfinite(mean_return)


def test_the_pair_of_reset_is_still_recognised() -> None:
    agent = toy_agent(Toy("tuple"))
    with pytest.raises(ValueError, match="pass the first element"):
        agent.predict(Toy("tuple").reset())  # type: ignore[arg-type]


def test_entries_change_the_values() -> None:
    policy = toy_agent(Toy("nested")).policy
    space = NESTED["nested"]
    space.seed(0)
    one, other = space.sample(), space.sample()
    states = []
    for observation in (one, {**one, "seen": other["seen"]}, {**one, "felt": other["felt"]}):
        _, state = policy.predict(observation)
        states.append(np.concatenate([np.ravel(leaf) for leaf in tree_leaves(state)]))
    assert not np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


@pytest.mark.parametrize("inside", [TMaze(corridor=3), Toy("tuple"), Toy("nested")], ids=["box", "tuple", "nested"])
def test_previous_action_and_reward_are_learned_from(inside: Any) -> None:
    agent = toy_agent(PreviousActionReward(inside), **SIZES).learn(64)
    assert isinstance(agent.observation_space, spaces.Dict)
    assert {"previous_action", "previous_reward"} < set(agent.observation_space)


@pytest.mark.parametrize(("action", "low", "high"), [("discrete_from_three", 3, 5), ("discrete", 0, 2)])
def test_actions_are_counted_from_where_their_space_starts(action: str, low: int, high: int) -> None:
    agent = toy_agent(make_vec_env(Toy, 3, env_kwargs=dict(action=action)))
    chosen = np.concatenate([agent.predict(np.zeros((64, 3), np.float32))[0] for _ in range(3)])
    assert (chosen.min(), chosen.max()) == (low, high)
