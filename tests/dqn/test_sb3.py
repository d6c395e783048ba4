"""What users of Stable-Baselines3 know of DQN goes on working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv

from memory_agents import DQN, QRDQN, FlatDictObservation
from memory_agents.dqn import MemoryPolicy
from memory_agents.memory import CompressiveMemory, memory_registry, tree_leaves
from tests.dqn.toys import all_windows, collected, parameters, toy_agent
from tests.ppo.test_presets import PRESETS
from tests.ppo.toys import ACTIONS, NESTED, OBSERVATIONS, TINY, Toy, toy_venv


def assert_same_play(first: Any, second: Any, env: Any) -> None:
    obs: Any = env.reset()
    states: list[Any] = [None, None]
    starts = np.ones(env.num_envs, dtype=bool)
    for _ in range(5):
        actions, states[0] = first.predict(obs, states[0], starts, deterministic=True)
        others, states[1] = second.predict(obs, states[1], starts, deterministic=True)
        np.testing.assert_array_equal(actions, others)
        assert all(th.equal(a, b) for a, b in zip(tree_leaves(states[0]), tree_leaves(states[1]), strict=True))
        obs, _, starts, _ = env.step(actions)


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_every_space_learns_saves_loads_and_predicts(observation: str, tmp_path: Path) -> None:
    env = toy_venv(2, observation=observation, truncate=True)
    agent = toy_agent(env, batch_size=8).learn(64)
    assert agent._n_updates > 0
    agent.save(tmp_path / "agent")
    assert_same_play(agent, DQN.load(tmp_path / "agent", device="cpu"), env)


def test_a_loaded_replay_buffer_is_read_as_its_agent_says(tmp_path: Path) -> None:
    first = toy_agent(gamma=0.9, n_steps=1, burn_in=4)
    collected(first)
    first.save_replay_buffer(tmp_path / "buffer")
    agent = toy_agent(gamma=0.5, n_steps=3, burn_in=2)
    agent.load_replay_buffer(tmp_path / "buffer")
    agent.learn(96)
    buffer = agent.replay_buffer
    assert (buffer.gamma, buffer.n_steps, buffer.burn_in) == (0.5, 3, 2)
    discounts = {round(float(number), 6) for number in all_windows(buffer).discounts.flatten()}
    assert discounts <= {0.5, 0.25, 0.125}
    agent.gamma = 0.25
    agent.learn(96)
    assert agent.replay_buffer.gamma == 0.25


@pytest.mark.parametrize(
    ("settings", "n_envs", "message"),
    [
        (dict(sequence_length=16, batch_size=16), 3, "agent with sequence_length=8, but this one has .*=16; make it"),
        (dict(stored_state=False), 3, "agent with stored_state=True, but this one has stored_state=False"),
        ({}, 2, "agent with n_envs=3, but this one has n_envs=2; give it 3 environments, or collect anew"),
        (dict(policy_kwargs=dict(memory_kwargs={**TINY, "d_model": 8})), 3, "states of another memory than this"),
        (
            dict(policy="MemoryPolicy", policy_kwargs=dict(memory_class="gru", memory_kwargs={})),
            3,
            "states of another memory than this agent's; make it with the same memory_class",
        ),
    ],
)
def test_a_replay_buffer_of_another_agent_is_refused(
    settings: dict[str, Any], n_envs: int, message: str, tmp_path: Path
) -> None:
    first = toy_agent()
    collected(first)
    first.save_replay_buffer(tmp_path / "buffer")
    agent = toy_agent(toy_venv(n_envs), **settings)
    before = agent.replay_buffer
    with pytest.raises(ValueError, match=message):
        agent.load_replay_buffer(tmp_path / "buffer")
    assert agent.replay_buffer is before


@pytest.mark.parametrize(
    ("env", "message"),
    [(dict(observation="discrete"), "observation_space, Box"), (dict(action="wide"), "action_space")],
)
def test_a_replay_buffer_of_other_spaces_is_refused(
    env: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ACTIONS, "wide", spaces.Discrete(4))
    first = toy_agent()
    collected(first)
    first.save_replay_buffer(tmp_path / "buffer")
    with pytest.raises(
        ValueError, match=rf"path holds transitions of another {message}.*; make the agent with the same"
    ):
        toy_agent(toy_venv(**env)).load_replay_buffer(tmp_path / "buffer")


def test_what_is_collected_after_loading_begins_new_episodes(tmp_path: Path) -> None:
    first = toy_agent()
    collected(first, steps=40)
    first.save_replay_buffer(tmp_path / "buffer")
    agent = toy_agent(toy_venv(seed=5))
    collected(agent, steps=31)
    agent.load_replay_buffer(tmp_path / "buffer")
    agent.learn(24 * agent.n_envs, reset_num_timesteps=False)
    buffer = agent.replay_buffer
    assert buffer.pos == 64
    assert buffer.episode_starts[40].all()
    assert not buffer.episode_starts[39:42].all()


def test_a_replay_buffer_too_short_for_the_burn_in_is_refused(tmp_path: Path) -> None:
    short = toy_agent(burn_in=0, buffer_size=3 * 16, sequence_length=8, batch_size=8).learn(60)
    short.save_replay_buffer(tmp_path / "buffer")
    agent = toy_agent(burn_in=8, sequence_length=8, batch_size=8)
    told = r"burn_in=8 needs a replay buffer with room for 3 windows .* for 2; use burn_in=0 or less, or collect anew"
    with pytest.raises(ValueError, match=told):
        agent.load_replay_buffer(tmp_path / "buffer")
    # Likewise where it is set later; with nothing to replay nothing would be learned.
    short.burn_in = 8
    with pytest.raises(ValueError, match=told):
        short.learn(60)
    short.burn_in = 0
    before = short._n_updates
    assert short.learn(60)._n_updates > before


@pytest.mark.parametrize("observation", NESTED)
def test_nested_observations(observation: str) -> None:
    agent = toy_agent(Toy(observation), batch_size=8, learning_starts=16).learn(48)
    assert agent._n_updates > 0
    obs, _ = Toy(observation).reset(seed=0)
    assert np.shape(agent.predict(obs)[0]) == ()
    venv = make_vec_env(lambda: FlatDictObservation(Toy(observation)), 2)
    assert np.shape(agent.predict(venv.reset())[0]) == (2,)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(memory_registry))
def test_every_core_learns_saves_and_loads(name: str, tmp_path: Path) -> None:
    env = toy_venv(observation="dict", truncate=True)
    agent = toy_agent(env, policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, memory_kwargs={}))
    before = parameters(agent)
    agent.learn(96)
    assert not th.equal(before, parameters(agent))
    agent.save(tmp_path / "agent")
    agent.policy.save(str(tmp_path / "policy"))
    assert_same_play(agent, DQN.load(tmp_path / "agent", device="cpu"), env)
    assert_same_play(agent.policy, MemoryPolicy.load(str(tmp_path / "policy"), device="cpu"), env)


@pytest.mark.parametrize("policy", DQN.policy_aliases)
def test_every_policy_by_its_name_and_as_a_class(policy: str) -> None:
    sizes = dict(memory_length=6, d_model=8, n_heads=1, n_layers=1)
    agents = [
        toy_agent(toy_venv(), policy=given, policy_kwargs=dict(memory_kwargs=sizes)).learn(64)
        for given in (policy, DQN.policy_aliases[policy])
    ]
    assert type(agents[0].policy) is DQN.policy_aliases[policy]
    assert th.equal(parameters(agents[0]), parameters(agents[1]))


@pytest.mark.parametrize("algorithm", [DQN, QRDQN])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_are_called(name: str, algorithm: type[DQN | QRDQN]) -> None:
    gate, *lengths = PRESETS[name]
    policy = algorithm(name, toy_venv(1), device="cpu").policy
    for network in (policy.network, policy.target_network):
        memory = network.memory
        assert isinstance(memory, CompressiveMemory)
        assert {(shape.memory_length, shape.compressed_length) for shape in memory.shapes} == {tuple(lengths)}
        assert all(isinstance(block.attention_gate, gate) for block in memory.blocks)


@pytest.mark.parametrize(
    "option",
    [
        dict(net_arch=[8, 8]),
        dict(net_arch=[8], activation_fn=th.nn.Tanh),
        dict(optimizer_class=th.optim.SGD),
        dict(optimizer_kwargs=dict(eps=1e-2)),
        dict(memory_kwargs={**TINY, "n_layers": 1}),
    ],
    ids=lambda option: next(iter(option)),
)
def test_policy_arguments_change_what_is_learned(option: dict[str, Any]) -> None:
    learned = [parameters(toy_agent(policy_kwargs=kwargs).learn(96)) for kwargs in ({}, option)]
    assert learned[0].shape != learned[1].shape or not th.equal(*learned)


def test_the_replay_buffer_is_saved_and_loaded_and_goes_on(tmp_path: Path) -> None:
    agent = toy_agent()
    buffer = collected(agent, 50)
    agent.save(tmp_path / "agent")
    agent.save_replay_buffer(tmp_path / "buffer")
    loaded = DQN.load(tmp_path / "agent", env=toy_venv(), device="cpu")
    assert loaded.replay_buffer.windows_per_env == 0
    loaded.load_replay_buffer(tmp_path / "buffer")
    before, after = all_windows(buffer), all_windows(loaded.replay_buffer)
    assert th.equal(before.rewards, after.rewards)
    with th.no_grad():
        assert th.equal(agent.q_net(before.observations), loaded.q_net(after.observations))
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded._n_updates > 0
    # Episodes ended with the process that saved them.
    assert loaded.replay_buffer.episode_starts[50].all()


def test_continued_learning_goes_on_with_its_memory() -> None:
    agent = toy_agent()
    agent.learn(96)
    state = [leaf.clone() for leaf in tree_leaves(agent._memory_state)]
    steps = agent.replay_buffer.pos
    agent.learn(3, reset_num_timesteps=False)
    starts = agent.replay_buffer.episode_starts[steps]
    assert not starts.all()
    assert len(state) == len(list(tree_leaves(agent._memory_state)))
    before = agent.replay_buffer.next_observations[steps - 1][~starts]
    np.testing.assert_array_equal(before, agent.replay_buffer.observations[steps][~starts])


def test_episodes_as_unit_of_training_and_as_many_updates_as_steps() -> None:
    agent = toy_agent(toy_venv(1), train_freq=(1, "episode"), gradient_steps=-1, learning_starts=16).learn(24)
    assert agent._n_updates > 3


def test_evaluation_in_other_numbers_of_environments(tmp_path: Path) -> None:
    agent = toy_agent()
    callback = EvalCallback(toy_venv(2), n_eval_episodes=3, eval_freq=16, best_model_save_path=str(tmp_path), verbose=0)
    agent.learn(96, callback=callback)
    assert (tmp_path / "best_model.zip").exists()
    evaluate_policy(agent, Monitor(Toy()), n_eval_episodes=2)


def test_a_state_of_another_number_of_environments_names_the_mend() -> None:
    agent = toy_agent()
    _, state = agent.predict(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="state is of 3 environments, observation of 2; pass state=None"):
        agent.predict(np.zeros((2, 3), np.float32), state)


def test_environments_in_other_processes_give_the_same() -> None:
    learned = []
    for vec_env in (None, SubprocVecEnv):
        env = make_vec_env(
            "memory_agents:MemoryAgents/TMaze-v0", 2, seed=0, vec_env_cls=vec_env, env_kwargs=dict(corridor=3)
        )
        learned.append(parameters(toy_agent(env).learn(96)))
        env.close()
    assert th.equal(*learned)


def test_adam_is_fused_unless_told_otherwise() -> None:
    def group(**kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = toy_agent(policy_kwargs=kwargs).policy.optimizer.param_groups[0]
        return found

    assert (group()["fused"], group()["eps"]) == (True, 1e-8)
    given = {"eps": 1e-3, "fused": False}
    assert (group(optimizer_kwargs=given)["fused"], group(optimizer_kwargs=given)["eps"]) == (False, 1e-3)
    assert "fused" not in group(optimizer_class=th.optim.RMSprop)
