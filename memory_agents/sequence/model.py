"""A memory core that reads and foretells tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch as th
import torch.nn.functional as F
from torch import nn

from memory_agents.memory import MemoryCore, tree_fill, tree_leaves, tree_to
from memory_agents.memory.building import make_memory
from memory_agents.nn.arguments import check_integers, is_finite
from memory_agents.nn.dropout import dropout_layer
from memory_agents.nn.evaluating import evaluating

#: Deviation of embeddings at first, for each root of their width: Transformer-XL's (Dai et al. 2019, arXiv 1901.02860),
#: times the root of the width that it multiplies embeddings with.
EMBEDDING_STD = 0.02


class Segment(NamedTuple):
    """
    What a model makes of a window of tokens.

    :param logits: of the tokens to come, (batch, window, vocabulary_size), in single precision
    :param state: the state after the window, packed and detached
    :param loss: what the core itself wants minimised, a scalar, or None
    """

    logits: th.Tensor
    state: Any
    loss: th.Tensor | None


class SequenceModel(nn.Module):
    """
    Token embedding, any memory core, linear head. Windows of a sequence are given one after the other, and the state is
    carried: however a sequence is cut into windows, the logits are the same, those of the core's law that acting equals
    learning. Gradients flow within a window.

    :param vocabulary_size: tokens are 0 to ``vocabulary_size - 1``
    :param memory_class: the memory core, a registered name or a class
    :param memory_kwargs: its keyword arguments
    :param d_embedding: width of the embeddings, which the core's own input layer maps to its width
    :param dropout: probability of dropping a number of the embeddings and of the core's outputs while training
    :raises TypeError: when the core does not know an argument
    :raises ValueError: when a number is out of bounds, the core's name is unknown, or it has to be told what matters
    """

    def __init__(
        self,
        vocabulary_size: int,
        memory_class: str | type[MemoryCore[Any]] = "compressive",
        memory_kwargs: Mapping[str, Any] | None = None,
        *,
        d_embedding: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_integers(vocabulary_size=vocabulary_size, d_embedding=d_embedding)
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, d_embedding)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD * d_embedding**0.5)
        self.core = make_memory(memory_class, d_embedding, dict(memory_kwargs or {}))
        if self.core.is_told:
            raise ValueError(
                "memory_kwargs has a judger that has to be told what matters, which tokens do not tell; use another one"
            )
        self.dropout = dropout_layer(dropout)
        self.head = nn.Linear(self.core.output_dim, vocabulary_size)

    @property
    def device(self) -> th.device:
        """Where the parameters are."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> Any:
        """
        :param batch_size: sequences side by side
        :return: the state before their first tokens
        """
        return self.core.initial_state(batch_size)

    def state_leaves(self, state: Any) -> list[th.Tensor] | None:
        """
        :param state: the state after a window; None at the beginning
        :return: its tensors, for ``torch.save``
        """
        return None if state is None else list(tree_leaves(state))

    def state_from(self, leaves: Sequence[th.Tensor] | None) -> Any:
        """
        Undo :meth:`state_leaves`.

        :param leaves: what it returned, on any device
        :return: the state, where the model is
        :raises ValueError: when they are those of another model's state
        """
        if leaves is None:
            return None
        like = self.core.pack_state(self.initial_state(len(leaves[0])))
        return tree_to(tree_fill(like, leaves), self.device)

    def forward(self, tokens: th.Tensor, state: Any = None, starts: th.Tensor | None = None) -> tuple[th.Tensor, Any]:
        """
        :param tokens: (batch, window) int64
        :param state: the state before the window; None at the beginning
        :param starts: whether everything before a token is to be forgotten, (batch, window) bool; None for nowhere
        :return: logits of the token after each, (batch, window, vocabulary_size), and the state after the window
        """
        segment = self.segment(tokens, state, starts)
        return segment.logits, segment.state

    def segment(self, tokens: th.Tensor, state: Any = None, starts: th.Tensor | None = None) -> Segment:
        """
        :meth:`forward`, and the core's own loss.

        :param tokens: (batch, window) int64
        :param state: the state before the window; None at the beginning
        :param starts: whether everything before a token is to be forgotten, (batch, window) bool; None for nowhere
        :return: what the window gives
        """
        x = self.embed(tokens)
        state, starts = self._begun(tokens, state, starts)
        outputs, state, loss = self.core.unroll_segment(x, state, starts)
        logits: th.Tensor = self.head(self.dropout(outputs))
        return Segment(logits.float(), state, loss)

    @th.no_grad()
    def choose(
        self, tokens: th.Tensor, state: Any = None, starts: th.Tensor | None = None, *, deterministic: bool
    ) -> tuple[Any, Any]:
        """
        Make the choices of the core before a window is read; otherwise reading it makes the likeliest ones. Nothing is
        dropped out, whether the model is in training mode or not.

        :param tokens: (batch, window) int64
        :param state: the state before the window; None at the beginning
        :param starts: whether everything before a token is to be forgotten, (batch, window) bool; None for nowhere
        :param deterministic: the likeliest choices in place of drawn ones
        :return: the state before the window, with its choices, to be given with the same window; and the choices,
            (batch, window) each, empty where the core makes none
        """
        state, starts = self._begun(tokens, state, starts)
        choices = self.core.choose(self._embedded(tokens), state, starts, deterministic)
        return self.core.with_choices(state, choices), choices

    def _begun(self, tokens: th.Tensor, state: Any, starts: th.Tensor | None) -> tuple[Any, th.Tensor]:
        """The state and the starts of a window, where none are given."""
        starts = th.zeros_like(tokens, dtype=th.bool) if starts is None else starts
        if state is not None:
            return state, starts
        # No gradients flow to a state: what a memory has learned to begin with gets them where it starts.
        starts = starts.clone()
        starts[:, :1] = True
        return self.initial_state(len(tokens)), starts

    def embed(self, tokens: th.Tensor) -> th.Tensor:
        """
        :param tokens: (batch, window) int64
        :return: inputs of the core, (batch, window, d_embedding)
        :raises ValueError: when a token is out of bounds, on the CPU; elsewhere that is an error of the device
        """
        embedded: th.Tensor = self.dropout(self._embedded(tokens))
        return embedded

    def _embedded(self, tokens: th.Tensor) -> th.Tensor:
        try:
            embedded: th.Tensor = self.embedding(tokens)
        except IndexError:  # of the CPU; on CUDA asking would make every window wait
            least, most = tokens.min().item(), tokens.max().item()
            raise ValueError(
                f"tokens go from {least} to {most}, and vocabulary_size is {self.vocabulary_size}; use a larger one, "
                "or tokens below it"
            ) from None
        return embedded

    @th.no_grad()
    def generate(
        self,
        prompt: th.Tensor,
        length: int,
        *,
        temperature: float = 1.0,
        state: Any = None,
        generator: th.Generator | None = None,
    ) -> th.Tensor:
        """
        Go on with sequences, one acting step of the core per token.

        :param prompt: (batch, prompt length) int64, at least one token
        :param length: tokens to add
        :param temperature: 0 for the likeliest token, 1 to draw as foretold
        :param state: the state before the prompt; None at the beginning. Not changed
        :param generator: source of randomness, on the model's device
        :return: the added tokens, (batch, length) int64
        :raises ValueError: when the prompt is empty or an argument out of bounds
        """
        check_integers(length=length)
        if prompt.dim() != 2 or prompt.shape[1] == 0:
            raise ValueError(f"prompt has shape {tuple(prompt.shape)}; give (batch, 1 token or more)")
        if not is_finite(temperature) or temperature < 0:
            raise ValueError(f"temperature is {temperature!r}; give 0 or a positive number")
        with evaluating(self):
            return self._generate(prompt, length, temperature, state, generator)

    def _generate(
        self, prompt: th.Tensor, length: int, temperature: float, state: Any, generator: th.Generator | None
    ) -> th.Tensor:
        logits, state = self(prompt, state)
        logits, state = logits[:, -1], self.core.unpack_state(state)
        never = th.zeros(len(prompt), dtype=th.bool, device=prompt.device)
        added = []
        for number in range(length):
            if temperature == 0:
                added.append(logits.argmax(dim=1))
            else:
                # Less the largest, for which no temperature is too low.
                logits = logits - logits.amax(dim=1, keepdim=True)
                chances = F.softmax(logits / max(temperature, th.finfo(logits.dtype).tiny), dim=1)
                added.append(th.multinomial(chances, 1, generator=generator).squeeze(1))
            if number + 1 < length:
                outputs, state = self.core.step_(self.embed(added[-1]), state, never)
                logits = self.head(outputs)
        return th.stack(added, dim=1)
