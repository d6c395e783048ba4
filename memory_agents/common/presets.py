"""Policies whose memory is one of the published transformers."""

from __future__ import annotations

from typing import Any, ClassVar

from memory_agents.common.building import check_memory_arguments
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.memory import CompressiveMemory, MemoryCore
from memory_agents.memory.building import memory_type

#: The policy with any memory core.
MemoryPolicy = MemoryActorCriticPolicy


class CompressivePreset:
    """
    Goes before a policy with memory among the bases of a class: its memory is the gated compressive transformer,
    :class:`~memory_agents.memory.CompressiveMemory`, whose arguments ``memory_kwargs`` takes.

    Derived classes fix some of these arguments (``FIXED``) and have other defaults for some more (``DEFAULTS``).

    :param memory_class: ``"compressive"``, or a class derived from its own
    :param memory_kwargs: arguments of the memory
    :param kwargs: arguments of the policy
    :raises ValueError: when ``memory_class`` is another memory, or ``memory_kwargs`` contradicts what the policy fixes
    """

    FIXED: ClassVar[dict[str, Any]] = {}
    DEFAULTS: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        *args: Any,
        memory_class: str | type[MemoryCore[Any]] = "compressive",
        memory_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not issubclass(memory_type(memory_class), CompressiveMemory):
            raise ValueError(
                f"memory_class={memory_class!r} is not a CompressiveMemory, which {type(self).__name__} has; "
                "use MemoryPolicy for other cores"
            )
        check_memory_arguments(memory_class, memory_kwargs, kwargs)
        given = memory_kwargs or {}
        for name, value in self.FIXED.items():
            if given.get(name, value) != value:
                raise ValueError(
                    f"memory_kwargs has {name}={given[name]!r}, but {type(self).__name__} is what it is by "
                    f"{name}={value!r}; use CompressiveMemoryPolicy for other values"
                )
        fixed = {**self.DEFAULTS, **given, **self.FIXED}
        super().__init__(*args, memory_class=memory_class, memory_kwargs=fixed, **kwargs)  # type: ignore[call-arg]


class CompressiveMemoryPolicy(CompressivePreset, MemoryActorCriticPolicy):
    """
    :class:`MemoryActorCriticPolicy` with the gated compressive transformer,
    :class:`~memory_agents.memory.CompressiveMemory`, whose arguments ``memory_kwargs`` takes.

    :param memory_class: ``"compressive"``, or a class derived from its own
    :param memory_kwargs: arguments of the memory
    :param kwargs: arguments of :class:`MemoryActorCriticPolicy`
    :raises ValueError: when ``memory_class`` is another memory, or ``memory_kwargs`` contradicts what the policy fixes
    """


class CompressiveTransformerPolicy(CompressiveMemoryPolicy):
    """
    :class:`CompressiveMemoryPolicy` without gates, the Compressive Transformer (Rae et al. 2019, arXiv 1911.05507).

    Layer norm is on the inputs of submodules; ``memory_kwargs=dict(norm="post")`` puts it where the paper has it.

    :param memory_kwargs: arguments of the memory but ``gating``
    :param kwargs: arguments of :class:`MemoryActorCriticPolicy`
    :raises ValueError: when ``memory_kwargs`` contradicts what the policy fixes
    """

    FIXED: ClassVar[dict[str, Any]] = {"gating": "none"}


class GTrXLPolicy(CompressiveMemoryPolicy):
    """
    :class:`CompressiveMemoryPolicy` without slots, the GTrXL with GRU gates (Parisotto et al. 2019, arXiv 1910.06764).

    ``memory_length`` is 128 by default, so that a token sees as many keys as in :class:`CompressiveMemoryPolicy`.

    :param memory_kwargs: arguments of the memory but ``compressed_length`` and ``gating``
    :param kwargs: arguments of :class:`MemoryActorCriticPolicy`
    :raises ValueError: when ``memory_kwargs`` contradicts what the policy fixes
    """

    FIXED: ClassVar[dict[str, Any]] = {"compressed_length": 0, "gating": "gru"}
    DEFAULTS: ClassVar[dict[str, Any]] = {"memory_length": 128}


class TransformerXLPolicy(CompressiveMemoryPolicy):
    """
    :class:`CompressiveMemoryPolicy` without slots and gates, the Transformer-XL (Dai et al. 2019, arXiv 1901.02860).

    Layer norm is on the inputs of submodules, which is TrXL-I of Parisotto et al. 2019 (arXiv 1910.06764): with the
    original's, ``memory_kwargs=dict(norm="post")``, reinforcement learning got nowhere there. ``memory_length`` is 128
    by default, so that a token sees as many keys as in :class:`CompressiveMemoryPolicy`.

    :param memory_kwargs: arguments of the memory but ``compressed_length`` and ``gating``
    :param kwargs: arguments of :class:`MemoryActorCriticPolicy`
    :raises ValueError: when ``memory_kwargs`` contradicts what the policy fixes
    """

    FIXED: ClassVar[dict[str, Any]] = {"compressed_length": 0, "gating": "none"}
    DEFAULTS: ClassVar[dict[str, Any]] = {"memory_length": 128}


#: The policies of all algorithms with an actor and a critic, by the names that they take in place of a class.
MEMORY_POLICIES: dict[str, type[MemoryActorCriticPolicy]] = {
    "CompressiveMemoryPolicy": CompressiveMemoryPolicy,
    "CompressiveTransformerPolicy": CompressiveTransformerPolicy,
    "GTrXLPolicy": GTrXLPolicy,
    "TransformerXLPolicy": TransformerXLPolicy,
    "MemoryPolicy": MemoryPolicy,
}
