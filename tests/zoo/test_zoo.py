"""RL Baselines3 Zoo trains, shows and tunes the algorithms of this library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import memory_agents
from memory_agents.envs import ENVIRONMENTS
from tests.ppo.toys import toy_venv

with pytest.MonkeyPatch.context() as patch:
    # The zoo puts a time limit of its own in the place of Gymnasium's, which other tests shall not notice.
    for module in (gymnasium.wrappers, gymnasium.wrappers.common, gymnasium.envs.registration):
        patch.setattr(module, "TimeLimit", gymnasium.wrappers.TimeLimit, raising=False)
    pytest.importorskip("rl_zoo3", reason="rl_zoo3 is not installed")
    yaml = pytest.importorskip("yaml")

    from memory_agents.zoo import ALGORITHMS, register
    from memory_agents.zoo.__main__ import arguments_of, main

ROOT = Path(__file__).parent.parent.parent
TASK = ["--algo", "ppo_memory", "--env", "MemoryAgents/TMaze-v0"]
QUIET = ["--num-threads", "1", "--device", "cpu", "--seed", "0"]
TRAIN = ["train", *TASK, *QUIET, "--env-kwargs", "corridor:3", "-n", "512", "--eval-freq", "128", "-f", "logs"]
SMALL = ["-params", "n_steps:32", "n_envs:4", "policy_kwargs:dict(memory_kwargs=dict(d_model=16))"]

TUNE = ["-optimize", "--n-trials", "2", "--n-startup-trials", "1", "--n-evaluations", "1", "--eval-episodes", "2"]
TUNE += ["--no-optim-plots"]


def test_the_zoo_trains_shows_and_tunes(tmp_path: Path) -> None:
    """In a process of its own, because the zoo patches Gymnasium."""
    runs = [
        [*TRAIN, *SMALL],
        ["enjoy", *TASK, *QUIET, "-f", "logs", "--no-render", "-n", "40"],
        [*TRAIN, "-params", "n_envs:2", *TUNE],
    ]
    program = (
        "import sys\nfrom memory_agents.zoo.__main__ import main\n"
        f"for arguments in {runs!r}:\n    sys.argv = ['zoo', *arguments]\n    main()\n"
    )
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "Loading hyperparameters from: " + str(ALGORITHMS["ppo_memory"].config) in done.stdout
    assert "Eval num_timesteps=512" in done.stdout
    assert "memory/" in done.stdout
    # Episodes of a corridor of 3 steps last 4: of 40 steps, 10 episodes.
    assert "10 Episodes" in done.stdout
    assert "Number of finished trials:  2" in done.stdout
    folder = tmp_path / "logs" / "ppo_memory"
    saved = folder / "MemoryAgents-TMaze-v0_1" / "MemoryAgents-TMaze-v0.zip"
    agent = memory_agents.PPO.load(saved, device="cpu")
    assert (agent.n_steps, agent.n_envs, agent.policy.memory_kwargs) == (32, 4, dict(d_model=16))
    assert list(folder.glob("report_*.csv"))


def test_every_environment_has_hyperparameters() -> None:
    for entry in ALGORITHMS.values():
        found = yaml.safe_load(entry.config.read_text())
        off_policy = entry.config.stem == "off_policy"
        assert set(found) == {"default", *(["MemoryAgents/TMaze-v0"] if off_policy else ENVIRONMENTS)}
        for hyperparams in found.values():
            assert hyperparams["policy"] in memory_agents.PPO.policy_aliases
            assert hyperparams["n_timesteps"] >= 100_000


def test_gymnasium_is_left_as_it_was() -> None:
    assert gymnasium.wrappers.TimeLimit.__module__ == "gymnasium.wrappers.common"
    assert type(gymnasium.make("CartPole-v1")) is gymnasium.wrappers.TimeLimit


def test_algorithms_are_registered() -> None:
    from rl_zoo3 import ALGOS
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    register()
    for name, entry in ALGORITHMS.items():
        assert entry.algorithm is getattr(memory_agents, name.partition("_")[0].upper())
        assert ALGOS[name] is entry.algorithm
        assert HYPERPARAMS_SAMPLER[name] is entry.sample
        assert HYPERPARAMS_CONVERTER[name] is entry.convert


class Draw:
    """A trial that takes one end of every range."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.params: dict[str, Any] = {}

    def _take(self, name: str, *range_: Any) -> Any:
        self.params[name] = range_[self.end]
        return range_[self.end]

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> Any:
        return self._take(name, low, high)

    def suggest_int(self, name: str, low: int, high: int) -> Any:
        return self._take(name, low, high)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return self._take(name, *choices)


@pytest.mark.parametrize("end", [0, -1])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_draw_is_an_agent_and_can_be_had_again(name: str, end: int) -> None:
    trial, entry = Draw(end), ALGORITHMS[name]
    hyperparams = entry.sample(trial, 2, 4, {})
    agent: Any = entry.algorithm(env=toy_venv(4), device="cpu", **hyperparams)
    assert entry.convert(trial.params) == hyperparams
    for argument, value in hyperparams.items():
        if argument not in ("policy", "policy_kwargs", "train_freq", "clip_range"):
            assert getattr(agent, argument) == value
    assert agent.gamma == 1 - trial.params["one_minus_gamma"]
    if "batch_windows_pow" in trial.params:
        assert agent.batch_size == 2 ** trial.params["batch_windows_pow"] * agent.sequence_length
    assert agent.policy_kwargs["memory_kwargs"]["d_model"] == 2 ** trial.params["d_model_pow"]
    # Everything that is drawn has an effect.
    other = entry.sample(Draw(-1 - end), 2, 4, {})
    flat = [{**each, **each["policy_kwargs"]["memory_kwargs"]} for each in (hyperparams, other)]
    assert {argument for argument in flat[0] if flat[0][argument] == flat[1][argument]} == {"policy"}


@pytest.mark.parametrize("given", [["--algo", "ppo_memory"], ["--env", "x", "--algo=ppo_memory", "-n", "5"]])
def test_the_librarys_hyperparameters_are_used_unless_others_are_named(given: list[str]) -> None:
    config = str(ALGORITHMS["ppo_memory"].config)
    assert arguments_of("train", given) == [*given, "--conf-file", config]
    assert arguments_of("enjoy", given) == given
    for option in (["-conf", "mine.yml"], ["--conf-file=mine.yml"]):
        assert arguments_of("train", [*given, *option]) == [*given, *option]
    assert arguments_of("train", ["--algo", "ppo"]) == ["--algo", "ppo"]


def test_other_programs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo", "fly"])
    with pytest.raises(
        SystemExit, match=r"usage: python -m memory_agents.zoo \{train,enjoy,record_video\} ...; got 'fly'"
    ):
        main()
