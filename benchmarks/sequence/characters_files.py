"""What character-model runs leave in their folders, and whether it is of the same text and evaluator."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import CONFIG_FILE
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.sequence.characters import AGENTS, CharacterConfig, PretrainingConfig, make_model
from memory_agents.benchmarks.sequence.checkpoint import read_parts
from memory_agents.benchmarks.sequence.runs import SCORE_FILE, begin_run, load_config, read_finished, write_rows
from memory_agents.sequence import SequenceModel
from memory_agents.sequence.text import Corpus

#: The weights after the last update, and how far back the memory read while it was tested.
WEIGHTS_FILE, READING_FILE = "weights.pt", "reading.csv"


def check_inputs(folder: Path, config: PretrainingConfig, corpus: Corpus) -> None:
    """
    :param folder: a run's folder, which may be missing
    :param config: arguments
    :param corpus: a text
    :raises UsageError: when the run is on another text, or has another evaluator than the arguments name
    """
    path = folder / CONFIG_FILE
    if path.is_file():
        try:
            text = json.loads(path.read_text())
            there, evaluator = text["corpus"]["sha256"], text.get("evaluator")
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is not the configuration of a character-model run ({error})") from error
        if there != corpus.sha256:
            raise UsageError(
                f"--out {str(folder.parent)!r} has {folder.name!r} on another text (SHA-256 {there}); choose another "
                "folder"
            )
        if evaluator != evaluator_hash(config):
            raise UsageError(
                f"--out {str(folder.parent)!r} has {folder.name!r} with another evaluator (SHA-256 {evaluator}); "
                "choose another folder"
            )


def check_text(out: Path, corpus: Corpus) -> None:
    """
    :param out: folder of runs, which may be missing
    :param corpus: a text
    :raises UsageError: when finished runs there are on another, so that no table could have both, or cannot be read
    """
    for _, _, folder in read_finished([out], CharacterConfig):
        text = json.loads((folder / CONFIG_FILE).read_text())["corpus"]
        if text["sha256"] != corpus.sha256:
            raise UsageError(
                f"--out {str(out)!r} has {folder.name!r} on another text ({text['name']}, SHA-256 {text['sha256']}); "
                "choose another folder"
            )


def result_file(config: PretrainingConfig) -> str:
    """
    :param config: arguments of a run, or of a pre-training
    :return: name of the file that is written last
    """
    return SCORE_FILE if isinstance(config, CharacterConfig) else WEIGHTS_FILE


def evaluator_hash(config: PretrainingConfig) -> str | None:
    """
    :param config: a run's arguments
    :return: SHA-256 of the file with the evaluator's weights; None where the run is given none
    :raises UsageError: when it cannot be read
    """
    if not isinstance(config, CharacterConfig) or config.evaluator is None:
        return None
    path = Path(config.evaluator) / WEIGHTS_FILE
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            f"--evaluator {config.evaluator!r}: {path} cannot be read ({error.strerror}); give the folder of a "
            "finished run of characters"
        ) from error


def load_evaluator(config: CharacterConfig) -> SequenceModel | None:
    """
    :param config: a run's arguments
    :return: the model that ``--evaluator`` names, on the CPU; None where it names none
    :raises UsageError: when it does not name a finished run
    """
    if config.evaluator is None:
        return None
    folder = Path(config.evaluator)
    if not (folder / SCORE_FILE).is_file():
        raise UsageError(
            f"--evaluator {config.evaluator!r} holds no {SCORE_FILE}; give the folder of a finished run of characters"
        )
    try:
        theirs, model = load_model(folder)
    except UsageError as error:
        raise UsageError(f"--evaluator {config.evaluator!r}: {error}") from error
    if AGENTS[theirs.agent].forgets:
        if theirs.segment != config.segment:
            raise UsageError(
                f"--evaluator {config.evaluator!r} forgets at every segment, of {theirs.segment} tokens; use "
                f"--segment {theirs.segment}, or another evaluator"
            )
        # It is given a segment at a time, and begins each with the state that it had in its own training: none.
        model.register_forward_pre_hook(lambda _, arguments: (arguments[0], None, *arguments[2:]))
    return model


def begin(config: PretrainingConfig, corpus: Corpus, folder: Path) -> None:
    """
    :param config: a run's arguments
    :param corpus: its text
    :param folder: its folder, which gets ``config.json``
    """
    described = {"name": corpus.name, "size": corpus.size, "sha256": corpus.sha256}
    begin_run(folder, config, result_file(config), corpus=described, evaluator=evaluator_hash(config))


def save_weights(path: Path, model: SequenceModel, seconds: dict[str, float]) -> None:
    """
    :param path: the file
    :param model: whose weights
    :param seconds: that they took
    """
    buffer = io.BytesIO()
    th.save({"weights": {name: part.cpu() for name, part in model.state_dict().items()}, "seconds": seconds}, buffer)
    write_whole(path, buffer.getvalue())


def load_weights(path: Path) -> tuple[dict[str, th.Tensor], dict[str, float]]:
    """
    :param path: a file of :func:`save_weights`
    :return: the weights, on the CPU, and the seconds that they took
    :raises UsageError: when there is none, or it is not whole
    """
    saved = read_parts(path, "delete it and run again, or give the folder of a finished run")
    return saved["weights"], saved["seconds"]


def weights_hash(weights: Mapping[str, th.Tensor]) -> str:
    """
    :param weights: on the CPU
    :return: SHA-256 of the numbers, whatever else the file with them holds
    """
    content = hashlib.sha256()
    for name, part in sorted(weights.items()):
        content.update(name.encode())
        content.update(part.numpy().tobytes())
    return content.hexdigest()


def load_model(folder: Path, device: th.device | str = "cpu") -> tuple[CharacterConfig, SequenceModel]:
    """
    :param folder: of a finished run
    :param device: where the model shall be
    :return: the run's arguments, and its model
    :raises UsageError: when it is none
    """
    config = load_config(folder, CharacterConfig)
    if not (folder / SCORE_FILE).is_file():
        raise UsageError(f"{folder} holds no {SCORE_FILE}; give the folder of a finished run")
    model = make_model(config)
    model.load_state_dict(load_weights(folder / WEIGHTS_FILE)[0])
    return config, model.to(device).eval()


def write_reading(path: Path, segment: int, scored: th.Tensor, distances: Mapping[str, th.Tensor]) -> None:
    """
    Reading distances where segments end, means over the lanes whose text goes on so far.

    :param path: a CSV file to write, with the columns ``token`` and those of ``distances``
    :param segment: tokens of a segment
    :param scored: whether a token is one of the text, (lanes, tokens) bool
    :param distances: reading distances after every token by their names, (lanes, tokens) each
    """
    rows = []
    for end in range(segment - 1, scored.shape[1], segment):
        there = scored[:, end]
        if there.any():
            means = {name: float(distance[there, end].double().mean()) for name, distance in distances.items()}
            rows.append({"token": end + 1, **means})
    write_rows(path, rows)
