"""Replay buffers that yield windows of consecutive steps and keep memory states only at their starts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from memory_agents.common.replay_windows import ReplayBatch, n_step_returns, next_steps
from memory_agents.common.sequences import SequenceBatch, check_sequence_length
from memory_agents.memory import tree_bytes, tree_leaves, tree_map, tree_to
from memory_agents.nn.arguments import check_flags, check_integers


class SequenceReplayBuffer(ReplayBuffer):
    """
    Stable-Baselines3's replay buffer, read in windows of one environment's time line: ``burn_in`` steps that bring the
    memory up to date, then ``sequence_length`` steps to learn from. A window begins at every ``sequence_length``-th
    step, so that every step is learned from in one window (but for the first ``burn_in`` steps ever), and there stands
    a state for every ``sequence_length`` steps. Episodes may start anywhere inside a window; there is no padding, and
    every transition is real.

    What ``sample`` gives is what the inherited ``train()`` methods expect, except that observations and next
    observations are a :class:`~memory_agents.common.replay_windows.ReplayBatch`.

    :param buffer_size: transitions over all environments, rounded down to whole windows
    :param observation_space: observation space
    :param action_space: action space
    :param device: where samples go; the buffer itself stays in main memory
    :param n_envs: number of environments
    :param optimize_memory_usage: not supported
    :param handle_timeout_termination: whether what follows a cut episode has a value
    :param sequence_length: steps of a window to learn from
    :param burn_in: steps before them
    :param stored_state: whether memories begin a window with the state that acting had there; otherwise empty
    :param n_steps: rewards that a return sums before it bootstraps; fewer where the episode or the window ends before
    :param gamma: discount factor of these sums
    :raises ValueError: when ``buffer_size`` cannot hold two windows and a burn-in of each environment, or
        ``optimize_memory_usage`` is asked for, or a number is out of bounds
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        sequence_length: int,
        burn_in: int = 0,
        stored_state: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
    ) -> None:
        check_sequence_length(sequence_length)
        check_integers(n_steps=n_steps)
        check_integers(least=0, burn_in=burn_in)
        check_flags(stored_state=stored_state)
        if optimize_memory_usage:
            raise ValueError(
                "optimize_memory_usage=True would drop the last observations of cut episodes, which have values here; "
                "leave it out and use a smaller buffer_size"
            )
        windows, least = buffer_size // n_envs // sequence_length, least_windows(burn_in, sequence_length)
        if windows < least:
            raise ValueError(
                f"buffer_size={buffer_size} holds {windows} windows of sequence_length={sequence_length} for each of "
                f"{n_envs} environments, but with burn_in={burn_in} needs {least}; "
                f"use buffer_size={least * sequence_length * n_envs} or more"
            )
        self.sequence_length = sequence_length
        self.burn_in = burn_in
        self.stored_state = stored_state
        self.n_steps = n_steps
        self.gamma = gamma
        super().__init__(
            windows * sequence_length * n_envs,
            observation_space,
            action_space,
            device,
            n_envs,
            handle_timeout_termination=handle_timeout_termination,
        )
        self.episode_starts = np.zeros((self.buffer_size, self.n_envs), dtype=bool)
        self._states: Any = None
        self._choices: Any = None

    # --- collecting

    @property
    def at_window_start(self) -> bool:
        """Whether the next transition begins a window, so that :meth:`store_states` is due."""
        return self.stored_state and self.pos % self.sequence_length == 0

    def store_states(self, states: Any) -> None:
        """
        :param states: packed states of all environments before the next transition; copied
        """
        if self._states is None:
            self._states = _shelf(states, self.buffer_size // self.sequence_length)
        _put(self._states, self.pos // self.sequence_length, states)

    def holds_states_like(self, states: Any) -> bool:
        """
        :param states: packed states of all environments
        :return: whether those that are stored have their shapes; where none is, yes
        """
        if self._states is None:
            return True
        return [leaf.shape[1:] for leaf in tree_leaves(self._states)] == [leaf.shape for leaf in tree_leaves(states)]

    def store_step(self, episode_starts: np.ndarray, choices: Any) -> None:
        """
        What :meth:`add` is not told of the next transition.

        :param episode_starts: whether an episode starts at it, (n_envs,)
        :param choices: what the memories themselves chose at it, (n_envs,) each; empty where they choose nothing
        """
        self.episode_starts[self.pos] = episode_starts
        if self._choices is None:
            self._choices = _shelf(choices, self.buffer_size)
        _put(self._choices, self.pos, choices)

    def reset(self) -> None:
        super().reset()
        self._states = self._choices = None

    @property
    def state_bytes_per_transition(self) -> float:
        """Bytes held for memory states, for each transition that there is room for."""
        return 0.0 if self._states is None else tree_bytes(self._states) / (self.buffer_size * self.n_envs)

    # --- replaying

    @property
    def windows_per_env(self) -> int:
        """Whole windows of each environment that are there now."""
        return max(0, (self.size() - self._first_step - self.burn_in) // self.sequence_length)

    @property
    def _first_step(self) -> int:
        """The first step of the oldest window, counted from the oldest step."""
        return -self.pos % self.sequence_length if self.full else 0

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
        """
        :param batch_size: transitions, a multiple of ``sequence_length``
        :param env: normalises observations and rewards
        :return: windows, each as likely as any other
        :raises ValueError: when there is no whole window yet, or ``batch_size`` is no multiple of ``sequence_length``
        """
        check_sequence_length(self.sequence_length, batch_size=batch_size)
        n_windows = self.windows_per_env * self.n_envs
        if n_windows == 0:
            raise ValueError(
                f"the buffer holds {self.size()} steps of each environment, which is no whole window of "
                f"{self.burn_in + self.sequence_length} yet; collect more before sampling"
            )
        return self.sample_windows(np.random.randint(n_windows, size=batch_size // self.sequence_length), env)

    def sample_windows(self, windows: np.ndarray, env: VecNormalize | None = None) -> Any:
        """
        :param windows: numbers of windows, the windows of the first environment coming first, oldest first
        :param env: normalises observations and rewards
        :return: their transitions, window after window
        """
        steps, columns = self._steps(windows, self.burn_in + self.sequence_length)
        before, steps = steps[:, : self.burn_in], steps[:, self.burn_in :]
        starts = self.episode_starts[steps, columns]
        terminal = (self.dones * (1 - self.timeouts))[steps, columns] > 0.5
        follows = next_steps(starts, terminal)

        burn_in = self._steps_batch(before, columns, env)
        burn_in = burn_in._replace(states=self._states_before(windows))
        now = self._steps_batch(steps, columns, env)
        where = np.take_along_axis(steps, follows.step, axis=1)
        then = SequenceBatch(
            self._read(where, columns, env, follows.is_next),
            self.to_torch(follows.episode_starts),
            (),
            # What a memory chooses at a step changes nothing before the next one, and what was put in has none.
            self._choices_of(where, columns, ~(follows.is_next | follows.is_left_over)),
        )

        ends = np.ones_like(terminal)
        ends[:, :-1] = starts[:, 1:]
        rewards = self._normalize_reward(self.rewards[steps, columns], env)
        returns = n_step_returns(rewards, ends | terminal, self.n_steps, self.gamma)
        flat = np.arange(steps.size).reshape(steps.shape)
        places = follows.step.shape[1]
        after = np.take_along_axis(follows.after, returns.last, axis=1) + places * np.arange(len(steps))[:, None]
        columns_of_samples = (
            self.actions[steps, columns].reshape(steps.size, -1),
            np.take_along_axis(terminal, returns.last, axis=1).reshape(-1, 1).astype(np.float32),
            returns.rewards.reshape(-1, 1),
            returns.discounts.reshape(-1, 1),
        )
        actions, dones, rewards_, discounts = map(self.to_torch, columns_of_samples)
        return ReplayBufferSamples(
            observations=ReplayBatch(burn_in, now, self.to_torch(flat.ravel())),  # type: ignore[arg-type]
            actions=actions,
            next_observations=ReplayBatch(burn_in, then, self.to_torch(after.ravel())),  # type: ignore[arg-type]
            dones=dones,
            rewards=rewards_,
            discounts=discounts,
        )

    def consecutive_windows(self, count: int, env: VecNormalize | None = None) -> tuple[SequenceBatch, Any] | None:
        """
        :param count: how many at most
        :param env: normalises observations
        :return: ``sequence_length`` steps from window starts on, with the states before them, and the states that were
            stored after them; spread over time and environments, without those after which an episode starts. None
            where there are none, or states are not stored
        """
        # After its last step, the state is stored only when the next one begins.
        per_env = (self.size() - self._first_step - 1) // self.sequence_length
        if not self.stored_state or per_env < 1:
            return None
        chosen = np.unique(np.linspace(0, per_env - 1, count).round().astype(np.int64))
        columns = (np.arange(len(chosen)) % self.n_envs)[:, None]
        steps = self._ring(chosen, self.sequence_length)
        after = (steps[:, -1] + 1) % self.buffer_size
        # Nothing reads the state before an episode's start, and where collecting was interrupted it is another one.
        goes_on = ~self.episode_starts[after, columns[:, 0]]
        if not goes_on.any():
            return None
        steps, columns, after = steps[goes_on], columns[goes_on], after[goes_on]
        batch = self._steps_batch(steps, columns, env)
        return batch._replace(states=self._states_at(steps[:, 0], columns)), self._states_at(after, columns)

    def _ring(self, numbers: np.ndarray, length: int) -> np.ndarray:
        """Rows of the ring that hold windows, counted from the oldest of an environment, (windows, length)."""
        oldest = self.pos if self.full else 0
        first = oldest + self._first_step + numbers * self.sequence_length
        rows: np.ndarray = (first[:, None] + np.arange(length)) % self.buffer_size
        return rows

    def _steps(self, windows: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (windows, length) and environments (windows, 1) of windows."""
        columns, numbers = np.divmod(windows, self.windows_per_env)
        return self._ring(numbers, length), columns[:, None]

    def _states_before(self, windows: np.ndarray) -> Any:
        rows, columns = self._steps(windows, 1)
        return self._states_at(rows[:, 0], columns)

    def _states_at(self, rows: np.ndarray, columns: np.ndarray) -> Any:
        if not self.stored_state:
            return None
        index = th.as_tensor(rows // self.sequence_length), th.as_tensor(columns[:, 0])
        return tree_to(tree_map(lambda leaf: leaf[index], self._states), self.device)

    def _choices_of(self, rows: np.ndarray, columns: np.ndarray, made: np.ndarray | None = None) -> Any:
        def read(leaf: th.Tensor) -> th.Tensor:
            chosen = leaf[th.as_tensor(rows), th.as_tensor(columns)]
            return chosen if made is None else chosen * th.as_tensor(made)

        return tree_to(tree_map(read, self._choices), self.device)

    def _steps_batch(self, rows: np.ndarray, columns: np.ndarray, env: VecNormalize | None) -> SequenceBatch:
        """Windows of steps as they were, without states."""
        starts = self.to_torch(self.episode_starts[rows, columns])
        return SequenceBatch(self._read(rows, columns, env), starts, (), self._choices_of(rows, columns))

    def _read(
        self, rows: np.ndarray, columns: np.ndarray, env: VecNormalize | None, is_next: np.ndarray | None = None
    ) -> Any:
        """Observations, (windows * length, ...); where ``is_next``, those after the step."""
        obs = self._normalize_obs(_gather(self.observations, self.next_observations, rows, columns, is_next), env)
        return self.to_torch(obs)  # type: ignore[arg-type]


class SequenceDictReplayBuffer(SequenceReplayBuffer, DictReplayBuffer):
    """:class:`SequenceReplayBuffer` for dictionary observations."""

    def _read(
        self, rows: np.ndarray, columns: np.ndarray, env: VecNormalize | None, is_next: np.ndarray | None = None
    ) -> Any:
        obs = self._normalize_obs(
            {
                key: _gather(self.observations[key], self.next_observations[key], rows, columns, is_next)
                for key in self.observations
            },
            env,
        )
        assert isinstance(obs, dict)
        return {key: self.to_torch(part) for key, part in obs.items()}


def _gather(
    now: np.ndarray, then: np.ndarray, rows: np.ndarray, columns: np.ndarray, is_next: np.ndarray | None
) -> np.ndarray:
    obs: np.ndarray = now[rows, columns]
    if is_next is not None:
        windows = is_next.nonzero()[0]
        obs[is_next] = then[rows[is_next], columns[windows, 0]]
    return obs.reshape(rows.size, *obs.shape[2:])


def least_windows(burn_in: int, sequence_length: int) -> int:
    """
    :param burn_in: steps before a window from which nothing is learned
    :param sequence_length: steps of a window
    :return: how many windows of an environment a buffer must have room for, so that there are always some to replay
    """
    return -(-burn_in // sequence_length) + 2


def _shelf(tree: Any, length: int) -> Any:
    """Room for so many trees, in main memory, of which nothing is taken before it is written."""
    return tree_map(lambda leaf: th.from_numpy(np.zeros((length, *leaf.shape), leaf.cpu().numpy().dtype)), tree)


def _put(shelf: Any, place: int, tree: Any) -> None:
    for kept, leaf in zip(tree_leaves(shelf), tree_leaves(tree), strict=True):
        kept[place].copy_(leaf)
