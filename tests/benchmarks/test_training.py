from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from memory_agents import PPO
from memory_agents.benchmarks import training
from memory_agents.benchmarks.agents import load_agent, make_agent, make_training_env, make_vec_env, policy_names
from memory_agents.benchmarks.algorithms import ALGORITHMS
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig, load_config
from memory_agents.benchmarks.curves import plot_curves
from memory_agents.benchmarks.evaluation import Anchors, Episode, Evaluation, anchors, evaluate, evaluation_seed
from memory_agents.benchmarks.files import write_whole
from memory_agents.benchmarks.progress import read_curve
from memory_agents.benchmarks.training import train
from memory_agents.common.rollout_steps import check_finite
from tests.ppo.toys import Toy

TINY = ["--n-envs", "2", "--total-timesteps", "300", "--eval-episodes", "3", "--device", "cpu", "--seed", "5"]
TMAZE = ["--env", "MemoryAgents/TMaze-v0", "--env-kwargs", "corridor=3"]
FILES = {"agent.zip", "config.json", "evaluation.csv", "evaluation.json", "monitor.csv", "progress.csv"}


def memory_args(policy: str) -> list[str]:
    small = '{"n_layers": 1, "d_model": 16, "n_heads": 2, "memory_length": 8}'
    return [] if policy == "MlpPolicy" else ["--memory-kwargs", small]


@pytest.mark.parametrize("policy", policy_names())
def test_train_writes_everything(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", *TMAZE, *TINY, "--policy", policy, "--out", str(tmp_path), "--no-progress", *memory_args(policy)]
    assert run(args) == 0

    found = {path.name for path in tmp_path.iterdir()}
    assert found > FILES
    assert any(name.startswith("events.out.tfevents.") for name in found)
    shown = capsys.readouterr().out
    assert policy in shown
    assert str(tmp_path) in shown.replace("\n", "")

    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["episodes"] == 3
    assert summary["train_steps"] >= 300
    assert summary["anchors"] == {"optimal": 1.0, "memoryless": 0.5, "random": 0.5}
    assert summary["normalized_return"] == pytest.approx(2 * summary["mean_return"] - 1)
    assert 0 <= summary["success_rate"] <= 1
    assert summary["train_broken_off"] is False
    kind = stable_baselines3.PPO if policy == "MlpPolicy" else PPO
    trained = kind.load(tmp_path / "agent.zip", device="cpu").policy
    assert summary["parameters"] == sum(weights.numel() for weights in trained.parameters())
    with (tmp_path / "evaluation.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
    steps, returns = read_curve(tmp_path)
    assert steps[-1] == summary["train_steps"]
    assert len(steps) == len(returns)


def test_a_run_is_reproduced_from_its_folder(tmp_path: Path) -> None:
    args = ["train", *TMAZE, *TINY, "--policy", "MlpPolicy", "--no-progress", "--out"]
    assert run([*args, str(tmp_path / "a")]) == 0
    config = load_config(tmp_path / "a")
    assert config.env_kwargs == {"corridor": 3}

    again = evaluate(stable_baselines3.PPO.load(tmp_path / "a" / "agent.zip", device="cpu"), config)
    assert again.mean_return == json.loads((tmp_path / "a" / "evaluation.json").read_text())["mean_return"]

    words = config.command().split()[2:]
    assert (
        run(["train", *TMAZE, *TINY, *words[words.index("--policy") :], "--no-progress", "--out", str(tmp_path / "b")])
        == 0
    )
    assert (tmp_path / "a" / "evaluation.csv").read_text() == (tmp_path / "b" / "evaluation.csv").read_text()


# Stable-Baselines3, which the baseline is of, reads categories only where they are counted from zero.
@pytest.mark.parametrize(("policy", "observation"), [("CompressiveMemoryPolicy", "nested"), ("MlpPolicy", "tuple")])
def test_nested_observations_are_welcome(policy: str, observation: str, tmp_path: Path) -> None:
    gym.register("Nested-v0", "tests.ppo.toys:Toy", kwargs={"observation": observation})
    args = ["train", "--env", "Nested-v0", *TINY, "--policy", policy, "--out", str(tmp_path), "--no-progress"]
    try:
        assert run([*args, *memory_args(policy)]) == 0
    finally:
        del gym.registry["Nested-v0"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["episodes"] == 3


@pytest.mark.parametrize("observation", ["box", "image", "small_image", "dict_image"])
def test_the_baseline_reads_observations_as_the_agent_does(observation: str) -> None:
    agents = []
    for policy in ("CompressiveMemoryPolicy", "MlpPolicy"):
        venv = VecMonitor(DummyVecEnv([lambda: Toy(observation)]))
        agents.append(make_agent(TrainingConfig("E", policy=policy, device="cpu"), venv))
    one, other = (agent.policy.features_extractor for agent in agents)
    assert str(one) == str(other)
    assert agents[0].observation_space == agents[1].observation_space


def test_environments_without_anchors_are_welcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "--env", "CartPole-v1", *TINY, "--policy", "MlpPolicy", "--out", str(tmp_path), "--no-progress"]
    assert run(args) == 0

    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["normalized_return"] is None
    assert summary["success_rate"] is None
    assert "-" in capsys.readouterr().out
    plot_curves({"agent": [tmp_path]}, None, "CartPole", tmp_path / "curve.png")


@pytest.mark.parametrize("policy", ["CompressiveMemoryPolicy", "MlpPolicy"])
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "PPO"])
def test_every_algorithm_trains_with_memory_and_without(name: str, policy: str, tmp_path: Path) -> None:
    args = ["train", *TMAZE, "--env-kwargs", "auto_advance=false", *TINY, "--policy", policy, *memory_args(policy)]
    assert run([*args, "--algorithm", name, "--out", str(tmp_path), "--no-progress"]) == 0
    config = load_config(tmp_path)
    assert config.algorithm == name
    assert f"--algorithm {name}" in config.command()
    algorithm = ALGORITHMS[name]
    kind = algorithm.memoryless if policy == "MlpPolicy" else algorithm.remembering
    again = evaluate(kind.load(tmp_path / "agent.zip", device="cpu"), config)
    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["mean_return"] == again.mean_return
    assert summary["invalid_actions"] == again.invalid_actions
    assert (summary["invalid_actions"] == 0) or name != "MaskablePPO"
    assert read_curve(tmp_path)[0][-1] == summary["train_steps"]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_baseline_has_the_hyperparameters_of_the_agent(name: str) -> None:
    agents: list[Any] = []
    for policy in ("CompressiveMemoryPolicy", "MlpPolicy"):
        config = TrainingConfig("MemoryAgents/TMaze-v0", algorithm=name, policy=policy, device="cpu")
        agents.append(make_agent(config, make_vec_env(config, 16)))
    one, other = (
        {key: value for key, value in vars(agent).items() if isinstance(value, int | float | str)} for agent in agents
    )
    different = {key for key in one.keys() & other.keys() if one[key] != other[key]}
    assert different <= {"sequence_length", "start_time"}
    assert [agent.lr_schedule(1.0) for agent in agents] == [agents[0].lr_schedule(1.0)] * 2
    optimizers = {type(agent.policy.optimizer) for agent in agents}
    assert len(optimizers) == 1


def test_invalid_actions_are_counted_where_the_environment_tells_them(tmp_path: Path) -> None:
    class AlwaysFirst:
        """Flips the first card again and again."""

        def predict(self, observation: Any, **kwargs: Any) -> tuple[np.ndarray, None]:
            return np.zeros(len(observation), int), None

    config = TrainingConfig("MemoryAgents/Concentration-v0", {"n_pairs": 2}, n_envs=2, eval_episodes=3, device="cpu")
    agent: Any = make_agent(config, make_vec_env(config, 2))
    agent.predict = AlwaysFirst().predict
    evaluation = evaluate(agent, config)
    # Eight flips, of which only the first turns a card.
    assert [episode.length for episode in evaluation.episodes] == [8, 8, 8]
    assert evaluation.invalid_actions == 3 * 7
    assert evaluation.summary()["invalid_actions"] == 21
    elsewhere = replace(config, env="MemoryAgents/CopyFirst-v0", env_kwargs={})
    quiet = evaluate(make_agent(elsewhere, make_vec_env(elsewhere, 2)), elsewhere)
    assert quiet.invalid_actions is None
    assert "invalid_actions" not in quiet.summary()


@pytest.mark.parametrize("policy", ["CompressiveMemoryPolicy", "MlpPolicy"])
def test_training_that_blows_up_is_a_result(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", *TMAZE, *TINY, "--policy", policy, "--out", str(tmp_path), "--no-progress", *memory_args(policy)]
    assert run([*args, "--algorithm-kwargs", "learning_rate=1e30"]) == 0
    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["train_broken_off"] is True
    assert summary["episodes"] == 0
    assert summary["mean_return"] is summary["normalized_return"] is summary["success_rate"] is None
    assert (tmp_path / "agent.zip").exists()
    assert len((tmp_path / "evaluation.csv").read_text().splitlines()) == 1
    for looking in (["evaluate"], ["inspect", "--out", str(tmp_path / "page.html")]):
        capsys.readouterr()
        assert run([looking[0], str(tmp_path), *looking[1:]]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "diverged in training, so that its agent cannot act" in line
    assert run(["collect", str(tmp_path), "--table", "stability"]) == 0
    assert "| 1 of 1 |" in capsys.readouterr().out


@pytest.mark.parametrize("on_device", [False, True])
def test_training_that_blows_up_in_its_last_update_is_a_result(
    on_device: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_device:  # where distributions do not look at numbers
        monkeypatch.setattr(training, "evaluate", lambda *args: check_finite(th.full((2, 3), th.nan)))
    args = ["train", *TMAZE, *TINY, "--out", str(tmp_path), "--no-progress", "--total-timesteps", "64"]
    args += ["--algorithm-kwargs", '{"n_steps": 32, "n_epochs": 1, "batch_size": 64}']
    args += ["--algorithm-kwargs", "learning_rate=1e30", "--algorithm-kwargs", "max_grad_norm=1e30"]
    assert run([*args, *memory_args("CompressiveMemoryPolicy")]) == 0
    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["train_broken_off"] is True
    assert summary["train_steps"] == 64
    assert summary["episodes"] == 0
    assert not (tmp_path / "failure.txt").exists()


def test_other_errors_of_training_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*args: object, **kwargs: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(stable_baselines3.PPO, "learn", learn)
    config = TrainingConfig("MemoryAgents/TMaze-v0", {"corridor": 3}, policy="MlpPolicy", n_envs=2, device="cpu")
    with pytest.raises(ValueError, match="a bug"):
        train(config, tmp_path, progress=False)
    assert not (tmp_path / "evaluation.json").exists()
    assert "ValueError: a bug" in (tmp_path / "failure.txt").read_text()


def test_checkpoints_are_agents_of_their_time(tmp_path: Path) -> None:
    small = dict(algorithm_kwargs={"n_steps": 32, "batch_size": 64}, n_envs=2, device="cpu", eval_episodes=2)
    config = TrainingConfig(
        "MemoryAgents/TMaze-v0",
        {"corridor": 3},
        policy="MlpPolicy",
        total_timesteps=256,
        **small,  # type: ignore[arg-type]
    )
    train(config, tmp_path / "plain", progress=False)
    assert not (tmp_path / "plain" / "checkpoints").exists()
    train(config, tmp_path / "saved", progress=False, checkpoint_freq=100)
    found = sorted(int(path.stem) for path in (tmp_path / "saved" / "checkpoints").iterdir())
    assert found == [100, 200]
    agents = [load_agent(config, tmp_path / "saved" / "checkpoints" / f"{steps}.zip") for steps in found]
    assert [agent.num_timesteps for agent in agents] == found
    # Saving changes nothing.
    for name in ("evaluation.csv", "monitor.csv"):
        one, other = ((tmp_path / kind / name).read_text().splitlines() for kind in ("plain", "saved"))
        assert [line.split(",")[:2] for line in one[2:]] == [line.split(",")[:2] for line in other[2:]]

    args = ["train", *TMAZE, *TINY, "--policy", "MlpPolicy", "--no-progress", "--out", str(tmp_path / "asked")]
    args += ["--algorithm-kwargs", "n_steps=128"]
    assert run([*args, "--checkpoint-freq", "500"]) == 0
    assert [path.name for path in (tmp_path / "asked" / "checkpoints").iterdir()] == ["500.zip"]
    assert run([*args, "--overwrite"]) == 0
    assert not (tmp_path / "asked" / "checkpoints").exists()


def test_every_option_of_train_reaches_the_run(tmp_path: Path) -> None:
    args = ["--policy", "MlpPolicy", "--n-stack", "3", "--policy-kwargs", "net_arch=[5]", "--out", str(tmp_path)]
    assert run(["train", *TMAZE, *TINY, *args, "--no-progress"]) == 0
    config = load_config(tmp_path)
    assert (config.n_stack, config.policy_kwargs) == (3, {"net_arch": [5]})
    agent = load_agent(config, tmp_path / "agent.zip")
    assert agent.observation_space.shape == (15,)


def test_a_run_is_finished_last_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it is killed, evaluation.json is there only if all the rest is."""
    written: list[str] = []

    def note(path: Path, content: str | bytes) -> None:
        written.append(path.name)
        write_whole(path, content)

    for module in ("training", "evaluation", "config"):
        monkeypatch.setattr(f"memory_agents.benchmarks.{module}.write_whole", note)
    assert run(["train", *TMAZE, *TINY, "--policy", "MlpPolicy", "--no-progress", "--out", str(tmp_path)]) == 0
    assert written == ["config.json", "agent.zip", "evaluation.csv", "evaluation.json"]


def test_a_refused_argument_keeps_the_earlier_run(tmp_path: Path) -> None:
    args = ["train", *TMAZE, *TINY, "--out", str(tmp_path), "--no-progress", "--overwrite"]
    assert run([*args, "--policy", "MlpPolicy"]) == 0

    assert run([*args, "--memory-kwargs", "length=3"]) == 2
    assert load_config(tmp_path).policy == "MlpPolicy"
    assert (tmp_path / "agent.zip").exists()


def test_baseline_differs_in_memory_only() -> None:
    venv = make_vec_env(TrainingConfig("MemoryAgents/TMaze-v0"), 16)
    config = TrainingConfig("MemoryAgents/TMaze-v0", device="cpu")
    ours = make_agent(config, venv)
    baseline = make_agent(TrainingConfig(config.env, policy="MlpPolicy", device="cpu"), venv)

    assert isinstance(ours, PPO)
    assert isinstance(baseline, stable_baselines3.PPO)
    assert not isinstance(baseline, PPO)
    for name in (
        "n_steps",
        "batch_size",
        "n_epochs",
        "gamma",
        "gae_lambda",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
    ):
        assert getattr(ours, name) == getattr(baseline, name), name
    for progress_remaining in (1.0, 0.5, 0.0):
        assert ours.lr_schedule(progress_remaining) == baseline.lr_schedule(progress_remaining)


@pytest.mark.parametrize("policy", ["CompressiveMemoryPolicy", "MlpPolicy"])
def test_arguments_of_the_algorithm_reach_it(policy: str) -> None:
    venv = make_vec_env(TrainingConfig("MemoryAgents/TMaze-v0"), 2)
    asked = {"n_epochs": 3, "gamma": 0.9, "n_steps": 64, "batch_size": 128}
    agent = make_agent(TrainingConfig("E", policy=policy, algorithm_kwargs=asked, device="cpu"), venv)
    assert {name: getattr(agent, name) for name in asked} == asked
    with pytest.raises(UsageError, match="gama"):
        make_agent(TrainingConfig("E", policy=policy, algorithm_kwargs={"gama": 0.9}, device="cpu"), venv)


def test_rewards_are_scaled_for_learning_only() -> None:
    config = TrainingConfig("MemoryAgents/HiddenGoal-v0", {"size": 2, "horizon": 40}, n_envs=4, normalize_reward=True)
    for normalize_reward in (True, False):
        venv = make_training_env(replace(config, normalize_reward=normalize_reward))
        venv.seed(0)
        venv.reset()
        rewards = {float(reward) for step in range(40) for reward in venv.step(np.full(4, step % 4))[1]}
        assert (rewards <= {0.0, 1.0}) != normalize_reward
        assert isinstance(venv, VecNormalize) == normalize_reward
    agent = make_agent(replace(config, algorithm_kwargs={"n_steps": 32}, device="cpu"), make_training_env(config))
    agent.learn(128)
    assert all(episode["r"] == int(episode["r"]) for episode in agent.ep_info_buffer or ())
    mean_return = evaluate(agent, replace(config, eval_episodes=3)).mean_return
    assert mean_return is not None
    assert mean_return % (1 / 3) == pytest.approx(0, abs=1e-6)


def test_normalisation_is_not_clipped() -> None:
    known = Anchors(optimal=4.4, memoryless=0.4, random=-0.9)

    assert known.normalize(4.4) == pytest.approx(1)
    assert known.normalize(0.4) == pytest.approx(0)
    assert known.normalize(-3.6) == pytest.approx(-1)
    assert known.denormalize(known.normalize(2.7)) == pytest.approx(2.7)


def test_anchors_follow_the_arguments() -> None:
    two_bits = anchors(TrainingConfig("MemoryAgents/TMaze-v0", env_kwargs={"cue_bits": 2}))

    assert two_bits is not None
    assert two_bits.memoryless == pytest.approx(0.25)
    assert anchors(TrainingConfig("CartPole-v1")) is None


def test_success_rate_counts_known_episodes() -> None:
    episodes = (Episode(1.0, 5, True), Episode(0.0, 5, False), Episode(0.0, 5, None))

    assert Evaluation(episodes, None).success_rate == 0.5
    assert Evaluation(episodes[2:], None).success_rate is None


def test_evaluations_of_different_seeds_share_no_episode() -> None:
    def plays(seed: int) -> set[int]:
        return {evaluation_seed(seed) + env for env in range(256)}

    assert all(plays(a).isdisjoint(plays(b)) for a in range(5) for b in range(a))
    assert all(min(plays(seed)) > 100_000 for seed in range(5))


@pytest.mark.parametrize("env_id", ["MemoryAgents/TMaze-v0", "MemoryAgents/CartPoleNoVelocity-v0"])
def test_environments_played_at_once_change_no_result(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(
        env_id, policy="MemoryPolicy", memory_class="gru", n_envs=8, total_timesteps=2048, eval_episodes=8, device="cpu"
    )
    at_once = train(config, tmp_path / "at-once", progress=False)
    monkeypatch.setattr("memory_agents.benchmarks.agents.FEWEST_AT_ONCE", 9)
    one_by_one = train(config, tmp_path / "one-by-one", progress=False)
    assert at_once.evaluation == one_by_one.evaluation
    for one, other in zip(at_once.agent.policy.parameters(), one_by_one.agent.policy.parameters(), strict=True):
        assert th.equal(one, other)


def test_only_environments_as_they_are_are_played_at_once() -> None:
    def kind(**arguments: Any) -> str:
        config = TrainingConfig(**{"env": "MemoryAgents/CueStream-v0", **arguments})
        return type(make_vec_env(config, 8).unwrapped).__name__

    assert kind() == "BatchedVecEnv"
    assert kind(env="CartPole-v1") == kind(n_stack=4) == kind(memory_kwargs={"judger": "oracle"}) == "DummyVecEnv"
