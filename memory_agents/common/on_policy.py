"""On-policy learning with memory: the part that all algorithms share."""

from __future__ import annotations

from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.common.actions import env_actions
from memory_agents.common.buffers import SequenceDictRolloutBuffer, SequenceRolloutBuffer
from memory_agents.common.judger_training import JudgerTraining, learned_judges
from memory_agents.common.observations import readable
from memory_agents.common.policies import MemoryActorCriticPolicy, PolicyState
from memory_agents.common.presets import MEMORY_POLICIES
from memory_agents.common.rewards import check_rewards
from memory_agents.common.rollout_steps import RolloutSteps, on_cpu
from memory_agents.common.sequences import check_sequence_length, rollout_sizes
from memory_agents.common.stock import check_policy_class, check_policy_kwargs, check_policy_name
from memory_agents.common.value_networks import MemoryValuePolicy
from memory_agents.memory import batch_size, tree_select
from memory_agents.nn.arguments import check_flags, check_integers, check_known, keywords
from memory_agents.nn.gpu_kernels import unplanned_attention
from memory_agents.nn.heap import keep_heap


class MemoryOnPolicyAlgorithm(OnPolicyAlgorithm):
    """
    Goes before an on-policy algorithm of Stable-Baselines3 among the bases of a class and gives it a memory: collection
    carries the state, windows reach its inherited ``train()``.

    :param policy: name of a policy with memory, or a class derived from
        :class:`~memory_agents.common.MemoryActorCriticPolicy`
    :param env: environment, vectorised environment or registered id
    :param n_steps: steps per environment and rollout (default: what gives :attr:`rollout_size` transitions, at least
        :attr:`shortest_rollout`)
    :param sequence_length: steps per training window, over which gradients flow; a divisor of ``n_steps`` (default:
        ``n_steps`` up to 256, else its largest divisor up to 128; where ``batch_size`` is given, a divisor of it, too)
    :param refresh_states: recompute the states at window starts with the newest parameters before every pass over the
        rollout but the first
    :param judger_kwargs: how a learned judger of the memory is trained, see
        :class:`~memory_agents.common.judger_training.JudgerTraining`
    :param policy_kwargs: arguments of the policy; not changed
    :param kwargs: arguments of the algorithm. A ``batch_size`` of ``None`` becomes a quarter of the rollout, or the
        nearest size that divides it into whole windows
    :raises TypeError: when the policy has no memory, the rollout buffer keeps none, or ``judger_kwargs`` has an
        argument that is not known
    :raises ValueError: when the policy's name is not known, ``n_epochs`` is below 1, or ``n_steps``, ``batch_size`` and
        ``sequence_length`` do not fit together
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {**MEMORY_POLICIES}
    #: Rollout buffers for plain and for dictionary observations.
    buffer_classes: ClassVar[tuple[type[SequenceRolloutBuffer], type[SequenceRolloutBuffer]]] = (
        SequenceRolloutBuffer,
        SequenceDictRolloutBuffer,
    )
    #: Default size of a rollout over all environments, in transitions.
    rollout_size: ClassVar[int] = 2048
    #: The fewest steps per environment that a rollout has by default.
    shortest_rollout: ClassVar[int] = 128

    policy: MemoryActorCriticPolicy
    rollout_buffer: SequenceRolloutBuffer
    sequence_length: int
    refresh_states: bool
    judger_kwargs: dict[str, Any] | None = None
    judger_training: JudgerTraining | None = None
    _memory_state: PolicyState | None = None
    _steps: RolloutSteps | None = None
    #: environment steps of all calls of ``learn()``, each of which may count from 0
    _collected = 0

    def __init__(
        self,
        policy: str | type[MemoryActorCriticPolicy],
        env: GymEnv | str,
        *,
        n_steps: int | None = None,
        sequence_length: int | None = None,
        refresh_states: bool = False,
        judger_kwargs: dict[str, Any] | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_policy_name(type(self), policy)
        check_policy_kwargs(policy_kwargs, kwargs)
        makers = (vars(cls)["__init__"] for cls in type(self).__mro__ if "__init__" in vars(cls))
        if "batch_size" in kwargs and not any("batch_size" in signature(maker).parameters for maker in makers):
            raise TypeError(f"{type(self).__name__} has no batch_size, it learns from whole rollouts; leave it out")
        sizes = rollout_sizes(
            env.num_envs if isinstance(env, VecEnv) else 1,
            n_steps,
            sequence_length,
            kwargs.get("batch_size"),
            rollout_size=self.rollout_size,
            shortest=self.shortest_rollout,
        )
        if "batch_size" in kwargs:
            kwargs["batch_size"] = sizes.batch_size
        self.sequence_length = sizes.sequence_length
        self.refresh_states = refresh_states
        self.judger_kwargs = judger_kwargs
        super().__init__(policy, env, n_steps=sizes.n_steps, policy_kwargs=dict(policy_kwargs or {}), **kwargs)

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        env = readable(env)
        if isinstance(env.action_space, spaces.MultiDiscrete) and len(env.action_space.shape) != 1:
            raise ValueError(
                f"env has actions in {env.action_space}, of which one dimension only can be chosen; reshape them, "
                "for example with TransformAction of Gymnasium"
            )
        return OnPolicyAlgorithm._wrap_env(env, verbose, monitor_wrapper)

    def _setup_model(self) -> None:
        keep_heap()
        check_policy_class(
            type(self), self.policy_class, MemoryActorCriticPolicy, (MemoryActorCriticPolicy, MemoryValuePolicy)
        )
        # Agents that are loaded may be given other values than those that the constructor has seen.
        sizes = {name: getattr(self, name) for name in ("batch_size", "n_steps") if hasattr(self, name)}
        if hasattr(self, "n_epochs"):
            check_integers(n_epochs=self.n_epochs)
        check_sequence_length(self.sequence_length, **sizes)
        check_flags(refresh_states=self.refresh_states)
        buffer_class = self.buffer_classes[isinstance(self.observation_space, spaces.Dict)]
        if self.rollout_buffer_class is None:
            self.rollout_buffer_class = buffer_class
        elif not issubclass(self.rollout_buffer_class, buffer_class):
            raise TypeError(
                f"rollout_buffer_class={self.rollout_buffer_class.__name__} keeps no memory states; "
                f"use a subclass of {buffer_class.__name__}"
            )
        given = self.rollout_buffer_kwargs
        if given.get("sequence_length", self.sequence_length) != self.sequence_length:
            raise ValueError(
                f"rollout_buffer_kwargs has sequence_length={given['sequence_length']!r}, but the buffer gets "
                f"sequence_length={self.sequence_length!r}; pass it to {type(self).__name__} itself"
            )
        self.rollout_buffer_kwargs = {**given, "sequence_length": self.sequence_length}
        super()._setup_model()
        self.rollout_buffer_kwargs = given
        if self.judger_kwargs is not None or learned_judges(self.policy):
            options = self.judger_kwargs or {}
            check_known("judger_kwargs", options, JudgerTraining.__name__, keywords(JudgerTraining))
            self.judger_training = JudgerTraining(self.policy, self.gamma, **options)

    def _excluded_save_params(self) -> list[str]:
        # Memory belongs to episodes in progress, and those end with the process: a loaded agent begins new ones, also
        # with ``force_reset=False``.
        mine = ["_memory_state", "_last_obs", "_last_episode_starts", "judger_training", "_steps"]
        return [*super()._excluded_save_params(), *mine]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, tensors = super()._get_torch_save_params()
        if self.judger_training is not None:
            saved = ("optimizer", *(f"source.{name}" for name in self.judger_training.source.saved))
            state_dicts = [*state_dicts, *(f"judger_training.{name}" for name in saved)]
        return state_dicts, tensors

    def _update_learning_rate(self, optimizers: list[th.optim.Optimizer] | th.optim.Optimizer) -> None:
        super()._update_learning_rate(optimizers)
        training = self.judger_training
        if training is not None and not training.warming_up:
            for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
                for group in optimizer.param_groups:
                    group["lr"] *= training.policy_lr_scale

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        Collect a rollout, as in Stable-Baselines3, carrying the memory from step to step and from rollout to rollout.

        :param env: training environments
        :param callback: called at every step
        :param rollout_buffer: filled with the rollout
        :param n_rollout_steps: steps per environment
        :return: whether the callback let it run to its end
        :raises ValueError: when a reward is not finite
        """
        try:
            finished = self._collect(env, callback, rollout_buffer, n_rollout_steps)
        except BaseException:
            # Memory, observation and environment may be of different steps: begin anew next time.
            self._last_obs = None
            raise
        if not finished and self.judger_training is not None:
            self.judger_training.source.break_off()
        return finished

    def _collect(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """:meth:`collect_rollouts`, whose interruptions nobody has looked after."""
        assert isinstance(rollout_buffer, SequenceRolloutBuffer)
        assert self._last_obs is not None, "No previous observation was provided"
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        if self.judger_training is not None:
            self.judger_training.begin_rollout(self._collected)
        if self.use_sde:
            self.policy.reset_noise(env.num_envs)
        state = self._memory_state
        if state is None or batch_size(state) != env.num_envs:
            state = self.policy.initial_state(env.num_envs)
        if self._steps is None or self._steps.policy is not self.policy:
            self._steps = RolloutSteps(self.policy)
        steps = self._steps
        # The parameters have changed since the caches of the state were computed.
        steps.begin(state)
        callback.on_rollout_start()

        for n_steps in range(n_rollout_steps):
            if self.use_sde and self.sde_sample_freq > 0 and n_steps % self.sde_sample_freq == 0:
                self.policy.reset_noise(env.num_envs)
            if rollout_buffer.at_window_start:
                rollout_buffer.store_states(self.policy.pack_state(steps.state))

            masks = self._masks(env)
            with th.no_grad():
                obs_tensor = obs_as_tensor(self._last_obs, self.device)  # type: ignore[arg-type]
                episode_starts = self._starts(self._last_episode_starts)
                actions, values, log_probs = on_cpu(steps(obs_tensor, episode_starts, masks))
            state = steps.state
            clipped_actions = env_actions(self.policy, actions)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            check_rewards(rewards)
            rewards = rewards.astype(np.float32)
            self._memory_state = state
            self.num_timesteps += env.num_envs
            self._collected += env.num_envs

            callback.update_locals(locals())
            if not callback.on_step():
                # The observation and the memory that has seen the one before it stay together.
                self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
                return False

            self._update_info_buffer(infos, dones)
            paid = rewards.copy()
            self._bootstrap_truncated(rewards, dones, infos, state)
            rollout_buffer.bootstraps[rollout_buffer.pos] = rewards - paid
            rollout_buffer.add(
                self._last_obs,  # type: ignore[arg-type]
                actions,
                rewards,
                self._last_episode_starts,  # type: ignore[arg-type]
                values,
                log_probs,
                **masks,
            )
            rollout_buffer.store_choices(self.policy.choices(state))
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones

        with th.no_grad():
            obs_tensor = obs_as_tensor(new_obs, self.device)  # type: ignore[arg-type]
            last_values = self.policy.predict_values(obs_tensor, state, self._starts(dones))
        rollout_buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _masks(self, env: VecEnv) -> dict[str, np.ndarray]:
        """What the policy and the buffer are told of the next step beside the observation."""
        return {}

    def _starts(self, episode_starts: Any) -> th.Tensor:
        return th.as_tensor(np.asarray(episode_starts, dtype=bool), device=self.device)

    def _bootstrap_truncated(
        self, rewards: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]], state: PolicyState
    ) -> None:
        """Add the value of the last observation of cut episodes, as seen with the memory those episodes have now."""
        cut = [
            index
            for index in np.flatnonzero(dones)
            if infos[index].get("TimeLimit.truncated", False) and infos[index].get("terminal_observation") is not None
        ]
        if not cut:
            return
        last = [infos[index]["terminal_observation"] for index in cut]
        stacked = (
            {key: np.stack([obs[key] for obs in last]) for key in last[0]}
            if isinstance(last[0], dict)
            else np.stack(last)
        )
        with th.no_grad():
            obs = self.policy.obs_to_tensor(stacked)[0]
            memory = tree_select(state, th.as_tensor(cut, device=self.device))
            values = self.policy.predict_values(obs, memory, self._starts(np.zeros(len(cut))))
        rewards[cut] += self.gamma * values.flatten().cpu().numpy()

    @unplanned_attention()
    def train(self) -> None:
        """Learn from the rollout with the inherited algorithm, and log how well its windows agree with acting."""
        self.rollout_buffer.replay = self.policy.replay if self.refresh_states else None
        self.logger.record("memory/first_ratio_error", self._first_ratio_error())
        self.policy.memory_loss.take()
        super().train()
        self.policy.set_training_mode(False)
        loss = self.policy.memory_loss.take()
        if loss is not None:
            self.logger.record("memory/compression_loss", loss)
        if self.rollout_buffer.windows_per_env > 1:
            self.logger.record("memory/state_drift", self.rollout_buffer.state_drift(self.policy.replay))
        if self.judger_training is not None:
            for name, value in self.judger_training.train(self.rollout_buffer).items():
                self.logger.record(f"judger/{name}", value)
        self.logger.record("memory/state_bytes_per_transition", self.rollout_buffer.state_bytes_per_transition)

    @th.no_grad()
    def _first_ratio_error(self) -> float:
        """Largest |ratio - 1| between learning and acting before the first gradient step, in up to 2 environments."""
        buffer = self.rollout_buffer
        first = np.arange(min(buffer.n_envs, 2)) * buffer.windows_per_env
        # The first window tells of memory that other parameters made, the last one of memory carried on since then.
        samples = buffer.sample_windows(np.unique([first, first + buffer.windows_per_env - 1]))
        self.policy.set_training_mode(False)
        actions = (
            samples.actions.long().flatten() if isinstance(self.action_space, spaces.Discrete) else samples.actions
        )
        masks = getattr(samples, "action_masks", None)
        _, log_prob, _ = self.policy.evaluate_actions(samples.observations, actions, masks)
        return float((th.exp(log_prob - samples.old_log_prob) - 1).abs().max())
