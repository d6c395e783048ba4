"""A stream in which a few tokens matter long after: the judger learns which."""

from __future__ import annotations

import copy
from typing import Any

import torch as th

from memory_agents.sequence import DCTTrainer, ReadingRecord, SequenceBatch, SequenceModel, SequenceTrainer, evaluate

CUES, BLANK, QUERY = 4, 4, 5
SEGMENT = 4
#: Reaches at most 8 + 4 + 2 * 4 tokens back if everything is kept; a cue comes every 33 tokens.
KWARGS: dict[str, Any] = dict(
    memory_length=2 * SEGMENT,
    block_length=SEGMENT,
    compressed_length=2,
    compression_rate=SEGMENT,
    compression="mean",
    gating="none",
    n_layers=1,
    n_heads=2,
    d_model=32,
    judger=dict(warming_up=True, hidden_size=16),
)


class Cues:
    """
    Rare cues, and questions what the latest one was, which alone are scored.

    :param rows: streams side by side
    :param seed: of what is drawn
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.source = th.Generator().manual_seed(seed)
        self.latest = th.randint(CUES, (rows, 1), generator=self.source)

    def read(self, length: int) -> SequenceBatch:
        size = len(self.latest), length
        chance, values = th.rand(size, generator=self.source), th.randint(CUES, size, generator=self.source)
        cues, queries = chance < 0.03, (chance > 0.5)
        tokens = th.full(size, BLANK).masked_fill(queries, QUERY)
        tokens = th.where(cues, values, tokens)
        told = th.cat([self.latest, th.where(cues, values, -1)], dim=1)
        latest = th.where(told >= 0, th.arange(length + 1), -1).cummax(dim=1).values
        targets = told.gather(1, latest)[:, 1:]
        self.latest = targets[:, -1:]
        return SequenceBatch(tokens, targets, queries, th.zeros(size, dtype=th.bool))


def go_on(model: SequenceModel, judger: object) -> SequenceModel:
    """The same weights with another judger, trained as long as beside DCT's, on the same stream."""
    other = SequenceModel(QUERY + 1, "compressive", {**KWARGS, "judger": judger}, d_embedding=32)
    weights = {name: part for name, part in model.state_dict().items() if not name.startswith("core.judge.")}
    other.load_state_dict(weights)
    stream, trainer = Cues(64, 2), SequenceTrainer(other, window=SEGMENT, learning_rate=1e-3)
    for _ in range(100):
        trainer.update(stream.read(32))
    return other


def test_a_judger_that_learns_beside_the_model_beats_keeping_everything_and_chance() -> None:
    model = SequenceModel(QUERY + 1, "compressive", KWARGS, d_embedding=32)
    stream, trainer = Cues(64, 0), SequenceTrainer(model, window=32, learning_rate=1e-2)
    for _ in range(150):
        trainer.update(stream.read(32))
    test, before = Cues(32, 1).read(256), copy.deepcopy(model)
    stream, trainer = Cues(64, 2), SequenceTrainer(model, window=SEGMENT, learning_rate=1e-3)
    dct = DCTTrainer(trainer, learning_rate=5e-3, ent_coef=0.01, entropy_in_advantage=False)
    for _ in range(100):
        update = dct.update(stream.read(32))
    assert update.advantage is not None
    assert update.advantage > 0.05
    scores = []
    for deterministic in (True, False):
        record = ReadingRecord()
        scores.append(evaluate(model, [test], SEGMENT, deterministic=deterministic, record=record))
        assert record.keep_rate is not None
        assert 0.05 < record.keep_rate < 0.6
        assert float(record.reading_distance.float().mean()) > 25
    # Whoever keeps as many blocks as the judger, but any of them.
    for judger in ("keep", {"kind": "random", "probability": record.keep_rate}):
        control = evaluate(go_on(before, judger), [test], SEGMENT)
        assert control.accuracy < 0.65
        for score in scores:
            assert score.accuracy > 0.75
            assert score.loss < 0.7 * control.loss
