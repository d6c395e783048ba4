"""Runs that are killed between two gradient steps."""

from __future__ import annotations

from collections.abc import Container

import pytest

from memory_agents.sequence import SequenceBatch, SequenceTrainer
from memory_agents.sequence.training import Update


def kill_at(calls: Container[int], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """
    From now on sequence trainers are interrupted.

    :param calls: which updates, of all that are begun from now on, are not to be; from 0
    :param monkeypatch: what ends that
    :return: for each update that is begun, the trainer's updates before it
    """
    begun: list[int] = []
    update = SequenceTrainer.update

    def interrupted(trainer: SequenceTrainer, batch: SequenceBatch, *more: object) -> Update:
        begun.append(trainer.updates)
        if len(begun) - 1 in calls:
            raise KeyboardInterrupt
        return update(trainer, batch, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(SequenceTrainer, "update", interrupted)
    return begun
