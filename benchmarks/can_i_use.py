"""
What works with which algorithm, found out by trying. Every cell of the table is an agent that is built, learns for a
few steps, is saved and loaded, and acts::

    python -m memory_agents.benchmarks.can_i_use docs/can_i_use.md
"""

from __future__ import annotations

import argparse
import copy
import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecFrameStack, VecNormalize

import memory_agents
from memory_agents.envs import PreviousActionReward

HEAD = """\
# Can I use?

Written by `python -m memory_agents.benchmarks.can_i_use docs/can_i_use.md`, and checked by the tests: behind every
*yes* an agent was built, learned in two environments side by side, was saved, loaded, and acted as before. Nested
observations need no wrapper in a single environment; several environments with such are made with
`make_vec_env(..., wrapper_class=FlatDictObservation)`."""


@dataclass(frozen=True)
class Tried:
    """
    How an algorithm is tried.

    :param kwargs: arguments with which it learns within a few steps
    :param steps: that it learns for
    :param choices: whether its actions are choices where they do not matter, or else numbers
    """

    kwargs: Mapping[str, Any]
    steps: int = 32
    choices: bool = True


#: A new algorithm is one entry here: its name in ``memory_agents``, and how it is tried.
ALGORITHMS: dict[str, Tried] = {
    "PPO": Tried(dict(n_steps=8, batch_size=8, n_epochs=1)),
    "A2C": Tried(dict(n_steps=8)),
    "TRPO": Tried(dict(n_steps=8, batch_size=8, n_critic_updates=1, cg_max_steps=1)),
    "MaskablePPO": Tried(dict(n_steps=8, batch_size=8, n_epochs=1)),
    "DQN": Tried(dict(sequence_length=4, burn_in=2, batch_size=4, learning_starts=8, train_freq=8, buffer_size=64)),
    "QRDQN": Tried(dict(sequence_length=4, burn_in=2, batch_size=4, learning_starts=8, train_freq=8, buffer_size=64)),
}

BOX = spaces.Box(-1, 1, (3,))
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "`Box` of numbers": BOX,
    "`Box` without dimensions": spaces.Box(-1, 1, ()),
    "`Box` of integers": spaces.Box(-5, 5, (2,), np.int64),
    "images, channels last": spaces.Box(0, 255, (12, 12, 3), np.uint8),
    "images, channels first": spaces.Box(0, 255, (3, 12, 12), np.uint8),
    "images from 64 x 64": spaces.Box(0, 255, (64, 64, 1), np.uint8),
    "`Discrete`": spaces.Discrete(4),
    "`Discrete`, `start=3`": spaces.Discrete(4, start=3),
    "`MultiDiscrete`": spaces.MultiDiscrete([3, 2]),
    "`MultiDiscrete`, `start=[3, -1]`": spaces.MultiDiscrete([3, 2], start=[3, -1]),
    "`MultiDiscrete` of two dimensions": spaces.MultiDiscrete(np.array([[3, 2], [2, 2]])),
    "`MultiBinary`": spaces.MultiBinary(3),
    "`MultiBinary` of two dimensions": spaces.MultiBinary([2, 3]),
    "`Dict`": spaces.Dict({"x": BOX, "kind": spaces.Discrete(3), "seen": spaces.Box(0, 255, (12, 12, 3), np.uint8)}),
    "`Dict` in `Dict`": spaces.Dict({"body": spaces.Dict({"x": BOX, "kind": spaces.Discrete(3)})}),
    "`Tuple`": spaces.Tuple([spaces.Discrete(3), BOX]),
    "`Text`": spaces.Text(4),
    "`Sequence`": spaces.Sequence(spaces.Discrete(3)),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "`Discrete`": spaces.Discrete(3),
    "`Discrete`, `start=3`": spaces.Discrete(3, start=3),
    "`MultiDiscrete`": spaces.MultiDiscrete([2, 3]),
    "`MultiDiscrete`, `start=[3, -1]`": spaces.MultiDiscrete([2, 3], start=[3, -1]),
    "`MultiBinary`": spaces.MultiBinary(2),
    "`Box`": spaces.Box(-2, 2, (2,)),
    "`Dict`": spaces.Dict({"move": spaces.Discrete(3)}),
}


@dataclass(frozen=True)
class Option:
    """
    Something else to be used.

    :param continuous: whether it is about actions in a ``Box``
    :param kwargs: arguments of the algorithm
    :param policy_kwargs: arguments of the policy
    :param wrap: put around the environments
    :param env: further arguments of ``make_vec_env``
    """

    continuous: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    policy_kwargs: Mapping[str, Any] = field(default_factory=dict)
    wrap: Callable[[VecEnv], VecEnv] = lambda env: env
    env: Mapping[str, Any] = field(default_factory=dict)


OPTIONS: dict[str, Option] = {
    "state-dependent exploration, `use_sde=True`": Option(True, dict(use_sde=True, sde_sample_freq=4)),
    "the same, actions squashed, `squash_output=True`": Option(
        True, dict(use_sde=True), policy_kwargs=dict(squash_output=True)
    ),
    "extractors of their own, `share_features_extractor=False`": Option(
        policy_kwargs=dict(share_features_extractor=False)
    ),
    "judger, `memory_kwargs=dict(judger=True)`": Option(policy_kwargs=dict(memory_kwargs=dict(judger=True))),
    "previous action and reward, `PreviousActionReward`": Option(env=dict(wrapper_class=PreviousActionReward)),
    "`VecNormalize`": Option(wrap=VecNormalize),
    "`VecFrameStack`": Option(wrap=lambda env: VecFrameStack(env, 2)),
    "`SubprocVecEnv`": Option(env=dict(vec_env_cls=SubprocVecEnv, vec_env_kwargs=dict(start_method="fork"))),
}


class Anything(gym.Env[Any, Any]):
    """
    Draws observations and rewards; episodes last five steps.

    :param observation: of which space
    :param action: space of the actions
    """

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = copy.deepcopy(observation), copy.deepcopy(action)
        self.left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = 5
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is no action of {self.action_space}")
        self.left -= 1
        return self.observation_space.sample(), float(self.np_random.normal()), self.left == 0, False, {}

    def action_masks(self) -> np.ndarray:
        """
        :return: that every action is valid, for each choice there is
        """
        space = self.action_space
        choices = 2 * space.n if isinstance(space, spaces.MultiBinary) else spaces.flatdim(space)
        return np.ones(choices, dtype=bool)


def attempt(
    name: str, observation: spaces.Space[Any], action: spaces.Space[Any], option: Option | None = None
) -> str | None:
    """
    Build an agent, let it learn, save it, load it, and let both act.

    :param name: of the algorithm
    :param observation: space of the observations
    :param action: space of the actions
    :param option: what else is used
    :return: why it cannot be, ``None`` where it can
    :raises AssertionError: when the loaded agent acts otherwise than the saved one
    """
    tried, option = ALGORITHMS[name], option or Option()
    algorithm: type[BaseAlgorithm] = getattr(memory_agents, name)
    sizes = dict(memory_length=4, compressed_length=2, compression_rate=2, d_model=8, n_heads=2, n_layers=1)
    policy_kwargs = dict(option.policy_kwargs)
    policy_kwargs["memory_kwargs"] = {**sizes, **policy_kwargs.get("memory_kwargs", {})}
    env = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Any = (
                Anything(observation, action)
                if not _is_flat(observation)
                else option.wrap(make_vec_env(lambda: Anything(observation, action), 2, seed=0, **option.env))
            )
            kwargs: dict[str, Any] = {**tried.kwargs, **option.kwargs, "policy_kwargs": policy_kwargs}
            agent = algorithm("CompressiveMemoryPolicy", made, seed=0, device="cpu", **kwargs)
            env = agent.get_env()
            agent.learn(tried.steps)
            assert env is not None
            obs, buffer = env.reset(), io.BytesIO()
            agent.save(buffer)
            buffer.seek(0)
            loaded = algorithm.load(buffer, device="cpu")
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    finally:
        if env is not None:
            env.close()
    mine, its = (one.predict(obs, deterministic=True)[0] for one in (agent, loaded))  # type: ignore[arg-type]
    np.testing.assert_array_equal(mine, its)
    return None


def _is_flat(space: spaces.Space[Any]) -> bool:
    """Whether vectorised environments of Stable-Baselines3 can carry it."""
    if isinstance(space, spaces.Dict):
        return all(_is_flat(part) and not isinstance(part, spaces.Dict) for part in space.values())
    return isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def table(kind: str, cells: Mapping[str, Callable[[str], str | None]]) -> str:
    """
    :param kind: head of the first column
    :param cells: by row, what is called with the name of an algorithm and returns why something cannot be
    :return: the table in Markdown, and below it the reasons
    """
    rows = [f"| {kind} | {' | '.join(ALGORITHMS)} |", f"|---|{'---|' * len(ALGORITHMS)}"]
    reasons = []
    for row, cell in cells.items():
        found = {name: cell(name) for name in ALGORITHMS}
        rows.append(f"| {row} | {' | '.join('yes' if reason is None else 'no' for reason in found.values())} |")
        by_reason: dict[str, list[str]] = {}
        for name, reason in found.items():
            if reason is not None:
                by_reason.setdefault(_plain(reason), []).append(name)
        reasons += [f"- {row}, {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return "\n".join([*rows, *(["", "What it says where it cannot be used:", "", *reasons] if reasons else [])])


def _plain(reason: str) -> str:
    """A message that is the same every time, as code."""
    return "`" + re.sub(r"0x[0-9a-f]+", "0x...", reason).replace("`", "'") + "`"


def page() -> str:
    """
    :return: the page in Markdown
    """
    continuous = ACTIONS["`Box`"]
    parts = {
        "Observations": (
            "space",
            {row: lambda name, s=space: attempt(name, s, _action(name)) for row, space in OBSERVATIONS.items()},
        ),
        "Actions": ("space", {row: lambda name, s=space: attempt(name, BOX, s) for row, space in ACTIONS.items()}),
        "Options": (
            "option",
            {
                row: lambda name, o=option: attempt(name, BOX, continuous if o.continuous else _action(name), o)
                for row, option in OPTIONS.items()
            },
        ),
    }
    sections = [f"## {title}\n\n{table(kind, cells)}" for title, (kind, cells) in parts.items()]
    return "\n\n".join([HEAD, *sections]) + "\n"


def _action(name: str) -> spaces.Space[Any]:
    """The actions with which an algorithm is tried where they do not matter."""
    return ACTIONS["`Discrete`" if ALGORITHMS[name].choices else "`Box`"]


def main() -> None:
    """Write the page, or print it where no file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="file to write")
    arguments = parser.parse_args()
    text = page()
    if arguments.file is None:
        print(text, end="")
    else:
        arguments.file.write_text(text)


if __name__ == "__main__":
    main()
