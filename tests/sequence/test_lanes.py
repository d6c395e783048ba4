"""Streams: every character once, in order."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.sequence import SequenceBatch
from memory_agents.sequence.lanes import evaluation_batches, training_batches
from memory_agents.sequence.text import BEFORE


def text_of(length: int) -> th.Tensor:
    """No two windows alike, and nothing that stands before a text."""
    return (th.arange(length) * 37 % 199 + 20).to(th.uint8)


def whole(batches: list[SequenceBatch]) -> SequenceBatch:
    return SequenceBatch(*(th.cat(parts, dim=1) for parts in zip(*batches, strict=True)))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 120), lanes=st.integers(1, 6), window=st.integers(1, 17))
def test_evaluation_scores_each_character_once_in_order(length: int, lanes: int, window: int) -> None:
    text = text_of(length)
    batch = whole(list(evaluation_batches(text, lanes, window)))
    assert th.equal(batch.targets[batch.scored], text.long())
    before = th.cat([th.tensor([BEFORE]), text[:-1].long()])
    assert th.equal(batch.tokens[batch.scored], before)
    # Memory begins anew where lanes do, and nowhere else.
    assert batch.starts[:, 0].all()
    assert not batch.starts[:, 1:].any()


@settings(max_examples=60, deadline=None)
@given(windows=st.integers(1, 30), readers=st.integers(1, 5), window=st.integers(1, 9), seed=st.integers(0, 99))
def test_training_comes_by_each_character_once_in_a_round(windows: int, readers: int, window: int, seed: int) -> None:
    windows = max(1, windows // readers) * readers
    text = text_of(windows * window - window // 2)
    stream = training_batches(text, readers, window, seed)
    batch = whole(list(islice(stream, windows // readers)))
    assert sorted(batch.targets[batch.scored].tolist()) == sorted(text.tolist())
    assert batch.starts[:, 0].all()

    two_rounds = whole([batch, *islice(stream, windows // readers * (2 * readers - 1))])
    for row in zip(*two_rounds, strict=True):
        tokens, targets, scored, starts = row
        # In order, from the end to the beginning, where memory is forgotten.
        (begins,) = th.where(tokens == BEFORE)
        begins = begins[scored[begins]]
        assert set(th.where(starts)[0].tolist()) == {0, *begins.tolist()}
        first = int(begins[0])
        assert th.equal(targets[first:][scored[first:]][: len(text)], text.long())
        assert th.equal(tokens[first + 1 : first + len(text)], text[:-1].long())
        # Segments stay segments.
        assert all(int(begin) % window == 0 for begin in begins)


@settings(max_examples=60, deadline=None)
@given(windows=st.integers(1, 30), readers=st.integers(1, 5), window=st.integers(1, 9), seed=st.integers(0, 99))
def test_rounds_that_readers_do_not_divide(windows: int, readers: int, window: int, seed: int) -> None:
    readers = min(readers, windows)
    # Which window a character is of, by its value.
    text = (th.arange(windows * window) // window + 20).to(th.uint8)
    stream = training_batches(text, readers, window, seed)
    a_round = -(-windows // readers)
    batch = whole(list(islice(stream, a_round)))
    counts = Counter(batch.targets.flatten().tolist())
    assert len(counts) == windows
    assert set(counts.values()) <= {window, 2 * window}
    assert sum(count > window for count in counts.values()) == a_round * readers - windows < readers
    everything = whole([batch, *islice(stream, windows - a_round)])
    assert all(sorted(row.tolist()) == text.tolist() for row in everything.targets)


def test_where_readers_begin_depends_on_the_seed_alone() -> None:
    text = text_of(1000)

    def first(seed: int) -> th.Tensor:
        return next(training_batches(text, 4, 8, seed)).targets

    assert th.equal(first(0), first(0))
    assert len({tuple(first(seed).flatten().tolist()) for seed in range(8)}) > 4


def test_streams_go_on_where_others_ended() -> None:
    text = text_of(100)
    stream = list(islice(training_batches(text, 3, 8, 5), 9))
    later = list(islice(training_batches(text, 3, 8, 5, skip=4), 5))
    assert all(th.equal(one.targets, other.targets) for one, other in zip(stream[4:], later, strict=True))
    # Who joins them there remembers nothing.
    assert later[0].starts[:, 0].all()
    assert all(th.equal(one.starts, other.starts) for one, other in zip(stream[5:], later[1:], strict=True))


def test_bad_arguments() -> None:
    text = text_of(100)
    with pytest.raises(ValueError, match=r"batch_size=14 readers .* at most 13"):
        next(training_batches(text, 14, 8))
    for name, arguments in {"batch_size": (0, 8), "window": (4, 0)}.items():
        with pytest.raises(ValueError, match=name):
            next(training_batches(text, *arguments))
    with pytest.raises(ValueError, match="skip"):
        next(training_batches(text, 4, 8, skip=-1))
    with pytest.raises(ValueError, match="lanes"):
        next(evaluation_batches(text, 0, 8))
