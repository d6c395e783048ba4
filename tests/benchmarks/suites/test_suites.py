"""What holds for every suite, installed or not, and for every example of an installed one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_checker import check_env as check_for_sb3

from memory_agents.benchmarks import suites
from memory_agents.benchmarks.agents import make_env
from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.suites import SUITES, Suite, listing, reports_success, suite, suite_of
from memory_agents.envs import ENVIRONMENTS

#: One easy id for each kind of observations, actions, rewards and ends.
IDS = (
    "popgym-RepeatPreviousEasy-v0",
    "popgym-AutoencodeEasy-v0",
    "popgym-BattleshipEasy-v0",
    "popgym-ConcentrationEasy-v0",
    "popgym-CountRecallEasy-v0",
    "popgym-MultiarmedBanditEasy-v0",
    "popgym-NoisyPositionOnlyPendulumEasy-v0",
    "MiniGrid-MemoryS7-v0",
    "MiniGrid-Fetch-5x5-N2-v0",
    "bsuite-memory_len-10-v0",
    "bsuite-memory_size-3-v0",
    "bsuite-umbrella_length-2-v0",
    "bsuite-cartpole-0-v0",
    "bsuite-catch-0-v0",
    "MortarMayhem-Grid-v0",
    "MortarMayhemB-Grid-v0",
    "MysteryPath-Grid-v0",
    "Endless-MysteryPath-v0",
)


def make(env_id: str, **kwargs: Any) -> gym.Env[Any, Any]:
    owner = suite_of(env_id)
    assert owner is not None
    pytest.importorskip(owner.package)
    return make_env(TrainingConfig(env_id, env_kwargs=kwargs))


def play(env: gym.Env[Any, Any], seed: int, steps: int) -> list[Any]:
    env.action_space.seed(seed)
    seen: list[Any] = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert ("is_success" in info) == ((terminated or truncated) and reports_success(env))
        seen += [observation, reward, terminated, truncated, info.get("is_success")]
        if terminated or truncated:
            seen.append(env.reset()[0])
    return seen


def test_suites_share_no_ids_with_others() -> None:
    for owner in SUITES:
        assert suite_of(owner.example) is owner
        assert suite_of(f"{owner.package}:{owner.example}") is owner
        assert not any(other.owns(owner.example) for other in SUITES if other is not owner)
    assert all(suite_of(env_id) is None for env_id in [*ENVIRONMENTS, "CartPole-v1"])


@pytest.mark.parametrize("owner", SUITES, ids=lambda owner: owner.package)
def test_a_missing_suite_is_one_line_with_its_installation(
    owner: Suite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "find_spec", lambda package: None)
    out = tmp_path / "run"

    assert run(["train", "--env", owner.example, "--out", str(out)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"memory-bench: --env '{owner.example}': {owner.distribution} is not installed; ")
    assert line.endswith(f"run: {owner.install}")
    assert not out.exists()
    with pytest.raises(UsageError, match="is not installed"):
        make_env(TrainingConfig(owner.example))


@pytest.mark.parametrize("owner", SUITES, ids=lambda owner: owner.package)
def test_a_broken_suite_says_why(owner: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "find_spec", lambda package: ModuleSpec(package, None))
    # What Python itself takes for a module whose import fails.
    monkeypatch.setitem(sys.modules, owner.package, None)

    with pytest.raises(UsageError, match=rf"{owner.distribution} cannot be imported \(.*\); run: pip install"):
        make_env(TrainingConfig(owner.example))


def test_whatever_breaks_a_suite_breaks_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("no pattern files")

    broken = replace(SUITES[0], package="json", register=fail)
    monkeypatch.setattr(suites, "SUITES", (broken,))

    with pytest.raises(UsageError, match="did you mean MemoryAgents/TMaze-v0"):
        make_env(TrainingConfig("TMaze"))
    with pytest.raises(UsageError, match=r"popgym cannot be imported \(no pattern files\)"):
        make_env(TrainingConfig(broken.example))


def test_a_broken_suite_hides_no_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(SUITES[0], package="no_such_package")
    monkeypatch.setattr(suites, "SUITES", (broken,))

    with pytest.raises(UsageError, match="did you mean MemoryAgents/TMaze-v0"):
        make_env(TrainingConfig("TMaze"))


def test_the_list_tells_what_is_installed_and_how_to_install_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = replace(SUITES[1], package="no_such_package", prefixes=("NoSuch-",))
    monkeypatch.setattr(listing, "SUITES", (SUITES[0], missing))
    assert run(["list", "--envs"]) == 0

    shown = capsys.readouterr().out
    assert SUITES[0].example in shown
    assert missing.install in shown
    assert (SUITES[0].install in shown) == (not SUITES[0].installed)
    if SUITES[0].installed:
        assert " 48 " in shown


@pytest.mark.parametrize("owner", SUITES, ids=lambda owner: owner.package)
def test_installation_commands_name_extras_that_exist(owner: Suite) -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()

    if "memory_agents[" in owner.install:
        extra = owner.install.partition("[")[2].partition("]")[0]
        assert f"\n{extra} = [" in text
    else:
        assert owner.distribution in owner.install


@pytest.mark.parametrize("env_id", IDS)
def test_observations_lie_in_spaces_that_policies_read(env_id: str) -> None:
    env = make(env_id)
    seen = [entry for entry in play(env, 0, 200) if isinstance(entry, (np.ndarray, dict))]

    assert all(env.observation_space.contains(observation) for observation in seen)
    assert isinstance(env.observation_space, (spaces.Box, spaces.Dict))
    if isinstance(env.observation_space, spaces.Box):
        assert env.observation_space.dtype == (np.uint8 if len(env.observation_space.shape) == 3 else np.float32)
    assert env.spec is not None
    assert env.spec.id == env_id
    check_for_sb3(env, warn=False, skip_render_check=True)


@pytest.mark.parametrize("env_id", IDS)
def test_seeds_decide_everything(env_id: str) -> None:
    first, again, other = (play(make(env_id), seed, 120) for seed in (3, 3, 4))

    np.testing.assert_equal(first, again)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(first, other)


@pytest.mark.parametrize("owner", SUITES, ids=lambda owner: owner.package)
def test_training_and_evaluation(owner: Suite, tmp_path: Path) -> None:
    pytest.importorskip(owner.package)
    memory = '{"n_layers": 1, "d_model": 16, "n_heads": 2, "memory_length": 8, "compressed_length": 4}'
    args = ["--n-envs", "2", "--total-timesteps", "256", "--eval-episodes", "2", "--device", "cpu", "--no-progress"]
    args += ["--memory-kwargs", memory, "--out", str(tmp_path)]
    assert run(["train", "--env", owner.example, *args]) == 0

    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert summary["normalized_return"] is None
    assert (summary["success_rate"] is None) == (owner.package == "popgym")
    versions = json.loads((tmp_path / "config.json").read_text())["versions"]
    assert owner.distribution in versions


def test_refused_arguments_are_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("minigrid")
    args = ["train", "--env", "MiniGrid-MemoryS7-v0", "--out", str(tmp_path / "run"), "--env-kwargs"]

    assert run([*args, "colour=red"]) == 2
    assert "colour" in capfd.readouterr().err
    # MiniGrid asserts that the size is odd.
    assert run([*args, "size=8"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "MiniGrid-MemoryS7-v0" in line
