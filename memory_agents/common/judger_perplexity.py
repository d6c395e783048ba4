"""The judger's reward in DCT: how well the agent foresees what follows, against one without compressed memory."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray

from memory_agents.common.buffers import SequenceRolloutBuffer
from memory_agents.common.judger_evaluator import Evaluator, cores
from memory_agents.common.judger_rewards import JudgerReturns, RewardSource, in_time, reward_registry
from memory_agents.common.outcomes import OutcomeHead, Outcomes
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.memory.compressive import LearnedJudge, judge_of
from memory_agents.memory.state import tree_cat, tree_map, tree_select
from memory_agents.nn.arguments import check_integers, is_finite

#: Bounds the memory that running over a rollout takes.
TRANSITIONS_AT_ONCE = 2048
#: Transitions in a gradient step of the head.
BATCH_SIZE = 256
#: Transformed perplexity as the reward is, or cross-entropy as it is.
BASELINES = ("transformed", "cross_entropy")


@reward_registry.register("perplexity")
class PerplexityReward(RewardSource):
    """
    Each step is worth ``m * a ** perplexity`` of its outcome, the next observation and the reward, as a head foresees
    it from the memory's output and the action (Chang and Ma 2021, arXiv 2110.04821, section 3.3), less the same of a
    frozen evaluator: the agent as it was, without compressed memory. A decision earns what follows it in its episode.

    The head is a probe: it learns after every rollout, with an optimizer of its own, and nothing it learns changes the
    memory. A rollout is judged by the head that has not learned from it. Where an episode ends, and at the last step of
    a rollout, the next observation is not known and the reward counts alone.

    The paper states the evaluator's part once as transformed perplexity and once as cross-entropy, which is in another
    unit; and it pays a decision for its own step only, which here is the first that the decision can change,
    ``horizon_gamma=0``.

    :param policy: whose memories are judged
    :param gamma: discount factor of the algorithm
    :param m: worth of a step, positive
    :param a: between 0 and 1; the smaller, the more differences between small perplexities count
    :param baseline: ``"transformed"``, or ``"cross_entropy"`` for the paper's other reading
    :param horizon_gamma: discount factor of what follows a decision (default: the algorithm's)
    :param refresh: environment steps after which the evaluator becomes the agent as it is then; it does so first when
        the warm-up is over
    :param learning_rate: of the head
    :param hidden_size: width of the head's hidden layer
    :param n_epochs: passes of the head over a rollout
    :raises ValueError: when an argument is out of bounds
    """

    saved: ClassVar[tuple[str, ...]] = ("head", "optimizer", "evaluator")

    def __init__(
        self,
        policy: MemoryActorCriticPolicy,
        gamma: float,
        *,
        m: float = 1.0,
        a: float = 0.8,
        baseline: str = "transformed",
        horizon_gamma: float | None = None,
        refresh: int = 100_000,
        learning_rate: float = 1e-3,
        hidden_size: int = 64,
        n_epochs: int = 4,
    ) -> None:
        super().__init__(policy, gamma)
        check_integers(refresh=refresh, hidden_size=hidden_size, n_epochs=n_epochs)
        for name, value in {"m": m, "learning_rate": learning_rate}.items():
            if not is_finite(value) or value <= 0:
                raise ValueError(f"{name} is {value!r}; give a positive number")
        if not is_finite(a) or not 0.0 < a < 1.0:
            raise ValueError(f"a is {a!r}; give a number between 0 and 1, neither of them")
        if baseline not in BASELINES:
            raise ValueError(f"baseline must be one of {', '.join(map(repr, BASELINES))}, got {baseline!r}")
        if horizon_gamma is not None and (not is_finite(horizon_gamma) or not 0.0 <= horizon_gamma <= 1.0):
            raise ValueError(
                f"horizon_gamma is {horizon_gamma!r}; give a number from 0 to 1, or None for the algorithm's gamma"
            )
        self.m, self.a, self.baseline, self.refresh, self.n_epochs = m, a, baseline, refresh, n_epochs
        self.horizon_gamma = gamma if horizon_gamma is None else horizon_gamma
        width = sum(int(memory.output_dim) for memory in cores(policy.memories))
        head = OutcomeHead(width, policy.observation_space, policy.action_space, hidden_size)
        #: foresees outcomes
        self.head = head.to(policy.device)
        self.optimizer = th.optim.Adam(self.head.parameters(), lr=learning_rate)
        #: the agent without compressed memory
        self.evaluator = Evaluator(policy, self.head).to(policy.device)

    def returns(self, buffer: SequenceRolloutBuffer) -> JudgerReturns:
        memories, actions, outcomes = self._rollout(buffer)
        self.head.observe(outcomes)
        worth, _ = self._worth(self.head, memories, actions, outcomes)
        baseline = th.zeros_like(worth)
        if not self._warming_up:
            if not self.evaluator.taken or self.evaluator.age >= self.refresh:
                self.evaluator.snapshot(self.policy, self.head)
            alone = self.evaluator.follow(self.policy, buffer)
            baseline, cross_entropy = self._worth(self.evaluator.head, alone, actions, outcomes)
            baseline = baseline if self.baseline == "transformed" else cross_entropy
        self._learn(memories, actions, outcomes)
        starts = in_time(buffer, buffer.episode_starts)
        goes_on = np.zeros_like(starts)  # what follows the rollout is not known
        goes_on[:, :-1] = 1 - starts[:, 1:]
        windows = (-1, buffer.sequence_length)
        paid, expected = (
            self._following(part.view(starts.shape).cpu().numpy(), goes_on).reshape(windows)
            for part in (worth, baseline)
        )
        return JudgerReturns(paid, expected, goes_on.reshape(windows))

    def break_off(self) -> None:
        self.evaluator.forget()

    @property
    def _warming_up(self) -> bool:
        judges = map(judge_of, cores(self.policy.memories))
        return any(bool(judge.warming_up) for judge in judges if isinstance(judge, LearnedJudge))

    @th.no_grad()
    def _rollout(self, buffer: SequenceRolloutBuffer) -> tuple[th.Tensor, th.Tensor, Outcomes]:
        """Outputs of the memories with the present parameters, actions and outcomes, in the order of the windows."""
        n_windows, found = buffer.n_envs * buffer.windows_per_env, []
        per_batch = max(1, TRANSITIONS_AT_ONCE // buffer.sequence_length)
        for start in range(0, n_windows, per_batch):
            samples = buffer.sample_windows(np.arange(start, min(start + per_batch, n_windows)))
            batch = samples.observations
            runs = zip(
                cores(self.policy.memories),
                self.policy.memory_inputs(batch),
                self.policy.window_states(batch),
                strict=True,
            )
            outputs = [memory.unroll_outputs(x, state, batch.episode_starts).flatten(0, 1) for memory, x, state in runs]
            found.append((th.cat(outputs, 1), samples.actions, *self.head.outcomes.read(batch.observations)))
        memories, actions, classes, numbers = tree_cat(found)
        starts = th.as_tensor(in_time(buffer, buffer.episode_starts) > 0.5, device=memories.device)
        rewards = th.as_tensor(in_time(buffer, buffer.rewards - buffer.bootstraps), device=memories.device)
        # The next row of the same environment; of the last one nothing follows.
        following = tree_map(lambda part: part.view(*starts.shape, -1).roll(-1, 1).flatten(0, 1), (classes, numbers))
        known = ~starts.roll(-1, 1)
        known[:, -1] = False
        outcomes = Outcomes(following[0], th.cat([following[1], rewards.reshape(-1, 1)], 1), known.flatten())
        return memories, actions, outcomes

    @th.no_grad()
    def _worth(
        self, head: OutcomeHead, memories: th.Tensor, actions: th.Tensor, outcomes: Outcomes
    ) -> tuple[th.Tensor, th.Tensor]:
        """
        :param head: who predicts
        :param memories: outputs of memories, (transitions, width)
        :param actions: (transitions, ...)
        :param outcomes: what followed
        :return: transformed perplexity and cross-entropy, (transitions,) each
        """
        # Errors of both heads in the same units.
        entropy = head.cross_entropy(head(memories, actions), outcomes, self.head.deviation)
        return self.m * self.a ** entropy.exp(), entropy

    def _learn(self, memories: th.Tensor, actions: th.Tensor, outcomes: Outcomes) -> None:
        for _ in range(self.n_epochs):
            for some in th.split(th.randperm(len(memories), device=memories.device), BATCH_SIZE):
                x, done, followed = tree_select((memories, actions, outcomes), some)
                loss = self.head.cross_entropy(self.head(x, done), followed, self.head.deviation).mean()
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
        self.optimizer.zero_grad()

    def _following(self, worth: NDArray[np.float32], goes_on: NDArray[np.float32]) -> NDArray[np.float32]:
        """
        :param worth: of each step, (n_envs, n_steps)
        :param goes_on: whether the next step is of the same episode and known, (n_envs, n_steps)
        :return: discounted sums over the steps after each, (n_envs, n_steps)
        """
        sums = np.zeros_like(worth)
        for t in range(worth.shape[1] - 2, -1, -1):
            sums[:, t] = goes_on[:, t] * (worth[:, t + 1] + self.horizon_gamma * sums[:, t + 1])
        return sums
