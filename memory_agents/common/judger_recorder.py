"""Playing episodes with a judged memory and writing down what it does, also while training."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, unwrap_vec_normalize

from memory_agents.common.judger_record import JudgerRecord
from memory_agents.common.observations import FlatDictObservation, is_nested
from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.common.sequences import SequenceBatch
from memory_agents.memory.compressive import Choice, CompressiveMemory, MemoryShape, Reading
from memory_agents.nn.arguments import check_integers


def judged_memory(policy: Any) -> CompressiveMemory | None:
    """
    :param policy: a policy, or an algorithm's policy that has no memory at all
    :return: the memory that its actions follow from, if that has a judge
    """
    memory = policy.memories[0] if isinstance(policy, MemoryActorCriticPolicy) else None
    return memory if isinstance(memory, CompressiveMemory) and memory.judge is not None else None


class EpisodeNotes:
    """
    An episode in progress of one environment.

    :param shape: sizes of the memories
    :param deterministic: whether actions and decisions are the likeliest
    :param info: the info of the reset, which tells about the first observation
    """

    def __init__(self, shape: MemoryShape, deterministic: bool, info: dict[str, Any]) -> None:
        self.shape, self.deterministic = shape, deterministic
        self._tells = "important" in info
        self._important = [bool(info.get("important", False))]
        self._steps: list[tuple[Any, ...]] = []
        self._readings: list[tuple[Any, ...]] = []

    def add(
        self, choice: Choice, env: int, reward: float, info: dict[str, Any], readings: Sequence[Reading] = ()
    ) -> None:
        """
        :param choice: what was chosen at the end of the step, in all environments
        :param env: which of them this is
        :param reward: the step's reward
        :param info: the step's info, which tells about its action and about the next observation
        :param readings: attention of the layers that have slots, in all environments
        """
        self._steps.append((*(part[env].item() for part in choice), float(reward), bool(info.get("asked", False))))
        self._important.append(bool(info.get("important", False)))
        if readings:
            slots, recent = ([part[env].cpu().numpy() for part in parts] for parts in _columns(readings))
            self._readings.append((slots, readings[0].slot_tokens[env].cpu().numpy(), recent))

    def record(self) -> JudgerRecord:
        """
        :return: the episode up to now
        """
        steps, n, m = len(self._steps), self.shape.compressed_length, self.shape.memory_length
        keep, judged, log_prob, distance, rewards, asked = zip(*self._steps, strict=True) if steps else 6 * ((),)
        empty = (np.zeros((steps, 0, n)), np.zeros((steps, 0)), np.zeros((steps, 0, m + 1)))
        slots, tokens, recent = zip(*self._readings, strict=True) if self._readings else empty
        return JudgerRecord(
            shape=self.shape,
            deterministic=self.deterministic,
            tells_importance=self._tells,
            keep=np.array(keep, np.bool_),
            judged=np.array(judged, np.bool_),
            log_prob=np.array(log_prob, np.float32),
            reading_distance=np.array(distance, np.int64),
            rewards=np.array(rewards, np.float32),
            important=np.array(self._important[:steps], np.bool_),
            asked=np.array(asked, np.bool_),
            slot_attention=np.array(slots, np.float32),
            slot_tokens=np.array(tokens, np.int64),
            recent_attention=np.array(recent, np.float32),
        )


def _columns(readings: Sequence[Reading]) -> tuple[list[th.Tensor], list[th.Tensor]]:
    return [reading.slots for reading in readings], [reading.recent for reading in readings]


def record_episodes(
    policy: MemoryActorCriticPolicy,
    env: gym.Env[Any, Any] | VecEnv,
    *,
    deterministic: bool = False,
    seed: int | None = None,
    use_masking: bool = False,
) -> list[JudgerRecord]:
    """
    Play one episode in each environment.

    :param policy: a policy with a judged memory
    :param env: one environment, or several side by side
    :param deterministic: the likeliest actions and decisions in place of drawn ones, as while training
    :param seed: seed of the first environment; None goes on drawing
    :param use_masking: whether actions that the environments' ``action_masks()`` call invalid are not taken
    :return: what the memory did
    :raises ValueError: when nobody judges the memory
    """
    memory = judged_memory(policy)
    if memory is None or memory.judging is None:
        raise ValueError("there is no judged memory here; build the policy with memory_kwargs=dict(judger=True)")
    shape, has_slots = memory.judging.shape, [part.compressed_length > 0 for part in memory.shapes]
    venv = _vectorized(env)
    if seed is not None:  # Stable-Baselines3 would draw one, from what training draws from.
        venv.seed(seed)
    obs, state = venv.reset(), policy.initial_state(venv.num_envs)
    notes = [EpisodeNotes(shape, deterministic, info) for info in venv.unwrapped.reset_infos]
    playing, starts = set(range(venv.num_envs)), np.ones(venv.num_envs, np.bool_)
    policy.set_training_mode(False)
    while playing:
        readings = _readings(policy, memory, obs, state, starts)
        seen = [reading for reading, slots in zip(readings, has_slots, strict=True) if slots]
        masks = get_action_masks(venv) if use_masking else None
        actions, state = policy.predict(obs, state, starts, deterministic, masks)
        choice = policy.choices(state)[0]
        obs, rewards, starts, infos = venv.step(actions)
        for index in sorted(playing):
            notes[index].add(choice, index, rewards[index], infos[index], seen)
        playing -= set(np.flatnonzero(starts).tolist())
    return [note.record() for note in notes]


def _vectorized(env: gym.Env[Any, Any] | VecEnv) -> VecEnv:
    if isinstance(env, VecEnv):
        return env
    single = FlatDictObservation(env) if is_nested(env.observation_space) else env
    return DummyVecEnv([lambda: single])


@th.no_grad()
def _readings(
    policy: MemoryActorCriticPolicy, memory: CompressiveMemory, obs: Any, state: Any, starts: np.ndarray
) -> tuple[Reading, ...]:
    episode_starts = th.as_tensor(starts, device=policy.device)
    step = SequenceBatch(policy.obs_to_tensor(obs)[0], episode_starts[:, None], (), ())
    return memory.attention(policy.memory_inputs(step)[0][:, 0], state[0], episode_starts)


class JudgerRecorder(BaseCallback):
    """
    While training, plays an episode every so often and saves what the judged memory does in it, as
    ``FOLDER/STEPS.npz``, for :meth:`JudgerRecord.load <memory_agents.common.judger_record.JudgerRecord.load>`. Of
    several environments side by side there is one file each, ``FOLDER/STEPS-ENV.npz``.

    The training goes on as it would without: what is drawn here is drawn apart. Invalid actions are masked where they
    are while training, and observations normalised as they are there.

    :param folder: where to write, made where it is missing
    :param env: an environment, or several side by side, that nobody else uses; with a ``VecNormalize`` around them,
        not training, where that of the training environments normalises observations
    :param every: environment steps between two episodes; the first is played at the first step of every ``learn()``,
        and one more when it ends
    :param deterministic: the likeliest actions and decisions in place of drawn ones
    :param seed: seed of the environment, so that the episodes begin alike; None for different ones
    :param verbose: 1 tells of every file
    :raises ValueError: when ``every`` is below 1; when training begins, when observations are normalised there and not
        here, or the other way round
    """

    def __init__(
        self,
        folder: Path | str,
        env: gym.Env[Any, Any] | VecEnv,
        *,
        every: int = 50_000,
        deterministic: bool = False,
        seed: int | None = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        check_integers(every=every)
        self.folder, self.every, self.deterministic, self.seed = Path(folder), every, deterministic, seed
        self.env = _vectorized(env)
        self._next = 0

    def _on_training_start(self) -> None:
        self._next = self.num_timesteps
        theirs, mine = (
            normalize is not None and normalize.norm_obs
            for normalize in (self.model.get_vec_normalize_env(), unwrap_vec_normalize(self.env))
        )
        if theirs and not mine:
            raise ValueError(
                "env of JudgerRecorder shows observations as they are, and training normalises them; put "
                "VecNormalize(venv, training=False) around it"
            )
        if mine and not theirs:
            raise ValueError(
                "env of JudgerRecorder normalises observations, and training shows them as they are; take VecNormalize "
                "off it"
            )

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self._record()
        return True

    def _on_training_end(self) -> None:
        self._record()

    def _record(self) -> None:
        policy = self.model.policy
        assert isinstance(policy, MemoryActorCriticPolicy)
        self.folder.mkdir(parents=True, exist_ok=True)
        theirs, mine = self.model.get_vec_normalize_env(), unwrap_vec_normalize(self.env)
        if theirs is not None and mine is not None:
            mine.obs_rms, mine.ret_rms = deepcopy((theirs.obs_rms, theirs.ret_rms))
        masking = bool(getattr(self.model, "uses_masks", False))
        with th.random.fork_rng([policy.device] if policy.device.type == "cuda" else []):
            records = record_episodes(
                policy, self.env, deterministic=self.deterministic, seed=self.seed, use_masking=masking
            )
        for index, record in enumerate(records):
            name = f"{self.num_timesteps:09d}" + (f"-{index}" if len(records) > 1 else "")
            record.save(self.folder / f"{name}.npz")
            if self.verbose:
                print(f"Judger's episode after {self.num_timesteps} steps: {self.folder / name}.npz")
