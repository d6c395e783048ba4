"""
How sequence models learn: truncated backpropagation through time, and nothing else.

A loop of ours, as those of others want to own the batch, and here the state goes from one to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.nn.arguments import check_integers, is_finite
from memory_agents.nn.gpu_kernels import unplanned_attention
from memory_agents.nn.heap import keep_heap
from memory_agents.nn.mixed_precision import FORMATS
from memory_agents.sequence.batch import SequenceBatch
from memory_agents.sequence.model import SequenceModel

#: How the learning rate goes on once it is warm.
DECAYS = ("constant", "cosine")


class Update(NamedTuple):
    """
    What an update came to.

    :param loss: mean cross-entropy of the scored tokens before the update, in nats
    :param core_loss: mean of the core's own loss over the windows, None where it has none
    :param grad_norm: norm of the gradient before it was clipped; where it is not finite, the model has stayed as it was
    :param token_losses: cross-entropy of every token, 0 where it is not scored, (batch, length)
    """

    loss: float
    core_loss: float | None
    grad_norm: float
    token_losses: th.Tensor


class SequenceTrainer:
    """
    Adam with warm-up and gradient clipping, which the Compressive Transformer's authors call crucial (Rae et al. 2019,
    arXiv 1911.05507, section 4), over windows whose state is carried. An update takes one batch; batches whose
    ``starts`` do not say otherwise go on where the one before ended. What choices of the core are made with does not
    learn here (:class:`~memory_agents.sequence.DCTTrainer`).

    :param model: the model, already where it shall learn
    :param window: tokens over which gradients flow; None for whole batches
    :param learning_rate: of Adam, once it is warm
    :param warmup: updates over which the learning rate rises linearly from 0
    :param total: updates there will be, for ``decay="cosine"``
    :param decay: ``"constant"``, or ``"cosine"`` for half a wave down to ``final`` of the learning rate
    :param final: see ``decay``
    :param max_grad_norm: bound on the norm of the gradient, None for none
    :param weight_decay: of AdamW
    :param autocast: None for single precision; ``"bfloat16"`` for matrix products in that format, losses stay exact
    :raises ValueError: when an argument is out of bounds, has no effect, or does not fit another
    """

    def __init__(
        self,
        model: SequenceModel,
        *,
        window: int | None = None,
        learning_rate: float = 1e-3,
        warmup: int = 0,
        total: int | None = None,
        decay: str = "constant",
        final: float = 0.0,
        max_grad_norm: float | None = 1.0,
        weight_decay: float = 0.0,
        autocast: str | None = None,
    ) -> None:
        check_integers(**{name: value for name, value in (("window", window), ("total", total)) if value is not None})
        check_integers(least=0, warmup=warmup)
        if decay not in DECAYS:
            raise ValueError(f"decay must be one of {', '.join(map(repr, DECAYS))}, got {decay!r}")
        if decay == "constant" and (total is not None or final != 0.0):
            raise ValueError(
                f"total={total!r} and final={final!r} say how a decay ends; use decay='cosine', or leave them out"
            )
        if decay != "constant" and (total is None or total <= warmup):
            raise ValueError(f"decay={decay!r} needs a total above warmup={warmup}, got total={total!r}")
        if not is_finite(final) or not 0.0 <= final <= 1.0:
            raise ValueError(f"final is {final!r}; give a number from 0 to 1")
        for name, value in {"learning_rate": learning_rate, "max_grad_norm": max_grad_norm}.items():
            if value is not None and (not is_finite(value) or value <= 0):
                raise ValueError(f"{name} is {value!r}; give a positive number")
        if not is_finite(weight_decay) or weight_decay < 0:
            raise ValueError(f"weight_decay is {weight_decay!r}; give 0 or a positive number")
        if autocast is not None and autocast not in FORMATS:
            raise ValueError(f"autocast must be one of {list(FORMATS)} or None, got {autocast!r}")
        keep_heap()
        self.model, self.window, self.max_grad_norm = model, window, max_grad_norm
        self.warmup, self.total, self.decay, self.final = warmup, total, decay, final
        self.format = None if autocast is None else FORMATS[autocast]
        #: updates so far
        self.updates = 0
        #: after the latest batch; None at the beginning
        self.state: Any = None
        judges = {id(parameter) for parameter in model.core.judge_parameters()}
        self.parameters = [p for p in model.parameters() if p.requires_grad and id(p) not in judges]
        self.optimizer = th.optim.AdamW(self.parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
        self.schedule = th.optim.lr_scheduler.LambdaLR(self.optimizer, self.learning_rate_at)

    def learning_rate_at(self, update: int) -> float:
        """
        :param update: number of an update, from 0
        :return: what the learning rate is multiplied with there
        """
        if update < self.warmup:
            return (update + 1) / self.warmup
        if self.decay == "constant":
            return 1.0
        assert self.total is not None, "the constructor has seen to that"
        progress = min(1.0, (update - self.warmup) / (self.total - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))

    @unplanned_attention()
    def update(self, batch: SequenceBatch, before: Callable[[SequenceBatch], None] | None = None) -> Update:
        """
        One gradient step; a gradient that has overflowed changes nothing.

        :param batch: what to learn from
        :param before: called with each window before it is learned from; it may replace :attr:`state`
        :return: what it came to
        :raises ValueError: when nothing in the batch is scored
        """
        batch = batch.to(self.model.device)
        n_scored = int(batch.scored.sum())
        if n_scored == 0:
            raise ValueError("nothing in the batch is scored; give targets that count")
        self.model.train()
        self.optimizer.zero_grad()
        if batch.begins_anew:
            self.state = None
        length = batch.tokens.shape[1]
        losses, core_losses = [], []
        for part in batch.windows(self.window or length):
            if before is not None:
                before(part)
            token_losses, core_loss = self.learn_from(part, n_scored, part.tokens.shape[1] / length)
            losses.append(token_losses)
            core_losses += [] if core_loss is None else [core_loss * part.tokens.shape[1] / length]
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm or math.inf)
        if norm.isfinite():
            self.optimizer.step()
        self.schedule.step()
        self.updates += 1
        all_losses = th.cat(losses, dim=1)
        core = float(th.stack(core_losses).sum()) if core_losses else None
        return Update(float(all_losses.sum()) / n_scored, core, float(norm), all_losses)

    def state_dict(self) -> dict[str, Any]:
        """
        :return: all that learning goes on from, for ``torch.save``: the model, the optimizer, and how far they are.
            Tensors are those that go on to change
        """
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "updates": self.updates,
            "state": self.model.state_leaves(self.state),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """
        Go on as the trainer did whose state this was, to the bit.

        :param saved: its :meth:`state_dict`, on any device; of a trainer with the same arguments
        :raises RuntimeError: when it was that of another model
        :raises ValueError: when it was that of another memory
        """
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        self.updates = saved["updates"]
        self.state = self.model.state_from(saved["state"])

    def learn_from(self, part: SequenceBatch, n_scored: int, share: float) -> tuple[th.Tensor, th.Tensor | None]:
        """
        Add a window's gradient, and go on to the state after it.

        :param part: a window
        :param n_scored: scored tokens in the whole batch
        :param share: of the batch that the window is
        :return: cross-entropy of its tokens, 0 where not scored, (batch, window), and the core's own loss; detached
        """
        try:
            with th.autocast(part.tokens.device.type, self.format, enabled=self.format is not None):
                segment = self.model.segment(part.tokens, self.state, part.starts)
        except RuntimeError as error:
            if self.format is None or "primitive" not in str(error):
                raise
            # What oneDNN says where a processor has no kernel for a format.
            raise RuntimeError(
                f"this memory cannot be computed in {self.format} on {part.tokens.device}; use autocast=None"
            ) from error
        self.state = segment.state
        token_losses = cross_entropy(segment.logits, part)
        loss = token_losses.sum() / n_scored
        if segment.loss is not None:
            loss = loss + share * segment.loss
        if loss.requires_grad:
            th.autograd.backward(loss)
        return token_losses.detach(), None if segment.loss is None else segment.loss.detach()


def cross_entropy(logits: th.Tensor, batch: SequenceBatch) -> th.Tensor:
    """
    :param logits: (batch, window, vocabulary_size)
    :param batch: the same window
    :return: cross-entropy of each token in nats, 0 where it is not scored, (batch, window)
    """
    losses = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
    return losses.view(batch.targets.shape).masked_fill(~batch.scored, 0.0)
