"""Who decides which of the blocks that leave the recent memory are compressed, and which are forgotten."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.nn import CompressionJudger, Registry
from memory_agents.nn.arguments import check_flags, check_known, is_finite, keywords

#: Who shares a decision of a learned judge: nobody, or all whose blocks are judged at the same step.
DECISIONS = ("sample", "batch")


class Scene(NamedTuple):
    """
    What a judge sees: the last layer's memory when a block is about to leave, after the step's token has entered.

    :param memories: M + 1 recent memories, the block the last of them, then N slots, each from the newest to the
        oldest, (batch, M + 1 + N, d_model)
    :param n_slots: slots that are not empty, (batch,) int64
    :param important: whether the environment says that something in the block matters, (batch,) bool; all False unless
        the judge is one that is told
    """

    memories: th.Tensor
    n_slots: th.Tensor
    important: th.Tensor


class Judge(nn.Module, ABC):
    """
    Decides over blocks, one decision for all layers.

    :param shape: sizes of the memories
    :param d_model: width of the memories
    """

    #: Whether the first feature of the memory's inputs tells if a step matters. The network does not see it.
    is_told: ClassVar[bool] = False
    #: Whether acting deterministically takes the likelier decision; otherwise decisions are always drawn.
    has_likeliest: ClassVar[bool] = True

    @property
    def decides_together(self) -> bool:
        """Whether what it decides in one batch entry depends on the others."""
        return False

    @property
    def foregone(self) -> bool | None:
        """What it decides whatever there is to judge, with no doubt; None where it looks, or draws."""
        return None

    def __init__(self, shape: MemoryShape, d_model: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, scene: Scene) -> th.Tensor:
        """
        :param scene: what there is to judge
        :return: logits of keeping the block, (batch,); infinite ones leave no doubt
        """

    def decide(self, scene: Scene, judged: th.Tensor, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        """
        :param scene: what there is to judge
        :param judged: whether there is anything, (batch,) bool; elsewhere no decision counts
        :param deterministic: the likelier decision in place of a drawn one
        :return: whether to keep each block, (batch,) bool, and the log-probability of that decision, (batch,)
        """
        logits = self(scene)
        likeliest = deterministic and self.has_likeliest
        keep = logits > 0 if likeliest else th.rand_like(logits) < logits.sigmoid()
        return keep, log_prob(logits, keep)


def log_prob(logits: th.Tensor, keep: th.Tensor) -> th.Tensor:
    """
    :param logits: of keeping
    :param keep: decisions, of the same shape
    :return: their log-probabilities
    """
    return F.logsigmoid(th.where(keep, logits, -logits))


def group_means(values: th.Tensor, groups: th.Tensor, n_groups: int) -> th.Tensor:
    """
    :param values: (n,)
    :param groups: the group of each, (n,) int64 from 0
    :param n_groups: how many there are
    :return: the mean of each group, 0 of an empty one, (n_groups,)
    """
    sums, counts = (values.new_zeros(n_groups).index_add(0, groups, part) for part in (values, th.ones_like(values)))
    return sums / counts.clamp_min(1)


#: Judges by name, as the argument ``judger`` of the compressive memory takes them.
judge_registry: Registry[type[Judge]] = Registry("judge")


@judge_registry.register("learned")
class LearnedJudge(Judge):
    """
    DCT's judger (Chang and Ma 2021, arXiv 2110.04821). While it warms up it keeps everything.

    The paper leaves open whether each row of a batch has a decision of its own, or all have one together. Together, the
    probability of keeping is that of the mean logit of what is judged at a step, and one draw decides; what one row
    remembers then depends on the others, which sequence models may do and agents may not.

    :param shape: sizes of the memories
    :param d_model: width of the memories
    :param decisions: ``"sample"``, each batch entry has its own; ``"batch"``, one for all that are judged at a step
    :param warming_up: whether it begins by keeping everything, until whoever trains it ends that
    :param options: those of :class:`~memory_agents.nn.CompressionJudger`
    :raises ValueError: when an option is out of bounds
    """

    #: Whether it still keeps everything, as before it is trained; saved with the agent.
    warming_up: th.Tensor

    def __init__(
        self,
        shape: MemoryShape,
        d_model: int,
        *,
        decisions: str = "sample",
        warming_up: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(shape, d_model)
        if decisions not in DECISIONS:
            raise ValueError(f"decisions must be one of {', '.join(map(repr, DECISIONS))}, got {decisions!r}")
        check_flags(warming_up=warming_up)
        self.decisions = decisions
        self.network = CompressionJudger(d_model, shape.ring_length, shape.block_length, **options)
        self.register_buffer("warming_up", th.tensor(warming_up))

    @property
    def decides_together(self) -> bool:
        return self.decisions == "batch"

    @property
    def foregone(self) -> bool | None:
        return True if self.warming_up else None

    def forward(self, scene: Scene) -> th.Tensor:
        return self.logits_and_baselines(scene)[0]

    def logits_and_baselines(self, scene: Scene) -> tuple[th.Tensor, th.Tensor]:
        """
        :param scene: what there is to judge
        :return: logits of keeping the block, and what the decision is expected to be worth, (batch,) each
        """
        logits, baselines = self.network(scene.memories, scene.n_slots)
        discard, keep = logits.unbind(dim=1)
        return keep - discard, baselines

    def decide(self, scene: Scene, judged: th.Tensor, deterministic: bool) -> tuple[th.Tensor, th.Tensor]:
        if self.decides_together:
            # What is not judged is the second group, which counts for nothing.
            logit = group_means(self(scene), (~judged).long(), 2)[0]
            drawn = logit > 0 if deterministic else th.rand_like(logit) < logit.sigmoid()
            keep = drawn.expand(judged.shape)
            chance = log_prob(logit.expand(judged.shape), keep)
        else:
            keep, chance = super().decide(scene, judged, deterministic)
        return keep | self.warming_up, chance.masked_fill(self.warming_up, 0)


class _Sure(Judge):
    """A judge without doubts."""

    @abstractmethod
    def keeps(self, scene: Scene) -> th.Tensor:
        """
        :param scene: what there is to judge
        :return: whether each block is kept, (batch,) bool
        """

    def forward(self, scene: Scene) -> th.Tensor:
        keep = self.keeps(scene)
        return th.full(keep.shape, -th.inf, device=keep.device).masked_fill(keep, th.inf)


@judge_registry.register("keep")
class KeepJudge(_Sure):
    """Keeps everything: the Compressive Transformer."""

    @property
    def foregone(self) -> bool:
        return True

    def keeps(self, scene: Scene) -> th.Tensor:
        return th.ones_like(scene.n_slots, dtype=th.bool)


@judge_registry.register("discard")
class DiscardJudge(_Sure):
    """Discards everything: what filled the slots first stays there."""

    @property
    def foregone(self) -> bool:
        return False

    def keeps(self, scene: Scene) -> th.Tensor:
        return th.zeros_like(scene.n_slots, dtype=th.bool)


@judge_registry.register("oracle")
class OracleJudge(_Sure):
    """
    Keeps the blocks in which a step matters, as the environment says: the first feature of the memory's inputs is
    above 0.5 where it does. :class:`memory_agents.envs.ShowImportance` puts it there.
    """

    is_told = True

    def keeps(self, scene: Scene) -> th.Tensor:
        return scene.important


@judge_registry.register("random")
class RandomJudge(Judge):
    """
    Keeps a part of the blocks, drawn without looking.

    :param shape: sizes of the memories
    :param d_model: width of the memories
    :param probability: of keeping a block
    :raises ValueError: when it is no probability
    """

    has_likeliest = False

    def __init__(self, shape: MemoryShape, d_model: int, *, probability: float = 0.5) -> None:
        super().__init__(shape, d_model)
        if not is_finite(probability) or not 0.0 <= probability <= 1.0:
            raise ValueError(f"probability is {probability!r}; give a number from 0 to 1")
        self.probability = float(probability)
        self._logit = th.logit(th.tensor(self.probability, dtype=th.double, device="cpu")).item()

    def forward(self, scene: Scene) -> th.Tensor:
        return scene.memories.new_full((scene.memories.shape[0],), self._logit)


def make_judge(judger: object, shapes: tuple[MemoryShape, ...], d_model: int) -> Judge | None:
    """
    :param judger: None or False for none, True for a learned one, a registered name, or options with the name as
        ``"kind"`` (default: learned)
    :param shapes: sizes of the memories of every layer
    :param d_model: width of the memories
    :return: the judge
    :raises TypeError: when it does not know an option
    :raises ValueError: when it is of another kind, the layers' memories differ, or an option is out of bounds
    """
    if judger is None or judger is False:
        return None
    if not isinstance(judger, bool | str | Mapping):
        known = ", ".join(map(repr, judge_registry))
        raise ValueError(f"judger is {judger!r}; give None, True, one of {known}, or a dictionary of options")
    options: dict[str, Any] = dict(judger) if isinstance(judger, Mapping) else {}
    kind = options.pop("kind", judger if isinstance(judger, str) else "learned")
    shape = shapes[-1]
    if not shape.compressed_length:
        raise ValueError(
            f"judger={judger!r} judges by the last layer's memory, which has no slots; use a compressed_length of 1 or "
            "more there, or judger=None"
        )
    if any(other != shape for other in shapes if other.compressed_length):
        raise ValueError(
            f"judger={judger!r} makes one decision for all layers, so all that have slots need equal memory_length and "
            f"compressed_length; got {[(s.memory_length, s.compressed_length) for s in shapes]}"
        )
    judge_class = judge_registry[kind]
    check_known(f"judger={judger!r}", options, f"judge {kind!r}", _options(judge_class))
    return judge_class(shape, d_model, **options)


def _options(judge_class: type[Judge]) -> list[str] | None:
    """
    :param judge_class: a kind of judge
    :return: the options that it takes, None where it takes any
    """
    return keywords(LearnedJudge, CompressionJudger) if judge_class is LearnedJudge else keywords(judge_class)
