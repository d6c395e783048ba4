"""How well sequence models foretell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch as th

from memory_agents.nn.arguments import check_integers
from memory_agents.nn.evaluating import evaluating
from memory_agents.nn.gpu_kernels import unplanned_attention
from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.model import SequenceModel
from memory_agents.sequence.reading import ReadingRecord
from memory_agents.sequence.training import cross_entropy


class Score(NamedTuple):
    """
    Means over what is scored.

    :param loss: cross-entropy, in nats
    :param accuracy: share of tokens that are the likeliest ones
    :param exact: share of rows of batches in which all of them are, of rows in which something is scored
    :param n_tokens: how many were scored
    """

    loss: float
    accuracy: float
    exact: float
    n_tokens: int

    @property
    def bits(self) -> float:
        """Cross-entropy in bits: bits per character where tokens are characters."""
        return self.loss / math.log(2)


@th.no_grad()
@unplanned_attention()
def evaluate(
    model: SequenceModel,
    batches: Iterable[SequenceBatch],
    window: int | None = None,
    state: Any = None,
    *,
    deterministic: bool = True,
    record: ReadingRecord | None = None,
) -> Score:
    """
    The state is carried from window to window, and from batch to batch where ``starts`` do not say otherwise.

    :param model: the model; whether it is in training mode is left as it is
    :param batches: what to foretell, all with as many rows
    :param window: tokens at a time, None for whole batches; it does not change the score
    :param state: the state before; None at the beginning
    :param deterministic: the likelier decisions of a judger in place of drawn ones. DCT's authors leave open which they
        measured (Chang and Ma 2021, arXiv 2110.04821)
    :param record: gets the decisions of a judger
    :return: how well it does
    :raises ValueError: when nothing is scored, or there are no decisions to record
    """
    if window is not None:
        check_integers(window=window)
    # Sums of cross-entropy, right tokens, scored tokens, flawless rows, scored rows: read off once, as every look at a
    # GPU waits for it.
    sums = th.zeros(5, dtype=th.double, device=model.device)
    with evaluating(model):
        for whole in batches:
            batch = whole.to(model.device)
            if batch.begins_anew:
                state = None
            flawless = batch.scored.any(dim=1)
            sums[4] += flawless.sum()
            for part in batch.windows(window or batch.tokens.shape[1]):
                if record is not None or not deterministic:
                    state, choices = model.choose(part.tokens, state, part.starts, deterministic=deterministic)
                    if record is not None:
                        record.add(choices)
                logits, state = model(part.tokens, state, part.starts)
                wrong = (logits.argmax(dim=2) != part.targets) & part.scored
                flawless = flawless & ~wrong.any(dim=1)
                sums[0] += cross_entropy(logits, part).double().sum()
                sums[1] += (part.scored & ~wrong).sum()
                sums[2] += part.scored.sum()
            sums[3] += flawless.sum()
    loss, right, n_tokens, exact, rows = sums.tolist()
    if n_tokens == 0:
        raise ValueError("nothing in the batches is scored; give targets that count")
    return Score(loss / n_tokens, right / n_tokens, exact / rows, int(n_tokens))
