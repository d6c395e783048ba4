"""Decisions of a judger in evaluations, and how far back the memory reads."""

from __future__ import annotations

import pytest
import torch as th

from memory_agents.sequence import ReadingRecord, SequenceModel, evaluate
from tests.sequence.judged import SEGMENT, SMALL, VOCABULARY, judge_of, judged_model, text


def test_a_record_has_what_was_decided() -> None:
    """Slots of four tokens, two of them: blocks 0 and 1 are kept, and leave at tokens 8 and 12."""
    model, given = judged_model(), text(rows=2, length=48)
    record = ReadingRecord()
    evaluate(model, [given], SEGMENT, record=record)
    choices, distance = record.choices, record.reading_distance
    assert choices.keep.shape == distance.shape == (2, 48)
    assert choices.judged[:, 16::SEGMENT].all()
    assert record.n_decisions == int(choices.judged.sum()) == 2 * 8
    assert record.keep_rate == pytest.approx(float(choices.keep[:, 16::SEGMENT].float().mean()))
    for row in range(2):
        slots: list[int] = []
        for t in range(48):
            if choices.keep[row, t]:
                slots.append(t - 8)
            oldest = slots[-2:][0] if slots else 0
            assert int(distance[row, t]) == t - oldest


def test_likelier_and_drawn_decisions() -> None:
    model, given = judged_model(), text(rows=4, length=64)
    judge_of(model).network.head.weight.data.zero_()
    judge_of(model).network.head.bias.data = th.tensor([0.5, 0.0])
    rates, scores = [], []
    for deterministic in (True, False):
        record = ReadingRecord()
        scores.append(evaluate(model, [given], SEGMENT, deterministic=deterministic, record=record))
        assert record.n_decisions == 4 * 12
        rates.append(record.keep_rate)
    assert rates[0] == 0.0
    assert rates[1] == pytest.approx(0.378, abs=0.2)
    assert scores[0] != scores[1]
    assert scores[0] == evaluate(model, [given], SEGMENT)
    again = []
    for _ in range(2):
        th.manual_seed(2)
        again.append(evaluate(model, [given], SEGMENT, deterministic=False))
    assert again[0] == again[1]


@pytest.mark.parametrize("window", [None, 3, SEGMENT, 16])
def test_windows_change_neither_score_nor_record(window: int | None) -> None:
    model, given = judged_model(), text(rows=3, length=45, starts=0.02)
    expected, found = ReadingRecord(), ReadingRecord()
    score = evaluate(model, [given], 1, record=expected)
    again = evaluate(model, given.windows(20), window, record=found)
    assert again.loss == pytest.approx(score.loss, abs=1e-6)
    for mine, theirs in zip(found.choices, expected.choices, strict=True):
        th.testing.assert_close(mine, theirs)


def test_a_memory_that_keeps_everything_reads_as_far_as_its_slots_reach() -> None:
    model = SequenceModel(VOCABULARY, "compressive", {**SMALL, "judger": "keep"})
    record = ReadingRecord()
    evaluate(model, [text(rows=1, length=40)], SEGMENT, record=record)
    assert record.keep_rate == 1.0
    # Two blocks before the eight to eleven recent tokens; the step at whose end a block leaves has done so.
    assert record.reading_distance[0, 16:].tolist() == [12, 13, 14, 15] * 6


def test_before_the_slots_are_full_there_is_no_rate() -> None:
    record = ReadingRecord()
    evaluate(judged_model(), [text(length=16)], record=record)
    assert (record.n_decisions, record.keep_rate) == (0, None)


def test_without_a_judger_or_a_record_the_mend_is_named() -> None:
    record = ReadingRecord()
    for model in (SequenceModel(VOCABULARY, "compressive", SMALL), SequenceModel(VOCABULARY, "lstm")):
        with pytest.raises(ValueError, match=r"the memory has no judger; use memory_kwargs=dict\(judger='keep'\)"):
            evaluate(model, [text()], record=record)
        assert evaluate(model, [text()], deterministic=False) == evaluate(model, [text()])
    with pytest.raises(ValueError, match=r"nothing has been recorded; evaluate\(\.\.\., record=this\) does it"):
        _ = record.choices


def test_a_device_decides_what_the_cpu_decides(device: th.device) -> None:
    given, found = text(rows=3, length=48, starts=0.02), []
    for place in (th.device("cpu"), device):
        record = ReadingRecord()
        score = evaluate(judged_model().to(place), [given], SEGMENT, record=record)
        assert all(part.device.type == "cpu" for part in record.choices)
        found.append((score, record))
    (score, expected), (there_score, there) = found
    assert there_score.loss == pytest.approx(score.loss, abs=1e-4)
    assert th.equal(there.choices.keep, expected.choices.keep)
    assert th.equal(there.choices.judged, expected.choices.judged)
    assert th.equal(there.reading_distance, expected.reading_distance)
    th.testing.assert_close(there.choices.log_prob, expected.choices.log_prob, atol=1e-4, rtol=1e-4)
