"""How a judge's decisions become part of the memory, acting and learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch as th

from memory_agents.memory.compressive.judgement import Choice, Judgement
from memory_agents.memory.compressive.judges import Judge, Scene
from memory_agents.memory.compressive.layer import LayerState, LayerWindow
from memory_agents.memory.compressive.layout import StepLayout
from memory_agents.memory.compressive.shape import MemoryShape
from memory_agents.memory.compressive.taking import put_, take
from memory_agents.memory.compressive.window_layout import WindowLayout
from memory_agents.memory.state import tree_map
from memory_agents.nn.tracing import is_traced


class JudgedBlocks(NamedTuple):
    """
    The decisions of windows, with what was there to judge, as it is with the present parameters.

    :param scenes: what the judge sees, of D decisions
    :param window: in which window each was made, (D,)
    :param step: at the end of which of its steps, (D,)
    :param choices: what was chosen, (D,) each
    """

    scenes: Scene
    window: th.Tensor
    step: th.Tensor
    choices: Choice


@dataclass(frozen=True)
class Judging:
    """
    One decision for all layers over each leaving block, once the slots are full.

    :param judge: who decides
    :param shape: sizes of the memories of all layers that have slots
    :param delay: of the last layer's memories
    """

    judge: Judge
    shape: MemoryShape
    delay: int

    def initial(self, batch_size: int, like: th.Tensor) -> Judgement:
        """
        :param batch_size: number of time lines
        :param like: a tensor whose type and device it gets
        :return: nothing judged
        """
        none = th.zeros(batch_size, dtype=th.long, device=like.device)
        told = (none.new_zeros(batch_size, self.shape.ring_length, dtype=th.bool),) if self.judge.is_told else ()
        return Judgement(
            made=none,
            numbers=none.new_zeros(batch_size, self.shape.compressed_length),
            important=told,
            choice=Choice(none.bool(), none.bool(), like.new_zeros(batch_size), none.clone()),
        )

    def told(self, x: th.Tensor) -> tuple[th.Tensor, tuple[th.Tensor, ...]]:
        """
        :param x: inputs of the memory, (batch, ..., input_dim)
        :return: inputs of the network, and whether a step matters, (batch, ...), where the environment says so
        """
        return (x[..., 1:], (x[..., 0] > 0.5,)) if self.judge.is_told else (x, ())

    def decide_(
        self,
        judgement: Judgement,
        last: LayerState,
        layout: StepLayout,
        told: tuple[th.Tensor, ...],
        deterministic: bool,
    ) -> Judgement:
        """
        Decide over the blocks that leave at the end of a step, and let go of those that are not kept.

        :param judgement: after the previous step; not to be used afterwards
        :param last: the last layer's memory, with the step's token
        :param layout: what the step reads and writes; afterwards the blocks that leave it are those that are kept
        :param told: whether the step matters, (batch,), where the environment says so
        :param deterministic: the likelier decision in place of a drawn one
        :return: after the step
        """
        for flags, now in zip(judgement.important, told, strict=True):
            flags[layout.batch, layout.row] = now
        full = judgement.made >= self.shape.compressed_length
        keep, judged = th.zeros_like(full), th.zeros_like(full)
        chance = judgement.choice.log_prob.new_zeros(full.shape)
        if layout.leaving.shape[0]:
            keep = layout.leaves
            judged = keep & full
            # Before the slots are full there is nothing to decide, for the judge most of the time nothing at all.
            if is_traced() or bool(judged.any()):
                decisions, chances = self.judge.decide(self._scene(judgement, last, layout), judged, deterministic)
                keep = keep & (decisions | ~judged)
                chance = chances.to(chance).masked_fill(~judged, 0)
            layout.leave_where(keep)
            kept = layout.leaving
            put_(judgement.numbers, (kept[:, None], layout.slot_rows[kept]), layout.slot_numbers[kept], keep)
            judgement.made.add_(keep * self.shape.slots_per_block)
        distance = self._reading_distance(judgement.made[:, None], judgement.numbers, layout.tokens).squeeze(1)
        return judgement._replace(choice=Choice(keep, judged, chance, distance), plan=())

    def _scene(self, judgement: Judgement, last: LayerState, layout: StepLayout) -> Scene:
        """What there is to judge where the slots are full, (batch, ...); elsewhere it is not looked at."""
        ring, n = self.shape.ring_length, self.shape.compressed_length
        device = layout.tokens.device
        recent = take(last.recent, (layout.tokens - th.arange(ring, device=device)) % ring)
        slots = take(last.slots, (judgement.made[:, None] - 1 - th.arange(n, device=device)) % n)
        important = th.zeros_like(judgement.made, dtype=th.bool)
        for flags in judgement.important:
            important = flags.gather(1, layout.block_rows).any(dim=1)
        # As many slots everywhere, so that the rounding in one environment does not depend on how many others have.
        return Scene(th.cat([recent, slots], dim=1), th.full_like(judgement.made, n), important)

    def _reading_distance(self, made: th.Tensor, numbers: th.Tensor, tokens: th.Tensor) -> th.Tensor:
        """
        :param made: slots made up to steps, (batch, T)
        :param numbers: of the slots in the ring then, (batch, N)
        :param tokens: numbers of their tokens, (batch, T)
        :return: age of the oldest token that is represented after each, (batch, T)
        """
        n = self.shape.compressed_length
        oldest = numbers.gather(1, (made - made.clamp_max(n)) % n)
        first = th.where(made > 0, self.shape.first_tokens(oldest), tokens - self.shape.memory_length)
        return tokens - first.clamp_min(0)

    def leaving_steps(self, tokens: th.Tensor) -> list[int]:
        """
        :param tokens: token numbers of a window, (batch, T)
        :return: its steps at which a block leaves in any batch entry
        """
        steps: list[int] = self.shape.block_leaves(tokens).any(dim=0).nonzero().squeeze(1).tolist()
        return steps

    def foresee(self, judgement: Judgement, tokens: th.Tensor, episodes: th.Tensor, keeps: bool) -> Choice:
        """
        The choices of a judge that need not look, from the numbers of the tokens alone.

        :param judgement: before a window; not changed
        :param tokens: token numbers of the window, (batch, T)
        :param episodes: their episodes, 0 for the one in progress, (batch, T)
        :param keeps: whether it keeps all that it judges, or nothing
        :return: the choices, (batch, T) each
        """
        shape, present, first, choices = self.shape, th.zeros_like(judgement.made)[:, None], 0, []
        within = th.arange(shape.slots_per_block, device=tokens.device)
        for t in self.leaving_steps(tokens):
            choices.append(self.nothing_leaves(judgement, tokens[:, first:t], episodes[:, first:t] > present))
            made, now = judgement.made[:, None].masked_fill(episodes[:, t : t + 1] > present, 0), tokens[:, t : t + 1]
            leaves, full = shape.block_leaves(now), made >= shape.compressed_length
            keep = leaves & (~full | keeps)
            numbers = (now - shape.memory_length) // shape.block_length * shape.slots_per_block + within
            numbers = judgement.numbers.scatter(1, (made + within) % shape.compressed_length, numbers)
            numbers = th.where(keep, numbers, judgement.numbers)
            made = made + keep * shape.slots_per_block
            chance = judgement.choice.log_prob.new_zeros(made.shape)
            choices.append(Choice(keep, leaves & full, chance, self._reading_distance(made, numbers, now)))
            judgement = judgement._replace(made=made.squeeze(1), numbers=numbers)
            present, first = episodes[:, t : t + 1], t + 1
        choices.append(self.nothing_leaves(judgement, tokens[:, first:], episodes[:, first:] > present))
        return tree_map(lambda *parts: th.cat(parts, dim=1), *choices)

    def nothing_leaves(self, judgement: Judgement, tokens: th.Tensor, new_episode: th.Tensor) -> Choice:
        """
        :param judgement: after a step
        :param tokens: numbers of the tokens that follow, (batch, T), at which no block leaves
        :param new_episode: whether they are of a later episode than the step, (batch, T)
        :return: the choices at them, (batch, T) each: there is nothing to choose, and what is remembered grows older
        """
        made = judgement.made[:, None].expand(tokens.shape).masked_fill(new_episode, 0)
        none = th.zeros_like(new_episode)
        chances = judgement.choice.log_prob.new_zeros(tokens.shape)
        return Choice(none, none, chances, self._reading_distance(made, judgement.numbers, tokens))

    def after(self, judgement: Judgement, layout: WindowLayout, told: tuple[th.Tensor, ...]) -> Judgement:
        """
        :param judgement: before a window, with its plan
        :param layout: who sees whom in the window
        :param told: whether its steps matter, (batch, T), where the environment says so
        :return: after the window
        """
        assert layout.made_after is not None, "the window has not been judged"
        row, written = layout.final_slots()
        numbers = layout.times_as_numbers.gather(1, row).masked_fill(~written, 0)
        row, written = layout.final_ring(self.shape.ring_length)
        important = tuple(
            th.cat([flags.gather(1, layout.recent_rows), now], dim=1).gather(1, row) & written
            for flags, now in zip(judgement.important, told, strict=True)
        )
        last = Choice(*(part[:, -1] for part in judgement.plan[0]))
        return Judgement(layout.made_after, numbers, important, last)

    def judged_blocks(
        self,
        state: LayerState,
        judgement: Judgement,
        window: LayerWindow,
        layout: WindowLayout,
        told: tuple[th.Tensor, ...],
    ) -> JudgedBlocks:
        """
        :param state: the last layer's memory before a window
        :param judgement: before the window, with its plan
        :param window: what the last layer gave
        :param layout: who sees whom in the window
        :param told: whether its steps matter, (batch, T), where the environment says so
        :return: the decisions in the window
        """
        plan, m, n = judgement.plan[0], self.shape.memory_length, self.shape.compressed_length
        entry, step = plan.judged.nonzero().unbind(dim=1)
        back = th.arange(m + 1, device=step.device)
        index = step[:, None] + m - back
        inputs = th.cat([take(state.recent, layout.recent_rows), window.inputs], dim=1)
        recent = inputs[entry[:, None], index]
        for outputs in window.delayed:
            recent = th.where((back >= self.delay)[:, None], outputs[entry[:, None], index], recent)
        unseen = layout.slots_hidden[entry, step]
        newest_first = layout.ranks[entry, step].masked_fill(unseen, n).argsort(dim=1, stable=True)[:, :n]
        slots = window.slots[entry[:, None], newest_first]
        n_slots = (~unseen).sum(dim=1)
        empty = th.arange(n, device=step.device) >= n_slots[:, None]
        slots = slots.masked_fill(empty[:, :, None], 0)
        important = th.zeros_like(entry, dtype=th.bool)
        for flags, now in zip(judgement.important, told, strict=True):
            history = th.cat([flags.gather(1, layout.recent_rows), now], dim=1)
            important = history[entry].gather(1, index[:, -self.shape.block_length :]).any(dim=1)
        scenes = Scene(th.cat([recent, slots], dim=1), n_slots, important)
        return JudgedBlocks(scenes, entry, step, Choice(*(part[entry, step] for part in plan)))
