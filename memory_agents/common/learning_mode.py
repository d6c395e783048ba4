"""How windows are computed when learning: with which precision, compiled or not."""

from __future__ import annotations

from typing import Any

import torch as th

from memory_agents.memory import MemoryCore
from memory_agents.nn.mixed_precision import FORMATS


class LearningMode:
    """
    :param autocast: None: single precision. ``"bfloat16"``: matrix products and attention in that format; what is
        carried from layer to layer, norms, heads and losses stay in single precision, and so does acting; of ``lstm``
        and ``gru`` on a GPU all does. PPO's first ratio is 1 up to the rounding of the format only
    :param compiled: whether ``torch.compile`` makes one program of what the memory computes, which takes a compiler for
        the device and a minute at first
    :raises ValueError: when the format is unknown
    """

    def __init__(self, autocast: str | None, compiled: bool) -> None:
        if autocast is not None and autocast not in FORMATS:
            more = "; float16 would need its losses scaled" if autocast == "float16" else ""
            more = "; write its name" if isinstance(autocast, th.dtype) else more
            raise ValueError(f"autocast must be one of {list(FORMATS)} or None, got {autocast!r}{more}")
        self.autocast = autocast
        self.format = None if autocast is None else FORMATS[autocast]
        self.compiled = compiled
        self._programs: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Programs belong to the memories of this process.
        return {**self.__dict__, "_programs": {}}

    def unroll_with_loss(
        self, memory: MemoryCore[Any], x: th.Tensor, state: Any, episode_starts: th.Tensor
    ) -> tuple[th.Tensor, th.Tensor | None]:
        """
        :param memory: a memory
        :param x: its inputs, (windows, length, features_dim)
        :param state: the state before the windows
        :param episode_starts: (windows, length) bool
        :return: what :meth:`~memory_agents.memory.MemoryCore.unroll_with_loss` returns, in single precision
        """
        program = memory.unroll_with_loss
        if self.compiled:
            if id(memory) not in self._programs:
                self._programs[id(memory)] = th.compile(program)
            program = self._programs[id(memory)]
        with th.autocast(x.device.type, self.format, enabled=self.format is not None):
            outputs, loss = program(x, state, episode_starts)
        return outputs.to(x.dtype), loss
