"""The sequence rollout buffer: real transitions, whole windows, states at their starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.common import SequenceBatch, SequenceDictRolloutBuffer, SequenceRolloutBuffer
from memory_agents.memory import tree_leaves

VECTOR = spaces.Box(-1e9, 1e9, (2,))


def filled(length: int, windows: int, n_envs: int, dictionary: bool = False) -> SequenceRolloutBuffer:
    """Observations say (environment, step), states the same of the first step of their window."""
    cls = SequenceDictRolloutBuffer if dictionary else SequenceRolloutBuffer
    space: Any = spaces.Dict({"x": VECTOR, "kind": spaces.Discrete(3)}) if dictionary else VECTOR
    buffer = cls(length * windows, space, spaces.Discrete(5), "cpu", n_envs=n_envs, sequence_length=length)
    envs = np.arange(n_envs)
    for step in range(length * windows):
        obs: Any = np.stack([envs, np.full(n_envs, step)], axis=1).astype(np.float32)
        if buffer.at_window_start:
            buffer.store_states((th.as_tensor(obs), {"again": th.as_tensor(obs)}))
        if dictionary:
            obs = {"x": obs, "kind": np.full(n_envs, step % 3)}
        starts = (step + envs) % 3 == 0
        buffer.add(obs, envs + step, np.ones(n_envs), starts, th.full((n_envs, 1), step), th.full((n_envs,), step))
    buffer.compute_returns_and_advantage(th.zeros(n_envs), np.zeros(n_envs, dtype=bool))
    return buffer


@pytest.mark.parametrize("dictionary", [False, True])
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_every_transition_comes_once_and_in_order(
    dictionary: bool, length: int, windows: int, n_envs: int, windows_per_batch: int
) -> None:
    buffer = filled(length, windows, n_envs, dictionary)
    seen = []
    for samples in buffer.get(windows_per_batch * length):
        batch: Any = samples.observations
        assert isinstance(batch, SequenceBatch)
        obs: Any = batch.observations
        x = (obs["x"] if dictionary else obs).unflatten(0, (-1, length))
        env, step = x[:, 0, 0], x[:, 0, 1]
        assert th.equal(x[..., 0], env[:, None].expand(-1, length))
        assert th.equal(x[..., 1], step[:, None] + th.arange(length))
        assert th.equal(batch.states[0], x[:, 0])
        assert th.equal(batch.states[1]["again"], x[:, 0])
        assert th.equal(batch.episode_starts, (x[..., 1] + x[..., 0]) % 3 == 0)
        assert th.equal(samples.old_log_prob, x[..., 1].flatten())
        assert th.equal(samples.actions.flatten(), (x[..., 0] + x[..., 1]).flatten())
        seen += [tuple(pair) for pair in x.flatten(0, 1).long().tolist()]
    assert sorted(seen) == [(env, step) for env in range(n_envs) for step in range(length * windows)]


def test_returns_are_those_of_the_parent() -> None:
    buffer = filled(4, 2, 3)
    returns, values = buffer.returns.copy(), buffer.values.copy()
    samples = buffer.sample_windows(np.array([0, 1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(samples.returns.view(3, 8).numpy(), returns.T)
    np.testing.assert_array_equal(samples.old_values.view(3, 8).numpy(), values.T)


def test_stored_states_are_copies() -> None:
    buffer = SequenceRolloutBuffer(4, VECTOR, spaces.Discrete(2), "cpu", n_envs=2, sequence_length=4)
    state = th.zeros(2, 3)
    buffer.store_states(state)
    state.add_(1)
    assert buffer._collected[0].sum() == 0


def test_refreshing_replaces_all_states_but_the_first() -> None:
    buffer = filled(3, 3, 2)
    batches = []

    def replay(batch: SequenceBatch) -> Any:
        batches.append(batch)
        return (batch.states[0] + 100, {"again": batch.states[1]["again"] + 100})

    buffer.replay = replay
    list(buffer.get())
    assert not batches
    assert buffer.state_drift(replay) > 0
    batches.clear()
    list(buffer.get())
    states = buffer.sample_windows(np.arange(6)).observations.states[0].view(2, 3, 2)
    np.testing.assert_array_equal(states[0].numpy(), [[0, 0], [100, 100], [200, 200]])
    np.testing.assert_array_equal(states[1].numpy(), [[1, 0], [101, 100], [201, 200]])
    assert len(batches) == 2


def test_drift_is_zero_where_nothing_can_drift() -> None:
    assert filled(3, 1, 2).state_drift(lambda batch: batch.states) == 0.0


def test_windows_must_fit() -> None:
    with pytest.raises(
        ValueError, match=r"buffer_size=10 must be a multiple of sequence_length=4, .* use buffer_size=8"
    ):
        SequenceRolloutBuffer(10, VECTOR, spaces.Discrete(2), sequence_length=4)


def test_bytes_per_transition_count_states_only_at_window_starts() -> None:
    buffer = filled(8, 2, 3)
    assert buffer.state_bytes_per_transition == 2 * 2 * 4 / 8
    buffer.sample_windows(np.arange(2))
    assert buffer.state_bytes_per_transition == 2 * 2 * 4 / 8
    buffer.reset()
    assert buffer.state_bytes_per_transition == 0


@pytest.mark.parametrize("dictionary", [False, True])
def test_a_rollout_kept_on_the_device_gives_the_same_minibatches(
    dictionary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, kept = filled(4, 3, 2, dictionary), filled(4, 3, 2, dictionary)
    monkeypatch.setattr(kept, "_fits_on_device", lambda: True)
    for windows in (np.array([0, 5]), np.array([3])):
        by_copy, by_index = copied.sample_windows(windows), kept.sample_windows(windows)
        pairs = zip(tree_leaves(tuple(by_copy)), tree_leaves(tuple(by_index)), strict=True)
        assert all(th.equal(a, b) and a.dtype == b.dtype for a, b in pairs)
    assert copied._on_device is None
    assert kept._on_device is not None
    kept.reset()
    assert kept._on_device is None


@pytest.mark.cuda
@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
def test_rollouts_stay_on_a_device_if_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    for share, fits in ((0.25, True), (0.0, False)):
        monkeypatch.setattr("memory_agents.common.buffers.LARGEST_SHARE", share)
        buffer = filled(4, 3, 2)
        buffer.device = th.device("cuda")
        assert buffer._fits_on_device() is fits
