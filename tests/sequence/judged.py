"""Small judged models, streams for them, and what a co-training update must come to, worked out step by step."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch as th
import torch.nn.functional as F

from memory_agents.memory import CompressiveMemory, tree_clone, tree_map
from memory_agents.memory.compressive import Choice, LearnedJudge, Scene, log_prob
from memory_agents.sequence import SequenceBatch, SequenceModel

#: Segments of four tokens, n_m = 4, and two slots of four tokens each.
SEGMENT = 4
SMALL: dict[str, Any] = dict(
    memory_length=8, block_length=SEGMENT, compressed_length=2, compression_rate=4, d_model=8, n_heads=2, n_layers=2
)
VOCABULARY = 7


def judged_model(seed: int = 0, *, dropout: float = 0.0, **judger: Any) -> SequenceModel:
    """A model whose judger has opinions from the start."""
    th.manual_seed(seed)
    kwargs = {**SMALL, "dropout": dropout, "judger": {"hidden_size": 6, "pooling": "mean", **judger}}
    model = SequenceModel(VOCABULARY, "compressive", kwargs, d_embedding=5, dropout=dropout)
    for parameter in model.parameters():
        parameter.data.add_(0.2 * th.randn_like(parameter))
    return model


def core_of(model: SequenceModel) -> CompressiveMemory:
    assert isinstance(model.core, CompressiveMemory)
    return model.core


def judge_of(model: SequenceModel) -> LearnedJudge:
    judge = core_of(model).judge
    assert isinstance(judge, LearnedJudge)
    return judge


def text(rows: int = 3, length: int = 40, seed: int = 1, starts: float = 0.0, scored: float = 1.0) -> SequenceBatch:
    source = th.Generator().manual_seed(seed)
    drawn = th.randint(VOCABULARY, (rows, length + 1), generator=source)
    begins, counts = (th.rand(rows, length, generator=source) < share for share in (starts, scored))
    return SequenceBatch(drawn[:, :-1], drawn[:, 1:], counts, begins)


class Expected(NamedTuple):
    """What an update must come to: the judger's gradient, and the rewards, baselines and decisions it is made of."""

    gradients: list[th.Tensor]
    rewards: list[float]
    baselines: list[float]
    keeps: list[bool]
    distance: float

    @property
    def advantages(self) -> th.Tensor:
        return th.tensor(self.rewards) - th.tensor(self.baselines)


def normalized(updates: Sequence[th.Tensor]) -> th.Tensor:
    """Advantages of the latest of some updates, every running mean made anew of all that it is a mean of."""

    def running(values: Sequence[th.Tensor]) -> float:
        shares = [0.99 ** (len(values) - 1 - number) for number in range(len(values))]
        return sum(share * float(x.mean()) for share, x in zip(shares, values, strict=True)) / (sum(shares) or 1.0)

    centred = [update - running(updates[:number]) for number, update in enumerate(updates)]
    return centred[-1] / math.sqrt(running([x.square() for x in centred]))


def by_hand(
    model: SequenceModel,
    evaluator: SequenceModel,
    batch: SequenceBatch,
    window: int,
    *,
    m: float,
    a: float,
    baseline: str,
    reward: str,
    ent_coef: float,
    entropy_in_advantage: bool,
    normalize: bool,
    earlier: Sequence[th.Tensor] = (),
) -> Expected:
    """One token at a time, one decision at a time, from a stream's beginning; advantages of earlier updates given."""
    model, evaluator = copy.deepcopy(model).eval(), copy.deepcopy(evaluator).eval()
    core, judge = core_of(model), judge_of(model)
    judge.warming_up.fill_(False)
    rows, length = batch.tokens.shape
    scenes: list[Scene] = []
    hook = judge.register_forward_pre_hook(lambda _, arguments: scenes.append(tree_clone(arguments[0])))
    state, seen, choices = model.initial_state(rows), {}, []
    with th.no_grad():
        for t in range(length):
            x = model.embedding(batch.tokens[:, t])
            _, state = core.act_(x, state, batch.starts[:, t], deterministic=False)
            chosen = core.choices(state)
            assert isinstance(chosen, Choice)
            choices.append(tree_clone(chosen))
            if chosen.judged.any():
                seen[t] = scenes[-1]
    hook.remove()
    plan = tree_map(lambda *parts: th.stack(parts, dim=1), *choices)
    with th.no_grad():
        logits, _ = model(batch.tokens, core.with_choices(model.initial_state(rows), plan), batch.starts)
        alone, _ = evaluator(batch.tokens, None, batch.starts)
    mine, theirs = (
        F.cross_entropy(given.flatten(0, 1), batch.targets.flatten(), reduction="none").view(rows, length)
        for given in (logits, alone)
    )

    def paying(row: int, step: int) -> list[tuple[int, int]]:
        found = []
        for t in range(step, min(length, (step // window + 1) * window)):
            if t > step and batch.starts[row, t]:
                break
            if batch.scored[row, t]:
                found.append((row, t))
        return found

    terms, rewards, baselines, keeps = [], [], [], []
    for step, scene in seen.items():
        judged = plan.judged[:, step].nonzero().flatten().tolist()
        all_logits = judge(scene)
        for row in judged:
            mine_pays = paying(row, step)
            if not any(t > step for _, t in mine_pays):
                continue
            pays = [pair for other in judged for pair in paying(other, step)] if reward == "batch" else mine_pays
            perplexities = [th.stack([losses[pair] for pair in pays]).mean() for losses in (mine, theirs)]
            rewards.append(m * a ** perplexities[0].exp().item())
            baselines.append(
                m * a ** perplexities[1].exp().item() if baseline == "transformed" else perplexities[1].item()
            )
            logit = all_logits[judged].mean() if judge.decisions == "batch" else all_logits[row]
            keep = bool(plan.keep[row, step])
            keeps.append(keep)
            outcomes = [log_prob(logit, th.tensor(outcome)) for outcome in (False, True)]
            both = th.stack(outcomes)
            terms.append((outcomes[keep], -(both.exp() * both).sum()))
    advantages = th.tensor(rewards) - th.tensor(baselines)
    if normalize:
        advantages = normalized([*earlier, advantages])
    gain = th.zeros(())
    for advantage, (chance, entropy) in zip(advantages, terms, strict=True):
        if entropy_in_advantage:
            gain = gain + (advantage + ent_coef * entropy.detach()) * chance
        else:
            gain = gain + advantage * chance + ent_coef * entropy
    gradients = th.autograd.grad(-gain / len(terms), list(judge.parameters()), allow_unused=True)
    filled = [
        th.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(judge.parameters(), gradients, strict=True)
    ]
    return Expected(filled, rewards, baselines, keeps, float(plan.reading_distance.float().mean()))
