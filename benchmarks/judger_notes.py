"""What a judged memory decides while its agent is evaluated, and the record of one episode in a run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.judger_timeline import draw_timeline
from memory_agents.common import JudgerRecord, MemoryActorCriticPolicy, record_episodes
from memory_agents.common.judger_recorder import EpisodeNotes, judged_memory

RECORD_FILE, TIMELINE_FILE = "judger.npz", "judger.png"


class DecisionNotes:
    """
    Decisions in the episodes that an agent plays in environments side by side, without where attention goes.

    :param policy: a policy with a judged memory
    :param venv: the environments
    :param deterministic: whether actions and decisions are the likeliest
    """

    def __init__(self, policy: MemoryActorCriticPolicy, venv: VecEnv, deterministic: bool) -> None:
        memory = judged_memory(policy)
        assert memory is not None, "nobody judges here"
        assert memory.judging is not None
        self.policy, self.venv, self.deterministic = policy, venv, deterministic
        self.shape = memory.judging.shape
        self._episodes: dict[int, EpisodeNotes] = {}
        #: The episodes that have ended.
        self.records: list[JudgerRecord] = []

    def _begin(self, env: int) -> EpisodeNotes:
        return EpisodeNotes(self.shape, self.deterministic, self.venv.unwrapped.reset_infos[env])

    def add(self, env: int, state: Any, reward: float, done: bool, info: dict[str, Any]) -> None:
        """
        :param env: which of the environments
        :param state: the policy's state after a step in all of them
        :param reward: the step's reward
        :param done: whether the episode ended with it
        :param info: the step's info
        """
        notes = self._episodes.get(env) or self._begin(env)
        notes.add(self.policy.choices(state)[0], env, reward, info)
        self._episodes[env] = notes
        if done:
            self.records.append(notes.record())
            # The environment has begun anew already.
            self._episodes[env] = self._begin(env)


def record_run(agent: BaseAlgorithm, config: TrainingConfig, folder: Path, seed: int) -> None:
    """
    Play an episode with actions and decisions drawn, as while training, and write ``judger.npz``, its record, and
    ``judger.png``, its picture. An agent whose memory nobody judges writes nothing.

    :param agent: the agent
    :param config: the arguments of the run
    :param folder: where to write
    :param seed: seed of the environment
    """
    if not isinstance(agent.policy, MemoryActorCriticPolicy) or judged_memory(agent.policy) is None:
        return
    env = make_env(config)
    (record,) = record_episodes(agent.policy, env, seed=seed, use_masking=isinstance(agent, MaskablePPO))
    env.close()
    record.save(folder / RECORD_FILE)
    draw_timeline(record, folder / TIMELINE_FILE, f"{config.env}, judger={config.memory_kwargs.get('judger')}")
