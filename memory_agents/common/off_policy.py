"""Off-policy learning with memory: the part that all algorithms share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, RolloutReturn, Schedule, TrainFreq
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.common.collecting import collecting
from memory_agents.common.defaults import DEFAULT_REPLAY_WINDOWS, default_train_freq
from memory_agents.common.observations import check_replayable, original_next_observations, readable
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.replay_buffers import SequenceDictReplayBuffer, SequenceReplayBuffer, least_windows
from memory_agents.common.rewards import check_rewards
from memory_agents.common.sequences import check_sequence_length
from memory_agents.common.stock import check_policy_class, check_policy_kwargs, check_policy_name
from memory_agents.common.value_networks import MemoryValuePolicy
from memory_agents.memory import batch_size as tree_batch_size
from memory_agents.memory import tree_drift
from memory_agents.nn.arguments import check_flags
from memory_agents.nn.gpu_kernels import unplanned_attention
from memory_agents.nn.heap import keep_heap

#: How many windows the drift of stored states is read off, and after how many gradient steps anew.
DRIFT_WINDOWS = 4
DRIFT_INTERVAL = 50


class MemoryOffPolicyAlgorithm(OffPolicyAlgorithm):
    """
    Goes before an off-policy algorithm of Stable-Baselines3 or sb3-contrib with discrete actions among the bases of a
    class and gives it a memory: collection carries the state, windows reach its inherited ``train()``.

    :param policy: name or class of a policy with memory
    :param env: environment, vectorised environment or registered id
    :param learning_rate: learning rate or schedule
    :param buffer_size: transitions that are replayed, over all environments
    :param learning_starts: transitions before learning starts; there must be a whole window by then, too
    :param batch_size: transitions per gradient step, a multiple of ``sequence_length`` (default: 8 windows)
    :param train_freq: steps of every environment between two updates (default: what gives 32 transitions)
    :param target_update_interval: transitions between two updates of the target network
    :param exploration_fraction: part of the training over which exploration falls
    :param double_q: the learning network picks the next actions, the target network says what they are worth
    :param sequence_length: steps of a window that are learned from, over which gradients flow
    :param burn_in: steps before them that bring the memories of both networks up to date, without gradients
    :param stored_state: whether memories begin a window with the state that acting had there; otherwise empty
    :param n_steps: rewards that a return sums before it bootstraps, see
        :class:`~memory_agents.common.SequenceReplayBuffer`
    :param policy_kwargs: arguments of the policy; not changed
    :param replay_buffer_class: a subclass of :class:`~memory_agents.common.SequenceReplayBuffer`
    :param replay_buffer_kwargs: further arguments of it
    :param kwargs: further arguments of the parent
    """

    policy: MemoryValuePolicy
    replay_buffer: SequenceReplayBuffer
    _memory_state: Any = None
    _collecting: Callable[[], AbstractContextManager[None]]

    def __init__(
        self,
        policy: str | type[MemoryValuePolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 5e-4,
        buffer_size: int = 100_000,
        learning_starts: int = 2_000,
        batch_size: int | None = None,
        *,
        train_freq: int | tuple[int, str] | None = None,
        target_update_interval: int = 1_000,
        exploration_fraction: float = 0.2,
        double_q: bool = True,
        sequence_length: int = 64,
        burn_in: int = 32,
        stored_state: bool = True,
        n_steps: int = 1,
        policy_kwargs: dict[str, Any] | None = None,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        check_policy_name(type(self), policy)
        check_policy_kwargs(policy_kwargs, kwargs)
        check_sequence_length(sequence_length)
        check_flags(double_q=double_q)
        n_envs = env.num_envs if isinstance(env, VecEnv) else 1
        self.double_q = double_q
        self.sequence_length = sequence_length
        self.burn_in = burn_in
        self.stored_state = stored_state
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=DEFAULT_REPLAY_WINDOWS * sequence_length if batch_size is None else batch_size,
            train_freq=default_train_freq(n_envs) if train_freq is None else train_freq,
            n_steps=n_steps,
            target_update_interval=target_update_interval,  # type: ignore[call-arg]
            exploration_fraction=exploration_fraction,
            # QRDQN adds to them.
            policy_kwargs=dict(policy_kwargs or {}),
            _init_setup_model=_init_setup_model,
            **kwargs,
        )

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        env = readable(env)
        if not isinstance(env.action_space, spaces.Discrete):
            mend = (
                "use memory_agents.PPO for these"
                if isinstance(env.action_space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary)
                else "put a wrapper around it that makes them one"
            )
            raise ValueError(
                f"env has actions in {env.action_space}, but values of every action need a Discrete space; {mend}"
            )
        env = OffPolicyAlgorithm._wrap_env(env, verbose, monitor_wrapper)
        check_replayable(env)
        return env

    def _setup_model(self) -> None:
        keep_heap()
        check_policy_class(
            type(self),
            self.policy_class,
            self.policy_aliases["MemoryPolicy"],
            (MemoryActorCriticPolicy, MemoryValuePolicy),
        )
        check_sequence_length(self.sequence_length, batch_size=self.batch_size)
        if self.replay_buffer_class is None:
            is_dict = isinstance(self.observation_space, spaces.Dict)
            self.replay_buffer_class = SequenceDictReplayBuffer if is_dict else SequenceReplayBuffer
        elif not issubclass(self.replay_buffer_class, SequenceReplayBuffer):
            raise TypeError(
                f"replay_buffer_class={self.replay_buffer_class.__name__} keeps no memory states; "
                "use a subclass of SequenceReplayBuffer"
            )
        mine = {
            name: getattr(self, name) for name in ("sequence_length", "burn_in", "stored_state", "n_steps", "gamma")
        }
        given = self.replay_buffer_kwargs
        for name, value in mine.items():
            if given.get(name, value) != value:
                raise ValueError(
                    f"replay_buffer_kwargs has {name}={given[name]!r}, but the buffer gets {name}={value!r}; "
                    f"pass {name} to {type(self).__name__} itself"
                )
        # The parent warns that buffers other than its own do not sum rewards; this one does.
        n_steps, self.n_steps = self.n_steps, 1
        self.replay_buffer_kwargs = {**given, **mine}
        super()._setup_model()
        self.n_steps, self.replay_buffer_kwargs = n_steps, given
        if self.policy.network.memory.judge_parameters():
            raise ValueError(
                "policy_kwargs asks for a judger that learns, which takes rollouts of the present policy; "
                "use memory_agents.PPO, or judger='keep', 'discard', 'oracle' or dict(kind='random')"
            )

    def _excluded_save_params(self) -> list[str]:
        # Memory belongs to episodes in progress, and those end with the process: a loaded agent begins new ones, also
        # with ``force_reset=False``.
        mine = ["_memory_state", "_last_obs", "_last_original_obs", "_last_episode_starts", "_collecting"]
        return [*super()._excluded_save_params(), *mine]

    def load_replay_buffer(self, path: str | Path | BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """
        Replay from here on what was saved by ``save_replay_buffer``, of this agent or of one with an equal memory. It
        is read with this agent's ``burn_in``, ``n_steps`` and ``gamma``. The environments begin new episodes when
        learning goes on, since what is collected next does not follow from what was loaded.

        :param path: the file
        :param truncate_last_traj: not used
        :raises ValueError: when it was saved by an agent with another memory, other windows or other spaces, or in
            another number of environments, or is too short for ``burn_in``
        """
        before = self.replay_buffer
        super().load_replay_buffer(path, truncate_last_traj)
        try:
            self._check_replay_buffer(self.replay_buffer)
        except ValueError:
            self.replay_buffer = before
            raise
        self._last_obs = None

    def _check_replay_buffer(self, buffer: ReplayBuffer) -> None:
        if not isinstance(buffer, SequenceReplayBuffer):
            raise ValueError(f"path holds a {type(buffer).__name__}, which keeps no memory states; collect anew")
        for name in ("sequence_length", "stored_state", "n_envs"):
            mine, theirs = getattr(self, name), getattr(buffer, name)
            if mine != theirs:
                mend = f"give it {theirs} environments" if name == "n_envs" else f"make it with {name}={theirs!r}"
                raise ValueError(
                    f"path holds transitions of an agent with {name}={theirs!r}, but this one has {name}={mine!r}; "
                    f"{mend}, or collect anew"
                )
        for name in ("observation_space", "action_space"):
            mine, theirs = getattr(self, name), getattr(buffer, name)
            if mine != theirs:
                raise ValueError(
                    f"path holds transitions of another {name}, {theirs}, than this agent's, {mine}; make the agent "
                    "with the same environment, or collect anew"
                )
        self._check_burn_in(buffer)
        if not buffer.holds_states_like(self.policy.pack_state(self.policy.initial_state(self.n_envs))):
            raise ValueError(
                "path holds states of another memory than this agent's; make it with the same memory_class and "
                "memory_kwargs, or collect anew"
            )

    def _check_burn_in(self, buffer: SequenceReplayBuffer) -> None:
        windows, least = buffer.buffer_size // self.sequence_length, least_windows(self.burn_in, self.sequence_length)
        if windows < least:
            raise ValueError(
                f"burn_in={self.burn_in} needs a replay buffer with room for {least} windows of "
                f"sequence_length={self.sequence_length} for each environment, but this one has room for {windows}; "
                f"use burn_in={(windows - 2) * self.sequence_length} or less, or collect anew into a larger one"
            )

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """
        Collect transitions, as in Stable-Baselines3, carrying the memory from step to step.

        :param env: training environments
        :param callback: called at every step
        :param train_freq: how much to collect
        :param replay_buffer: gets the transitions
        :param action_noise: not used with discrete actions
        :param learning_starts: transitions over which actions are random
        :param log_interval: log every so many episodes
        :return: what was collected
        :raises ValueError: when a reward is not finite
        """
        self.policy.set_training_mode(False)
        state = self._memory_state
        if state is None or tree_batch_size(state) != env.num_envs:
            state = self.policy.initial_state(env.num_envs)
        # The parameters have changed since the caches of the state were computed.
        self._memory_state = self.policy.unpack_state(state)
        self._collecting = collecting(self.policy, env.num_envs)
        try:
            rollout = super().collect_rollouts(
                env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval
            )
        except BaseException:
            # The memory has seen an observation that the environment has not answered: begin anew next time.
            self._last_obs = None
            raise
        if not rollout.continue_training:
            # The parent leaves out the transition at which the callback stopped, but memory has seen its observation.
            last = callback.locals
            self._store_transition(
                replay_buffer, last["buffer_actions"], last["new_obs"], last["rewards"], last["dones"], last["infos"]
            )
        return rollout

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        :param learning_starts: transitions over which actions are random
        :param action_noise: not used with discrete actions
        :param n_envs: number of environments
        :return: actions as the environments take them, and counted from zero, (n_envs,) each. Memory sees the
            observations whether they are random or not
        """
        buffer = self.replay_buffer
        if buffer.at_window_start:
            buffer.store_states(self.policy.pack_state(self._memory_state))
        with self._collecting():
            obs = obs_as_tensor(self._last_obs, self.device)  # type: ignore[arg-type]
            starts = th.as_tensor(np.asarray(self._last_episode_starts, dtype=bool), device=self.device)
            values, self._memory_state = self.policy.act(
                obs, self._memory_state, starts, deterministic=False, in_place=True
            )
        buffer.store_step(starts.cpu().numpy(), self.policy.choices(self._memory_state))
        first = int(self.action_space.start)  # type: ignore[attr-defined]
        rate = 1.0 if self.num_timesteps < learning_starts else self._exploration_rate()
        actions = self._explore(values.argmax(dim=1).cpu().numpy() + first, rate)
        return actions, actions - first

    def _exploration_rate(self) -> float:
        return float(self.exploration_rate)  # type: ignore[attr-defined]

    def _explore(self, actions: np.ndarray, rate: float) -> np.ndarray:
        """
        :param actions: greedy actions, (n_envs,)
        :param rate: probability of a random one, in each environment by itself
        :return: actions, (n_envs,)
        """
        random = np.random.rand(len(actions)) < rate
        return np.array([self.action_space.sample() if r else a for r, a in zip(random, actions, strict=True)])

    def _store_transition(
        self,
        replay_buffer: ReplayBuffer,
        buffer_action: np.ndarray,
        new_obs: np.ndarray | dict[str, np.ndarray],
        reward: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        check_rewards(reward)
        normalize = self._vec_normalize_env
        if normalize is None:
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
        else:
            original: Any = self._last_original_obs
            next_obs = original_next_observations(normalize, dones, infos)
            replay_buffer.add(original, next_obs, buffer_action, normalize.get_original_reward(), dones, infos)
            self._last_obs, self._last_original_obs = new_obs, normalize.get_original_obs()
        self._last_episode_starts = dones

    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """
        Act in one or many environments, with the present exploration unless ``deterministic``. Purely functional:
        neither ``state`` nor what a running training remembers changes.

        :param observation: one observation, or one per environment
        :param state: what the previous call returned; ``None`` before the first step
        :param episode_start: whether an episode starts at this step, one entry per environment (default: none starts)
        :param deterministic: greedy actions, without random ones
        :return: the action, or one per environment, and the state to pass to the next call, which has seen the
            observation also where the action is random
        """
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        if not deterministic:
            explored = self._explore(np.atleast_1d(actions), self._exploration_rate())
            actions = explored.reshape(np.shape(actions))
        return actions, state

    @unplanned_attention()
    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """
        Learn with the inherited algorithm as soon as there is a whole window, and log how the memory does.

        :param gradient_steps: number of updates
        :param batch_size: transitions for each
        """
        # They may have been set since the buffer was made, which may also be another one's that was loaded.
        for name in ("burn_in", "n_steps", "gamma"):
            setattr(self.replay_buffer, name, getattr(self, name))
        self._check_burn_in(self.replay_buffer)
        if self.replay_buffer.windows_per_env == 0:
            return
        network, updates = self.policy.network, self._n_updates
        self.policy.target_network.chosen_by(network if self.double_q else None)
        network.memory_loss.take()
        super().train(gradient_steps, batch_size)
        self.policy.set_training_mode(False)
        loss = network.memory_loss.take()
        if loss is not None:
            self.logger.record("memory/compression_loss", loss)
        if self.stored_state:
            self.logger.record("memory/state_bytes_per_transition", self.replay_buffer.state_bytes_per_transition)
            if updates == 0 or updates // DRIFT_INTERVAL != self._n_updates // DRIFT_INTERVAL:
                self.logger.record("memory/state_drift", self.state_drift())

    def state_drift(self) -> float:
        """
        How far stored states are from what the present parameters would make of the same past, read off a few windows
        that reach from one stored state to the next.

        :return: norm of the difference relative to the norm of the stored state; 0 while there is nothing to compare
        """
        windows = self.replay_buffer.consecutive_windows(DRIFT_WINDOWS, self._vec_normalize_env)
        if windows is None:
            return 0.0
        batch, stored = windows
        return tree_drift(self.policy.network.after(batch), stored)
