"""Runs on the algorithmic tasks: sequences in segments, and what a memory carries from one to the next."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memory_agents.benchmarks.arguments import UsageError, check_device, check_name, chosen_device
from memory_agents.benchmarks.sequence.checkpoint import Checkpoint
from memory_agents.benchmarks.sequence.runs import (
    Row,
    begin_run,
    check_count,
    check_seed,
    command_line,
    finish_run,
    read_finished,
)
from memory_agents.benchmarks.sequence.sharing import check_folder
from memory_agents.benchmarks.sequence.turns import claim, in_turn, is_settled
from memory_agents.sequence import Score, SequenceBatch, SequenceModel, SequenceTrainer, evaluate, task_registry
from memory_agents.sequence.randomness import seeded
from memory_agents.sequence.tasks import SequenceTask

#: Seeds of the sequences to validate and to test by, the same for all runs; those of runs are smaller.
VALIDATION_SEED, TEST_SEED = 2**31, 2**31 + 1
VALIDATION_SEQUENCES, TEST_SEQUENCES = 256, 2000
#: Sequences that are scored at once.
AT_ONCE = 250


#: Cores whose width is their hidden size, and which have neither heads nor MLPs.
RECURRENT = ("lstm", "gru", "brc", "nbrc")


class Agent(NamedTuple):
    """
    A memory, made for segments of some length.

    :param memory_class: its registered name
    :param memory_kwargs: its arguments beside width and layers
    :param bptt: segments over which gradients flow; None for whole sequences
    :param forgets: whether every segment begins with an empty memory
    """

    memory_class: str
    memory_kwargs: dict[str, Any]
    bptt: int | None = None
    forgets: bool = False


def _transformer(segment: int, n_memory: int) -> Agent:
    # Nothing is seen but the segment.
    return Agent("compressive", dict(memory_length=max(1, segment - 1), compressed_length=0), bptt=1, forgets=True)


def _transformer_xl(segment: int, n_memory: int) -> Agent:
    # Tokens see their segment and the one before, whose memories carry no gradient.
    lengths = dict(memory_length=2 * segment - 1, block_length=segment, compressed_length=0)
    return Agent("compressive", lengths, bptt=1)


def _compressive(segment: int, n_memory: int) -> Agent:
    # The recent memory of Transformer-XL, and slots of up to four tokens for what is older.
    rate = min(4, segment)
    return Agent("compressive", dict(memory_length=2 * segment - 1, compressed_length=n_memory, compression_rate=rate))


def _segmented(name: str, slots: str) -> Callable[[int, int], Agent]:
    return lambda segment, n_memory: Agent(name, {"segment_length": segment, slots: n_memory})


def _recurrent(name: str) -> Callable[[int, int], Agent]:
    return lambda segment, n_memory: Agent(name, {})


#: Agents by name, called with the segment's length and the number of memory tokens, slots or states.
AGENTS: dict[str, Callable[[int, int], Agent]] = {
    "none": _transformer,
    "xl": _transformer_xl,
    "compressive": _compressive,
    "rmt": _segmented("rmt", "n_memory_tokens"),
    "memformer": _segmented("memformer", "n_slots"),
    "block_recurrent": _segmented("block_recurrent", "n_states"),
    **{name: _recurrent(name) for name in RECURRENT},
}


@dataclass(frozen=True)
class AlgorithmicConfig:
    """
    :param task: name of the task
    :param agent: name of the memory, one of :data:`AGENTS`
    :param n_segments: into how many segments sequences are split
    :param task_kwargs: arguments of the task
    :param memory_kwargs: further arguments of the memory core
    :param n_memory: memory tokens, slots or states, where the agent has them
    :param bptt: segments over which gradients flow, 0 for whole sequences, None for the agent's own: one segment for
        ``"xl"``, as in Transformer-XL, and for ``"none"``, whole sequences for the others
    :param n_layers: layers
    :param d_model: width
    :param n_heads: attention heads
    :param d_feedforward: width of the MLPs
    :param updates: updates of the model
    :param batch_size: fresh sequences per update
    :param learning_rate: of Adam, falling to a twentieth along half a cosine
    :param warmup: updates over which it rises first
    :param max_grad_norm: bound on the gradient's norm
    :param validate_every: updates between looks at the validation set
    :param stop_at: accuracy on the validation set that ends a run early; above 1 for never
    :param seed: of weights and training sequences
    :param device: PyTorch device, or ``"auto"``
    :param autocast: None, or ``"bfloat16"``
    :raises UsageError: when a name is unknown or a number is out of bounds
    """

    task: str
    agent: str
    n_segments: int
    task_kwargs: dict[str, Any] = field(default_factory=dict)
    memory_kwargs: dict[str, Any] = field(default_factory=dict)
    n_memory: int = 8
    bptt: int | None = None
    n_layers: int = 2
    d_model: int = 64
    n_heads: int = 4
    d_feedforward: int = 128
    updates: int = 4000
    batch_size: int = 32
    learning_rate: float = 3e-3
    warmup: int = 100
    max_grad_norm: float = 1.0
    validate_every: int = 250
    stop_at: float = 0.999
    seed: int = 0
    device: str = "cpu"
    autocast: str | None = None

    def __post_init__(self) -> None:
        check_name("TASK", self.task, task_registry, f"use {', '.join(task_registry)}")
        check_name("--agents", self.agent, AGENTS, f"use {', '.join(AGENTS)}")
        check_count(self, "n_segments", "n_memory", "updates", "batch_size", "validate_every")
        if self.bptt is not None and self.bptt < 0:
            raise UsageError(f"--bptt {self.bptt} is too small; use 1 or more segments, or 0 for whole sequences")
        if self.warmup >= self.updates:
            raise UsageError(f"--warmup {self.warmup} leaves nothing of --updates {self.updates}; lower --warmup")
        if not self.stop_at > 0:
            raise UsageError(f"--stop-at {self.stop_at} stops before anything is learned; use an accuracy above 0")
        check_seed(self.seed)
        check_device(self.device)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.task}-{self.agent}-n{self.n_segments}-s{self.seed}"

    def command(self) -> str:
        """
        :return: the command that repeats the run
        """
        renamed = {"agent": "--agents", "n_segments": "--segments", "seed": "--seeds"}
        return command_line(self.task, self, renamed, left_out=("task",))


class Experiment:
    """
    A model, its task and how it learns; everything follows from the arguments.

    :param config: the run's arguments
    :raises UsageError: when task or memory do not know an argument, or sequences cannot be split so
    """

    def __init__(self, config: AlgorithmicConfig) -> None:
        self.config = config
        try:
            self.task: SequenceTask = task_registry[config.task](**config.task_kwargs)
        except (TypeError, ValueError) as error:
            raise UsageError(f"--task-kwargs {json.dumps(config.task_kwargs)} cannot be used: {error}") from error
        try:
            self.segment = self.task.segment_length(config.n_segments)
        except ValueError as error:
            raise UsageError(f"--segments {config.n_segments}: {error}") from error
        self.agent = AGENTS[config.agent](self.segment, config.n_memory)
        bptt = self.agent.bptt if config.bptt is None else config.bptt
        #: tokens over which gradients flow, None for all
        self.window = bptt * self.segment if bptt else None
        try:
            # Whatever was drawn before, a run is a function of its seed.
            with seeded(config.seed):
                self.model = self._make_model().to(chosen_device(config.device))
            self.trainer = SequenceTrainer(
                self.model,
                window=self.window,
                learning_rate=config.learning_rate,
                warmup=config.warmup,
                total=config.updates,
                decay="cosine",
                final=0.05,
                max_grad_norm=config.max_grad_norm,
                autocast=config.autocast,
            )
        except (TypeError, ValueError) as error:
            raise UsageError(f"--agents {config.agent!r} cannot be made: {error}") from error

    def _make_model(self) -> SequenceModel:
        config = self.config
        sizes: dict[str, Any] = dict(n_layers=config.n_layers)
        if self.agent.memory_class in RECURRENT:
            sizes |= dict(hidden_size=config.d_model)
        else:
            sizes |= dict(d_model=config.d_model, n_heads=config.n_heads, d_feedforward=config.d_feedforward)
            # As published.
            sizes |= dict(gating="none")
        kwargs = {**sizes, **self.agent.memory_kwargs, **config.memory_kwargs}
        model = SequenceModel(self.task.vocabulary_size, self.agent.memory_class, kwargs, d_embedding=config.d_model)
        if model.core.judge_parameters():
            raise ValueError("nobody would train its judger; use judger='keep', 'discard' or 'random', or leave it out")
        return model

    def draw(self, n: int, rng: np.random.Generator) -> SequenceBatch:
        """
        :param n: how many sequences
        :param rng: source of randomness
        :return: sequences, the memory emptied where the agent forgets
        """
        batch = self.task.draw(n, rng)
        if self.agent.forgets:
            batch.starts[:, :: self.segment] = True
        return batch

    def held_out(self, n: int, seed: int) -> list[SequenceBatch]:
        """
        :param n: how many sequences
        :param seed: which
        :return: them, with nothing scored but what the task is judged by
        """
        rng = np.random.default_rng(seed)
        sizes = [min(AT_ONCE, n - start) for start in range(0, n, AT_ONCE)]
        return [self.task.answers(self.draw(size, rng)) for size in sizes]

    def score(self, batches: Iterable[SequenceBatch]) -> Score:
        """
        :param batches: what :meth:`held_out` returned
        :return: how well the model does, whatever was drawn before, and without a trace in what is drawn afterwards
        """
        with seeded(TEST_SEED, self.model.device):
            return evaluate(self.model, batches, self.window)

    def learn(
        self, folder: Path | None = None, say: Callable[[str], None] = lambda line: None
    ) -> tuple[list[Row], dict[str, Any]]:
        """
        Train, then test with the last weights.

        :param folder: where to keep a checkpoint, and to go on from the one that is there; None for no such thing
        :param say: called with a line after each look at the validation set
        :return: rows of the learning curve, and what came out
        """
        config = self.config
        rng = np.random.default_rng(config.seed)
        validation = self.held_out(VALIDATION_SEQUENCES, VALIDATION_SEED)
        curve: list[Row] = []
        losses: list[float] = []
        checkpoint = Checkpoint(folder, self.model.device)
        # Dropout and judgers that draw take their numbers from PyTorch's generator.
        with seeded(config.seed, self.model.device):
            if saved := checkpoint.load():
                self.trainer.load_state_dict(saved["trainer"])
                rng.bit_generator.state = json.loads(saved["sequences"])
                curve = saved["curve"]
            for update in range(self.trainer.updates + 1, config.updates + 1):
                losses.append(self.trainer.update(self.draw(config.batch_size, rng)).loss)
                if update % config.validate_every and update < config.updates:
                    continue
                score = self.score(validation)
                curve.append(
                    {
                        "update": update,
                        "training_loss": sum(losses) / len(losses),
                        "validation_loss": score.loss,
                        "validation_accuracy": score.accuracy,
                        "validation_exact": score.exact,
                    }
                )
                losses.clear()
                say(f"{config.name}: {update:,}/{config.updates:,} updates, validation accuracy {score.accuracy:.3f}")
                if score.accuracy >= config.stop_at or not math.isfinite(score.loss):
                    break
                checkpoint.save(
                    trainer=self.trainer.state_dict(), sequences=json.dumps(rng.bit_generator.state), curve=curve
                )
        seconds = checkpoint.clock.spent()
        test = self.score(self.held_out(TEST_SEQUENCES, TEST_SEED))
        return curve, {
            "accuracy": test.accuracy,
            "exact": test.exact,
            "loss": test.loss if math.isfinite(test.loss) else None,
            "segment_length": self.segment,
            "updates": self.trainer.updates,
            "train_cpu_seconds": seconds["cpu"],
            "train_seconds": seconds["wall"],
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
        }


def run_algorithmic(
    configs: Iterable[AlgorithmicConfig], out: Path, say: Callable[[str], None] = lambda line: None
) -> None:
    """
    Do runs, one after the other, those excepted that have been done or that other processes do.

    :param configs: their arguments
    :param out: folder of all runs
    :param say: called with lines on how far runs are
    :raises UsageError: when arguments do not fit together, or a folder has a run with others or of another task
    """
    asked = list(configs)
    for task in {config.task for config in asked}:
        check_folder(out, task)
    waiting = [config for config in asked if not is_settled(out / config.name, config)]
    # What the table could not have is told now, and not once all has been trained.
    read_finished([out], AlgorithmicConfig)
    for config in waiting:
        # Refused arguments shall leave no folder behind, and no run of several alone.
        Experiment(config)
    in_turn(waiting, lambda config: _run_one(config, out / config.name, say), say)


def _run_one(config: AlgorithmicConfig, folder: Path, say: Callable[[str], None]) -> None:
    with claim(folder, config) as is_mine:
        if not is_mine:
            return
        begin_run(folder, config)
        curve, score = Experiment(config).learn(folder, say)
        finish_run(folder, curve, score)
    say(
        f"{folder.name}: test accuracy {score['accuracy']:.3f} after {score['updates']:,} updates, "
        f"{score['train_cpu_seconds']:.0f} s of CPU time"
    )
