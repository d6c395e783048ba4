"""Environments and agents of a user's own, some of them broken, as modules in the folder one stands in."""

from __future__ import annotations

import sys
from pathlib import Path

import gymnasium as gym
import pytest

#: Of each module the text.
MODULES = {
    "own_envs": """
import gymnasium as gym
import numpy as np

class Blind(gym.Env):
    metadata = {"render_modes": []}
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, raised=None, render_mode=None):
        self.render_mode = render_mode
        if raised is not None:
            raise {"key": KeyError, "runtime": RuntimeError, "exit": SystemExit, "value": ValueError}[raised]("my goal")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(2, np.float32), 1.0, self.time == 4, False, {}

gym.register("Blind-v0", Blind)

class Modeless(Blind):
    def __init__(self):
        super().__init__()

gym.register("Modeless-v0", Modeless)
""",
    "own_policies": """
import sys
from stable_baselines3.common.policies import ActorCriticPolicy

class Unmade(ActorCriticPolicy):
    def __init__(self, *args, **kwargs):
        raise RuntimeError("broken from the start")

class Leaves(ActorCriticPolicy):
    def forward(self, *args, **kwargs):
        sys.exit(5)
""",
    "nameless": "there is no such name",
    "misnamed": "undefined_name",
    "leaving": "import sys; sys.exit(5)",
    "wanting": "import nowhere.near",
}


def write_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    :param folder: gets the modules, and one stands there then
    :param monkeypatch: forgets them after the test
    """
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("Blind-v0", "Modeless-v0"):
        gym.registry.pop(name, None)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
