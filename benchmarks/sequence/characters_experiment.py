"""How character models learn: the two parts of a run, on a text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch as th

from memory_agents.benchmarks.arguments import UsageError, chosen_device
from memory_agents.benchmarks.sequence.characters import AGENTS, CharacterConfig, PretrainingConfig, make_model
from memory_agents.benchmarks.sequence.characters_files import load_evaluator
from memory_agents.benchmarks.sequence.checkpoint import Checkpoint
from memory_agents.benchmarks.sequence.runs import Row
from memory_agents.memory.compressive import LearnedJudge, judge_of
from memory_agents.sequence import (
    DCTTrainer,
    ReadingRecord,
    Score,
    SequenceBatch,
    SequenceTrainer,
    evaluate,
)
from memory_agents.sequence.lanes import evaluation_batches, training_batches
from memory_agents.sequence.randomness import seeded
from memory_agents.sequence.text import Corpus, read_corpus

#: Seed of all evaluations, above those of runs.
EVALUATION_SEED = 2**32

#: What is told of each update, if there is anything to tell.
FIGURES = ("training_bits", "keep_rate", "reading_distance", "advantage", "judger_entropy")

Say = Callable[[str], None]


def load_corpus(config: PretrainingConfig) -> Corpus:
    """
    :param config: a run's arguments
    :return: its text
    :raises UsageError: when it cannot be read or is too short
    """
    try:
        return read_corpus(None if config.data is None else Path(config.data), config.max_bytes)
    except ValueError as error:
        raise UsageError(f"--data {config.data!r}, --max-bytes {config.max_bytes}: {error}") from error


class Experiment:
    """
    A model, its text, and how one part of a run goes.

    :param config: the arguments of that part
    :param corpus: the text
    :raises UsageError: when arguments do not fit together, or the text
    """

    def __init__(self, config: PretrainingConfig, corpus: Corpus) -> None:
        self.config, self.corpus, self.agent = config, corpus, AGENTS[config.agent]
        self.model = make_model(config).to(chosen_device(config.device))
        # Complains now, and not once pre-training is done.
        next(self.batches(0))

    def batches(self, skip: int) -> Iterator[SequenceBatch]:
        """
        :param skip: how many have been read
        :return: what to learn from, without end
        :raises UsageError: when the text is too short
        """
        config = self.config
        try:
            for batch in training_batches(self.corpus.train, config.batch_size, config.segment, config.seed, skip):
                yield self._seen(batch)
        except ValueError as error:
            raise UsageError(f"--max-bytes {config.max_bytes}: {error}") from error

    def _seen(self, batch: SequenceBatch) -> SequenceBatch:
        if self.agent.forgets:
            batch.starts[:, 0] = True
        return batch

    def score(self, text: th.Tensor, deterministic: bool = True, record: ReadingRecord | None = None) -> Score:
        """
        :param text: (length,) uint8
        :param deterministic: the likelier decisions of a judger in place of drawn ones
        :param record: gets the decisions
        :return: how well the model foretells it
        """
        batches = map(self._seen, evaluation_batches(text, self.config.test_lanes, self.config.segment))
        with seeded(EVALUATION_SEED, self.model.device):
            return evaluate(self.model, batches, deterministic=deterministic, record=record)

    def trainer(self, learning_rate: float) -> SequenceTrainer:
        """
        :param learning_rate: of Adam
        :return: how the model learns
        :raises UsageError: when an argument is out of bounds
        """
        config = self.config
        try:
            return SequenceTrainer(
                self.model,
                learning_rate=learning_rate,
                warmup=config.warmup,
                max_grad_norm=config.max_grad_norm,
                autocast=config.autocast,
            )
        except ValueError as error:
            raise UsageError(f"--agents {config.agent!r} cannot be trained: {error}") from error

    def learn(
        self,
        learner: SequenceTrainer | DCTTrainer,
        part: str,
        first: int,
        n_updates: int,
        checkpoint: Checkpoint,
        say: Say,
    ) -> list[Row]:
        """
        Learn, and look at the validation part now and then, with a judger's likelier decisions.

        :param learner: who takes the gradient steps
        :param part: name of this part of the run
        :param first: updates before it
        :param n_updates: updates of it
        :param checkpoint: where it goes on if it has been killed
        :param say: called with a line at every look at the validation set
        :return: rows of the learning curve
        """
        config, rows, seen = self.config, list[Row](), list[Row]()
        if saved := checkpoint.load():
            learner.load_state_dict(saved["learner"])
            rows = saved["rows"]
        done = rows[-1]["update"] - first if rows else 0
        # All batches up to there, since the first one of a reader forgets what was before.
        for number, batch in islice(enumerate(self.batches(first), start=1), done, n_updates):
            seen.append(_update(learner, batch))
            if number % config.validate_every and number < n_updates:
                continue
            validation = self.score(self.corpus.validation[: config.validation_bytes])
            means = {name: _mean([row[name] for row in seen if row.get(name) is not None]) for name in FIGURES}
            rows.append({"update": first + number, "part": part, "validation_bits": finite(validation.bits), **means})
            seen.clear()
            checkpoint.save(learner=learner.state_dict(), rows=rows)
            say(
                f"{config.name}: update {first + number}, {rows[-1]['training_bits']} bits in training, "
                f"{rows[-1]['validation_bits']} in validation"
            )
        return rows


def _update(learner: SequenceTrainer | DCTTrainer, batch: SequenceBatch) -> Row:
    """
    One gradient step.

    :param learner: who takes it
    :param batch: what to learn from
    :return: what it came to
    """
    if isinstance(learner, SequenceTrainer):
        return {"training_bits": learner.update(batch).loss / math.log(2)}
    update = learner.update(batch)
    return {
        "training_bits": update.model.loss / math.log(2),
        "keep_rate": update.keep_rate,
        "reading_distance": update.reading_distance,
        "advantage": update.advantage,
        "judger_entropy": update.entropy,
    }


def _mean(values: Sequence[float]) -> float | None:
    return finite(math.fsum(values) / len(values)) if values else None


def finite(value: float) -> float | None:
    """
    :param value: a figure
    :return: it, rounded; None where it is not finite, for which JSON has no word
    """
    return round(value, 5) if math.isfinite(value) else None


class CoTraining(Experiment):
    """
    The second part of a run: a fresh Adam with a lower learning rate, an empty memory, and the same readers further on.

    :param config: the run's arguments
    :param corpus: the text
    :param weights: those that pre-training has left
    :raises UsageError: when arguments do not fit together
    """

    def __init__(self, config: CharacterConfig, corpus: Corpus, weights: dict[str, th.Tensor]) -> None:
        super().__init__(config, corpus)
        missing, unknown = self.model.load_state_dict(weights, strict=False)
        assert not unknown, "weights of another model"
        assert all(name.startswith("core.judge.") for name in missing), "weights of another model"
        trainer = self.trainer(config.cotrain_learning_rate)
        #: who takes the gradient steps
        self.learner: SequenceTrainer | DCTTrainer = trainer
        if isinstance(judge_of(self.model.core), LearnedJudge):
            evaluator = load_evaluator(config)
            if evaluator is None:
                # Not a copy of the model, whose judger no longer keeps everything.
                evaluator = make_model(config.pretraining)
                evaluator.load_state_dict(weights)
            try:
                self.learner = DCTTrainer(trainer, evaluator, **config.dct_kwargs)
            except (TypeError, ValueError) as error:
                raise UsageError(f"--dct-kwargs {json.dumps(config.dct_kwargs)} cannot be used: {error}") from error

    @property
    def is_judged(self) -> bool:
        """Whether somebody decides over leaving blocks."""
        return judge_of(self.model.core) is not None
