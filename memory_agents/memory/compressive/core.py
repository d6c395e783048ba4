"""The gated compressive transformer as a memory core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import zip_longest
from typing import Any, NamedTuple, cast

import torch as th
from torch import nn

from memory_agents.memory.compressive.compressor import Compressor, gradient_mode
from memory_agents.memory.compressive.judgement import Choice, Judgement
from memory_agents.memory.compressive.judges import Judge, make_judge
from memory_agents.memory.compressive.judging import JudgedBlocks, Judging
from memory_agents.memory.compressive.layer import Layer, LayerState, LayerWindow
from memory_agents.memory.compressive.layout import StateLayout, StepLayout
from memory_agents.memory.compressive.reading import Reading, read_off
from memory_agents.memory.compressive.shape import MemoryShape, memory_shapes
from memory_agents.memory.compressive.window_layout import WindowLayout, token_numbers
from memory_agents.memory.core import MemoryCore, memory_registry
from memory_agents.memory.state import check_batch, per_entry, tree_clone, tree_leaves, tree_map
from memory_agents.nn import CompressionLoss, GatedBlock, compression_loss_registry, compression_registry
from memory_agents.nn.arguments import check_flags, check_integers
from memory_agents.nn.evaluating import evaluating
from memory_agents.nn.mixed_precision import exact
from memory_agents.nn.tracing import is_traced


class CompressiveState(NamedTuple):
    """
    State of :class:`CompressiveMemory`.

    :param steps: tokens seen of the episode in progress, (batch,) int64
    :param layers: the memory of every layer
    :param judgement: with a judge, what it has decided
    """

    steps: th.Tensor
    layers: tuple[LayerState, ...]
    judgement: tuple[Judgement, ...] = ()


@memory_registry.register("compressive")
class CompressiveMemory(MemoryCore[CompressiveState]):
    """
    GTrXL (Parisotto et al. 2019, arXiv 1910.06764) with the compressed memory of the Compressive Transformer (Rae et
    al. 2019, arXiv 1911.05507), in streaming form: each token attends to at most ``memory_length`` tokens before it and
    to the newest ``compressed_length`` slots. The oldest ``block_length`` recent tokens leave together and become
    ``block_length / compression_rate`` slots, so nothing is lost between the two memories, and the temporal reach of
    one layer is about ``memory_length + compression_rate * compressed_length`` steps.

    Lengths given as a sequence hold one number for each layer (Rae and Razavi 2020, arXiv 2007.03356): 0 leaves a layer
    without that memory, and one without recent memory computes on the present token alone.

    :param input_dim: width of the inputs
    :param memory_length: recent memory M, in tokens; one number, or one for each layer
    :param compressed_length: compressed memory N, in slots; one number, or one for each layer; 0 makes this a GTrXL
    :param compression_rate: tokens per slot c
    :param block_length: tokens B that leave together, a multiple of the rate (default: the rate, twice the rate for
        ``"dilated"``; 1 without slots)
    :param compression: name of a registered compression function: ``"convolution"``, ``"dilated"``, ``"max"``,
        ``"mean"`` or ``"most_used"``
    :param compression_loss: name of a registered loss that trains the compression functions and nothing else:
        ``"autoencoding"`` or ``"attention"``; None for none. Whoever learns from the outputs minimises it, too, if they
        call :meth:`unroll_with_loss`
    :param compression_gradient: what trains the compression functions: ``"task"``, what is learned from the outputs;
        ``"auxiliary"``, their loss; or ``"both"`` (default: the loss where there is one)
    :param n_layers: number of layers
    :param n_heads: attention heads, a divisor of ``d_model`` unless ``d_head`` is given
    :param d_model: width of the residual stream and of the outputs
    :param d_feedforward: width of the MLPs (default: twice ``d_model``)
    :param gate_bias: initial bias of the gates, None for the gate's own default (2 for ``"gru"``, 1 for the others;
        ``"none"`` and ``"input"`` have no bias); larger values start closer to the identity
    :param gating: name of a registered gate; ``"none"`` for residual sums
    :param norm: ``"pre"``, layer norm on the inputs of submodules (identity map reordering), or ``"post"``, on the sums
        after them, as in the original Transformer-XL
    :param positions: ``"sinusoidal"`` (Transformer-XL), ``"learned"`` or ``"rotary"``
    :param feedforward: name of a registered MLP
    :param d_head: width of an attention head (default: ``d_model / n_heads``)
    :param dropout: probability of dropping a number while training; acting, which is evaluation, drops nothing
    :param mogrifier_rounds: rounds of mutual modulation before each gate (Melis et al. 2020, arXiv 1909.01792)
    :param recurrence_delay: None: the memory of a token is the layer's input for it, as in Transformer-XL. A number D:
        tokens at least D steps back are remembered as the layer's output for them, the input of the layer above
        (enhanced recurrence, Ding et al. 2021, arXiv 2012.15688, section 3.3), so that the reach in time is not bounded
        by the number of layers. Learning computes D steps at once; at most ``memory_length - block_length + 1``
    :param final_norm: layer norm on the outputs
    :param judger: who decides which leaving blocks are compressed and which are forgotten, once the slots are full, so
        that they can hold what matters from any time ago (DCT, Chang and Ma 2021, arXiv 2110.04821): None, nobody;
        True, a :class:`~memory_agents.memory.compressive.LearnedJudge`, which algorithms of this library train; its
        options as a dictionary; or, to compare with, ``"keep"``, ``"discard"``, ``"oracle"`` or
        ``dict(kind="random", probability=...)``. Layers that have slots need equal lengths then
    :raises ValueError: when a size is not positive, two do not fit together, or a name is unknown
    """

    def __init__(
        self,
        input_dim: int,
        *,
        memory_length: int | Sequence[int] = 64,
        compressed_length: int | Sequence[int] = 64,
        compression_rate: int = 4,
        block_length: int | None = None,
        compression: str = "convolution",
        compression_loss: str | None = None,
        compression_gradient: str | None = None,
        n_layers: int = 2,
        n_heads: int = 4,
        d_model: int = 64,
        d_feedforward: int | None = None,
        gate_bias: float | None = None,
        gating: str = "gru",
        norm: str = "pre",
        positions: str = "sinusoidal",
        feedforward: str = "relu",
        d_head: int | None = None,
        dropout: float = 0.0,
        mogrifier_rounds: int = 0,
        recurrence_delay: int | None = None,
        final_norm: bool = False,
        judger: bool | str | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(input_dim, d_model)
        check_integers(n_layers=n_layers, n_heads=n_heads, d_model=d_model, compression_rate=compression_rate)
        d_feedforward = 2 * d_model if d_feedforward is None else d_feedforward
        optional = {"d_feedforward": d_feedforward, "d_head": d_head, "recurrence_delay": recurrence_delay}
        check_integers(**{name: value for name, value in optional.items() if value is not None})
        check_flags(final_norm=final_norm)
        compress = compression_registry[compression]
        #: sizes of the memories of every layer
        self.shapes = memory_shapes(
            memory_length, compressed_length, n_layers, compression_rate, block_length, compression, recurrence_delay
        )
        self.recurrence_delay = recurrence_delay
        #: who decides over leaving blocks, if anyone does
        self.judge = make_judge(judger, self.shapes, d_model)
        self.input = nn.Linear(input_dim - self.is_told, d_model)
        options: dict[str, Any] = dict(
            gating=gating,
            norm=norm,
            positions=positions,
            feedforward=feedforward,
            d_head=d_head,
            dropout=dropout,
            mogrifier_rounds=mogrifier_rounds,
        )
        self.blocks = nn.ModuleList(
            GatedBlock(d_model, n_heads, d_feedforward, shape.n_positions, gate_bias, **options)
            for shape in self.shapes
        )
        #: compression functions of the layers that have slots
        self.compressions = nn.ModuleList(
            compress(d_model, compression_rate) for shape in self.shapes if shape.compressed_length
        )
        self.compression_gradient = gradient_mode(
            compression_gradient, compression_loss, compression, self.compressions
        )
        #: their losses
        self.compression_losses = nn.ModuleList(
            compression_loss_registry[compression_loss](d_model, compression_rate)
            for _ in self.compressions
            if compression_loss is not None
        )
        self.norm = nn.LayerNorm(d_model) if final_norm else nn.Identity()
        self._known_layers = self._make_layers()
        self._parts_of_layers = self._parts()

    @property
    def is_told(self) -> bool:
        return self.judge is not None and self.judge.is_told

    @property
    def decides_together(self) -> bool:
        return self.judge is not None and self.judge.decides_together

    @property
    def has_loss(self) -> bool:
        return len(self.compression_losses) > 0

    @property
    def layers(self) -> list[Layer]:
        """
        The layers, from the inputs to the outputs, of the modules that there are now. Acting steps go on with those
        that there were when their state was made or unpacked, as they do with caches of parameters.
        """
        # What a compiler makes must not change what is kept.
        if not th.compiler.is_compiling() and (parts := self._parts()) != self._parts_of_layers:
            self._known_layers, self._parts_of_layers = self._make_layers(), parts
        return self._known_layers

    def _parts(self) -> list[nn.Module]:
        return [*self.blocks, *self.compressions, *self.compression_losses]

    def _make_layers(self) -> list[Layer]:
        compressors = iter(self._compressors)
        return [
            Layer(
                shape,
                cast(GatedBlock, block),
                next(compressors) if shape.compressed_length else None,
                self.recurrence_delay or 0 if shape.memory_length else 0,
            )
            for shape, block in zip(self.shapes, self.blocks, strict=True)
        ]

    @property
    def _compressors(self) -> list[Compressor]:
        losses = [loss for loss in self.compression_losses if isinstance(loss, CompressionLoss)]
        rate, learns = self.shapes[0].compression_rate, self.compression_gradient != "auxiliary"
        pairs = zip_longest(self.compressions, losses)
        return [Compressor(function, rate, learns, loss) for function, loss in pairs if function is not None]

    @property
    def judging(self) -> Judging | None:
        """How the judge decides; None without one."""
        return None if self.judge is None else Judging(self.judge, self.shapes[-1], self.recurrence_delay or 0)

    def initial_state(self, batch_size: int) -> CompressiveState:
        like, judging = self.input.weight, self.judging
        return CompressiveState(
            th.zeros(batch_size, dtype=th.long, device=like.device),
            tuple(layer.initial_state(batch_size, like, self.output_dim) for layer in self.layers),
            () if judging is None else (judging.initial(batch_size, like),),
        )

    def pack_state(self, state: CompressiveState) -> CompressiveState:
        return state._replace(layers=tuple(layer._replace(cache=()) for layer in state.layers))

    @th.no_grad()
    def unpack_state(self, state: CompressiveState) -> CompressiveState:
        layouts = {shape: StateLayout(shape, state.steps, *state.judgement) for shape in set(self.shapes)}
        pairs = zip(self.layers, state.layers, strict=True)
        with exact(state.steps.device):
            return state._replace(layers=tuple(layer.unpack(part, layouts[layer.shape]) for layer, part in pairs))

    def step_(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, CompressiveState]:
        return self.act_(x, state, episode_starts, deterministic=True)

    @th.no_grad()
    def act_(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor, deterministic: bool
    ) -> tuple[th.Tensor, CompressiveState]:
        with exact(x.device):
            state, layouts, told, hidden = self._read_(x, state, episode_starts)
            judging = self.judging
            if judging is not None:
                layout = layouts[judging.shape]
                judgement = judging.decide_(state.judgement[0], state.layers[-1], layout, told, deterministic)
                state = state._replace(judgement=(judgement,))
            for layer, part in zip(self._known_layers, state.layers, strict=True):
                layer.compress_(part, layouts[layer.shape])
            state.steps.add_(1)
            return self.norm(hidden[-1]), state

    def _read_(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[CompressiveState, dict[MemoryShape, StepLayout], tuple[th.Tensor, ...], list[th.Tensor]]:
        """A step up to where blocks leave: state, layouts, what the judge is told, inputs of the layers, the output."""
        check_batch(state, x)
        x = x.to(state.layers[0].recent.dtype)
        if not state.layers[0].cache:
            state = self.unpack_state(state)
        if is_traced():
            state = tree_map(lambda leaf: leaf.masked_fill(per_entry(episode_starts, leaf), 0), state)
        elif len(starting := episode_starts.nonzero().squeeze(1)):
            for leaf in tree_leaves(state):
                leaf[starting] = 0
        layouts = {shape: StepLayout(shape, state.steps, *state.judgement) for shape in set(self.shapes)}
        x, told = (x, ()) if self.judging is None else self.judging.told(x)
        hidden: list[th.Tensor] = [self.input(x)]
        for layer, part in zip(self._known_layers, state.layers, strict=True):
            hidden.append(layer.step_(hidden[-1], part, layouts[layer.shape]))
        return state, layouts, told, hidden

    @th.no_grad()
    def attention(self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor) -> tuple[Reading, ...]:
        """
        Where :meth:`step` looks when it is given the same. Acting itself does not compute this.

        :param x: inputs, (batch, input_dim)
        :param state: the state after the previous step; not changed
        :param episode_starts: whether an episode starts at this step, (batch,) bool
        :return: the attention of every layer
        """
        readings = []
        with exact(x.device):
            state, layouts, _, hidden = self._read_(x, tree_clone(state), episode_starts)
            for layer, inputs, part in zip(self.layers, hidden[:-1], state.layers, strict=True):
                layout = layouts[layer.shape]
                weights = layer.attention(inputs, part, layout)
                readings.append(read_off(weights, layer.shape, layout, state.judgement))
        return tuple(readings)

    def choices(self, state: CompressiveState) -> Choice | tuple[()]:
        return state.judgement[0].choice if state.judgement else ()

    def with_choices(self, state: CompressiveState, choices: Choice | tuple[()]) -> CompressiveState:
        if not isinstance(choices, Choice):
            return state
        return state._replace(judgement=(state.judgement[0]._replace(plan=(choices,)),))

    def judge_parameters(self) -> list[nn.Parameter]:
        return [] if self.judge is None else list(self.judge.parameters())

    def _planned(self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor) -> CompressiveState:
        """The state with the choices of a window, the likelier ones where they are not known yet."""
        if not state.judgement or state.judgement[0].plan:
            return state
        return self.with_choices(state, self.choose(x, state, episode_starts, deterministic=True))

    @th.no_grad()
    def choose(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor, deterministic: bool
    ) -> Choice | tuple[()]:
        judging = self.judging
        if judging is None:
            return ()
        episodes, tokens, _ = token_numbers(state.steps, episode_starts)
        foregone = None if is_traced() else judging.judge.foregone
        if foregone is not None:
            return judging.foresee(state.judgement[0], tokens, episodes, foregone)
        # After the last step at which a block leaves somewhere there is nothing to choose, and nothing to compute.
        n_steps = x.shape[1] if is_traced() else 1 + max(judging.leaving_steps(tokens), default=-1)
        acting, choices = tree_clone(state) if n_steps else state, []
        with nullcontext() if is_traced() else evaluating(self):
            for t in range(n_steps):
                _, acting = self.act_(x[:, t], acting, episode_starts[:, t], deterministic)
                choices.append(tree_map(lambda part: part[:, None].clone(), acting.judgement[0].choice))
        new_episode = episodes[:, n_steps:] > (episodes[:, n_steps - 1 : n_steps] if n_steps else 0)
        choices.append(judging.nothing_leaves(acting.judgement[0], tokens[:, n_steps:], new_episode))
        return tree_map(lambda *parts: th.cat(parts, dim=1), *choices)

    @th.no_grad()
    def judged_blocks(self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor) -> JudgedBlocks:
        """
        :param x: inputs, (batch, window, input_dim)
        :param state: the state before a window, with the choices made in it (:meth:`with_choices`)
        :param episode_starts: whether an episode starts at a step, (batch, window) bool
        :return: the judge's decisions in the window, and what was there to judge
        :raises RuntimeError: when there is no judge
        """
        judging = self.judging
        if judging is None:
            raise RuntimeError("nobody judges here; build the memory with judger=True")
        state = self._planned(x, state, episode_starts)
        layouts, windows = self._unroll(x, state, episode_starts)
        told = judging.told(x)[1]
        return judging.judged_blocks(state.layers[-1], state.judgement[0], windows[-1], layouts[judging.shape], told)

    def unroll(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, CompressiveState]:
        state = self._planned(x, state, episode_starts)
        layouts, windows = self._unroll(x, state, episode_starts)
        return self._outputs(windows), self.unpack_state(self._final_state(x, state, layouts, windows))

    def unroll_outputs(self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor) -> th.Tensor:
        state = self._planned(x, state, episode_starts)
        return self._outputs(self._unroll(x, state, episode_starts)[1])

    def unroll_with_loss(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor | None]:
        state = self._planned(x, state, episode_starts)
        layouts, windows = self._unroll(x, state, episode_starts)
        return self._outputs(windows), self._reconstruction(layouts, windows)

    def unroll_segment(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, CompressiveState, th.Tensor | None]:
        state = self._planned(x, state, episode_starts)
        layouts, windows = self._unroll(x, state, episode_starts)
        final = self._final_state(x, state, layouts, windows)
        return self._outputs(windows), final, self._reconstruction(layouts, windows)

    def _outputs(self, windows: list[LayerWindow]) -> th.Tensor:
        outputs: th.Tensor = self.norm(windows[-1].outputs)
        return outputs

    def _reconstruction(self, layouts: dict[MemoryShape, WindowLayout], windows: list[LayerWindow]) -> th.Tensor | None:
        """What the compression functions' own loss makes of a window; None without one, or without gradients."""
        if not self.compression_losses or not th.is_grad_enabled():
            return None
        losses = [
            layer.reconstruction(window, layouts[layer.shape])
            for layer, window in zip(self.layers, windows, strict=True)
            if layer.compress is not None
        ]
        return th.stack(losses).mean()

    @th.no_grad()
    def _final_state(
        self,
        x: th.Tensor,
        state: CompressiveState,
        layouts: dict[MemoryShape, WindowLayout],
        windows: list[LayerWindow],
    ) -> CompressiveState:
        """The packed state after a window."""
        steps = layouts[self.shapes[0]].tokens[:, -1] + 1
        pairs = zip(self.layers, windows, strict=True)
        parts = tuple(layer.final_state(window, layouts[layer.shape]) for layer, window in pairs)
        judging, judgement = self.judging, state.judgement
        if judging is not None:
            judgement = (judging.after(judgement[0], layouts[judging.shape], judging.told(x)[1]),)
        return CompressiveState(steps, parts, judgement)

    def _unroll(
        self, x: th.Tensor, state: CompressiveState, episode_starts: th.Tensor
    ) -> tuple[dict[MemoryShape, WindowLayout], list[LayerWindow]]:
        """The window's layout for each shape of memory, and what every layer gives."""
        check_batch(state, x)
        layouts = {
            shape: WindowLayout(shape, state.steps, episode_starts, *state.judgement) for shape in set(self.shapes)
        }
        judging = self.judging
        # Whatever format autocast gives to products, what is carried from layer to layer, and remembered, stays exact.
        exactly = state.layers[0].recent.dtype
        hidden: th.Tensor = self.input(x if judging is None else judging.told(x)[0]).to(exactly)
        windows: list[LayerWindow] = []
        for layer, part in zip(self.layers, state.layers, strict=True):
            windows.append(layer.unroll(hidden, part, layouts[layer.shape]))
            hidden = windows[-1].outputs
        return layouts, windows


def judge_of(memory: nn.Module) -> Judge | None:
    """
    :param memory: a memory of any class
    :return: what judges the blocks that leave it, if anything does
    """
    return memory.judge if isinstance(memory, CompressiveMemory) else None
