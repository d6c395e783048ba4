from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_agents.benchmarks.agents import load_agent, make_agent, make_training_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.evaluation import evaluate
from memory_agents.benchmarks.progress import read_curve
from memory_agents.benchmarks.scripted import Scripted

TMAZE = "MemoryAgents/TMaze-v0"


def config(policy: str, env: str = TMAZE, **more: Any) -> TrainingConfig:
    arguments = dict(algorithm="Scripted", total_timesteps=0, n_envs=3, eval_episodes=8, device="cpu")
    return TrainingConfig(env, policy=policy, **{**arguments, **more})


def player(asked: TrainingConfig) -> Scripted:
    agent = make_agent(asked, make_training_env(asked))
    assert isinstance(agent, Scripted)
    return agent


@pytest.mark.parametrize("env", [TMAZE, "MemoryAgents/Copy-v0", "MemoryAgents/ObjectMatchingGrid-v0"])
def test_oracles_side_by_side_reach_the_optimum(env: str) -> None:
    asked = config("Oracle", env)
    assert evaluate(player(asked), asked).normalized_return == pytest.approx(1.0, abs=1e-6)


def test_oracles_in_one_batch_do_not_mix_episodes_up() -> None:
    asked = config("Oracle", "MemoryAgents/Copy-v0")
    agent, venv = player(asked), make_training_env(asked)
    venv.seed(0)
    obs, state, starts = venv.reset(), None, np.ones(3, np.bool_)
    returns = np.zeros(3)
    ended = 0
    while ended < 6:
        actions, state = agent.predict(obs, state=state, episode_start=starts)  # type: ignore[arg-type]
        obs, rewards, starts, _ = venv.step(actions)
        returns += rewards
        assert returns[starts] == pytest.approx(1.0)
        ended += starts.sum()
        returns[starts] = 0


def test_images_are_played_too() -> None:
    asked = config("Oracle", "MemoryAgents/ObjectMatchingGrid-v0", env_kwargs={"observation": "image"}, eval_episodes=2)
    assert evaluate(player(asked), asked).normalized_return == pytest.approx(1.0, abs=1e-6)


def test_an_oracle_plays_alone_as_well() -> None:
    asked = config("Oracle")
    agent, env = player(asked), make_training_env(asked).unwrapped.envs[0]  # type: ignore[attr-defined]
    obs, _ = env.reset(seed=3)
    state, start, over = None, True, False
    while not over:
        action, state = agent.predict(obs, state=state, episode_start=np.array([start]))
        obs, reward, over, _, _ = env.step(action)
        start = False
    assert reward == 1


def test_random_play_follows_the_seed_alone() -> None:
    agents = [player(config("Random", seed=seed)) for seed in (0, 0, 1)]
    obs = agents[0].observation_space.sample()[None].repeat(40, axis=0)
    one, again, other = (agent.predict(obs) for agent in agents)
    assert one[0].tolist() == again[0].tolist() != other[0].tolist()
    assert set(one[0]) == {0, 1}
    # It goes on where it was.
    assert agents[0].predict(obs, state=one[1])[0].tolist() != one[0].tolist()
    assert agents[0].predict(obs[0])[0] in (0, 1)


def test_a_run_of_a_scripted_player_is_a_run_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--env", TMAZE, "--algorithm", "Scripted", "--total-timesteps", "0", "--n-envs", "2", "--no-progress"]
    assert run(["train", *args, "--policy", "Oracle", "--eval-episodes", "4", "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["normalized_return"] == 1
    assert summary["train_steps"] == summary["parameters"] == 0
    assert read_curve(tmp_path) == ([], [])
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path), "--env-kwargs", "corridor=7", "--eval-episodes", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_length"] > 7
    assert run(["evaluate", str(tmp_path), "--out", str(tmp_path / "evaluation.json")]) == 2
    assert "evaluation.json' is a file of the run itself, which would be lost" in capsys.readouterr().err
    assert json.loads((tmp_path / "evaluation.json").read_text()) == summary
    for table in ("results", "learning", "stability", "scores"):
        assert run(["collect", str(tmp_path), "--table", table]) == 0
        assert "Oracle, Scripted" in capsys.readouterr().out
    agent = load_agent(config("Oracle"), tmp_path / "agent.zip")
    assert isinstance(agent, Scripted)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (dict(env="CartPole-v1"), "CartPole-v1 has no oracle"),
        (dict(policy="Orakel"), "--policy 'Orakel' is unknown; did you mean Oracle"),
        (dict(n_stack=3), "--n-stack 3: a scripted player takes none"),
        (dict(algorithm_kwargs={"gamma": 0.9}), "--algorithm-kwargs"),
        (dict(policy_kwargs={"net_arch": [3]}), "--policy-kwargs"),
        (dict(memory_class="lstm"), "--algorithm 'Scripted' does not take --memory-class"),
    ],
)
def test_what_a_script_cannot_use_is_refused(more: dict[str, Any], complaint: str) -> None:
    asked = config(**{"policy": "Oracle", **more})
    with pytest.raises(UsageError, match=complaint):
        make_agent(asked, make_training_env(asked))


def test_a_scripted_player_learns_nothing() -> None:
    with pytest.raises(UsageError, match="--total-timesteps 5: a scripted player learns nothing; use 0"):
        config("Oracle", total_timesteps=5)
