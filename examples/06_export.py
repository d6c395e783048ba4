"""
Export an agent, and let it act where neither PyTorch nor Stable-Baselines3 is.

The acting step becomes an ONNX file: observation, episode start and memory in, action and memory out. What acts with it
is one file, ``onnx_agent.py``, which needs NumPy and onnxruntime; here it is copied beside the agent, and a process of
its own plays there with these two alone. Needs ``pip install 'memory_agents[export]'``.
Run with ``python examples/06_export.py``: less than a minute.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stable_baselines3.common.env_util import make_vec_env

from memory_agents import PPO, export_onnx
from memory_agents.common import onnx_agent

TASK = "MemoryAgents/TMaze-v0"
CORRIDOR = dict(corridor=20)

#: The deployed program. It has a T-maze of its own; a robot would ask its sensors.
DEPLOYED = """
import sys
import numpy as np
from onnx_agent import OnnxAgent

CORRIDOR, EPISODES = 20, 200
START, WALKING, JUNCTION = 0, 1, 2

def look(step, arm):
    observation = np.zeros(5, np.float32)
    observation[START if step == 0 else WALKING if step < CORRIDOR else JUNCTION] = 1
    observation[4] = (2 * arm - 1) * (step == 0)  # the sign
    return observation

rng = np.random.default_rng(0)
agent, successes = OnnxAgent("agent.onnx"), 0
for episode in range(EPISODES):
    arm = int(rng.integers(2))
    for step in range(CORRIDOR + 1):
        action = agent.act(look(step, arm), episode_start=step == 0)
    successes += int(action) == arm
assert not {"torch", "stable_baselines3", "gymnasium"} & set(sys.modules)
print(f"success rate: {successes / EPISODES:.2f}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    arguments = parser.parse_args()

    env = make_vec_env(TASK, n_envs=16, seed=0, env_kwargs=CORRIDOR)
    agent = PPO("CompressiveMemoryPolicy", env, seed=0, device="cpu")
    agent.learn(arguments.total_timesteps)

    with tempfile.TemporaryDirectory() as folder:
        export_onnx(agent, Path(folder) / "agent.onnx")
        shutil.copy(onnx_agent.__file__, folder)
        Path(folder, "deployed.py").write_text(DEPLOYED)
        subprocess.run([sys.executable, "deployed.py"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
