"""What character-model runs are made of: their arguments, and the memories that are compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from memory_agents.benchmarks.arguments import UsageError, check_device, check_name
from memory_agents.benchmarks.sequence.runs import check_count, check_seed, command_line
from memory_agents.nn import compression_loss_registry, compression_registry
from memory_agents.nn.mixed_precision import FORMATS
from memory_agents.sequence import SequenceModel
from memory_agents.sequence.randomness import seeded
from memory_agents.sequence.text import VOCABULARY_SIZE

#: Compression functions with the losses that train them, as ``--compression`` takes them: the rows of the Compressive
#: Transformer's table (Rae et al. 2019, arXiv 1911.05507), and what it found in bits per character on enwik8.
PUBLISHED = {
    "convolution": 0.996,
    "max": 0.986,
    "convolution+autoencoding": 0.984,
    "mean": 0.982,
    "most_used": 0.980,
    "dilated+attention": 0.977,
    "convolution+attention": 0.973,
}


@dataclass(frozen=True)
class PretrainingConfig:
    """
    The arguments of a model and of how it is trained at first. The defaults are half the lengths of the DCT paper's
    (n_s = n_m = 128, n_cm = 64; Chang and Ma 2021, arXiv 2110.04821), and a small network.

    :param agent: name of the memory, one of :data:`AGENTS`
    :param data: file to learn from; None for the sources of Python's standard library. Runs with different paths may be
        on the same text: its hash decides
    :param max_bytes: read no more than so many bytes of it; None for all
    :param compression: compression function, ``FUNCTION`` or ``FUNCTION+LOSS`` with the loss that trains it
    :param n_layers: layers
    :param d_model: width
    :param n_heads: attention heads
    :param d_feedforward: width of the MLPs
    :param norm: where the layer norm is: ``"post"``, as in Transformer-XL, or ``"pre"``, as in GTrXL, with its ReLU on
        outputs, which learned more slowly
    :param dropout: probability of dropping a number while training
    :param segment: n_s, tokens of a segment: what leaves the recent memory at a time, and over how many gradients flow
    :param memory_length: n_m, tokens of recent memory before the segment, a multiple of it
    :param compressed_length: n_cm, compressed slots
    :param compression_rate: c, tokens per slot
    :param batch_size: readers of the text, side by side
    :param pretrain_updates: updates in which everything is kept
    :param learning_rate: of Adam in these
    :param warmup: updates over which it rises first, in each part of a run
    :param max_grad_norm: bound on the gradient's norm
    :param validate_every: updates between looks at the validation part
    :param validation_bytes: how much of it is looked at then, from its beginning
    :param test_lanes: lanes into which the validation and the test part are cut, to be read side by side, each from an
        empty memory on; 1 for one stream, which takes longest. Scores of different numbers of lanes do not compare
    :param seed: of weights, of where readers begin, and of a judger's draws
    :param device: PyTorch device, or ``"auto"``
    :param autocast: None, or ``"bfloat16"`` for training's matrix products in that format
    :raises UsageError: when a name is unknown or a number is out of bounds
    """

    agent: str
    data: str | None = field(default=None, compare=False)
    max_bytes: int | None = None
    compression: str = "convolution"
    n_layers: int = 2
    d_model: int = 64
    n_heads: int = 4
    d_feedforward: int = 256
    norm: str = "post"
    dropout: float = 0.0
    segment: int = 64
    memory_length: int = 64
    compressed_length: int = 32
    compression_rate: int = 4
    batch_size: int = 16
    pretrain_updates: int = 3000
    learning_rate: float = 3e-3
    warmup: int = 100
    max_grad_norm: float = 0.5
    validate_every: int = 250
    validation_bytes: int = 65536
    test_lanes: int = 16
    seed: int = 0
    device: str = "cpu"
    autocast: str | None = None

    def __post_init__(self) -> None:
        check_name("--agents", self.agent, AGENTS, f"use {', '.join(AGENTS)}")
        function, plus, loss = self.compression.partition("+")
        check_name("--compression", function, compression_registry, f"use {', '.join(compression_registry)}")
        if plus:
            known = ", ".join(f"{function}+{name}" for name in compression_loss_registry)
            check_name("--compression", loss, compression_loss_registry, f"use {function}, {known}")
        check_count(
            self, "segment", "memory_length", "compressed_length", "batch_size", "pretrain_updates", "validate_every",
            "validation_bytes", "test_lanes",
        )  # fmt: skip
        self._check_warmup("pretrain_updates")
        if self.memory_length % self.segment:
            near = self.segment * max(1, round(self.memory_length / self.segment))
            raise UsageError(
                f"--memory-length {self.memory_length} is no multiple of --segment {self.segment}, so that segments "
                f"would leave it in the middle of others; use --memory-length {near}"
            )
        check_seed(self.seed)
        check_device(self.device)
        if self.autocast is not None and self.autocast not in FORMATS:
            raise UsageError(f"--autocast {self.autocast!r} is unknown; use {' or '.join(FORMATS)}, or leave it out")

    def _check_warmup(self, name: str) -> None:
        if self.warmup >= (updates := getattr(self, name)):
            raise UsageError(
                f"--warmup {self.warmup} leaves nothing of --{name.replace('_', '-')} {updates}; lower --warmup"
            )

    @property
    def memory(self) -> str:
        """The memory, and its compression function if it is not the plain convolution."""
        return self.agent if self.compression == "convolution" else f"{self.agent}-{self.compression}"

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"pretraining-{self.memory}-s{self.seed}"

    def command(self) -> str:
        """
        :return: the command that repeats the run; of a pre-training, a command that begins with it
        """
        return command_line("characters", self, {"agent": "--agents", "seed": "--seeds"})


@dataclass(frozen=True)
class CharacterConfig(PretrainingConfig):
    """
    The arguments of a whole run: those of the pre-training, and of what follows. All agents, judged or not, go on with
    a lower learning rate there, so that they differ in nothing but the memory.

    :param cotrain_updates: updates of the second part, in which memories are judged
    :param cotrain_learning_rate: of Adam in these
    :param random_probability: with which ``"random"`` keeps a block
    :param judger_kwargs: options of the judger of ``"dct"``
    :param dct_kwargs: how it learns, arguments of :class:`~memory_agents.sequence.DCTTrainer`
    :param evaluator: folder of the finished run whose model it is compared with; None for the model that pre-training
        leaves. Runs with different paths may have the same: the hash of its weights decides
    :raises UsageError: when a name is unknown or a number is out of bounds
    """

    cotrain_updates: int = 1000
    cotrain_learning_rate: float = 6e-4
    random_probability: float = 0.5
    judger_kwargs: dict[str, Any] = field(default_factory=dict)
    dct_kwargs: dict[str, Any] = field(default_factory=lambda: dict(DCT_DEFAULTS))
    evaluator: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "cotrain_updates")
        self._check_warmup("cotrain_updates")
        if not 0.0 <= self.random_probability <= 1.0:
            raise UsageError(f"--random-probability {self.random_probability} is no probability; use 0 to 1")
        if (kind := self.judger_kwargs.get("kind", "learned")) != "learned":
            raise UsageError(
                f"--judger-kwargs kind={kind} is not the judger of --agents dct, which learns; leave it out, and use "
                "--agents random,keep,discard for others"
            )
        if "warming_up" in self.judger_kwargs:
            raise UsageError(
                f"--judger-kwargs warming_up={json.dumps(self.judger_kwargs['warming_up'])} has no effect: everything "
                "is kept in the --pretrain-updates, and judged in the --cotrain-updates; leave it out"
            )

    @classmethod
    def of(cls, agent: str, settings: Mapping[str, Any]) -> CharacterConfig:
        """
        :param agent: name of the memory
        :param settings: the other arguments; those that say nothing about this memory are left at their defaults
        :return: the arguments of its run
        :raises UsageError: when a name is unknown or a number is out of bounds
        """
        foreign = [name for name, agents in CONCERNS.items() if agent not in agents]
        return cls(agent, **{name: value for name, value in settings.items() if name not in foreign})

    @property
    def name(self) -> str:
        probability = f"-p{self.random_probability:g}" if self.agent == "random" else ""
        return f"{self.memory}{probability}-s{self.seed}"

    @property
    def pretraining(self) -> PretrainingConfig:
        """The arguments of its first part, which agents that differ only in the judge share."""
        shared = {setting.name: getattr(self, setting.name) for setting in fields(PretrainingConfig)}
        return PretrainingConfig(**{**shared, "agent": AGENTS[self.agent].pretrained_as or self.agent})


#: Arguments that not all agents have, and which have them.
CONCERNS = {
    "compression": ("compressive", "keep", "discard", "random", "dct"),
    "random_probability": ("random",),
    "judger_kwargs": ("dct",),
    "dct_kwargs": ("dct",),
    "evaluator": ("dct",),
}

#: How DCT's judger learns where runs are short: faster than the published 1e-5. Commands are read with these as
#: defaults, so every other size names all of them.
DCT_DEFAULTS: dict[str, Any] = dict(learning_rate=1e-3, normalize=True)

#: The size of the DCT paper's model. It does not state the width, which is here that of the Transformer-XL of 12
#: layers, nor the warm-up. An epoch of enwik8 is 21,973 updates.
PAPER_SIZE: dict[str, Any] = dict(
    n_layers=8, d_model=512, n_heads=8, d_feedforward=2048,
    segment=128, memory_length=128, compressed_length=64, compression_rate=4, batch_size=32,
    pretrain_updates=21973, learning_rate=1e-4, warmup=1000, max_grad_norm=0.1,
    cotrain_updates=21973, cotrain_learning_rate=1e-5,
    dct_kwargs=dict(learning_rate=1e-5, normalize=False),
    validate_every=1000, validation_bytes=500_000,
)  # fmt: skip


class Agent(NamedTuple):
    """
    :param memory: its arguments beside the sizes of the transformer, called with the run's arguments
    :param pretrained_as: the agent whose pre-training it goes on from, None for its own
    :param judger: who decides over leaving blocks, called with the run's arguments; None for nobody
    :param forgets: whether every segment begins with an empty memory
    """

    memory: Callable[[PretrainingConfig], dict[str, Any]]
    pretrained_as: str | None = None
    judger: Callable[[CharacterConfig], dict[str, Any] | str] | None = None
    forgets: bool = False


def _wide(config: PretrainingConfig) -> int:
    """Width of MLPs that have as many parameters more as the convolution that the memory lacks."""
    return config.d_feedforward + config.compression_rate * config.d_model // 2


def _none(config: PretrainingConfig) -> dict[str, Any]:
    return dict(memory_length=config.segment, compressed_length=0, d_feedforward=_wide(config))


def _recent(config: PretrainingConfig, more: int = 0) -> dict[str, Any]:
    """The recent memory of the compressive transformer, or a longer one, and no slots."""
    length = config.memory_length + more + config.segment
    lengths = dict(memory_length=length, block_length=config.segment, compressed_length=0)
    return dict(lengths, d_feedforward=_wide(config))


def _narrow(config: PretrainingConfig) -> dict[str, Any]:
    return dict(_recent(config), d_feedforward=config.d_feedforward)


def _transformer_xl(config: PretrainingConfig) -> dict[str, Any]:
    # As many keys as the compressive transformer has, recent ones all of them.
    return _recent(config, config.compressed_length)


def _compressive(config: PretrainingConfig) -> dict[str, Any]:
    function, _, loss = config.compression.partition("+")
    return dict(
        memory_length=config.memory_length + config.segment,
        block_length=config.segment,
        compressed_length=config.compressed_length,
        compression_rate=config.compression_rate,
        compression=function,
        compression_loss=loss or None,
        d_feedforward=config.d_feedforward,
    )


def _judged(judger: Callable[[CharacterConfig], dict[str, Any] | str]) -> Agent:
    return Agent(_compressive, "compressive", judger)


#: What is compared, by name.
AGENTS: dict[str, Agent] = {
    "none": Agent(_none, forgets=True),
    "recent": Agent(_recent),
    "narrow": Agent(_narrow),
    "xl": Agent(_transformer_xl),
    "compressive": Agent(_compressive),
    "keep": _judged(lambda config: "keep"),
    "discard": _judged(lambda config: "discard"),
    "random": _judged(lambda config: {"kind": "random", "probability": config.random_probability}),
    "dct": _judged(lambda config: {"kind": "learned", **config.judger_kwargs}),
}


def make_model(config: PretrainingConfig) -> SequenceModel:
    """
    :param config: a run's arguments
    :return: the untrained model, which follows from the seed alone, on the CPU
    :raises UsageError: when arguments do not fit together
    """
    agent = AGENTS[config.agent]
    kwargs = dict(
        n_layers=config.n_layers,
        d_model=config.d_model,
        n_heads=config.n_heads,
        norm=config.norm,
        # Where the norm is on inputs alone, nothing else would bound the outputs.
        final_norm=config.norm == "pre",
        dropout=config.dropout,
        # As published: no gates.
        gating="none",
        **agent.memory(config),
    )
    if agent.judger is not None and isinstance(config, CharacterConfig):
        kwargs["judger"] = agent.judger(config)
    try:
        with seeded(config.seed):
            return SequenceModel(
                VOCABULARY_SIZE, "compressive", kwargs, d_embedding=config.d_model, dropout=config.dropout
            )
    except (TypeError, ValueError) as error:
        raise UsageError(f"--agents {config.agent!r} cannot be made: {error}") from error
