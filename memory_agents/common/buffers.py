"""Rollout buffers that yield windows of consecutive steps and keep memory states only at the windows' starts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableRolloutBuffer
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer

from memory_agents.common.sequences import SequenceBatch, check_sequence_length
from memory_agents.memory import tree_bytes, tree_clone, tree_drift, tree_leaves, tree_map, tree_select

#: Share of the free memory of a device that the observations of a rollout may take there.
LARGEST_SHARE = 0.25

#: Maps windows to the states after them.
Replay = Callable[[SequenceBatch], Any]


class SequenceRolloutBuffer(RolloutBuffer):
    """
    Stable-Baselines3's rollout buffer, cut into windows of ``sequence_length`` steps of one environment's time line.
    Episodes may start anywhere inside a window, so there is no padding: every yielded transition is real.

    A minibatch is what the inherited ``train()`` methods expect, except that its ``observations`` are a
    :class:`~memory_agents.common.sequences.SequenceBatch`.

    :param buffer_size: steps per environment
    :param observation_space: observation space
    :param action_space: action space
    :param device: where minibatches go
    :param gae_lambda: factor of generalised advantage estimation
    :param gamma: discount factor
    :param n_envs: number of environments
    :param sequence_length: steps per window, a divisor of ``buffer_size``
    :raises ValueError: when ``buffer_size`` is not a multiple of ``sequence_length``
    """

    #: What has an entry for each transition, beside observations.
    per_transition: ClassVar[tuple[str, ...]] = (
        "actions",
        "values",
        "log_probs",
        "advantages",
        "returns",
        "episode_starts",
    )

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        gae_lambda: float = 1,
        gamma: float = 0.99,
        n_envs: int = 1,
        *,
        sequence_length: int,
    ) -> None:
        check_sequence_length(sequence_length, buffer_size=buffer_size)
        self.sequence_length = sequence_length
        self.windows_per_env = buffer_size // sequence_length
        #: Set to yield only one of so many windows where all transitions are asked for at once.
        self.one_window_of = 1
        #: Set to recompute stored states before every epoch but the first.
        self.replay: Replay | None = None
        self._collected: list[Any] = []
        self._window_states: Any = ()
        self._chosen: list[Any] = []
        self._window_choices: Any = ()
        self._epochs = 0
        self._on_device: Any = None
        super().__init__(buffer_size, observation_space, action_space, device, gae_lambda, gamma, n_envs)

    def reset(self) -> None:
        #: what rewards hold that the environment did not pay: the value of what follows where an episode was cut,
        #: (buffer_size, n_envs)
        self.bootstraps = np.zeros((self.buffer_size, self.n_envs), dtype=np.float32)
        #: whether episodes ended with the last step, (n_envs,)
        self.last_dones = np.zeros(self.n_envs, dtype=np.float32)
        self._collected = []
        self._window_states = ()
        self._chosen = []
        self._window_choices = ()
        self._epochs = 0
        self._on_device = None
        super().reset()

    def compute_returns_and_advantage(self, last_values: th.Tensor, dones: np.ndarray) -> None:
        """
        Compute what the parent does, and keep where episodes ended with the last step.

        :param last_values: values of the observations after it, (n_envs, 1)
        :param dones: whether episodes ended with it, (n_envs,)
        """
        super().compute_returns_and_advantage(last_values, dones)
        self.last_dones = np.asarray(dones, dtype=np.float32)

    @property
    def at_window_start(self) -> bool:
        """Whether the next transition begins a window, so that :meth:`store_states` is due."""
        return self.pos % self.sequence_length == 0

    def store_states(self, states: Any) -> None:
        """
        :param states: packed states of all environments before the next transition; copied
        """
        self._collected.append(tree_clone(states))

    def store_choices(self, choices: Any) -> None:
        """
        :param choices: what the memories of all environments themselves chose at the last transition; copied
        """
        self._chosen.append(tree_clone(choices))

    @property
    def choices(self) -> Any:
        """What the memories themselves chose, of all windows, (windows, length) each."""
        self._prepare()
        return self._window_choices

    @property
    def state_bytes_per_transition(self) -> float:
        """Bytes held for memory states, for each transition held."""
        return tree_bytes((*self._collected, self._window_states)) / max(1, self.pos * self.n_envs)

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """
        One epoch: every window once, in random order.

        :param batch_size: transitions per minibatch, a multiple of ``sequence_length``; ``None`` for all at once, or
            one window of :attr:`one_window_of`
        :return: minibatches of whole windows
        """
        if self.replay is not None and self._epochs > 0:
            self.refresh_states(self.replay)
        self._epochs += 1
        n_windows = self.n_envs * self.windows_per_env
        order = np.random.permutation(n_windows)
        if batch_size is None:
            yield self.sample_windows(order[:: self.one_window_of])
            return
        windows = batch_size // self.sequence_length
        for start in range(0, n_windows, windows):
            yield self.sample_windows(order[start : start + windows])

    def sample_windows(self, windows: np.ndarray) -> Any:
        """
        :param windows: numbers of windows, the windows of the first environment coming first
        :return: their transitions, window after window
        """
        self._prepare()
        inds = (windows[:, None] * self.sequence_length + np.arange(self.sequence_length)).ravel()
        if self._on_device is None:
            samples = self._get_samples(inds)
        else:
            samples = tree_select(self._on_device, th.as_tensor(inds, device=self.device))
        episode_starts = self.to_torch(self.episode_starts[inds].reshape(-1, self.sequence_length) > 0.5)
        # The state of window w of environment i is entry i of the w-th stored batch of states.
        index = th.as_tensor(windows, device=episode_starts.device)
        states, choices = tree_select(self._window_states, index), tree_select(self._window_choices, index)
        batch = SequenceBatch(samples.observations, episode_starts, states, choices)
        # Only Stable-Baselines3's own buffer has made them floats, which binary choices have to be.
        return samples._replace(observations=batch, actions=samples.actions.float())  # type: ignore[arg-type]

    def _prepare(self) -> None:
        """Bring everything into the order of the windows, once per rollout."""
        if self.generator_ready:
            return
        assert self.full, "the rollout is not complete yet"
        for name in self.per_transition:
            setattr(self, name, self.swap_and_flatten(getattr(self, name)))
        self._flatten_observations()
        self._window_states = tree_map(lambda *leaves: th.stack(leaves, dim=1).flatten(0, 1), *self._collected)
        self._collected = []
        if self._chosen:
            by_env = tree_map(lambda *leaves: th.stack(leaves, dim=1), *self._chosen)
            self._window_choices = tree_map(lambda leaf: leaf.view(-1, self.sequence_length), by_env)
            self._chosen = []
        if self._fits_on_device():
            self._on_device = self._get_samples(np.arange(self.buffer_size * self.n_envs))
        self.generator_ready = True

    def _fits_on_device(self) -> bool:
        """Whether the rollout shall be copied to the device as a whole, once, in place of minibatch after minibatch."""
        if self.device.type != "cuda":
            return False
        observations = self.observations.values() if isinstance(self.observations, dict) else [self.observations]
        needed = sum(array.nbytes for array in observations)
        return needed < th.cuda.mem_get_info(self.device)[0] * LARGEST_SHARE

    def _flatten_observations(self) -> None:
        self.observations = self.swap_and_flatten(self.observations)

    def refresh_states(self, replay: Replay) -> None:
        """
        Recompute the states of all windows but the first of each environment, with the present parameters.

        :param replay: gives the packed states after windows
        """
        self._prepare()
        for window in range(self.windows_per_env - 1):
            ids = np.arange(self.n_envs) * self.windows_per_env + window
            after = replay(self.sample_windows(ids).observations)
            for stored, new in zip(tree_leaves(self._window_states), tree_leaves(after), strict=True):
                stored.index_copy_(0, th.as_tensor(ids + 1, device=stored.device), new)

    def state_drift(self, replay: Replay) -> float:
        """
        How far the stored states are from what the present parameters would make of the same past, read off the second
        window of each environment.

        :param replay: gives the packed states after windows
        :return: norm of the difference relative to the norm of the state; 0 where environments have one window only
        """
        if self.windows_per_env == 1:
            return 0.0
        self._prepare()
        first = np.arange(self.n_envs) * self.windows_per_env
        after = replay(self.sample_windows(first).observations)
        stored = tree_select(self._window_states, th.as_tensor(first + 1, device=self.device))
        return tree_drift(after, stored)


class SequenceDictRolloutBuffer(SequenceRolloutBuffer, DictRolloutBuffer):
    """:class:`SequenceRolloutBuffer` for dictionary observations."""

    def _flatten_observations(self) -> None:
        self.observations = {key: self.swap_and_flatten(obs) for key, obs in self.observations.items()}


class MaskableSequenceRolloutBuffer(SequenceRolloutBuffer, MaskableRolloutBuffer):
    """:class:`SequenceRolloutBuffer` that also keeps which actions were valid, as sb3-contrib's does."""

    per_transition: ClassVar[tuple[str, ...]] = (*SequenceRolloutBuffer.per_transition, "action_masks")


class MaskableSequenceDictRolloutBuffer(SequenceDictRolloutBuffer, MaskableDictRolloutBuffer):
    """:class:`MaskableSequenceRolloutBuffer` for dictionary observations."""

    per_transition: ClassVar[tuple[str, ...]] = MaskableSequenceRolloutBuffer.per_transition
