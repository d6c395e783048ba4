from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sb3_contrib
import stable_baselines3

from memory_agents import DQN, PPO
from memory_agents.benchmarks.agents import load_agent, make_agent, make_training_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.dotted import import_from_here
from memory_agents.benchmarks.sweeps.named_agents import find_agent
from memory_agents.benchmarks.training import train
from memory_agents.memory import memory_registry

OWN = """
import sb3_contrib
import stable_baselines3
from memory_agents import DQN, PPO, MemoryPolicy
from memory_agents.memory import GRUMemory, memory_registry
from stable_baselines3.common.policies import ActorCriticPolicy

class Plain(ActorCriticPolicy):
    def __init__(self, *args, width=8, **kwargs):
        super().__init__(*args, net_arch=[width], **kwargs)

class Remembering(MemoryPolicy):
    pass

class Ours(PPO):
    pass

class OursOffPolicy(DQN):
    pass

@memory_registry.register("own_gru")
class OwnMemory(GRUMemory):
    pass

class Theirs(stable_baselines3.A2C):
    pass

class TheirsWithMemory(sb3_contrib.RecurrentPPO):
    pass

class Buggy(ActorCriticPolicy):
    def __init__(self, *args, **kwargs):
        raise RuntimeError("a bug of mine")

class Neither:
    pass
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module in the folder one stands in."""
    (tmp_path / "own_agents.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaving.py").write_text("import sys; sys.exit(5)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield "own_agents"
    sys.modules.pop("own_agents", None)
    memory_registry._entries.pop("own_gru", None)


def config(env: str = "MemoryAgents/RepeatFirst-v0", **more: Any) -> TrainingConfig:
    return TrainingConfig(env, **{**dict(n_envs=2, total_timesteps=64, eval_episodes=2, device="cpu"), **more})


def made(asked: TrainingConfig) -> Any:
    return make_agent(asked, make_training_env(asked))


def test_recurrent_ppo_has_the_hyperparameters_of_ppo() -> None:
    agent = made(config(algorithm="RecurrentPPO", policy="MlpLstmPolicy", policy_kwargs={"lstm_hidden_size": 12}))
    ours = made(config())
    assert agent.policy.lstm_actor.hidden_size == 12
    assert type(agent) is sb3_contrib.RecurrentPPO
    for name in ("n_epochs", "gamma", "gae_lambda", "ent_coef", "vf_coef"):
        assert getattr(agent, name) == getattr(ours, name), name
    assert agent.lr_schedule(0.5) == ours.lr_schedule(0.5)


@pytest.mark.parametrize("n_envs", [1, 4, 8, 16, 24])
@pytest.mark.parametrize(
    "given", [{}, {"n_steps": 16}, {"n_steps": 64}, {"n_steps": 256}, {"batch_size": 256}], ids=str
)
@pytest.mark.parametrize("algorithm", ["PPO", "RecurrentPPO", "A2C", "TRPO"])
def test_baselines_learn_from_as_much_as_what_they_are_compared_with(
    algorithm: str, given: dict[str, int], n_envs: int
) -> None:
    if algorithm == "A2C" and "batch_size" in given:
        return  # it has none
    asked: dict[str, Any] = dict(n_envs=n_envs, algorithm_kwargs=given)
    ours = made(config(**asked, algorithm="PPO" if algorithm == "RecurrentPPO" else algorithm))
    policy = "MlpLstmPolicy" if algorithm == "RecurrentPPO" else "MlpPolicy"
    theirs = made(config(**asked, algorithm=algorithm, policy=policy))
    assert theirs.n_steps == ours.n_steps
    assert getattr(theirs, "batch_size", None) == getattr(ours, "batch_size", None)


def test_baselines_take_sizes_of_which_no_windows_can_be_made() -> None:
    agent = made(config(policy="MlpPolicy", algorithm_kwargs={"n_steps": 31, "batch_size": 62}))
    assert (agent.n_steps, agent.batch_size) == (31, 62)


@pytest.mark.parametrize("env", ["CartPole-v1", "MemoryAgents/TMaze-v0", "MemoryAgents/RepeatFirst-v0"])
def test_recurrent_ppo_is_trained_and_loaded(env: str, tmp_path: Path) -> None:
    small = dict(policy_kwargs={"lstm_hidden_size": 8}, algorithm_kwargs={"n_steps": 32, "n_epochs": 1})
    asked = config(env, algorithm="RecurrentPPO", policy="MlpLstmPolicy", **small)
    result = train(asked, tmp_path, progress=False)
    assert result.steps == 64
    loaded: Any = load_agent(asked, tmp_path / "agent.zip")
    assert loaded.policy.lstm_actor.hidden_size == 8


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (dict(policy="own_agents:Plain"), stable_baselines3.PPO),
        (dict(policy="own_agents:Remembering", memory_class="gru"), PPO),
        (dict(algorithm="own_agents:Ours", memory_kwargs={"memory_length": 4}), PPO),
        (
            dict(
                algorithm="own_agents:OursOffPolicy",
                memory_kwargs={"memory_length": 4},
                algorithm_kwargs={"learning_starts": 8},
            ),
            DQN,
        ),
        (dict(algorithm="own_agents:Theirs", policy="MlpPolicy"), stable_baselines3.A2C),
        (dict(algorithm="own_agents:Theirs", policy="own_agents:Plain"), stable_baselines3.A2C),
    ],
)
def test_agents_of_ones_own(more: dict[str, Any], kind: type, own_module: str, tmp_path: Path) -> None:
    asked = config(**{"algorithm_kwargs": {"n_steps": 32}, **more})
    agent = made(asked)
    assert issubclass(type(agent), kind)
    assert type(agent).__name__ == asked.algorithm.rpartition(":")[2]
    if ":" in asked.policy:
        assert type(agent.policy).__name__ == asked.policy.rpartition(":")[2]

    folder = tmp_path / "run"
    train(asked, folder, progress=False)
    assert type(load_agent(asked, folder / "agent.zip")) is type(agent)
    assert list(json.loads((folder / "config.json").read_text())["sources"]) == [own_module]


@pytest.mark.parametrize(
    ("policy", "memory_class"), [("MemoryPolicy", "own_agents:OwnMemory"), ("own_agents:Remembering", "own_gru")]
)
def test_a_memory_of_ones_own(policy: str, memory_class: str, own_module: str, tmp_path: Path) -> None:
    asked = config(policy=policy, memory_class=memory_class, memory_kwargs={"hidden_size": 5})
    train(asked, tmp_path / "run", progress=False)
    assert list(json.loads((tmp_path / "run" / "config.json").read_text())["sources"]) == [own_module]
    del sys.modules[own_module]
    memory_registry._entries.pop("own_gru")
    loaded: Any = load_agent(asked, tmp_path / "run" / "agent.zip")
    assert type(loaded.policy.memories[0]).__name__ == "OwnMemory"
    assert loaded.policy.memories[0].output_dim == 5
    for wrong, complaint in (
        (
            "own_agents:Plain",
            "--memory-class 'own_agents:Plain' is no subclass of MemoryCore; use own_agents:OwnMemory",
        ),
        ("no_such:Memory", "--memory-class 'no_such:Memory': 'no_such' cannot be imported"),
        ("gruu", "--memory-class 'gruu' is unknown; did you mean gru"),
        ("elephant", "or module:Class"),
    ):
        with pytest.raises(UsageError, match=complaint):
            made(config(policy="MemoryPolicy", memory_class=wrong))


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("own_agents:Ours", "CompressiveMemoryPolicy"),
        ("own_agents:OursOffPolicy", "CompressiveMemoryPolicy"),
        ("own_agents:Theirs", "MlpPolicy"),
        ("own_agents:TheirsWithMemory", "MlpLstmPolicy"),
    ],
)
@pytest.mark.usefixtures("own_module")
def test_algorithms_of_ones_own_need_no_policy(name: str, policy: str) -> None:
    called, arguments = find_agent("agents[0]", name)
    assert called == name.rpartition(":")[2]
    assert arguments == {"algorithm": name, "policy": policy}
    # Stable-Baselines3 counts categories by NumPy, which PyTorch's LSTM does not take.
    assert type(made(config("CartPole-v1", **arguments))).__name__ == called


def test_the_policys_own_arguments_reach_it(own_module: str) -> None:
    assert made(config(policy="own_agents:Plain", policy_kwargs={"width": 5})).policy.net_arch == [5]
    assert made(config(policy_kwargs={"net_arch": [7]})).policy.net_arch == [7]
    assert made(config(policy="MlpPolicy", policy_kwargs={"net_arch": [9]})).policy.net_arch == [9]


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (dict(policy="own_agents:Plane"), "own_agents:Plane.* is no subclass.*BasePolicy; use own_agents:Plain"),
        (dict(policy="own_agents:Neither"), "use own_agents:Plain or own_agents:Remembering"),
        (dict(policy="broken:Policy"), r"'broken' cannot be imported \(ZeroDivisionError: division by zero\)"),
        (dict(policy="leaving:Policy"), r"'leaving' cannot be imported \(SystemExit: 5\); mend it there"),
        (
            dict(policy="MlpPolicy", algorithm_kwargs={"batch_size": 1}),
            "cannot be made: .*batch_size",
        ),
        (dict(policy="MlpPolicy", algorithm_kwargs={"n_steps": 0}), "cannot be made"),
        (dict(policy="MlpPolicy", algorithm_kwargs={"learning_rate": "abc"}), "cannot be made: .*learning rate.*abc"),
        (dict(policy="MlpPolicy", policy_kwargs={"net_arch": [-5]}), "cannot be made: .*negative dimension -5"),
        (dict(algorithm_kwargs={"n_steps": 0}), "n_steps"),
        (dict(algorithm_kwargs={"gama": 1}), "--algorithm-kwargs has 'gama', which --algorithm 'PPO' does not know"),
        (dict(algorithm="A2C", algorithm_kwargs={"batch_size": 3}), "A2C has no batch_size, .* whole rollouts; leave"),
        (dict(policy="./own_agents.py:Plain"), "'./own_agents.py' is a path; write the module's name alone"),
        (dict(policy="no_such:Policy"), "No module named 'no_such'.*stand in its folder"),
        (dict(algorithm="own_agents:Plain"), "no subclass of BaseAlgorithm; use own_agents:"),
        (dict(algorithm="own_agents:Theirs"), "--policy 'CompressiveMemoryPolicy' is unknown; use MlpPolicy"),
        (dict(policy="own_agents:Plain", memory_class="gru"), "has no memory; leave out --memory-class"),
        (dict(policy="own_agents:Plain", policy_kwargs={"wide": 1}), "wide"),
        (dict(policy_kwargs={"memory_kwargs": {}}), "use --memory-kwargs"),
        (dict(algorithm="RecurentPPO"), "--algorithm 'RecurentPPO' is unknown; did you mean RecurrentPPO"),
        (dict(algorithm="RecurrentPPO", policy="GTrXLPolicy"), "use MlpLstmPolicy"),
        (
            dict(algorithm="own_agents:Theirs", policy="MlpPolicy", algorithm_kwargs={"n_epochs": 2}),
            "--algorithm-kwargs has 'n_epochs', which --algorithm 'own_agents:Theirs' does not know; leave it out",
        ),
        (
            dict(algorithm="RecurrentPPO", policy="MlpLstmPolicy", memory_kwargs={"a": 1}),
            "--algorithm 'RecurrentPPO' does not take --memory-kwargs",
        ),
    ],
)
def test_what_cannot_be_made_is_refused(more: dict[str, Any], complaint: str, own_module: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        made(config(**more))


def test_a_bug_of_ones_own_has_its_traceback(own_module: str) -> None:
    with pytest.raises(RuntimeError, match="a bug of mine"):
        made(config(policy="own_agents:Buggy"))


def test_modules_here_hide_no_installed_ones(own_module: str, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").touch()
    assert import_from_here("a test", "own_agents").__file__ == str(tmp_path / "own_agents.py")
    assert sys.path[-1] == str(tmp_path)
