"""Character-model runs: pre-training, what follows it, and the test."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.sequence.characters import CharacterConfig, PretrainingConfig, make_model
from memory_agents.benchmarks.sequence.characters_experiment import CoTraining, Experiment, Say, finite, load_corpus
from memory_agents.benchmarks.sequence.characters_files import (
    READING_FILE,
    WEIGHTS_FILE,
    begin,
    check_inputs,
    check_text,
    load_weights,
    result_file,
    save_weights,
    weights_hash,
    write_reading,
)
from memory_agents.benchmarks.sequence.checkpoint import Checkpoint, Clock, remove_checkpoint
from memory_agents.benchmarks.sequence.runs import CURVE_FILE, finish_run, is_finished, write_rows
from memory_agents.benchmarks.sequence.sharing import check_folder
from memory_agents.benchmarks.sequence.turns import claim, in_turn, is_settled
from memory_agents.sequence import ReadingRecord
from memory_agents.sequence.lanes import evaluation_batches
from memory_agents.sequence.randomness import seeded
from memory_agents.sequence.text import Corpus

#: Seeds of what is drawn in the second part, beside the run's own.
COTRAINING_SEED = 2**31


def run_characters(configs: Sequence[CharacterConfig], out: Path, say: Say = lambda line: None) -> None:
    """
    Do runs, one after the other, those excepted that have been done or that other processes do. Each has a folder with
    ``config.json``, ``curve.csv``, ``reading.csv`` where its memory is judged, ``weights.pt`` and ``score.json``; what
    several go on from is in ``pretraining-...`` and done once.

    :param configs: their arguments, of one text
    :param out: folder of all runs
    :param say: called with lines on how it goes
    :raises UsageError: when arguments do not fit together, or a folder has a run with others, on another text, or of
        another task
    """
    if not configs:
        return
    check_folder(out, "characters")
    corpus = load_corpus(configs[0])
    say(f"{corpus.name}: {corpus.size:,} bytes, SHA-256 {corpus.sha256}")
    # Refused arguments shall leave no folder behind, and no run of several alone.
    waiting = []
    for config in configs:
        _check_folders(config, corpus, out)
        if not is_settled(out / config.name, config):
            waiting.append(config)
    check_text(out, corpus)
    # Seeds cannot be what does not fit.
    for config in {config.name.rpartition("-s")[0]: config for config in waiting}.values():
        check_run(config, corpus)
    in_turn(waiting, lambda config: run_one(config, corpus, out, say), say)


def _check_folders(config: CharacterConfig, corpus: Corpus, out: Path) -> None:
    for part in (config, config.pretraining):
        check_inputs(out / part.name, part, corpus)
        is_finished(out / part.name, part, result_file(part))


def check_run(config: CharacterConfig, corpus: Corpus) -> None:
    """
    :param config: a run's arguments
    :param corpus: its text
    :raises UsageError: when one does not fit another
    """
    Experiment(config.pretraining, corpus).trainer(config.learning_rate)
    CoTraining(config, corpus, make_model(config.pretraining).state_dict())
    if (length := len(corpus.test)) < config.segment:
        raise UsageError(
            f"--data {config.data!r}, --max-bytes {config.max_bytes}: the test part, a twentieth of {corpus.size} "
            f"bytes, is {length} bytes long, less than --segment {config.segment}; give {20 * config.segment} bytes or "
            "more, or lower --segment"
        )


def pretrain(config: PretrainingConfig, corpus: Corpus, folder: Path, say: Say) -> None:
    """
    Train a model in which everything is kept, unless that has been done.

    :param config: the arguments
    :param corpus: the text
    :param folder: where its files are: the arguments, the learning curve, and last ``weights.pt``
    :param say: called with lines on how it goes
    :raises RunBusyError: when another process is at it
    """
    if is_settled(folder, config, WEIGHTS_FILE):
        return
    with claim(folder, config, WEIGHTS_FILE) as is_mine:
        if not is_mine:
            return
        check_inputs(folder, config, corpus)
        begin(config, corpus, folder)
        experiment = Experiment(config, corpus)
        trainer, checkpoint = experiment.trainer(config.learning_rate), Checkpoint(folder, experiment.model.device)
        with seeded(config.seed, experiment.model.device):
            rows = experiment.learn(trainer, "pre-training", 0, config.pretrain_updates, checkpoint, say)
        write_rows(folder / CURVE_FILE, rows)
        save_weights(folder / WEIGHTS_FILE, experiment.model, checkpoint.clock.spent())
        remove_checkpoint(folder)


def run_one(config: CharacterConfig, corpus: Corpus, out: Path, say: Say) -> None:
    """
    :param config: the run's arguments
    :param corpus: its text
    :param out: folder of all runs
    :param say: called with lines on how it goes
    :raises RunBusyError: when another process is at it, or at its pre-training
    """
    folder, before = out / config.name, out / config.pretraining.name
    if is_settled(folder, config):
        return
    pretrain(config.pretraining, corpus, before, say)
    with claim(folder, config) as is_mine:
        if is_mine:
            check_inputs(folder, config, corpus)
            begin(config, corpus, folder)
            _cotrain(config, corpus, folder, before, say)


def _cotrain(config: CharacterConfig, corpus: Corpus, folder: Path, before: Path, say: Say) -> None:
    """The second part, in a folder that nobody else is at, from what pre-training has left in ``before``."""
    weights, seconds = load_weights(before / WEIGHTS_FILE)
    experiment = CoTraining(config, corpus, weights)
    checkpoint = Checkpoint(folder, experiment.model.device, Clock(**seconds), weights_hash(weights))
    with seeded(COTRAINING_SEED + config.seed, experiment.model.device):
        rows = experiment.learn(
            experiment.learner, "co-training", config.pretrain_updates, config.cotrain_updates, checkpoint, say
        )
    seconds = checkpoint.clock.spent()
    score = measure(experiment, folder)
    save_weights(folder / WEIGHTS_FILE, experiment.model, seconds)
    with (before / CURVE_FILE).open(newline="") as file:
        curve = [*csv.DictReader(file), *rows]
    n_updates = config.pretrain_updates + config.cotrain_updates
    score |= {
        "updates": n_updates,
        "characters_read": n_updates * config.batch_size * config.segment,
        "train_cpu_seconds": seconds["cpu"],
        "train_seconds": seconds["wall"],
    }
    finish_run(folder, curve, score)
    say(f"{config.name}: {score['test_bits']} bits per character, {seconds['cpu']:.0f} s of CPU time")


def measure(experiment: CoTraining, folder: Path) -> dict[str, Any]:
    """
    :param experiment: a trained model
    :param folder: gets ``reading.csv`` where the memory is judged
    :return: bits per character of the test part, with the judger's likelier decisions and with drawn ones
    """
    model, text = experiment.model, experiment.corpus.test
    judges = sum(parameter.numel() for parameter in model.core.judge_parameters())
    parameters = sum(parameter.numel() for parameter in model.parameters()) - judges
    lanes, segment = experiment.config.test_lanes, experiment.config.segment
    score: dict[str, Any] = {"parameters": parameters, "judger_parameters": judges, "test_lanes": lanes}
    if not experiment.is_judged:
        return {"test_bits": finite(experiment.score(text).bits), **score}
    # Lanes may go on after the text's end.
    scored = th.cat([batch.scored for batch in evaluation_batches(text, lanes, segment)], dim=1)
    distances = {}
    for suffix, deterministic in (("", True), ("_drawn", False)):
        record = ReadingRecord()
        score[f"test_bits{suffix}"] = finite(experiment.score(text, deterministic, record).bits)
        choices = record.choices
        judged = choices.judged & scored
        score[f"keep_rate{suffix}"] = float(choices.keep[judged].float().mean()) if judged.any() else None
        score[f"reading_distance{suffix}"] = float(choices.reading_distance[scored].double().mean())
        distances[f"reading_distance{suffix}"] = choices.reading_distance
    write_reading(folder / READING_FILE, segment, scored, distances)
    return score
