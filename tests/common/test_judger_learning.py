"""From a rollout to gradient steps of the judger: which decisions, their returns, and what every option does."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch as th

from memory_agents import PPO
from memory_agents.common import judger_training
from memory_agents.common.judger_rewards import JudgerReturns
from memory_agents.common.judger_training import JudgerTraining
from tests.ppo.toys import TINY, toy_agent


class Call(NamedTuple):
    """What the loss was asked for."""

    advantages: th.Tensor
    ent_coef: float
    options: dict[str, Any]


class Learned(NamedTuple):
    """
    What learning from a rollout did.

    :param advantages: of every decision, before the judger's own baseline and scaling, sorted
    :param calls: of the loss
    :param norms: of the gradients that the optimizer got
    :param log: what was logged
    """

    advantages: th.Tensor
    calls: list[Call]
    norms: list[float]
    log: dict[str, float]


@pytest.fixture(scope="module")
def agent() -> PPO:
    memory = {**TINY, "memory_length": 2, "compressed_length": 2, "judger": True}
    return toy_agent(policy_kwargs=dict(memory_kwargs=memory)).learn(96)


@pytest.fixture(scope="module")
def returns(agent: PPO) -> JudgerReturns:
    """Returns that tell which step they are of; some steps end their episodes."""
    buffer = agent.rollout_buffer
    shape = (buffer.n_envs * buffer.windows_per_env, buffer.sequence_length)
    rng = np.random.default_rng(0)
    return JudgerReturns(
        np.arange(np.prod(shape), dtype=np.float32).reshape(shape),
        rng.normal(size=shape).astype(np.float32),
        (rng.random(shape) < 0.7).astype(np.float32),
    )


def training(agent: PPO, **options: Any) -> JudgerTraining:
    return JudgerTraining(agent.policy, agent.gamma, **options)


def test_decisions_get_returns_and_baselines_of_their_own_steps(
    agent: PPO, returns: JudgerReturns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those at the end of an episode make no difference, and are left out. A few windows at a time."""
    buffer = agent.rollout_buffer
    monkeypatch.setattr(judger_training, "TRANSITIONS_AT_ONCE", buffer.sequence_length)
    learner = training(agent)
    ((index, memory, _),) = learner.judges
    found = learner._decisions(buffer, index, memory, returns)
    choices = buffer.choices[index]
    judged = choices.judged.numpy()
    matters = judged & (returns.matters > 0)
    assert 0 < matters.sum() < judged.sum()
    assert sorted(found.returns.tolist()) == sorted(returns.returns[matters].tolist())
    at = found.returns.long()
    assert th.equal(found.choices.keep, choices.keep.flatten()[at])
    assert th.equal(found.choices.log_prob, choices.log_prob.flatten()[at])
    assert th.equal(found.baselines, th.as_tensor(returns.baselines).flatten()[at])


def learn(agent: PPO, returns: JudgerReturns, loss: Any = judger_training.judger_loss, **options: Any) -> Learned:
    learner = training(agent, **options)
    ((index, memory, judge),) = learner.judges
    decisions = learner._decisions(agent.rollout_buffer, index, memory, returns)
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    calls: list[Call] = []
    norms: list[float] = []

    def listening(logits: th.Tensor, choices: Any, advantages: th.Tensor, ent_coef: float, **kwargs: Any) -> Any:
        assert not advantages.requires_grad
        calls.append(Call(advantages.clone(), ent_coef, kwargs))
        return loss(logits, choices, advantages, ent_coef, **kwargs)

    def note(*_: Any) -> None:
        gradients = [parameter.grad for parameter in learner.parameters if parameter.grad is not None]
        norms.append(float(th.cat([gradient.flatten() for gradient in gradients]).norm()))

    learner.optimizer.register_step_pre_hook(note)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judger_training, "judger_loss", listening)
        log = learner._learn(judge, decisions)
    judge.load_state_dict(before)
    return Learned((decisions.returns - decisions.baselines).sort().values, calls, norms, log)


def test_every_pass_takes_every_decision_once_and_every_option_to_the_loss(agent: PPO, returns: JudgerReturns) -> None:
    options = dict(ent_coef=0.07, entropy_in_advantage=True, clip_range=0.3, max_grad_norm=1e-3)
    did = learn(agent, returns, n_epochs=3, batch_size=4, value_coef=0.0, normalize=False, **options)
    n = len(did.advantages)
    per_pass = -(-n // 4)
    assert n > 8
    assert len(did.calls) == len(did.norms) == 3 * per_pass
    assert max(len(call.advantages) for call in did.calls) == 4
    for start in range(0, 3 * per_pass, per_pass):
        passed = th.cat([call.advantages for call in did.calls[start : start + per_pass]])
        assert th.equal(passed.sort().values, did.advantages)
    for call in did.calls:
        assert (call.ent_coef, call.options) == (0.07, dict(entropy_in_advantage=True, clip_range=0.3))
    assert max(did.norms) <= 1.01e-3 < did.log["grad_norm"]


def test_advantages_are_scaled_over_the_rollout(agent: PPO, returns: JudgerReturns) -> None:
    did = learn(agent, returns, n_epochs=1, batch_size=None, value_coef=0.0)
    (call,) = did.calls
    assert call.advantages.mean().item() == pytest.approx(0, abs=1e-5)
    assert call.advantages.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_the_judgers_own_baseline_is_subtracted(agent: PPO, returns: JudgerReturns) -> None:
    did = learn(agent, returns, n_epochs=1, batch_size=None, value_coef=0.5, normalize=False)
    (call,) = did.calls
    assert not th.allclose(call.advantages.sort().values, did.advantages)


def test_the_error_of_its_baseline_is_weighted(agent: PPO, returns: JudgerReturns) -> None:
    def nothing(logits: th.Tensor, *_: Any, **__: Any) -> tuple[th.Tensor, th.Tensor]:
        return 0 * logits.sum(), logits.sum()

    kwargs: dict[str, Any] = dict(n_epochs=1, batch_size=None, max_grad_norm=1e9)
    ((half,), (whole,)) = (learn(agent, returns, nothing, value_coef=value, **kwargs).norms for value in (0.5, 1.0))
    assert half > 0
    assert whole == pytest.approx(2 * half, rel=1e-3)


def test_what_is_logged_is_of_the_decisions_and_of_all_steps(
    agent: PPO, returns: JudgerReturns, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, buffer = training(agent), agent.rollout_buffer
    ((index, _, judge),) = learner.judges
    monkeypatch.setattr(learner.source, "returns", lambda _: returns)
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    log = learner.train(buffer)
    judge.load_state_dict(before)
    choices = buffer.choices[index]
    matters = choices.judged.numpy() & (returns.matters > 0)
    assert log["return"] == pytest.approx(returns.returns[matters].mean(), rel=1e-5)
    assert log["baseline"] == pytest.approx(returns.baselines[matters].mean(), rel=1e-4)
    assert log["keep_rate"] == pytest.approx(choices.keep.numpy()[matters].mean())
    assert log["reading_distance_mean"] == pytest.approx(choices.reading_distance.float().mean().item())
    assert log["reading_distance_max"] == choices.reading_distance.max()
    assert 0 < log["entropy"] <= np.log(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(learning_rate=0.0), r"learning_rate is 0\.0; give a positive number"),
        (dict(policy_lr_scale=-1.0), r"policy_lr_scale is -1\.0; give a positive number"),
        (dict(max_grad_norm=float("nan")), r"max_grad_norm is nan; give a positive number"),
        (dict(clip_range="small"), r"clip_range is 'small'; give a positive number"),
        (dict(ent_coef=-0.1), r"ent_coef is -0\.1; give a number of at least 0"),
        (dict(value_coef=float("nan")), r"value_coef is nan; give a number of at least 0"),
        (dict(n_epochs=0), r"n_epochs must be a positive integer, got 0"),
        (dict(batch_size=0), r"batch_size must be a positive integer, got 0"),
        (dict(warmup=-1), r"warmup must be an integer of at least 0, got -1"),
        (dict(normalize=1), r"normalize must be True or False"),
        (dict(entropy_in_advantage="no"), r"entropy_in_advantage must be True or False"),
        (dict(reward="praise"), r"unknown judger reward 'praise'; known: 'advantage', 'perplexity'"),
    ],
)
def test_bad_arguments_name_the_mend(agent: PPO, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training(agent, **options)


def test_without_a_judger_that_learns_there_is_nothing_to_train() -> None:
    with pytest.raises(ValueError, match=r"no judger learns here; use memory_kwargs=dict\(judger=True\), or judger_kw"):
        toy_agent(judger_kwargs=dict(warmup=0))
