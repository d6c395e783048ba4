from __future__ import annotations

import pickle
from copy import deepcopy
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.error import ResetNeeded
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from memory_agents import PPO, BatchedVecEnv, make_batched
from memory_agents.envs import TMaze
from memory_agents.envs.batched.tmaze import BatchedTMaze
from memory_agents.vec_env.batched_vec_env import _dictionaries
from memory_agents.wrappers import PreviousActionReward

MAZE = "MemoryAgents/TMaze-v0"
STREAM = "MemoryAgents/CopyFirst-v0"


def trained(env: VecEnv) -> dict[str, th.Tensor]:
    """Parameters of a memory policy after a short training."""
    kwargs = dict(memory_class="gru", memory_kwargs=dict(hidden_size=8))
    model = PPO("MemoryPolicy", env, n_steps=32, batch_size=64, n_epochs=2, seed=4, policy_kwargs=kwargs, device="cpu")
    model.learn(384)
    return model.policy.state_dict()


def test_training_gives_the_same_agent() -> None:
    one = trained(make_vec_env(STREAM, 4, env_kwargs={"delay": (1, 5)}))
    other = trained(make_batched(STREAM, 4, delay=(1, 5)))
    assert one.keys() == other.keys()
    assert all(th.equal(one[key], other[key]) for key in one)


@pytest.mark.filterwarnings("ignore:The environment is already wrapped")
def test_statistics_and_normalisation_are_the_same() -> None:
    pair = [VecNormalize(VecMonitor(made), gamma=0.9) for made in (make_vec_env(MAZE, 5), make_batched(MAZE, 5))]
    rng = np.random.default_rng(0)
    for env in pair:
        env.seed(3)
        env.reset()
    for _ in range(60):
        actions = rng.integers(2, size=5)
        one, other = (env.step(actions) for env in pair)
        for left, right in zip(one[:3], other[:3], strict=True):
            np.testing.assert_array_equal(left, right)
        episodes = [[info["episode"]["r"] for info in infos if "episode" in info] for infos in (one[3], other[3])]
        assert episodes[0] == episodes[1]


def test_evaluation_is_the_same() -> None:
    model = PPO("MemoryPolicy", make_batched(MAZE, 2), n_steps=8, policy_kwargs=dict(memory_class="gru"), seed=0)
    found = []
    for env in (make_vec_env(MAZE, 3, seed=1), make_batched(MAZE, 3, 1)):
        # It warns where neither Monitor nor VecMonitor counts.
        found.append(evaluate_policy(model, env, 12, return_episode_rewards=True))
    assert found[0] == found[1]


def test_what_follows_from_the_arguments() -> None:
    env = make_batched(MAZE, 3, cue_bits=2, corridor=(4, 6))
    assert env.get_attr("optimal_return") == [1.0] * 3
    assert env.get_attr("memoryless_return", [0, 2]) == [0.25] * 2
    assert env.env_method("normalized_score", 0.25, indices=1) == [0.0]
    assert env.get_attr("corridor") == [(4, 6)] * 3
    (spec,) = env.get_attr("spec", 0)
    assert (spec.id, spec.kwargs) == (MAZE, {"cue_bits": 2, "corridor": (4, 6)})
    remade = gym.make(spec).unwrapped
    assert isinstance(remade, TMaze)
    assert remade.corridor == (4, 6)
    assert not env.has_attr("corridors")
    oracles = env.env_method("oracle")
    assert len({id(oracle) for oracle in oracles}) == 3
    (batch,) = make_batched(STREAM, 1).env_method("supervised_batch", 6, 0)
    assert len(batch.tokens) == 6


def test_action_masks_are_those_of_every_copy() -> None:
    kwargs: dict[str, Any] = {"auto_advance": False, "active": True, "corridor": (1, 3)}
    single, batched = make_vec_env(MAZE, 6, seed=2, env_kwargs=kwargs), make_batched(MAZE, 6, 2, **kwargs)
    assert is_masking_supported(batched)
    assert not is_masking_supported(make_batched(STREAM, 2))
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before action_masks"):
        get_action_masks(batched)
    single.reset()
    batched.reset()
    rng = np.random.default_rng(1)
    for _ in range(200):
        masks = get_action_masks(batched)
        np.testing.assert_array_equal(masks, get_action_masks(single))
        np.testing.assert_array_equal(batched.env_method("action_masks", indices=[4])[0], masks[4])
        np.testing.assert_array_equal(batched.get_attr("action_masks", 5)[0](), masks[5])
        actions = rng.integers(4, size=6)
        np.testing.assert_array_equal(single.step(actions)[2], batched.step(actions)[2])


@pytest.mark.parametrize("name", ["np_random", "step", "reset", "render"])
def test_what_belongs_to_one_copy_cannot_be_had(name: str) -> None:
    env = make_batched(MAZE, 2)
    with pytest.raises(AttributeError, match=rf"'{name}' is part of the state .*: make a single environment"):
        env.get_attr(name)
    with pytest.raises(AttributeError, match="make a single environment"):
        env.env_method(name)
    assert not env.has_attr(name)


def test_nothing_can_be_set_or_drawn() -> None:
    env = make_batched(MAZE, 2)
    with pytest.raises(AttributeError, match=r"'corridor' cannot be set .*: pass it to make_batched"):
        env.set_attr("corridor", 3)
    for draw in (env.render, env.get_images):
        with pytest.raises(NotImplementedError, match="draw no frames: make a single environment"):
            draw()
    with pytest.raises(ValueError, match=r"render_mode='rgb_array' cannot be had .*: pass None, or make a single"):
        make_batched(MAZE, 2, render_mode="rgb_array")
    assert env.render_mode is None


def test_options_of_single_resets_are_refused() -> None:
    env = make_batched(MAZE, 2)
    env.set_options({"low": 1})
    with pytest.raises(ValueError, match=r"options=\['low'\] are for the reset of single environments"):
        env.reset()


def test_seeds_reach_actions_as_those_of_make_vec_env_do() -> None:
    drawn = []
    for make in (make_batched, make_vec_env, make_batched):
        env = make(MAZE, 2, seed=3)
        drawn.append([env.action_space.sample() for _ in range(20)])
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(set(map(int, drawn[0]))) > 1


def test_wrappers_of_a_specification_are_not_left_out_in_silence() -> None:
    wrapped = PreviousActionReward(gym.make(MAZE, corridor=3))
    assert wrapped.spec is not None
    with pytest.raises(ValueError, match=r"specification with PreviousActionReward around .* VecPreviousActionReward"):
        make_batched(wrapped.spec, 2)
    # What an environment has of its own stays.
    control = gym.make("MemoryAgents/CartPoleNoVelocity-v0")
    assert control.spec is not None
    assert make_batched(control.spec, 2).observation_space == control.observation_space


def test_limits_mean_what_they_mean_to_gymnasium() -> None:
    control, maze = "MemoryAgents/PendulumNoVelocity-v0", "MemoryAgents/TMaze-v0"
    for env_id, given in product((control, maze), (None, -1, 9)):
        single = gym.make(env_id, max_episode_steps=given)
        batched = make_batched(env_id, 1, max_episode_steps=given)
        assert single.spec is not None
        expected = None if single.spec.max_episode_steps == -1 else single.spec.max_episode_steps
        assert batched.batched.max_episode_steps == expected
    assert make_batched(control, 1, max_episode_steps=None).batched.max_episode_steps == 200


def test_the_monitor_can_be_left_out() -> None:
    watched, unwatched = make_batched(MAZE, 2, 0, corridor=1), make_batched(MAZE, 2, 0, monitor=False, corridor=1)
    assert watched.env_is_wrapped(Monitor) == [True, True]
    assert unwatched.env_is_wrapped(Monitor, 0) == [False]
    assert unwatched.env_is_wrapped(gym.wrappers.TimeLimit) == [False, False]
    assert unwatched.env_is_wrapped(gym.wrappers.FlattenObservation) == [False, False]
    assert make_batched(MAZE, 1, max_episode_steps=9).env_is_wrapped(gym.wrappers.TimeLimit) == [True]
    for env, told in ((watched, True), (unwatched, False)):
        env.reset()
        for _ in range(2):
            infos = env.step(np.zeros(2, int))[3]
        assert [("episode" in info) for info in infos] == [told, told]


def test_returns_and_lengths_begin_anew_with_a_reset() -> None:
    env = make_batched(STREAM, 1, 0, delay=2)
    for _ in range(3):
        env.reset()
        for _ in range(2):
            env.step(np.zeros(1, int))
    env.reset()
    for _ in range(4):
        infos = env.step(np.zeros(1, int))[3]
    assert infos[0]["episode"]["l"] == 4


def test_a_pickled_copy_plays_on_identically() -> None:
    env = make_batched(STREAM, 3, 1)
    env.reset()
    env.step(np.zeros(3, int))
    copies = [env, pickle.loads(pickle.dumps(env)), deepcopy(env)]
    for _ in range(60):
        steps = [copy.step(np.ones(3, int)) for copy in copies]
        for step in steps[1:]:
            for left, right in zip(steps[0][:3], step[:3], strict=True):
                np.testing.assert_array_equal(left, right)


def test_what_is_returned_is_not_written_to_again() -> None:
    env = make_batched(STREAM, 3, 1, delay=1)
    kept = [env.reset()]
    bytes_then = [kept[0].tobytes()]
    infos_kept, infos_then = [], []
    for _ in range(12):
        observations, rewards, dones, infos = env.step(np.zeros(3, int))
        assert isinstance(observations, np.ndarray)
        for array in (observations, rewards, dones):
            kept.append(array)
            bytes_then.append(array.tobytes())
        infos_kept.append(infos)
        infos_then.append(deepcopy(infos))
    assert [array.tobytes() for array in kept] == bytes_then
    assert str(infos_kept) == str(infos_then)


def test_a_module_can_be_named_with_the_id_or_a_specification_given() -> None:
    for name in (f"memory_agents:{MAZE}", gym.spec(MAZE)):
        env = make_batched(name, 2, corridor=3)
        assert isinstance(env, BatchedVecEnv)
        assert isinstance(env.batched, BatchedTMaze)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_envs": 0}, "n_envs=0 is out of bounds: pass an integer of at least 1"),
        ({"corridor": 0}, "corridor=0 is out of bounds"),
        ({"max_episode_steps": 0}, "max_episode_steps=0 is out of bounds: pass an integer of at least 1"),
        ({"env_id": "FrozenLake-v1"}, "env_id='FrozenLake-v1' has no form .*: use make_vec_env"),
        ({"env_id": "CartPole-v1"}, "env_id='CartPole-v1' has no form .*: use make_vec_env"),
    ],
)
def test_bad_arguments_say_the_mend(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_batched(**{"env_id": MAZE, "n_envs": 2, **arguments})


def test_arguments_are_not_given_as_a_dictionary() -> None:
    with pytest.raises(
        TypeError, match=r"env_kwargs={'corridor': 3} is make_vec_env's; pass .* themselves, as make_ba"
    ):
        make_batched(MAZE, 2, env_kwargs={"corridor": 3})


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 2], "action=2 is unknown: pass integers from 0 to 1"),
        ([-1, 0], "action=-1 is unknown: pass integers from 0 to 1"),
        ([0], r"actions of shape \(1,\) do not fit 2 environments: pass one for each"),
        ([[0], [0]], r"actions of shape \(2, 1\) do not fit 2 environments"),
    ],
)
def test_bad_actions_say_the_mend(actions: Any, message: str) -> None:
    env = make_batched(MAZE, 2)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before step"):
        env.step(np.zeros(2, int))
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(np.array(actions))


def test_gymnasium_says_the_mend() -> None:
    env = gym.make_vec(MAZE, 3, vectorization_mode="vector_entry_point")
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before a partial reset"):
        env.reset(options={"reset_mask": np.array([True, False, True])})
    env.reset(options={"reset_mask": np.ones(3, bool)})
    with pytest.raises(ValueError, match=r"seed=\[1, 2\] has 2 seeds for 3 environments: pass one for each"):
        env.reset(seed=[1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not say which of 3 environments begin anew: pass one boolean"):
        env.reset(options={"reset_mask": np.zeros(3, bool)})
    with pytest.raises(ValueError, match=r"options=\['low'\] are for the reset of single environments"):
        env.reset(options={"low": 0})


def test_infos_of_all_kinds_become_dictionaries() -> None:
    flags = {name: np.array([True, False, True]) for name in "abc"} | {"d": np.array([False, False, True])}
    mixed = {"count": np.array([3, 4, 5]), "flag": np.array([True, False, True]), "share": np.array([0.5, 1.0, 0.0])}
    many = {f"flag {number}": np.arange(3) == number % 3 for number in range(9)}
    for infos in (flags, mixed, many):
        made = _dictionaries(infos, 3, told=False)
        assert made == [
            {**{key: values[row].item() for key, values in infos.items()}, "told": False} for row in range(3)
        ]
        assert {type(value) for info in made for value in info.values()} <= {bool, int, float}
        made[0]["spoiled"] = True
        assert "spoiled" not in _dictionaries(infos, 3, told=False)[0]
    assert _dictionaries({}, 2) == [{}, {}]


@pytest.mark.parametrize(("corridor", "cut"), [(3, False), (4, True)])
def test_what_ends_with_the_step_at_which_it_would_be_cut_is_not_cut(corridor: int, cut: bool) -> None:
    """Learners would add the value of what comes after it."""
    pair = (
        make_batched(MAZE, 2, 0, corridor=corridor, max_episode_steps=4),
        make_vec_env(MAZE, 2, env_kwargs=dict(corridor=corridor, max_episode_steps=4)),
    )
    for venv in pair:
        venv.reset()
        for _ in range(4):
            _, _, dones, infos = venv.step(np.zeros(2, int))
        assert dones.all()
        assert [info["TimeLimit.truncated"] for info in infos] == [cut, cut]


def test_what_an_environment_tells_of_a_start_is_of_the_last_one() -> None:
    stream, arguments = "MemoryAgents/CueStream-v0", dict[str, Any](length=5, delay=2)
    one, other = make_vec_env(stream, 3, env_kwargs=arguments), make_batched(stream, 3, **arguments)
    told = []
    for venv in (one, other):
        venv.seed(5)
        venv.reset()
        told.append([[dict(info) for info in venv.reset_infos]])
        for _ in range(60):
            venv.step(np.zeros(3, int))
            told[-1].append([dict(info) for info in venv.reset_infos])
    for left, right in zip(*told, strict=True):
        assert repr(left) == repr(right)
    assert len({repr(infos) for infos in told[1]}) > 1
