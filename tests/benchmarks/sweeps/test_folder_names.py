from __future__ import annotations

from dataclasses import replace

from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.sweeps.folder_names import folder_name


def test_folders_can_be_read_and_are_the_runs_own() -> None:
    config = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 2, "active": False}, seed=3)
    name = folder_name("TMaze", "my agent/2", config)
    assert name.startswith("TMaze-my-agent-2-")
    assert name.endswith("-s3")
    assert folder_name("TMaze", "my agent/2", replace(config, seed=4)) == name[:-1] + "4"
    assert folder_name("TMaze", "my agent/2", replace(config, env_kwargs={"active": False, "corridor": 2})) == name
    others = [replace(config, n_envs=8), replace(config, env_kwargs={"corridor": 3}), replace(config, n_stack=2)]
    assert len({folder_name("TMaze", "my agent/2", each) for each in [config, *others]}) == 4


def test_folders_keep_their_names_when_arguments_are_added() -> None:
    # Written down: a changed name would have all runs of earlier sweeps repeated.
    config = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 2}, policy="MlpPolicy", seed=3)
    assert folder_name("TMaze", "memoryless", config) == "TMaze-memoryless-0c8f938e-s3"
