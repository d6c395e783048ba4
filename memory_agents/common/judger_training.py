"""How the judger learns: a second agent beside the policy, by REINFORCE on the policy's own rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray

from memory_agents.common.buffers import SequenceRolloutBuffer
from memory_agents.common.judger_rewards import JudgerReturns, RewardSource, reward_registry
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.memory.compressive import Choice, CompressiveMemory, LearnedJudge, Scene, judger_loss
from memory_agents.memory.state import tree_cat, tree_select
from memory_agents.nn.arguments import check_flags, check_integers, check_known, is_finite, keywords

__all__ = ["JudgerTraining", "judger_loss", "learned_judges"]

#: Bounds the memory that gathering decisions takes.
TRANSITIONS_AT_ONCE = 2048


def learned_judges(policy: MemoryActorCriticPolicy) -> list[tuple[int, CompressiveMemory, LearnedJudge]]:
    """
    :param policy: a policy
    :return: its memories whose judges learn, with their places among the policy's memories
    """
    return [
        (index, memory, memory.judge)
        for index, memory in enumerate(policy.memories)
        if isinstance(memory, CompressiveMemory) and isinstance(memory.judge, LearnedJudge)
    ]


class _Decisions(NamedTuple):
    scenes: Scene
    choices: Choice
    returns: th.Tensor
    baselines: th.Tensor


class JudgerTraining:
    """
    Trains the judgers of a policy's memories after each update of the policy, on the same rollout.

    :param policy: a policy with learned judges
    :param gamma: discount factor of the algorithm
    :param learning_rate: of the judger's own Adam
    :param ent_coef: weight of the entropy bonus
    :param entropy_in_advantage: add the entropy to the advantage, as the paper writes it, in place of its own gradient
    :param reward: what decisions are paid, by name: ``"advantage"`` or ``"perplexity"``
    :param reward_kwargs: its arguments
    :param warmup: environment steps during which everything is kept and only the policy learns; once over, it does not
        begin again, in an agent that is loaded neither
    :param policy_lr_scale: what the policy's learning rate is multiplied with after the warm-up
    :param value_coef: weight of the squared error of the judger's own baseline, which is subtracted from advantages;
        0 for none
    :param n_epochs: passes over the decisions of a rollout
    :param batch_size: decisions per gradient step, None for all of them
    :param clip_range: see :func:`judger_loss`
    :param normalize: whether advantages are scaled to mean 0 and deviation 1 in each rollout
    :param max_grad_norm: bound on the norm of the gradient
    :raises TypeError: when ``reward_kwargs`` has an argument that the reward does not know
    :raises ValueError: when an argument is out of bounds, or no judge learns
    """

    def __init__(
        self,
        policy: MemoryActorCriticPolicy,
        gamma: float,
        *,
        learning_rate: float = 5e-4,
        ent_coef: float = 0.03,
        entropy_in_advantage: bool = False,
        reward: str = "advantage",
        reward_kwargs: Mapping[str, Any] | None = None,
        warmup: int = 0,
        policy_lr_scale: float = 1.0,
        value_coef: float = 0.5,
        n_epochs: int = 4,
        batch_size: int | None = 256,
        clip_range: float | None = 0.2,
        normalize: bool = True,
        max_grad_norm: float = 0.5,
    ) -> None:
        check_integers(n_epochs=n_epochs)
        check_integers(least=0, warmup=warmup)
        check_flags(entropy_in_advantage=entropy_in_advantage, normalize=normalize)
        if batch_size is not None:
            check_integers(batch_size=batch_size)
        positive = {"learning_rate": learning_rate, "policy_lr_scale": policy_lr_scale, "max_grad_norm": max_grad_norm}
        for name, value in (positive if clip_range is None else {**positive, "clip_range": clip_range}).items():
            if not is_finite(value) or value <= 0:
                raise ValueError(f"{name} is {value!r}; give a positive number")
        for name, value in {"ent_coef": ent_coef, "value_coef": value_coef}.items():
            if not is_finite(value) or value < 0:
                raise ValueError(f"{name} is {value!r}; give a number of at least 0")
        self.judges = learned_judges(policy)
        if not self.judges:
            raise ValueError("no judger learns here; use memory_kwargs=dict(judger=True), or judger_kwargs=None")
        self.policy = policy
        self.value_coef = value_coef
        self.ent_coef, self.entropy_in_advantage, self.clip_range = ent_coef, entropy_in_advantage, clip_range
        self.n_epochs, self.batch_size, self.normalize = n_epochs, batch_size, normalize
        self.warmup, self.policy_lr_scale, self.max_grad_norm = warmup, policy_lr_scale, max_grad_norm
        self.parameters = [parameter for _, _, judge in self.judges for parameter in judge.parameters()]
        self.optimizer = th.optim.Adam(self.parameters, lr=learning_rate)
        source, options = reward_registry[reward], reward_kwargs or {}
        check_known("reward_kwargs", options, f"reward {reward!r}", keywords(source))
        self.source: RewardSource = source(policy, gamma, **options)
        for _, _, judge in self.judges:
            judge.warming_up.fill_(warmup > 0)

    def begin_rollout(self, collected: int) -> None:
        """
        :param collected: environment steps so far, of all calls of ``learn()``; the judgers begin to judge once the
            warm-up is over
        """
        if collected >= self.warmup:
            for _, _, judge in self.judges:
                judge.warming_up.fill_(False)

    @property
    def warming_up(self) -> bool:
        """Whether everything is still kept."""
        return bool(self.judges[0][2].warming_up)

    def train(self, buffer: SequenceRolloutBuffer) -> dict[str, float]:
        """
        Learn from a rollout.

        :param buffer: the rollout, after the policy has learned from it
        :return: what there is to log: means over the decisions of the rollout, and reading distances over all its
            steps; of the critic's own memory where it has one
        """
        returns = self.source.returns(buffer)
        log: dict[str, float] = {}
        for index, memory, judge in self.judges:
            distances = buffer.choices[index].reading_distance.float()
            log |= {"reading_distance_mean": float(distances.mean()), "reading_distance_max": float(distances.max())}
            decisions = self._decisions(buffer, index, memory, returns)
            if len(decisions.returns) and not self.warming_up:
                log |= self._learn(judge, decisions)
        return log

    @th.no_grad()
    def _decisions(
        self, buffer: SequenceRolloutBuffer, index: int, memory: CompressiveMemory, returns: JudgerReturns
    ) -> _Decisions:
        """All decisions of a rollout that could make a difference, with the memories of the present parameters."""
        n_windows, found = buffer.n_envs * buffer.windows_per_env, []
        per_batch = max(1, TRANSITIONS_AT_ONCE // buffer.sequence_length)
        for start in range(0, n_windows, per_batch):
            windows = np.arange(start, min(start + per_batch, n_windows))
            batch = buffer.sample_windows(windows).observations
            x = self.policy.memory_inputs(batch)[index]
            judged = memory.judged_blocks(x, self.policy.window_states(batch)[index], batch.episode_starts)
            rows = th.as_tensor(windows, device=x.device)[judged.window]
            # What is decided at the end of an episode is forgotten at once.
            matters = _pick(returns.matters, rows, judged.step) > 0
            values = (_pick(part, rows, judged.step)[matters] for part in (returns.returns, returns.baselines))
            scenes, choices = tree_select((judged.scenes, judged.choices), matters.nonzero().squeeze(1))
            found.append(_Decisions(scenes, choices, *values))
        return tree_cat(found)

    def _learn(self, judge: LearnedJudge, decisions: _Decisions) -> dict[str, float]:
        advantages = decisions.returns - decisions.baselines
        if self.normalize:
            advantages = (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)
        n = len(advantages)
        size = n if self.batch_size is None else min(n, self.batch_size)
        norms, entropies, errors = [], [], []
        # On a GPU recurrent kernels have gradients in this mode only.
        judge.train()
        for _ in range(self.n_epochs):
            order = th.randperm(n, device=advantages.device)
            for start in range(0, n, size):
                some = order[start : start + size]
                scenes, choices = tree_select((decisions.scenes, decisions.choices), some)
                logits, baselines = judge.logits_and_baselines(scenes)
                expected = baselines if self.value_coef else th.zeros_like(baselines)
                loss, entropy = judger_loss(
                    logits,
                    choices,
                    advantages[some] - expected.detach(),
                    self.ent_coef,
                    entropy_in_advantage=self.entropy_in_advantage,
                    clip_range=self.clip_range,
                )
                error = th.nn.functional.mse_loss(expected, advantages[some])
                self.optimizer.zero_grad()
                (loss + self.value_coef * error).backward()  # type: ignore[no-untyped-call]
                norms.append(float(th.nn.utils.clip_grad_norm_(judge.parameters(), self.max_grad_norm)))
                entropies.append(entropy.item())
                errors.append(error.item())
                self.optimizer.step()
        self.optimizer.zero_grad()
        judge.eval()
        return {
            "keep_rate": float(decisions.choices.keep.float().mean()),
            "entropy": float(np.mean(entropies)),
            "return": float(decisions.returns.mean()),
            "baseline": float(decisions.baselines.mean()),
            "baseline_error": float(np.mean(errors)),
            "grad_norm": float(np.mean(norms)),
        }


def _pick(values: NDArray[np.float32], window: th.Tensor, step: th.Tensor) -> th.Tensor:
    return th.as_tensor(values, device=window.device)[window, step]
