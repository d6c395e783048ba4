"""How the judger learns: its gradient against the enumeration of all that could be decided, and what decisions earn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from memory_agents import PPO
from memory_agents.common import MemoryActorCriticPolicy, SequenceRolloutBuffer
from memory_agents.common.judger_rewards import AdvantageReward, JudgerReturns, reward_registry
from memory_agents.common.judger_training import judger_loss
from memory_agents.memory import CompressiveMemory
from memory_agents.memory.compressive import Choice, JudgedBlocks, LearnedJudge, log_prob
from tests.ppo.toys import TINY, toy_agent, toy_venv

STEPS = 15
#: Steps at whose ends a block leaves once the one slot is full.
DECISIONS = range(6, STEPS, 2)
N = len(DECISIONS)


class Enumeration(NamedTuple):
    """
    Everything that the judge of a real memory could decide in a window, and what came of it.

    :param judge: the judge
    :param judged: decisions with what was there to judge, sequence after sequence, 2 ** N * N of them
    :param returns: rewards from each decision on, (2 ** N, N); the reward after a decision depends on it and on what
        lies in the slot, which is what was kept last
    :param baselines: something that depends on the decisions before, and not on this one, (2 ** N, N)
    """

    judge: LearnedJudge
    judged: JudgedBlocks
    returns: th.Tensor
    baselines: th.Tensor

    @property
    def log_probs(self) -> th.Tensor:
        """With the present parameters, (2 ** N, N)."""
        return log_prob(self.judge(self.judged.scenes), self.judged.choices.keep).view(-1, N)

    @property
    def choices(self) -> Choice:
        """As acting would have stored them."""
        return self.judged.choices._replace(log_prob=self.log_probs.detach().flatten())

    def gradient(self, value: th.Tensor) -> th.Tensor:
        """Of a scalar with respect to all of the judge's parameters; its own baseline's has none."""
        parameters = list(self.judge.parameters())
        parts = th.autograd.grad(value, parameters, retain_graph=True, materialize_grads=True)
        return th.cat([part.flatten() for part in parts])


@pytest.fixture
def everything() -> Enumeration:
    core = CompressiveMemory(
        3, memory_length=4, compressed_length=1, compression_rate=2, d_model=8, n_heads=2, judger=dict(hidden_size=4)
    ).double()
    assert isinstance(core.judge, LearnedJudge)
    for parameter in core.judge.parameters():
        parameter.data.add_(0.3 * th.randn_like(parameter))
    sequences = th.cartesian_prod(*[th.tensor([False, True])] * N)
    keep = th.zeros(2**N, STEPS, dtype=th.bool)
    keep[:, 4] = True  # fills the slot
    keep[:, list(DECISIONS)] = sequences
    judged = th.zeros_like(keep)
    judged[:, list(DECISIONS)] = True
    x = th.randn(1, STEPS, 3, dtype=th.double).expand(2**N, -1, -1)
    none = th.zeros(keep.shape, dtype=th.double)
    state = core.with_choices(core.initial_state(2**N), Choice(keep, judged, none, none.long()))
    blocks = core.judged_blocks(x, state, th.zeros_like(keep))
    assert blocks.step.view(-1, N).tolist() == [list(DECISIONS)] * 2**N
    worth = th.randn(N, N + 1, dtype=th.double)
    held = th.zeros(2**N, dtype=th.long)
    rewards, baselines = [], []
    for k in range(N):
        baselines.append(2.0 * held - k)
        held = th.where(sequences[:, k], k + 1, held)
        rewards.append(worth[k, held])
    returns = th.stack(rewards, dim=1).flip(1).cumsum(1).flip(1)
    return Enumeration(core.judge, blocks, returns, th.stack(baselines, dim=1))


def expected(everything: Enumeration, advantages: th.Tensor, **kwargs: Any) -> th.Tensor:
    """The estimator's gradient, summed over the decisions of a sequence, in the mean over sequences."""
    chances = everything.log_probs.sum(1).exp().detach()
    assert abs(float(chances.sum()) - 1) < 1e-12
    # The loss is a mean over decisions: each is weighted by its sequence's probability through the advantage.
    weighted = advantages * chances[:, None] * advantages.numel()
    logits = everything.judge(everything.judged.scenes)
    loss, _ = judger_loss(logits, everything.choices, weighted.flatten(), 0.0, **kwargs)
    return everything.gradient(loss)


@pytest.mark.parametrize("clip_range", [None, 0.2])
def test_the_estimator_has_the_gradient_of_the_expected_return(
    everything: Enumeration, clip_range: float | None
) -> None:
    """With parameters as they were when acting, clipping changes nothing."""
    exact = everything.gradient(everything.log_probs.sum(1).exp() @ everything.returns[:, 0])
    assert exact.norm() > 1e-3
    estimated = expected(everything, everything.returns, clip_range=clip_range)
    th.testing.assert_close(-estimated, exact, atol=1e-6, rtol=1e-6)


def test_a_baseline_does_not_change_it(everything: Enumeration) -> None:
    without = expected(everything, everything.returns)
    with_baseline = expected(everything, everything.returns - everything.baselines)
    th.testing.assert_close(with_baseline, without, atol=1e-6, rtol=1e-6)
    assert expected(everything, everything.baselines).norm() < 1e-9


def test_what_was_paid_before_a_decision_does_not_matter(everything: Enumeration) -> None:
    whole = everything.returns[:, :1].expand(-1, N)
    th.testing.assert_close(expected(everything, whole), expected(everything, everything.returns))


def test_the_entropy_bonus_has_the_gradient_of_the_entropy(everything: Enumeration) -> None:
    logits = everything.judge(everything.judged.scenes)
    outcomes = th.stack([log_prob(logits, th.full(logits.shape, keep)) for keep in (False, True)])
    entropies = -(outcomes.exp() * outcomes).sum(0)
    loss, entropy = judger_loss(logits, everything.choices, th.zeros_like(logits), 0.7)
    th.testing.assert_close(entropy, entropies.mean())
    exact = everything.gradient(entropies.mean())
    th.testing.assert_close(everything.gradient(loss), -0.7 * exact, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("clip_range", [None, 0.2])
def test_entropy_within_the_advantage_is_the_formula_of_the_paper(
    everything: Enumeration, clip_range: float | None
) -> None:
    """The mean of (r - b + alpha S[p]) grad log p."""
    choices, advantages = everything.choices, (everything.returns - everything.baselines).flatten()
    logits = everything.judge(everything.judged.scenes)
    p = logits.detach().sigmoid()
    entropies = -p * p.log() - (1 - p) * (1 - p).log()
    formula = ((advantages + 0.7 * entropies) * log_prob(logits, choices.keep)).mean()
    exact = everything.gradient(formula)
    loss, _ = judger_loss(
        everything.judge(everything.judged.scenes),
        choices,
        advantages,
        0.7,
        entropy_in_advantage=True,
        clip_range=clip_range,
    )
    th.testing.assert_close(everything.gradient(loss), -exact, atol=1e-9, rtol=1e-9)
    other, _ = judger_loss(everything.judge(everything.judged.scenes), choices, advantages, 0.7)
    assert (everything.gradient(other) + exact).norm() > 1e-4


def test_beyond_the_range_nothing_is_gained() -> None:
    """Four decisions whose probabilities have moved by half, up or down, in the direction they are paid for or not."""
    keep = th.tensor([True, False, True, False])
    old = th.zeros(4, dtype=th.double)
    moved = th.tensor([0.8, 0.8, -0.8, -0.8], dtype=th.double)
    choices = Choice(keep, th.ones(4, dtype=th.bool), log_prob(old, keep), th.zeros(4, dtype=th.long))
    up = th.tensor([True, False, False, True])
    for paid in (1.0, -1.0):
        logits = moved.clone().requires_grad_()
        loss, _ = judger_loss(logits, choices, th.full((4,), paid, dtype=th.double), 0.0, clip_range=0.2)
        (gradient,) = th.autograd.grad(loss, logits)
        assert ((gradient == 0) == (up == (paid > 0))).all()
        logits = moved.clone().requires_grad_()
        loss, _ = judger_loss(logits, choices, th.full((4,), paid, dtype=th.double), 0.0)
        assert (th.autograd.grad(loss, logits)[0] != 0).all()


def rollout(
    n_steps: int, n_envs: int, length: int, seed: int, gae_lambda: float
) -> tuple[SequenceRolloutBuffer, np.ndarray, np.ndarray]:
    """A rollout of random numbers, with the values after it and whether episodes end there."""
    rng = np.random.default_rng(seed)
    buffer = SequenceRolloutBuffer(
        n_steps,
        spaces.Discrete(3),
        spaces.Discrete(2),
        device="cpu",
        gae_lambda=gae_lambda,
        gamma=0.9,
        n_envs=n_envs,
        sequence_length=length,
    )
    starts = rng.random((n_steps + 1, n_envs)) < 0.2
    starts[0] = rng.random(n_envs) < 0.5
    for t in range(n_steps):
        if buffer.at_window_start:
            buffer.store_states((th.zeros(n_envs, 1),))
        buffer.add(
            rng.integers(3, size=n_envs),
            rng.integers(2, size=(n_envs, 1)),
            rng.normal(size=n_envs),
            starts[t],
            th.as_tensor(rng.normal(size=n_envs), dtype=th.float32),
            th.zeros(n_envs),
        )
    last_values = rng.normal(size=n_envs).astype(np.float32)
    buffer.compute_returns_and_advantage(th.as_tensor(last_values), starts[-1])
    return buffer, last_values, starts[1:]


@pytest.mark.parametrize("gae_lambda", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_advantages_are_paid_by_the_definition(gae_lambda: float, seed: int) -> None:
    buffer, last_values, ends = rollout(24, 3, 8, seed, gae_lambda=0.7)
    values = np.concatenate([buffer.values, last_values[None]])
    paid, matters = np.zeros((3, 24)), np.zeros((3, 24))
    for env in range(3):
        for t in range(24):
            weight = 1.0
            for later in range(t, 24):
                follows = 0.0 if ends[later, env] else values[later + 1, env]
                paid[env, t] += weight * (buffer.rewards[later, env] + 0.9 * follows - values[later, env])
                weight *= 0.9 * gae_lambda
                if ends[later, env]:
                    break
            # Also at the last step of the rollout, after which the episode may go on.
            matters[env, t] = not ends[t, env]
    paid += buffer.values.T
    source = AdvantageReward(toy_agent().policy, 0.9, gae_lambda=gae_lambda)

    def check(found: JudgerReturns, values: np.ndarray) -> None:
        np.testing.assert_allclose(found.returns, paid.reshape(-1, 8), atol=1e-5)
        np.testing.assert_array_equal(found.baselines, values.T.reshape(-1, 8))
        np.testing.assert_array_equal(found.matters, matters.reshape(-1, 8))

    own_values = buffer.values.copy()
    check(source.returns(buffer), own_values)
    buffer.sample_windows(np.arange(2))  # brings everything into the order of the windows
    check(source.returns(buffer), own_values)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 1.0])
def test_with_the_lambda_of_the_algorithm_its_own_advantages_are_paid(gae_lambda: float) -> None:
    buffer, _, _ = rollout(24, 3, 8, 0, gae_lambda)
    found = AdvantageReward(toy_agent().policy, 0.9, gae_lambda=gae_lambda).returns(buffer)
    np.testing.assert_allclose(
        found.returns - found.baselines, buffer.advantages.T.reshape(-1, 8), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("gae_lambda", [-0.1, 1.5, float("nan"), True, "no"])
def test_a_lambda_is_between_0_and_1(gae_lambda: Any) -> None:
    kwargs = dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": True}))
    with pytest.raises(ValueError, match=r"gae_lambda is .*; give a number from 0 to 1"):
        toy_agent(**kwargs, judger_kwargs=dict(reward_kwargs=dict(gae_lambda=gae_lambda)))


@pytest.mark.parametrize(
    ("judger_kwargs", "message"),
    [
        (
            dict(learnin_rate=1e-3),
            "judger_kwargs has 'learnin_rate', which JudgerTraining does not know; known: learning",
        ),
        (
            dict(reward_kwargs=dict(gae_lamda=0.5)),
            "reward_kwargs has 'gae_lamda', which reward 'advantage' does not know; known: gae_lambda$",
        ),
        (
            dict(reward="perplexity", reward_kwargs=dict(gae_lambda=0.5)),
            "reward_kwargs has 'gae_lambda', which reward 'perplexity' does not know; known: m, ",
        ),
    ],
)
def test_unknown_arguments_are_named_with_those_that_are_known(judger_kwargs: dict[str, Any], message: str) -> None:
    policy_kwargs = dict(memory_kwargs={**TINY, "judger": True})
    with pytest.raises(TypeError, match=message):
        toy_agent(policy_kwargs=policy_kwargs, judger_kwargs=judger_kwargs)


def test_a_reward_of_ones_own_may_take_any_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(AdvantageReward):
        def __init__(self, policy: MemoryActorCriticPolicy, gamma: float, **scales: float) -> None:
            super().__init__(policy, gamma)
            self.scales = scales

    monkeypatch.setitem(reward_registry._entries, "scaled", Scaled)
    policy_kwargs = dict(memory_kwargs={**TINY, "judger": True})
    agent = toy_agent(policy_kwargs=policy_kwargs, judger_kwargs=dict(reward="scaled", reward_kwargs=dict(by=2.0)))
    assert agent.judger_training is not None
    assert isinstance(agent.judger_training.source, Scaled)
    assert agent.judger_training.source.scales == {"by": 2.0}


def test_the_judger_learns_in_training_mode_and_judges_in_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent kernels of GPUs have no gradient in evaluation mode."""
    met = set()
    judge = LearnedJudge.logits_and_baselines

    def listening(self: LearnedJudge, scene: Any) -> tuple[th.Tensor, th.Tensor]:
        met.add((th.is_grad_enabled(), self.training))
        return judge(self, scene)

    monkeypatch.setattr(LearnedJudge, "logits_and_baselines", listening)
    # Short enough for decisions in short episodes.
    memory_kwargs = {**TINY, "memory_length": 2, "compressed_length": 2, "judger": True}
    agent = toy_agent(policy_kwargs={"memory_kwargs": memory_kwargs}).learn(192)
    assert agent.logger.name_to_value["judger/grad_norm"] > 0
    assert met == {(True, True), (False, False)}


def test_a_warm_up_that_is_over_does_not_begin_again(tmp_path: Path) -> None:
    policy_kwargs = dict(memory_kwargs={"judger": dict(hidden_size=4)})
    agent = toy_agent(policy_kwargs=policy_kwargs, judger_kwargs=dict(warmup=100, policy_lr_scale=0.5))

    def warming_up(learner: PPO) -> bool:
        training = learner.judger_training
        assert training is not None
        return training.warming_up

    assert warming_up(agent)
    agent.learn(96)
    assert warming_up(agent)
    assert agent.policy.optimizer.param_groups[0]["lr"] == 1e-3
    agent.learn(288)
    assert not warming_up(agent)
    agent.learn(96)  # counts its steps from 0
    assert not warming_up(agent)
    assert agent.policy.optimizer.param_groups[0]["lr"] == 0.5e-3
    agent.save(tmp_path / "agent")
    loaded = PPO.load(tmp_path / "agent", env=toy_venv(), device="cpu")
    assert not warming_up(loaded)
    assert not warming_up(loaded.learn(96))
    assert not warming_up(toy_agent(policy_kwargs=policy_kwargs, judger_kwargs=dict(warmup=0)))


def test_a_warm_up_goes_on_from_one_call_of_learn_to_the_next(tmp_path: Path) -> None:
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={"judger": True}), judger_kwargs=dict(warmup=250))
    for _ in range(2):
        agent.learn(96)  # counts its steps from 0
    agent.save(tmp_path / "agent")
    for learner in (agent, PPO.load(tmp_path / "agent", env=toy_venv(), device="cpu")):
        for still in (True, False):
            learner.learn(96)
            assert learner.judger_training is not None
            assert learner.judger_training.warming_up == still
