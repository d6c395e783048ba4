from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from memory_agents import PPO
from memory_agents.benchmarks import __main__ as entry
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.sweeps.listing import suite_file_table
from memory_agents.envs import ENVIRONMENTS
from memory_agents.memory import memory_registry

TMAZE = "MemoryAgents/TMaze-v0"
ROOT = Path(__file__).resolve().parents[2]


def test_list_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0

    shown = capsys.readouterr().out
    for name in [*ENVIRONMENTS, *PPO.policy_aliases, "MlpPolicy", *memory_registry, "corridor=", "memory_length="]:
        assert name in shown


def test_pages_are_imported_when_they_are_written() -> None:
    late = ["memory_agents.benchmarks.report.write", "memory_agents.benchmarks.inspection.inspector", "imageio"]
    code = f"import sys, memory_agents.benchmarks.cli; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_list_can_be_narrowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--envs"]) == 0
    envs = capsys.readouterr().out
    assert run(["list", "--policies"]) == 0
    policies = capsys.readouterr().out

    assert TMAZE in envs
    assert "MlpPolicy" not in envs
    assert TMAZE not in policies
    assert "MlpPolicy" in policies


def test_suites_say_what_to_install() -> None:
    shown = io.StringIO()
    Console(file=shown, width=400).print(suite_file_table())
    assert "pip install 'memory_agents[popgym]'" in shown.getvalue()


def test_list_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--markdown"]) == 0
    heading, rule, *rows = capsys.readouterr().out.splitlines()
    assert heading.count("|") == rule.count("|") == rows[0].count("|")
    assert [row.split("`")[1] for row in rows] == list(ENVIRONMENTS)
    (maze,) = (row for row in rows if "TMaze" in row)
    assert maze.endswith("turn into the arm that the sign named. | object | 1.00 | 0.50 | 0.50 |")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["--env"]),
        (["--env", "TMaze"], ["TMaze", TMAZE]),
        (["--env", TMAZE, "--env-kwargs", "corridor"], ["--env-kwargs", "corridor=VALUE"]),
        (["--env", TMAZE, "--env-kwargs", "corridor=-3"], ["corridor", "-3"]),
        (["--env", TMAZE, "--env-kwargs", "colour=1"], ["colour"]),
        (["--env", TMAZE, "--env-kwargs", "max_episode_steps=5"], ["max_episode_steps", "known returns"]),
        (["--env", TMAZE, "--policy", "LstmPolicy"], ["LstmPolicy", "MlpPolicy"]),
        (["--env", TMAZE, "--policy", "MlpPolicy", "--memory-kwargs", "n_layers=1"], ["--memory-kwargs"]),
        (["--env", TMAZE, "--policy", "MemoryPolicy", "--memory-class", "compresive"], ["compressive"]),
        (["--env", TMAZE, "--algorithm", "A3C"], ["--algorithm 'A3C'", "A2C"]),
        (
            ["--env", "MemoryAgents/CopyFirst-v0", "--algorithm", "MaskablePPO"],
            ["action_masks()", "MemoryAgents/CopyFirst-v0", "use PPO"],
        ),
        (["--env", TMAZE, "--memory-kwargs", "length=3"], ["length", "memory_length"]),
        (["--env", TMAZE, "--memory-kwargs", "n_layers=0"], ["n_layers"]),
        (["--env", TMAZE, "--n-envs", "0"], ["--n-envs", "0"]),
        (["--env", TMAZE, "--n-envs", "many"], ["--n-envs", "integer"]),
        (["--env", TMAZE, "--seed", "-1"], ["--seed", "-1"]),
        (["--env", TMAZE, "--device", "gpu"], ["--device", "gpu", "cpu"]),
        (["--env", TMAZE, "--colour", "red"], ["--colour"]),
        (["--env", TMAZE, "--memory-kwargs", "n_layers=1", "n_heads=2"], ["(n_heads=2)", "repeat the option"]),
    ],
)
def test_bad_arguments_exit_2_with_one_line(
    args: list[str], words: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", "--out", str(out), "--total-timesteps", "256", *args]) == 2

    captured = capfd.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    for word in ["memory-bench: ", *words]:
        assert word in captured.err
    assert not out.exists()


def test_foreign_folder_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis.tex").touch()

    assert run(["train", "--env", TMAZE, "--out", str(tmp_path), "--n-envs", "2"]) == 2
    assert "other files" in capsys.readouterr().err


def test_unknown_command_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learn"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_episode_cost_compares_two_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cost.json"
    args = ["--early", "3", "--late", "6", "--repeats", "1", "--n-envs", "1", "--memory-kwargs", "n_layers=1"]
    assert run(["episode-cost", *args, "--out", str(out)]) == 0

    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads(out.read_text())
    assert figures["ratio"] > 0
    assert figures["state_bytes"]["3"] == figures["state_bytes"]["6"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--memory-class", "lstn"], ["--memory-class", "lstn"]),
        (["--early", "9", "--late", "9"], ["--early 9", "--late 9"]),
        (["--memory-kwargs", "n_layers=0"], ["n_layers"]),
    ],
)
def test_episode_cost_refuses(args: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["episode-cost", *args]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    assert "--env-kwargs" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["benchmarks", "memory_agents.benchmarks"])
def test_it_runs_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "train", "--env", "TMaze"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"memory-bench: --env 'TMaze' is unknown; did you mean {TMAZE}?"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(entry, "EXTRA", ("no_such_module",))

    with pytest.raises(SystemExit) as caught:
        entry.main(["list"])
    assert caught.value.code == 1
    assert "pip install 'memory_agents[bench]'" in capsys.readouterr().err


def test_importing_the_package_needs_no_extra() -> None:
    code = "import sys, memory_agents.benchmarks; sys.exit('typer' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
