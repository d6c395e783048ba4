"""Which runs are compared, and which are left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.config import TrainingConfig
from memory_agents.benchmarks.report.study import read_study
from memory_agents.benchmarks.sweeps.folder_names import environment_name, folder_name
from tests.benchmarks.report.runs import REPEAT, TMAZE, begun, finished, sweep


def test_agents_on_the_same_tasks_are_one_comparison(tmp_path: Path) -> None:
    sweep(tmp_path)
    study = read_study([tmp_path])
    (comparison,) = study.comparisons
    # The best first.
    assert comparison.agents == ("CompressiveMemoryPolicy", "MlpPolicy")
    assert [task.name for task in comparison.tasks] == ["RepeatFirst-v0", "TMaze-v0"]
    assert [run.config.seed for run in comparison.cells["MlpPolicy", "TMaze-v0"]] == [0, 1, 2]
    assert [len(task) for task in comparison.scores("MlpPolicy")] == [3, 3]
    assert comparison.has_few_runs
    assert sorted(study.numbers.values()) == list(range(1, 13))
    assert not study.problems


@pytest.mark.parametrize("seeds", [1, 5])
def test_agents_on_other_tasks_are_another_comparison(seeds: int, tmp_path: Path) -> None:
    """One agent alone comes last, however many runs it has."""
    sweep(tmp_path, seeds=1)
    for seed in range(seeds):
        finished(tmp_path / f"alone-{seed}", 1.0, seed, env="MemoryAgents/Copy-v0")
    wide, alone = read_study([tmp_path]).comparisons
    assert len(wide.agents) == 2
    assert alone.agents == ("CompressiveMemoryPolicy",)


def test_budgets_are_tasks_and_kwargs_are_agents(tmp_path: Path) -> None:
    for number, (steps, length) in enumerate([(1_000, 4), (1_000, 8), (2_000, 4), (2_000, 8)]):
        memory = {"memory_length": length}
        finished(tmp_path / str(number), 0.5 + length / 100, total_timesteps=steps, memory_kwargs=memory)
    (comparison,) = read_study([tmp_path]).comparisons
    assert [task.name for task in comparison.tasks] == ["TMaze-v0, 1,000 steps", "TMaze-v0, 2,000 steps"]
    assert comparison.agents == ("memory_length=8", "memory_length=4")


def test_what_all_agents_of_a_task_share_is_a_condition(tmp_path: Path) -> None:
    for policy in ("CompressiveMemoryPolicy", "MlpPolicy"):
        finished(tmp_path / f"a-{policy}", 0.5, policy=policy)
        more: dict[str, Any] = dict(normalize_reward=True, n_envs=8, algorithm_kwargs={"n_epochs": 8})
        finished(tmp_path / f"b-{policy}", 0.5, env=REPEAT, policy=policy, **more)
    (comparison,) = read_study([tmp_path]).comparisons
    assert comparison.agents == ("CompressiveMemoryPolicy", "MlpPolicy")
    assert len(comparison.tasks) == 2
    # Once two agents of a task differ in one, it is theirs everywhere.
    finished(tmp_path / "c", 0.5, env=REPEAT, n_envs=8, algorithm_kwargs={"n_epochs": 8})
    wide, alone = sorted(read_study([tmp_path]).comparisons, key=lambda one: -len(one.agents))
    assert set(wide.agents) == {
        "CompressiveMemoryPolicy", "CompressiveMemoryPolicy, normalize_reward=true", "MlpPolicy, normalize_reward=true"
    }  # fmt: skip
    assert [task.name for task in alone.tasks] == ["TMaze-v0"]


def test_players_who_learn_nothing_are_on_every_task_of_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingConfig, "__post_init__", lambda self: None)
    for steps in (1_000, 2_000):
        finished(tmp_path / str(steps), 0.5, total_timesteps=steps)
    script: dict[str, Any] = dict(policy="Oracle", algorithm="Scripted", total_timesteps=0)
    folder = finished(tmp_path / "oracle", 1.0, **script)
    (folder / "progress.csv").unlink()
    study = read_study([tmp_path])
    (comparison,) = study.comparisons
    assert len(comparison.tasks) == 2
    assert comparison.agents == ("Oracle", "CompressiveMemoryPolicy")
    assert comparison.learners == ("CompressiveMemoryPolicy",)
    assert len(study.numbers) == 3
    for run_folder in (tmp_path / "1000", tmp_path / "2000"):
        shutil.rmtree(run_folder)
    (alone,) = read_study([tmp_path]).comparisons
    assert alone.agents == ("Oracle",)


def test_runs_that_were_planned_and_not_begun_are_listed(tmp_path: Path) -> None:
    finished(tmp_path / "one", 0.5)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "smoke.json").write_text(json.dumps({"runs": ["one", "two"]}))
    (tmp_path / "sweeps" / "torn.json").write_text("{")
    (problem,) = read_study([tmp_path]).problems
    assert (problem.folder, problem.reason) == (tmp_path / "two", "planned by a sweep, not begun")


def test_agents_are_called_by_arguments_or_folders(tmp_path: Path) -> None:
    finished(tmp_path / "ours-s0", 1.0)
    finished(tmp_path / "theirs-s0", 0.5, policy="MemoryPolicy", memory_class="lstm", algorithm_kwargs={"gamma": 0.9})
    for label, names in (
        ("arguments", ("CompressiveMemoryPolicy", "MemoryPolicy, lstm, gamma=0.9")),
        ("folder", ("ours", "theirs")),
    ):
        (comparison,) = read_study([tmp_path], label).comparisons
        assert comparison.agents == names


def test_an_argument_that_is_empty_makes_another_agent(tmp_path: Path) -> None:
    kwargs: list[dict[str, Any]] = [
        {}, {"memory_kwargs": {"judger": {}}}, {"policy_kwargs": {"judger": {}}}, {"policy_kwargs": {"net_arch": {}}}
    ]  # fmt: skip
    for number, each in enumerate(kwargs):
        finished(tmp_path / str(number), 1 - number / 10, **each)
    study = read_study([tmp_path])
    (comparison,) = study.comparisons
    assert comparison.agents == (
        "CompressiveMemoryPolicy",
        "judger={} (memory_kwargs.judger={})",
        "judger={} (policy_kwargs.judger={})",
        "net_arch={}",
    )
    assert [len(comparison.runs(agent)) for agent in comparison.agents] == [1, 1, 1, 1]
    assert not study.problems


def test_tasks_are_called_apart(tmp_path: Path) -> None:
    for value in (1, "1"):
        finished(tmp_path / repr(value), 0.5, env_kwargs={"x": value})
    (comparison,) = read_study([tmp_path]).comparisons
    assert [task.name for task in comparison.tasks] == [
        'TMaze-v0 (x=1) (env_kwargs.x="1")',
        "TMaze-v0 (x=1) (env_kwargs.x=1)",
    ]


def test_rounding_orders_nobody(tmp_path: Path) -> None:
    for number, score in enumerate((0.5, 0.1, 0.5 + 1e-7, 0.5 + 2e-7, 0.6)):
        finished(tmp_path / str(number), score, memory_kwargs={"n": number})
    (comparison,) = read_study([tmp_path]).comparisons
    assert comparison.agents == ("n=4", "n=0", "n=2", "n=3", "n=1")


def test_agents_of_a_sweep_over_several_tasks_are_called_by_its_folders(tmp_path: Path) -> None:
    for env in (TMAZE, REPEAT):
        for agent, policy in (("ours", "CompressiveMemoryPolicy"), ("plain", "MlpPolicy")):
            for seed in (0, 1):
                config = TrainingConfig(env, policy=policy, seed=seed)
                name = folder_name(environment_name(env), agent, config)
                finished(tmp_path / name, 0.9 if agent == "ours" else 0.1, seed, env, policy=policy)
    (comparison,) = read_study([tmp_path], "folder").comparisons
    assert comparison.agents == ("ours", "plain")
    assert len(comparison.tasks) == 2


def test_scripted_players_are_on_tasks_whose_arguments_are_no_numbers(tmp_path: Path) -> None:
    script: dict[str, Any] = dict(policy="Oracle", algorithm="Scripted", total_timesteps=0)
    finished(tmp_path / "a", 0.5, env_kwargs={"x": float("nan")})
    finished(tmp_path / "oracle", 1.0, env_kwargs={"x": float("nan")}, **script)
    (comparison,) = read_study([tmp_path]).comparisons
    assert comparison.agents == ("Oracle", "CompressiveMemoryPolicy")


def test_what_did_not_end_is_listed(tmp_path: Path) -> None:
    sweep(tmp_path)
    begun(tmp_path / "running", 7)
    failed = begun(tmp_path / "failed", 8)
    (failed / "failure.txt").write_text("Traceback (most recent call last):\nValueError: no\n")
    torn = begun(tmp_path / "torn", 9)
    (torn / "evaluation.json").write_text('{"mean_return": 0.')
    for number, left in enumerate(("[]", '{"arguments": {}, "mean_return": 1.0}')):
        (begun(tmp_path / f"overwritten-{number}", 10) / "evaluation.json").write_text(left)
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "config.json").write_text("{}")
    regression = tmp_path / "regression"
    regression.mkdir()
    (regression / "config.json").write_text("{}")
    (regression / "regression.json").write_text("{}")
    study = read_study([tmp_path])
    reasons = {problem.folder.name: problem.reason for problem in study.problems}
    assert reasons.keys() == {"running", "failed", "torn", "overwritten-0", "overwritten-1", "odd", "regression"}
    assert reasons["running"] == "not finished: no evaluation.json"
    assert reasons["failed"] == "failed: ValueError: no"
    for name in ("torn", "overwritten-0", "overwritten-1"):
        assert "is not the evaluation of a training run" in reasons[name]
    assert reasons["odd"] == "config.json is not that of a training run"
    assert "a run on sequences" in reasons["regression"]
    assert len(study.numbers) == 12


def test_an_agent_that_failed_everywhere_on_a_task_leaves_the_comparison_whole(tmp_path: Path) -> None:
    sweep(tmp_path)
    for seed in range(3):
        folder = tmp_path / "TMaze-v0" / f"memoryless-s{seed}"
        (folder / "evaluation.json").unlink()
    (comparison,) = read_study([tmp_path]).comparisons
    assert len(comparison.tasks) == 2
    assert [task.name for task in comparison.scored_tasks] == ["RepeatFirst-v0"]
    assert comparison.cells["MlpPolicy", "TMaze-v0"] == ()


def test_few_runs_are_few_of_any_agent_on_any_task(tmp_path: Path) -> None:
    sweep(tmp_path, seeds=5)
    (comparison,) = read_study([tmp_path]).comparisons
    assert (comparison.fewest_runs, comparison.has_few_runs) == (5, False)
    shutil.rmtree(tmp_path / "TMaze-v0" / "memoryless-s4")
    (comparison,) = read_study([tmp_path]).comparisons
    assert (comparison.fewest_runs, comparison.has_few_runs) == (4, True)
    # Who has none on a task is not counted there.
    for seed in range(4):
        (tmp_path / "TMaze-v0" / f"memoryless-s{seed}" / "evaluation.json").unlink()
    (comparison,) = read_study([tmp_path]).comparisons
    assert (comparison.fewest_runs, comparison.has_few_runs) == (5, False)


def test_a_run_counts_once(tmp_path: Path) -> None:
    finished(tmp_path / "a", 1.0)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    study = read_study([tmp_path, tmp_path / "a"])
    assert [folder.name for folder in study.numbers] == ["a"]
    (problem,) = study.problems
    assert problem.folder.name == "b"
    assert "same arguments and seed" in problem.reason


def test_a_play_of_one_who_learns_nothing_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingConfig, "__post_init__", lambda self: None)
    finished(tmp_path / "learner", 0.5, total_timesteps=1_000)
    script: dict[str, Any] = dict(policy="Random", algorithm="Scripted", total_timesteps=0)
    for device, n_envs, seed in (("auto", 16, 0), ("cpu", 16, 0), ("cpu", 8, 0), ("cpu", 16, 1)):
        finished(tmp_path / f"{device}-{n_envs}-{seed}", 0.0, seed, device=device, n_envs=n_envs, **script)
    (comparison,) = read_study([tmp_path]).comparisons
    random = next(agent for agent in comparison.agents if agent.startswith("Random"))
    assert len(comparison.runs(random)) == 2
    assert len(read_study([tmp_path]).problems) == 2


def test_runs_that_broke_off_or_have_no_anchors_have_no_score(tmp_path: Path) -> None:
    finished(tmp_path / "a", None, env=TMAZE)
    finished(tmp_path / "b", 0.5, 1, env=TMAZE)
    finished(tmp_path / "c", 0.5, env=REPEAT, anchors=None)
    (comparison,) = read_study([tmp_path]).comparisons
    assert [task.name for task in comparison.scored_tasks] == ["TMaze-v0"]
    assert comparison.scores("CompressiveMemoryPolicy")[0].tolist() == [0.5]


def test_nothing_to_report(tmp_path: Path) -> None:
    begun(tmp_path / "running")
    with pytest.raises(UsageError, match="no finished run"):
        read_study([tmp_path])
    (tmp_path / "running" / "evaluation.json").write_text("not JSON")
    with pytest.raises(UsageError, match="can be read"):
        read_study([tmp_path])


def test_runs_of_earlier_versions(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", 0.5)
    recorded = json.loads((folder / "config.json").read_text())
    del recorded["arguments"]["judger_kwargs"], recorded["arguments"]["algorithm"]
    (folder / "config.json").write_text(json.dumps(recorded))
    assert len(read_study([tmp_path]).numbers) == 1
