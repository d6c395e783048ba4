"""The judger's reward in DCT: what a head foresees, against the same without compressed memory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env

from memory_agents import PPO
from memory_agents.common import PerplexityReward
from memory_agents.common.judger_evaluator import cores
from memory_agents.common.judger_rewards import JudgerReturns
from memory_agents.common.outcomes import Outcomes
from memory_agents.memory import CompressiveMemory
from tests.ppo.toys import TINY, StopAfter, Toy, toy_agent, toy_venv

#: Blocks leave and slots are full early enough for decisions in short episodes.
MEMORY: dict[str, Any] = {**TINY, "memory_length": 2, "compressed_length": 2}


def agent(env: Any = None, judger: dict[str, Any] | None = None, share: bool = True, **reward_kwargs: Any) -> PPO:
    """An agent whose judger is paid by perplexity."""
    policy_kwargs = dict(memory_kwargs={**MEMORY, "judger": dict(hidden_size=4)}, share_features_extractor=share)
    judger_kwargs = dict(reward="perplexity", reward_kwargs=reward_kwargs, **(judger or {}))
    return toy_agent(env, policy_kwargs=policy_kwargs, judger_kwargs=judger_kwargs)


def source(learner: PPO) -> PerplexityReward:
    training = learner.judger_training
    assert training is not None
    assert isinstance(training.source, PerplexityReward)
    return training.source


def rollouts(learner: PPO, number: int) -> None:
    """Learn from so many rollouts."""
    learner.learn(number * learner.n_steps * learner.n_envs, reset_num_timesteps=False)


def recorded(learner: PPO, number: int) -> list[JudgerReturns]:
    """What the source has said of the rollouts that an agent has learned from."""
    found, real = [], source(learner).returns

    def record(buffer: Any) -> JudgerReturns:
        found.append(real(buffer))
        return found[-1]

    source(learner).returns = record  # type: ignore[method-assign]
    rollouts(learner, number)
    source(learner).returns = real  # type: ignore[method-assign]
    return found


class Cut(gym.Env[Any, Any]):
    """Counts; each step is paid 1; cut after seven steps."""

    observation_space = spaces.Discrete(8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.count, 1.0, False, self.count == 7, {}


def test_outcomes_are_the_next_observations_and_what_the_environment_paid() -> None:
    learner = agent(make_vec_env(Cut, 3))
    rollouts(learner, 2)
    buffer = learner.rollout_buffer
    assert buffer.bootstraps.any()  # the rewards of cut episodes have the value of what follows in them
    assert (buffer.rewards != 1).any()
    _, _, outcomes = source(learner)._rollout(buffer)
    now = th.as_tensor(buffer.observations).long().view(3, 32)
    following, known = outcomes.classes.view(3, 32), outcomes.known.view(3, 32)
    np.testing.assert_allclose(outcomes.numbers.numpy(), 1, atol=1e-5)
    assert th.equal(known[:, :-1], now[:, :-1] < 6)
    assert not known[:, -1].any()
    assert th.equal(following[known], now[known] + 1)


@pytest.mark.parametrize("share", [True, False])
def test_the_evaluator_is_the_agent_without_slots(share: bool) -> None:
    """The numbers are those of memories built without slots, over two rollouts with the same snapshot."""
    learner = agent(share=share, judger=dict(learning_rate=1e-9), refresh=10**6)
    rollouts(learner, 1)
    evaluator = source(learner).evaluator
    assert evaluator.taken
    without = []
    for memory in cores(evaluator.memories):
        kwargs = {**MEMORY, "compressed_length": 0, "block_length": MEMORY["compression_rate"]}
        other = CompressiveMemory(memory.input_dim, **kwargs)
        others = other.state_dict()
        other.load_state_dict({name: value for name, value in memory.state_dict().items() if name in others})
        without.append(other.eval())
    states = [memory.initial_state(3) for memory in without]
    evaluator._states = []
    for _ in range(2):
        buffer = learner.rollout_buffer
        found = evaluator.follow(learner.policy, buffer)
        batch = buffer.sample_windows(np.arange(6)).observations
        starts = batch.episode_starts.view(3, 32)
        outputs = []
        with th.no_grad():
            for index, extractor in enumerate(evaluator.extractors):
                x = extractor(batch.observations).view(3, 32, -1)
                y, states[index] = without[index].unroll(x, states[index], starts)
                outputs.append(y)
        th.testing.assert_close(found, th.cat(outputs, dim=2).flatten(0, 1), atol=1e-5, rtol=1e-5)
        learner.collect_rollouts(learner.env, _quiet(learner), buffer, 32)  # type: ignore[arg-type]


def _quiet(learner: PPO) -> Any:
    return learner._setup_learn(0, None, reset_num_timesteps=False)[1]


def test_other_slots_change_the_agent_and_not_the_evaluator() -> None:
    learner = agent(make_vec_env(Cut, 3, env_kwargs={}), refresh=10**6)
    rollouts(learner, 2)
    buffer, mine = learner.rollout_buffer, source(learner)
    before, memories = mine.evaluator._states, mine._rollout(buffer)[0]
    alone = mine.evaluator.follow(learner.policy, buffer)
    for state in buffer._window_states:
        for layer in state.layers:
            layer.slots.add_(5.0)
        state.judgement[0].made.fill_(MEMORY["compressed_length"])
    mine.evaluator._states = before
    assert not th.equal(mine._rollout(buffer)[0], memories)
    assert th.equal(mine.evaluator.follow(learner.policy, buffer), mine.evaluator.follow(learner.policy, buffer))
    mine.evaluator._states = before
    assert th.equal(mine.evaluator.follow(learner.policy, buffer), alone)


def weights(module: th.nn.Module) -> list[th.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def same(some: list[th.Tensor], others: list[th.Tensor]) -> bool:
    return all(th.equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_evaluator_is_refreshed_rarely() -> None:
    learner = agent(judger=dict(warmup=2 * 96), refresh=2 * 96)
    evaluator = source(learner).evaluator
    snapshots, ages = [weights(evaluator.memories)], []
    heads = [weights(source(learner).head)]
    for _ in range(6):
        (returns,) = recorded(learner, 1)
        snapshots.append(weights(evaluator.memories))
        heads.append(weights(source(learner).head))
        ages.append(int(evaluator.age))
        assert bool(evaluator.taken) == returns.baselines.any() == (len(ages) > 2)
    # Two rollouts of warm-up; then it becomes the agent at the third and at the fifth.
    assert ages == [0, 0, 96, 192, 96, 192]
    assert [same(a, b) for a, b in pairwise(snapshots)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
    assert not any(same(a, b) for a, b in pairwise(heads))


class Endless(Toy):
    """A toy whose episodes have no end."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        seen = super().reset(seed=seed, options=options)
        self.left = 10**6
        return seen


def test_after_a_rollout_that_was_broken_off_the_evaluator_begins_anew() -> None:
    learner = agent(make_vec_env(Endless, 3, seed=0))
    evaluator = source(learner).evaluator

    def steps() -> list[int]:
        seen: list[int] = evaluator._states[0].steps.tolist()
        return seen

    rollouts(learner, 1)
    assert steps() == [32, 32, 32]
    learner.learn(96, callback=StopAfter(5), reset_num_timesteps=False)
    rollouts(learner, 1)
    # It has not seen the five steps between: what it remembers is of one rollout only.
    assert steps() == [32, 32, 32]
    assert learner._memory_state is not None
    assert learner._memory_state[0].steps.tolist() == [69, 69, 69]
    rollouts(learner, 1)
    assert steps() == [64, 64, 64]


def test_a_new_evaluator_begins_with_empty_memories() -> None:
    learner = agent(make_vec_env(Endless, 3, seed=0), refresh=96)
    for _ in range(2):
        rollouts(learner, 1)
        assert source(learner).evaluator._states[0].steps.tolist() == [32, 32, 32]


def test_the_probe_does_not_change_what_the_policy_learns() -> None:
    """During the warm-up the judger changes nothing, and the head draws its batches from the same generator, so the
    agents part only by what is drawn: one update, then the same weights."""
    policies = []
    for reward in ("advantage", "perplexity"):
        policy_kwargs = dict(memory_kwargs={**MEMORY, "judger": dict(hidden_size=4)})
        learner = toy_agent(policy_kwargs=policy_kwargs, judger_kwargs=dict(reward=reward, warmup=10**6))
        th.manual_seed(3)
        np.random.seed(3)
        rollouts(learner, 1)
        policies.append(weights(learner.policy))
    assert same(*policies)


def test_a_decision_earns_what_follows_it_in_its_episode() -> None:
    rng = np.random.default_rng(0)
    worth = rng.normal(size=(3, 20)).astype(np.float32)
    goes_on = (rng.random((3, 20)) < 0.8).astype(np.float32)
    goes_on[:, -1] = 0
    for horizon_gamma in (0.0, 0.7, 1.0):
        expected = np.zeros_like(worth)
        for env in range(3):
            for t in range(20):
                later, weight = t, 1.0
                while goes_on[env, later]:
                    later += 1
                    expected[env, t] += weight * worth[env, later]
                    weight *= horizon_gamma
        found = source(agent(horizon_gamma=horizon_gamma))._following(worth, goes_on)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("baseline", ["transformed", "cross_entropy"])
@pytest.mark.parametrize("age", [0, 1])
def test_returns_and_baselines_by_their_definition(age: int, baseline: str) -> None:
    """In the rollout of the snapshot, and in the next, in which the head knows other moments than the snapshot."""
    options: dict[str, Any] = dict(m=3.0, a=0.6, horizon_gamma=0.0, refresh=10**6, baseline=baseline)
    learner = agent(judger=dict(learning_rate=1e-9), **options)
    mine = source(learner)
    if age:
        rollouts(learner, age)
    heads: list[Any] = []
    alone: list[th.Tensor] = []
    observe, follow = mine.head.observe, mine.evaluator.follow

    def observing(outcomes: Outcomes) -> None:
        observe(outcomes)
        heads.append(weights(mine.head))

    def following(policy: Any, buffer: Any) -> th.Tensor:
        alone.append(follow(policy, buffer))
        return alone[-1]

    mine.head.observe = observing  # type: ignore[method-assign]
    mine.evaluator.follow = following  # type: ignore[method-assign]
    (returns,) = recorded(learner, 1)
    memories, actions, outcomes = mine._rollout(learner.rollout_buffer)
    # A rollout is judged by the head as it was before it learned from it; the first evaluator has that head, too.
    mine.head.load_state_dict(dict(zip(mine.head.state_dict(), heads[0], strict=True)))
    assert same(weights(mine.evaluator.head), heads[0]) == (age == 0)
    entropies = []
    for head, outputs in ((mine.head, memories), (mine.evaluator.head, alone[0])):
        with th.no_grad():
            entropy = mine.head.cross_entropy(head(outputs, actions), outcomes, mine.head.deviation)
        entropies.append(entropy.numpy().reshape(3, 32))
    worths = [3.0 * 0.6 ** np.exp(entropy) for entropy in entropies]
    goes_on = returns.matters.reshape(3, 32)
    pairs = [(returns.returns, worths[0])]
    pairs.append((returns.baselines, worths[1] if baseline == "transformed" else entropies[1]))
    for found, worth in pairs:
        expected = np.zeros((3, 32))
        expected[:, :-1] = goes_on[:, :-1] * worth[:, 1:]
        np.testing.assert_allclose(found.reshape(3, 32), expected, atol=1e-4)
    starts = learner.rollout_buffer.episode_starts.reshape(3, 32)
    assert np.array_equal(goes_on[:, :-1], 1 - starts[:, 1:])
    assert not goes_on[:, -1].any()


OPTIONS: dict[str, Any] = dict(
    m=2.0,
    a=0.3,
    baseline="cross_entropy",
    horizon_gamma=0.0,
    refresh=96,
    learning_rate=1e-2,
    hidden_size=8,
    n_epochs=1,
)


@pytest.fixture(scope="module")
def usual() -> list[JudgerReturns]:
    th.manual_seed(0)
    return recorded(agent(), 3)


@pytest.mark.parametrize("option", list(OPTIONS))
def test_every_option_changes_what_is_paid(option: str, usual: list[JudgerReturns]) -> None:
    th.manual_seed(0)
    returns = recorded(agent(**{option: OPTIONS[option]}), 3)
    gains = [[one.returns - one.baselines for one in some] for some in (usual, returns)]
    assert not all(np.allclose(a, b, atol=1e-6) for a, b in zip(*gains, strict=True))


class Recall(gym.Env[Any, Any]):
    """A sign is seen at steps 2 and 3, and paid at steps 9 to 12, which are marked, whatever is done."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.sign = 0, float(self.np_random.choice([-1.0, 1.0]))
        return self._see(), {}

    def _see(self) -> NDArray[np.float32]:
        return np.array([self.sign * (self.count in (2, 3)), 9 <= self.count <= 12], dtype=np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self.sign * (9 <= self.count <= 12)
        self.count += 1
        return self._see(), reward, self.count == 14, False, {}


def test_keeping_what_makes_rewards_foreseeable_is_paid() -> None:
    """Four recent tokens and one slot: the sign leaves at the end of step 6; from 8 on only a slot can tell of it."""
    memory = dict(
        memory_length=4, compressed_length=1, compression_rate=2, n_layers=1, d_model=16, n_heads=2, gating="none"
    )
    learner = toy_agent(
        make_vec_env(Recall, 16, seed=0),
        n_steps=56,
        sequence_length=56,
        batch_size=16 * 56,
        n_epochs=1,
        learning_rate=1e-9,
        policy_kwargs=dict(memory_kwargs={**memory, "judger": dict(hidden_size=4)}),
        judger_kwargs=dict(
            reward="perplexity",
            learning_rate=1e-9,
            reward_kwargs=dict(a=0.5, learning_rate=1e-2, n_epochs=10, refresh=16 * 56 * 4),
        ),
    )
    assert isinstance(learner.policy.memories[0], CompressiveMemory)
    gained: dict[bool, list[float]] = {True: [], False: []}
    for number in range(24):
        (returns,) = recorded(learner, 1)
        if number < 12:  # the head has to learn what a slot says
            continue
        choices = learner.rollout_buffer.choices[0]
        starts = learner.rollout_buffer.episode_starts.reshape(16, 56)
        for env, start in zip(*starts.nonzero(), strict=True):
            if start + 6 < 56:
                kept = bool(choices.keep[env, start + 6])
                gained[kept].append(float((returns.returns - returns.baselines)[env, start + 6]))
    difference = np.mean(gained[True]) - np.mean(gained[False])
    error = np.sqrt(sum(np.var(some) / len(some) for some in gained.values()))
    assert difference > max(4 * error, 0.05), (difference, error)


@pytest.mark.parametrize("share", [True, False])
def test_a_loaded_agent_goes_on(tmp_path: Path, share: bool) -> None:
    learner = agent(share=share, refresh=10**6)
    rollouts(learner, 2)
    learner.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", toy_venv(), device="cpu")
    mine, other = source(learner), source(loaded)
    for name in PerplexityReward.saved:
        saved, found = (getattr(one, name).state_dict() for one in (mine, other))
        assert str(saved) == str(found), name
    assert same(weights(mine.head), weights(other.head))
    assert same(weights(mine.evaluator), weights(other.evaluator))
    assert other.evaluator.age == 2 * 96
    assert not same(weights(mine.evaluator.memories), weights(learner.policy.memories))
    snapshot, head = weights(other.evaluator.memories), weights(other.head)
    rollouts(loaded, 2)
    assert same(weights(other.evaluator.memories), snapshot)
    assert not same(weights(other.head), head)
    assert other.evaluator.age == 4 * 96
    # What was learned goes with its parameters: there is nothing left of the new ones that loading began with.
    parameters = {id(parameter) for group in other.optimizer.param_groups for parameter in group["params"]}
    assert parameters == {id(parameter) for parameter in other.head.parameters()}


@pytest.mark.parametrize(
    ("observation", "action"),
    [
        ("dict_from_three", "discrete_from_three"),
        ("dict_image", "box"),
        ("image", "discrete"),
        ("small_image", "multi_discrete_from_three"),
        ("multi_binary_2d", "multi_binary"),
        ("number", "discrete"),
    ],
)
def test_it_learns_with_every_kind_of_space(observation: str, action: str) -> None:
    venv = toy_venv(observation=observation, action=action, truncate=True)
    learner = agent(venv, refresh=96)
    for returns in recorded(learner, 2):
        for part in returns:
            assert part.shape == (6, 16)
            assert np.isfinite(part).all()
    assert learner.logger.name_to_value["judger/return"] != 0


def test_the_policy_of_an_agent_is_as_it_was_saved_without_the_source(tmp_path: Path) -> None:
    """Agents that are paid otherwise have nothing of it in their files."""
    learner = toy_agent(policy_kwargs=dict(memory_kwargs={**MEMORY, "judger": True}))
    names = learner._get_torch_save_params()[0]
    assert [name for name in names if "judger" in name] == ["judger_training.optimizer"]
    assert "judger_training.source.evaluator" in agent()._get_torch_save_params()[0]


def test_two_runs_with_the_same_seed_are_the_same() -> None:
    runs = []
    for _ in range(2):
        learner = agent()
        runs.append([*(one.returns for one in recorded(learner, 2)), *map(np.asarray, weights(learner.policy))])
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(m=0.0), r"m is 0\.0; give a positive number"),
        (dict(m="no"), r"m is 'no'; give a positive number"),
        (dict(a=0.0), r"a is 0\.0; give a number between 0 and 1, neither of them"),
        (dict(a=1.0), r"a is 1\.0; give a number between 0 and 1, neither of them"),
        (dict(a=float("nan")), r"a is nan; give a number between 0 and 1"),
        (dict(baseline="guess"), r"baseline must be one of 'transformed', 'cross_entropy', got 'guess'"),
        (
            dict(horizon_gamma=1.5),
            r"horizon_gamma is 1\.5; give a number from 0 to 1, or None for the algorithm's gamma",
        ),
        (dict(refresh=0), r"refresh must be a positive integer, got 0"),
        (dict(learning_rate=-1.0), r"learning_rate is -1\.0; give a positive number"),
        (dict(hidden_size=2.5), r"hidden_size must be a positive integer, got 2\.5"),
        (dict(n_epochs=0), r"n_epochs must be a positive integer, got 0"),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agent(**kwargs)
