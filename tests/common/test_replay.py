"""Replayed windows: which there are, what follows their steps, returns, and what the buffer keeps."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.common import SequenceDictReplayBuffer, SequenceReplayBuffer
from memory_agents.common.replay_windows import n_step_returns, next_steps

EPISODE = 5


def filled(steps: int, n_envs: int = 2, size: int = 24, key: str | None = None, **kwargs: Any) -> SequenceReplayBuffer:
    """Steps of which everything tells the number and the environment; with a key, in dictionaries."""
    settings: dict[str, Any] = dict(sequence_length=4, burn_in=2)
    space: Any = spaces.Box(-9e9, 9e9, (1,))
    buffer_class = SequenceReplayBuffer if key is None else SequenceDictReplayBuffer
    buffer = buffer_class(
        size * n_envs,
        space if key is None else spaces.Dict({key: space}),
        spaces.Discrete(9),
        "cpu",
        n_envs,
        **{**settings, **kwargs},
    )

    def shown(numbers: Any) -> Any:
        return numbers if key is None else {key: numbers}

    for t in range(steps):
        number = (t + 1_000 * np.arange(n_envs, dtype=np.float32))[:, None]
        if buffer.at_window_start:
            buffer.store_states((th.as_tensor(number),))
        buffer.store_step(np.full(n_envs, t % EPISODE == 0), (th.as_tensor(number[:, 0]),))
        over = np.full(n_envs, t % EPISODE == EPISODE - 1)
        buffer.add(shown(number), shown(number + 0.5), np.full(n_envs, t % 9), number[:, 0], over, [{}] * n_envs)
    return buffer


@given(steps=st.integers(0, 90), sequence_length=st.integers(1, 5), burn_in=st.integers(0, 6), n_envs=st.integers(1, 3))
def test_windows_are_whole_and_in_order_and_begin_with_their_states(
    steps: int, sequence_length: int, burn_in: int, n_envs: int
) -> None:
    buffer = filled(steps, n_envs, sequence_length=sequence_length, burn_in=burn_in)
    length = burn_in + sequence_length
    kept = range(max(0, steps - buffer.buffer_size), steps)
    starts = [t for t in kept if t % sequence_length == 0 and t + length <= steps]
    assert buffer.windows_per_env == len(starts)
    if not starts:
        with pytest.raises(ValueError, match="no whole window of"):
            buffer.sample(sequence_length)
        return
    samples = buffer.sample_windows(np.arange(n_envs * len(starts)))
    numbers = np.array([[t + 1_000 * env + np.arange(length)] for env in range(n_envs) for t in starts])[:, 0]
    batch = samples.observations
    np.testing.assert_array_equal(batch.burn_in.observations.flatten(), numbers[:, :burn_in].flatten())
    np.testing.assert_array_equal(batch.window.observations.flatten(), numbers[:, burn_in:].flatten())
    np.testing.assert_array_equal(batch.window.choices[0], numbers[:, burn_in:])
    np.testing.assert_array_equal(batch.burn_in.states[0].flatten(), numbers[:, 0])
    np.testing.assert_array_equal(batch.window.episode_starts, numbers[:, burn_in:] % 1_000 % EPISODE == 0)
    np.testing.assert_array_equal(samples.actions.flatten(), numbers[:, burn_in:].flatten() % 1_000 % 9)
    np.testing.assert_array_equal(batch.outputs, np.arange(numbers[:, burn_in:].size))
    # What follows a step that is not terminal is its next observation, or the step after it.
    follows = samples.next_observations
    after = follows.window.observations.flatten()[follows.outputs]
    goes_on = samples.dones.flatten() == 0
    expected = batch.window.observations.flatten()
    np.testing.assert_array_equal((after + 0.5).floor()[goes_on], (expected + 1)[goes_on])
    # A next observation that was put in is no step at which anything was chosen.
    put_in = follows.window.observations.view_as(follows.window.episode_starts) % 1 == 0.5
    assert not follows.window.choices[0][put_in].any()


@pytest.mark.parametrize("steps", [21, 53])
def test_dictionaries_are_replayed_as_their_entries_would_be(steps: int) -> None:
    boxes, dictionaries = filled(steps), filled(steps, key="x")
    windows = np.arange(2 * boxes.windows_per_env)
    expected, found = boxes.sample_windows(windows), dictionaries.sample_windows(windows)
    for name in ("observations", "next_observations"):
        for part in ("burn_in", "window"):
            one, other = (getattr(getattr(samples, name), part).observations for samples in (expected, found))
            assert list(other) == ["x"]
            assert th.equal(other["x"], one)


def test_every_window_is_as_likely_as_any_other() -> None:
    buffer = filled(53)
    np.random.seed(0)
    count = Counter(buffer.sample(4).observations.window.observations[0].item() for _ in range(2_000))
    n_windows = 2 * buffer.windows_per_env
    assert len(count) == n_windows
    assert all(0.6 < n * n_windows / 2_000 < 1.4 for n in count.values())


def test_a_batch_has_as_many_transitions_as_asked_for() -> None:
    samples = filled(40).sample(12)
    assert samples.actions.shape == samples.rewards.shape == samples.dones.shape == samples.discounts.shape == (12, 1)
    assert samples.observations.outputs.shape == samples.next_observations.outputs.shape == (12,)
    with pytest.raises(ValueError, match="batch_size=10 must be a multiple of sequence_length=4"):
        filled(40).sample(10)


def test_states_are_kept_at_window_starts_alone() -> None:
    buffer = filled(40)
    assert buffer._states[0].shape == (6, 2, 1)
    assert buffer.state_bytes_per_transition == 4 / 4
    without = filled(40, stored_state=False)
    assert without._states is None
    assert without.sample(4).observations.burn_in.states is None


def test_states_are_like_those_that_are_stored_where_their_shapes_are() -> None:
    assert filled(40).holds_states_like((th.zeros(2, 1),))
    assert not filled(40).holds_states_like((th.zeros(2, 3),))
    assert filled(0).holds_states_like((th.zeros(2, 3),))
    assert filled(40, stored_state=False).holds_states_like((th.zeros(2, 3),))


def test_the_size_is_rounded_down_to_whole_windows_over_all_environments() -> None:
    assert filled(0, size=27).buffer_size == 24


def test_a_buffer_that_is_emptied_is_as_new() -> None:
    buffer = filled(40)
    buffer.reset()
    assert buffer.windows_per_env == 0
    assert buffer.state_bytes_per_transition == 0


def test_windows_from_one_state_to_the_next() -> None:
    batch, after = filled(53).consecutive_windows(3) or pytest.fail("there are some")
    np.testing.assert_array_equal(batch.states[0].flatten() + 4, after[0].flatten())
    assert isinstance(batch.observations, th.Tensor)
    np.testing.assert_array_equal(batch.observations.view(-1, 4)[:, 0], batch.states[0].flatten())
    # All there are without those that an episode starts after; one of them ends with the last row of the ring.
    every = filled(53).consecutive_windows(100)
    assert every is not None
    assert every[1][0].flatten().tolist() == [36, 44, 1048, 52]
    assert filled(4).consecutive_windows(3) is None
    assert filled(40, stored_state=False).consecutive_windows(3) is None


def test_time_lines_of_cut_episodes() -> None:
    starts = np.array([[1, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 0]], dtype=bool)
    terminal = np.array([[0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]], dtype=bool)
    line = next_steps(starts, terminal)
    #                                       0 1 2 cut 3 4 | 5 cut            0 1 2 3 4 5 and two places left over
    np.testing.assert_array_equal(line.step, [[0, 1, 2, 2, 3, 4, 5, 5], [0, 1, 2, 3, 4, 5, 5, 5]])
    np.testing.assert_array_equal(line.is_next.nonzero(), [[0, 0], [3, 7]])
    np.testing.assert_array_equal(line.is_left_over.nonzero(), [[1, 1], [6, 7]])
    np.testing.assert_array_equal(line.episode_starts[0], [1, 0, 0, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(line.episode_starts[1], [0, 0, 0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(line.after[:, :4], [[1, 2, 3, 5], [1, 2, 3, 4]])


@given(data=st.data(), windows=st.integers(1, 3), length=st.integers(1, 7))
def test_time_lines_are_no_longer_than_they_must_be(data: st.DataObject, windows: int, length: int) -> None:
    starts, terminal = (
        np.array(data.draw(st.lists(st.booleans(), min_size=windows * length, max_size=windows * length)))
        for _ in range(2)
    )
    line = next_steps(starts.reshape(windows, length), terminal.reshape(windows, length))
    assert not line.is_left_over.all(axis=0).any()
    assert ((~line.is_left_over & ~line.is_next).sum(axis=1) == length).all()


@given(data=st.data(), n_steps=st.integers(1, 8), length=st.integers(1, 7))
def test_returns_are_sums_up_to_the_end_of_the_episode_or_the_window(
    data: st.DataObject, n_steps: int, length: int
) -> None:
    ends = np.array([data.draw(st.lists(st.booleans(), min_size=length, max_size=length)) for _ in range(2)])
    rewards = np.arange(2 * length, dtype=np.float32).reshape(2, length)
    returns = n_step_returns(rewards, ends, n_steps, 0.5)
    for window in range(2):
        for step in range(length):
            total, discount = 0.0, 1.0
            for last in range(step, min(step + n_steps, length)):
                total, discount = total + discount * rewards[window, last], 0.5 * discount
                if ends[window, last]:
                    break
            assert returns.rewards[window, step] == pytest.approx(total)
            assert returns.discounts[window, step] == pytest.approx(discount)
            assert returns.last[window, step] == last


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(size=11), "buffer_size=22 holds 2 windows of sequence_length=4 for each of 2 environments"),
        (dict(sequence_length=0), "sequence_length must be a positive integer"),
        (dict(burn_in=-1), "burn_in must be an integer of at least 0"),
        (dict(n_steps=0), "n_steps must be a positive integer"),
        (dict(stored_state=1), "stored_state must be True or False"),
        (dict(optimize_memory_usage=True), "use a smaller buffer_size"),
    ],
)
def test_bad_arguments_name_the_mend(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        filled(0, **kwargs)


def test_the_windows_of_a_batch_are_drawn_one_by_one() -> None:
    buffer = filled(53)
    np.random.seed(0)
    first = buffer.sample(64 * 4).observations.window.observations.view(64, 4)[:, 0]
    assert len(set(first.tolist())) == 2 * buffer.windows_per_env


def test_windows_to_compare_states_on_are_of_every_environment() -> None:
    found = filled(53).consecutive_windows(3)
    assert found is not None
    assert {int(number) // 1_000 for number in found[0].states[0].flatten().tolist()} == {0, 1}


@pytest.mark.parametrize("handled", [True, False])
def test_whether_something_comes_after_the_end_of_the_time_is_for_the_user_to_say(handled: bool) -> None:
    buffer = SequenceReplayBuffer(
        16, spaces.Box(-9, 9, (1,)), spaces.Discrete(2), "cpu", sequence_length=4, handle_timeout_termination=handled
    )
    seen = np.zeros((1, 1), np.float32)
    for t in range(8):
        last = t % 4 == 3
        if buffer.at_window_start:
            buffer.store_states((th.zeros(1, 1),))
        buffer.store_step(np.array([t % 4 == 0]), ())
        buffer.add(seen, seen, np.zeros(1, int), np.ones(1), np.array([last]), [{"TimeLimit.truncated": last}])
    assert buffer.sample_windows(np.array([0])).dones.flatten().tolist() == [0, 0, 0, 0 if handled else 1]
