from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.envs.batched.batched_env import BatchedEnv
from memory_agents.envs.batched.token_stream import BatchedCopyFirst, BatchedCueStream, BatchedRepeatFirst
from tests.envs.batched.playing import make_pair, play_side_by_side

DELAYS = st.one_of(st.integers(1, 6), st.tuples(st.integers(0, 3), st.integers(3, 7)))
TOKENS = st.sampled_from([2, 3, 128, 129, 255, 256, 40_000])
ARGUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "AssociativeRecall": st.fixed_dictionaries(
        {
            "n_pairs": st.integers(1, 4),
            "n_keys": st.integers(4, 6),
            "n_values": TOKENS,
            "n_queries": st.integers(1, 9),
            "delay": DELAYS,
            "split": st.booleans(),
        }
    ),
    "Copy": st.fixed_dictionaries(
        {"n_tokens": TOKENS, "length": st.integers(1, 5), "delay": DELAYS, "selective": st.booleans()}
    ),
    "CopyFirst": st.fixed_dictionaries({"n_tokens": TOKENS, "delay": DELAYS, "distractors": st.booleans()}),
    "CueStream": st.fixed_dictionaries(
        {
            "n_values": TOKENS,
            "p_cue": st.floats(0.01, 1.0),
            "delay": st.one_of(st.integers(1, 5), st.tuples(st.integers(1, 3), st.integers(3, 8))),
            "query_rate": st.floats(0.0, 1.0),
            "length": st.integers(9, 30),
        }
    ),
    "RepeatFirst": st.fixed_dictionaries({"n_tokens": TOKENS, "length": st.tuples(st.just(2), st.integers(2, 9))}),
    "RepeatPrevious": st.fixed_dictionaries({"n_tokens": TOKENS, "k": st.integers(1, 4), "length": st.integers(5, 12)}),
    "Reverse": st.fixed_dictionaries(
        {"n_tokens": TOKENS, "length": st.integers(1, 5), "delay": DELAYS, "selective": st.booleans()}
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
@given(st.data(), st.integers(0, 2**31), st.sampled_from([None, 1, 4]))
def test_the_same_for_all_arguments(name: str, data: st.DataObject, seed: int, max_episode_steps: int | None) -> None:
    kwargs = data.draw(ARGUMENTS[name])
    single, batched = make_pair(f"MemoryAgents/{name}-v0", 3, seed, max_episode_steps=max_episode_steps, **kwargs)
    play_side_by_side(single, batched, 30, seed)


@pytest.mark.parametrize(
    ("made", "largest"),
    [
        (BatchedCopyFirst(2, n_tokens=128), (np.uint8, np.int8)),
        (BatchedCopyFirst(2, n_tokens=129), (np.uint8, np.int16)),
        (BatchedCopyFirst(2, n_tokens=255), (np.uint16, np.int16)),
        (BatchedRepeatFirst(2, n_tokens=40_000), (np.uint16, np.int32)),
    ],
)
def test_tokens_are_kept_small(made: BatchedEnv, largest: tuple[Any, Any]) -> None:
    assert (made.episodes.tokens.dtype, made.episodes.targets.dtype) == largest
    assert made.reset(seed=0)[0].dtype == np.int64


def test_long_streams_do_not_fill_the_memory() -> None:
    made = BatchedCueStream(256, delay=(1000, 3000), query_rate=0.002, length=8192)
    assert sum(field.nbytes for field in made.episodes) <= 1 << 26
    observations, infos = made.reset(seed=0)
    assert observations.shape == (256, 2)
    np.testing.assert_array_equal(infos["important"], observations[:, 0] == 2)
