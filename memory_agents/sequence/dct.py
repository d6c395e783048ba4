"""
DCT as published (Chang and Ma 2021, arXiv 2110.04821): a pre-trained compressive transformer learns on, and beside it a
judger learns which memories are worth compressing.

The paper cuts a sequence into segments of n_s tokens, with a memory of n_m tokens and one of n_cm slots; with each
segment the n_s oldest tokens of the memory leave. Here tokens enter one by one, and blocks of B leave a recent memory
of M tokens. With ``block_length=n_s``, ``memory_length=n_m + n_s`` for an n_m that n_s divides, and windows of n_s
tokens from the stream's start on, block after block leaves at the end of the first token of a window. So one step
decides, by the memories of [compressed; recent; that token]; the window's other n_s - 1 tokens see at least n_m recent
tokens and what has been decided; the compression function has its gradient and its loss in that window; and "the reward
of the same step" is that of the window which the decision has changed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch as th
from torch import nn

from memory_agents.memory.compressive import CompressiveMemory, LearnedJudge, Scene, group_means, judger_loss
from memory_agents.memory.compressive.judgement import Choice
from memory_agents.memory.state import tree_cat, tree_map
from memory_agents.nn.arguments import check_flags, is_finite
from memory_agents.nn.evaluating import evaluating
from memory_agents.nn.gpu_kernels import unplanned_attention
from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.model import SequenceModel
from memory_agents.sequence.training import SequenceTrainer, Update, cross_entropy

#: What a reward is compared with: the evaluator's perplexity, transformed as the reward is, or its cross-entropy.
BASELINES = ("transformed", "cross_entropy")
#: Whose perplexity pays a decision: its own row's, or that of all rows in which a decision was made at the same step.
REWARDS = ("sample", "batch")
#: With ``normalize``, what an update's share of running means is multiplied with in every one that follows it.
NORMALIZE_DECAY = 0.99


class DCTUpdate(NamedTuple):
    """
    What an update came to. Means are over its decisions, None where there was none: before the slots are full.

    :param model: what the model's own update came to
    :param n_decisions: blocks that were judged, and followed by something scored in their window
    :param keep_rate: share of them that were kept
    :param reward: mean transformed perplexity
    :param baseline: what it is compared with
    :param advantage: the mean difference
    :param entropy: of the judger, in nats
    :param grad_norm: norm of the judger's gradient before it was clipped
    :param reading_distance: age in tokens of the oldest one that is still represented, mean over the batch's tokens
    """

    model: Update
    n_decisions: int
    keep_rate: float | None
    reward: float | None
    baseline: float | None
    advantage: float | None
    entropy: float | None
    grad_norm: float | None
    reading_distance: float


class _Decisions(NamedTuple):
    """
    :param scenes: what there was to judge
    :param choices: what was chosen
    :param row: in which rows of the batch, (decisions,)
    :param step: at the end of which of its tokens, (decisions,)
    :param end: the first token after the window, (decisions,)
    """

    scenes: Scene
    choices: Choice
    row: th.Tensor
    step: th.Tensor
    end: th.Tensor


class DCTTrainer:
    """
    Co-training. In each window the judger's decisions are drawn, the model learns from the window as ever
    (:meth:`SequenceTrainer.update`), and the judger learns by REINFORCE, with an optimizer of its own, in one gradient
    step for each of the model's: ``(1 / N) sum (r - b + alpha S[p]) grad log p`` over the N decisions of a batch.

    A decision is paid ``r = m * a ** perplexity``, of the scored tokens of its window from its own on, up to the end of
    its episode; the baseline b is the same of a frozen evaluator, which carries a state of its own over the stream. A
    decision that no scored token follows in its window is not learned from.

    Pre-training keeps everything: build the model with ``judger=dict(warming_up=True)``, train it with a
    :class:`SequenceTrainer`, and give that to this class, or another one of the same model. The first update here ends
    the warm-up.

    What the paper leaves open, and what is taken here: m and a; the baseline, of which it writes once that it is
    transformed and once that it is a cross-entropy, which is in another unit; and whether all rows of a batch have one
    decision (``judger=dict(decisions="batch")``) and one reward. The expectation of its entropy term is zero, since S
    does not depend on the decision drawn: it adds variance and keeps no entropy up. ``entropy_in_advantage=False``
    gives the entropy its own gradient instead.

    :param trainer: how the model learns. Its state is at the beginning of the stream, or :attr:`state` has to be set
    :param evaluator: any model of the same tokens. It is put into evaluation mode, and its parameters no longer ask for
        gradients. None for the paper's, the pre-trained model itself: a copy of the trainer's as it is now, whose
        judger goes on to keep everything if it is ``warming_up``
    :param m: worth of a window, positive
    :param a: between 0 and 1; the larger the perplexities, the closer to 1, lest all powers be nearly 0
    :param baseline: ``"transformed"`` or ``"cross_entropy"``
    :param reward: whose perplexity pays a decision, ``"sample"`` for its own row's, ``"batch"`` for that of all rows
        that are judged at the same step; None for what the judger's ``decisions`` are
    :param learning_rate: of the judger's Adam
    :param ent_coef: alpha, weight of the entropy
    :param entropy_in_advantage: whether the entropy is added to the advantage, as the paper writes it, in place of its
        own gradient
    :param normalize: whether the running mean of the advantages of earlier updates is taken off them (if the model has
        become better than the evaluator, or worse, all of them would have the same sign otherwise), and what remains is
        divided by the root of its running mean square, which this update is in. Both are exponential moving averages of
        updates' means (:data:`NORMALIZE_DECAY`), corrected for their beginning. So an update of one decision teaches,
        too, and a decision has no part in what its own advantage is compared with
    :param max_grad_norm: bound on the norm of the judger's gradient
    :raises ValueError: when an argument is out of bounds, the model has no judger that learns, or the evaluator does
        not fit it
    """

    def __init__(
        self,
        trainer: SequenceTrainer,
        evaluator: SequenceModel | None = None,
        *,
        m: float = 1.0,
        a: float = 0.8,
        baseline: str = "transformed",
        reward: str | None = None,
        learning_rate: float = 1e-5,
        ent_coef: float = 0.01,
        entropy_in_advantage: bool = True,
        normalize: bool = False,
        max_grad_norm: float = 0.5,
    ) -> None:
        for name, value in {"m": m, "learning_rate": learning_rate, "max_grad_norm": max_grad_norm}.items():
            if not is_finite(value) or value <= 0:
                raise ValueError(f"{name} is {value!r}; give a positive number")
        if not is_finite(a) or not 0.0 < a < 1.0:
            raise ValueError(f"a is {a!r}; give a number between 0 and 1, neither of them")
        if not is_finite(ent_coef) or ent_coef < 0:
            raise ValueError(f"ent_coef is {ent_coef!r}; give a number of at least 0")
        if baseline not in BASELINES:
            raise ValueError(f"baseline must be one of {', '.join(map(repr, BASELINES))}, got {baseline!r}")
        if reward is not None and reward not in REWARDS:
            raise ValueError(f"reward must be one of {', '.join(map(repr, REWARDS))} or None, got {reward!r}")
        check_flags(entropy_in_advantage=entropy_in_advantage, normalize=normalize)
        self.trainer = trainer
        self.core, self.judge = _judged(trainer.model)
        #: the frozen model
        self.evaluator = copy.deepcopy(trainer.model) if evaluator is None else evaluator
        _check_evaluator(self.evaluator, trainer.model)
        self.evaluator.to(trainer.model.device).eval().requires_grad_(False).zero_grad()
        #: of the evaluator, after the latest batch; None at the beginning
        self.state: Any = None
        self.m, self.a, self.baseline = m, a, baseline
        self.reward = self.judge.decisions if reward is None else reward
        self.ent_coef, self.entropy_in_advantage, self.normalize = ent_coef, entropy_in_advantage, normalize
        self.max_grad_norm = max_grad_norm
        #: with ``normalize``: updates with decisions so far, and the running mean of their advantages, and of the
        #: squares of what remained once the mean before had been taken off
        self.normalized, self.advantage_mean, self.advantage_square = 0, 0.0, 0.0
        #: the judger's own
        self.optimizer = th.optim.Adam(self.judge.parameters(), lr=learning_rate)

    @unplanned_attention()
    def update(self, batch: SequenceBatch) -> DCTUpdate:
        """
        One gradient step of the model, and one of the judger if anything was judged.

        :param batch: what to learn from, going on where the one before ended unless its ``starts`` say otherwise
        :return: what it came to
        :raises ValueError: when nothing in the batch is scored
        """
        batch = batch.to(self.trainer.model.device)
        self.judge.warming_up.fill_(False)
        if batch.begins_anew:
            self.state = None
        found: list[_Decisions] = []
        distances: list[th.Tensor] = []
        undropped: list[th.Tensor] = []
        drops = any(isinstance(part, nn.Dropout) and part.p for part in self.trainer.model.modules())

        def decide(part: SequenceBatch) -> None:
            decisions, choices = self._decide(part, sum(distance.shape[1] for distance in distances))
            found.append(decisions)
            distances.append(choices.reading_distance)
            if drops:
                # With the decisions drawn for it; nothing is dropped out of the evaluator either.
                undropped.append(self._undropped_losses(self.trainer.model, part, self.trainer.state)[0])

        model = self.trainer.update(batch, decide)
        decisions, distance = tree_cat(found), float(th.cat(distances, dim=1).float().mean())
        credit = _credit(decisions, batch)
        # What can show in nothing says nothing about the decision.
        counts = (credit & (th.arange(credit.shape[1], device=credit.device) > decisions.step[:, None])).any(dim=1)
        alone = self._evaluator_losses(batch)
        if not counts.any():
            return DCTUpdate(model, 0, None, None, None, None, None, None, distance)
        rewards, _ = self._worth(th.cat(undropped, dim=1) if drops else model.token_losses, decisions, credit)
        transformed, cross_entropies = self._worth(alone, decisions, credit)
        baselines = transformed if self.baseline == "transformed" else cross_entropies
        entropy, norm = self._learn(decisions, rewards - baselines, counts)
        return DCTUpdate(
            model,
            n_decisions=int(counts.sum()),
            keep_rate=float(decisions.choices.keep[counts].float().mean()),
            reward=float(rewards[counts].mean()),
            baseline=float(baselines[counts].mean()),
            advantage=float((rewards - baselines)[counts].mean()),
            entropy=entropy,
            grad_norm=norm,
            reading_distance=distance,
        )

    def state_dict(self) -> dict[str, Any]:
        """
        :return: all that learning goes on from, for ``torch.save``: the trainer's state, the evaluator, the judger's
            optimizer and the running means. Tensors are those that go on to change
        """
        return {
            "trainer": self.trainer.state_dict(),
            "evaluator": self.evaluator.state_dict(),
            "state": self.evaluator.state_leaves(self.state),
            "optimizer": self.optimizer.state_dict(),
            "normalized": (self.normalized, self.advantage_mean, self.advantage_square),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """
        Go on as the co-training did whose state this was, to the bit.

        :param saved: its :meth:`state_dict`, on any device; of one with the same arguments
        :raises RuntimeError: when it was that of another model or evaluator
        :raises ValueError: when it was that of another memory
        """
        self.trainer.load_state_dict(saved["trainer"])
        self.evaluator.load_state_dict(saved["evaluator"])
        self.state = self.evaluator.state_from(saved["state"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.normalized, self.advantage_mean, self.advantage_square = saved["normalized"]

    @th.no_grad()
    def _decide(self, part: SequenceBatch, first: int) -> tuple[_Decisions, Choice]:
        """
        Draw the decisions of a window, for the model to learn with, and find out what there was to judge.

        :param part: the window
        :param first: number of its first token in the batch
        :return: the decisions, and the choices at all tokens, (batch, window) each
        """
        trainer, model = self.trainer, self.trainer.model
        state = model.initial_state(len(part.tokens)) if trainer.state is None else trainer.state
        trainer.state, choices = model.choose(part.tokens, state, part.starts, deterministic=False)
        # What follows the last decision does not change what there was to judge.
        length = 1 + int(th.where(choices.judged.any(dim=0))[0].max()) if choices.judged.any() else 1
        tokens, starts, some = tree_map(lambda flags: flags[:, :length], (part.tokens, part.starts, choices))
        model.eval()
        judged = self.core.judged_blocks(model.embed(tokens), self.core.with_choices(state, some), starts)
        model.train()
        end = th.full_like(judged.step, first + part.tokens.shape[1])
        return _Decisions(judged.scenes, judged.choices, judged.window, first + judged.step, end), choices

    def _evaluator_losses(self, batch: SequenceBatch) -> th.Tensor:
        """Cross-entropy of every token as the evaluator foretells it, 0 where it is not scored, (batch, length)."""
        losses = []
        for part in batch.windows(self.trainer.window or batch.tokens.shape[1]):
            found, self.state = self._undropped_losses(self.evaluator, part, self.state)
            losses.append(found)
        return th.cat(losses, dim=1)

    @th.no_grad()
    def _undropped_losses(self, model: SequenceModel, window: SequenceBatch, state: Any) -> tuple[th.Tensor, Any]:
        """
        :param model: which model, of which nothing is dropped out
        :param window: some tokens
        :param state: its state before them
        :return: cross-entropy of every token as the model foretells it, 0 where it is not scored, (batch, length), and
            the state after the window
        """
        precision = self.trainer.format
        with evaluating(model), th.autocast(window.tokens.device.type, precision, enabled=precision is not None):
            logits, state = model(window.tokens, state, window.starts)
        return cross_entropy(logits, window), state

    def _worth(self, losses: th.Tensor, decisions: _Decisions, credit: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        :param losses: cross-entropy of every token, (batch, length)
        :param decisions: D decisions
        :param credit: whether a token pays a decision, (D, length)
        :return: transformed perplexity and cross-entropy of what pays each decision, (D,) each
        """
        sums, n_tokens = (losses[decisions.row] * credit).sum(dim=1), credit.sum(dim=1).to(losses.dtype)
        if self.reward == "batch":
            # The ratio of two means is that of the sums.
            n, groups = _groups(decisions)
            sums, n_tokens = (group_means(part, groups, n)[groups] for part in (sums, n_tokens))
        cross_entropies = sums / n_tokens
        return self.m * self.a ** cross_entropies.exp(), cross_entropies

    def _learn(self, decisions: _Decisions, advantages: th.Tensor, counts: th.Tensor) -> tuple[float, float]:
        """
        :param decisions: D decisions
        :param advantages: (D,)
        :param counts: which of them are learned from, (D,) bool
        :return: the judger's mean entropy, and the norm of its gradient
        """
        logits = self.judge(decisions.scenes)
        if self.judge.decides_together:
            n, groups = _groups(decisions)
            logits = group_means(logits, groups, n)[groups]
        logits, choices, advantages = tree_map(lambda part: part[counts], (logits, decisions.choices, advantages))
        if self.normalize:
            advantages = self._normalized(advantages)
        loss, entropy = judger_loss(
            logits, choices, advantages, self.ent_coef, entropy_in_advantage=self.entropy_in_advantage
        )
        self.optimizer.zero_grad()
        th.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.judge.parameters(), self.max_grad_norm)
        self.optimizer.step()
        return float(entropy.detach()), float(norm)

    def _normalized(self, advantages: th.Tensor) -> th.Tensor:
        """
        :param advantages: of an update's decisions, (D,)
        :return: the same, centred by what was before and scaled, (D,); the running means go on
        """
        self.normalized += 1
        # With this weight the moving average is at any time the one that is divided by 1 - decay ** updates.
        weight = (1 - NORMALIZE_DECAY) / (1 - NORMALIZE_DECAY**self.normalized)
        centred = advantages - self.advantage_mean
        self.advantage_mean += weight * float(centred.mean())
        self.advantage_square += weight * (float(centred.square().mean()) - self.advantage_square)
        return centred / (math.sqrt(self.advantage_square) + 1e-8)


def _credit(decisions: _Decisions, batch: SequenceBatch) -> th.Tensor:
    """Whether a token pays a decision: a scored one of its window and episode, from its own on, (D, length)."""
    token, step = th.arange(batch.tokens.shape[1], device=batch.tokens.device), decisions.step[:, None]
    episodes = batch.starts.long().cumsum(1)[decisions.row]
    of_episode = episodes == episodes.gather(1, step)
    return batch.scored[decisions.row] & of_episode & (token >= step) & (token < decisions.end[:, None])


def _groups(decisions: _Decisions) -> tuple[int, th.Tensor]:
    """How many steps have decisions, and which of these steps each decision is of, (D,)."""
    steps, groups = th.unique(decisions.step, return_inverse=True)
    return len(steps), groups


def _judged(model: SequenceModel) -> tuple[CompressiveMemory, LearnedJudge]:
    """
    :param model: a model
    :return: its memory, and the judge that learns
    :raises ValueError: when there is none
    """
    core = model.core
    if not isinstance(core, CompressiveMemory) or not isinstance(core.judge, LearnedJudge):
        raise ValueError(
            "the model has no judger that learns; build it with memory_class='compressive' and "
            "memory_kwargs=dict(judger=True), or judger=dict(warming_up=True) for pre-training"
        )
    return core, core.judge


def _check_evaluator(evaluator: SequenceModel, model: SequenceModel) -> None:
    """
    :param evaluator: of another model
    :param model: that model
    :raises ValueError: when it cannot be its evaluator
    """
    theirs = {id(parameter) for parameter in model.parameters()}
    if any(id(parameter) in theirs for parameter in evaluator.parameters()):
        raise ValueError("evaluator shares parameters with the model, which learns; give copy.deepcopy(model)")
    if evaluator.vocabulary_size != model.vocabulary_size:
        raise ValueError(
            f"evaluator has vocabulary_size={evaluator.vocabulary_size}, the model {model.vocabulary_size}; give one "
            "that foretells the same tokens"
        )
