"""``memory-bench sequence`` on the algorithmic tasks."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents.benchmarks.arguments import UsageError
from memory_agents.benchmarks.cli import run
from memory_agents.benchmarks.sequence import algorithmic_cli, runs
from memory_agents.benchmarks.sequence.algorithmic import AGENTS, AlgorithmicConfig, Experiment, run_algorithmic
from memory_agents.benchmarks.sequence.algorithmic_report import algorithmic_groups, algorithmic_table
from memory_agents.benchmarks.sequence.checkpoint import CHECKPOINT_FILE
from memory_agents.benchmarks.sequence.runs import CURVE_FILE, SCORE_FILE, load_config
from memory_agents.memory import CompressiveMemory
from tests.benchmarks.sequence.killing import kill_at

TINY = AlgorithmicConfig(
    "copy", "rmt", 3, {"n_symbols": 2, "alphabet": 3}, n_memory=2, n_layers=1, d_model=8, n_heads=2, d_feedforward=8,
    updates=4, warmup=1, batch_size=4, validate_every=2,
)  # fmt: skip
WORDS = shlex.split(
    "--task-kwargs n_symbols=2 --task-kwargs alphabet=3 --n-memory 2 --n-layers 1 --d-model 8 --n-heads 2 "
    "--d-feedforward 8 --updates 4 --warmup 1 --batch-size 4 --validate-every 2 --segments 3 --seeds 0,1"
)


def learned(**changes: Any) -> list[th.Tensor]:
    experiment = Experiment(replace(TINY, **changes))
    experiment.learn()
    return [parameter.detach() for parameter in experiment.model.parameters()]


def same(one: list[th.Tensor], other: list[th.Tensor]) -> bool:
    return len(one) == len(other) and all(map(th.equal, one, other))


def test_runs_repeat_bit_by_bit_whatever_was_drawn_before() -> None:
    before = th.random.get_rng_state()
    first = learned()
    assert th.equal(before, th.random.get_rng_state())
    th.rand(3)
    assert same(first, learned())


@pytest.mark.parametrize(
    "changes",
    [
        dict(agent="xl"),
        dict(n_segments=2),
        dict(task_kwargs={"n_symbols": 3, "alphabet": 3}),
        dict(memory_kwargs={"xl_memory": 1}),
        dict(n_memory=3),
        dict(bptt=1),
        dict(n_layers=2),
        dict(d_model=16),
        dict(n_heads=1),
        dict(d_feedforward=16),
        dict(updates=3),
        dict(batch_size=5),
        dict(learning_rate=1e-3),
        dict(warmup=2),
        dict(max_grad_norm=1e-3),
        dict(seed=1),
        dict(autocast="bfloat16"),
        dict(stop_at=1e-9),
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_argument_changes_what_is_learned(changes: dict[str, Any]) -> None:
    assert not same(learned(), learned(**changes))


def test_validation_does_not_change_what_is_learned() -> None:
    assert same(learned(), learned(validate_every=4))
    kwargs: dict[str, Any] = dict(memory_length=2, block_length=2, compression_rate=2, judger="random")
    drawing: dict[str, Any] = dict(agent="compressive", n_memory=1, memory_kwargs=kwargs)
    assert same(learned(**drawing), learned(**drawing, validate_every=4))
    assert len(Experiment(TINY).learn()[0]) == 2
    assert len(Experiment(replace(TINY, validate_every=4)).learn()[0]) == 1


def test_dropout_is_drawn_from_the_seed() -> None:
    kwargs = dict(memory_kwargs={"dropout": 0.3})
    assert same(learned(**kwargs), learned(**kwargs))
    assert not same(learned(**kwargs), learned())


def test_agents_are_what_the_paper_compares() -> None:
    """What the first token of a segment can depend on: nothing, the segment before, everything."""
    reach = {}
    for agent in AGENTS:
        config = replace(TINY, agent=agent, task_kwargs={"n_symbols": 8}, n_segments=4, n_layers=1)
        experiment = Experiment(config)
        segment = experiment.segment
        assert segment == 6
        batch = experiment.draw(1, np.random.default_rng(0))
        x = experiment.model.embed(batch.tokens).detach().requires_grad_()
        core = experiment.model.core
        last = core.unroll_outputs(x, core.initial_state(1), batch.starts)[:, 3 * segment]
        (gradient,) = th.autograd.grad(last.sum(), x)
        seen = gradient.abs().sum(dim=2)[0] > 0
        reach[agent] = int(3 * segment - seen.nonzero().min())
    everything = dict.fromkeys(("rmt", "memformer", "block_recurrent", "lstm", "gru", "brc", "nbrc"), 18)
    # Eleven tokens before it, and two slots of four tokens.
    assert reach == {"none": 0, "xl": 6, "compressive": 18, **everything}


def test_segments_over_which_gradients_flow() -> None:
    assert [Experiment(replace(TINY, agent=agent)).window for agent in ("none", "xl", "rmt")] == [2, 2, None]
    assert Experiment(replace(TINY, bptt=2)).window == 4
    assert Experiment(replace(TINY, agent="xl", bptt=0)).window is None


def test_transformer_xl_sees_its_segment_and_the_one_before() -> None:
    core = Experiment(replace(TINY, agent="xl", task_kwargs={"n_symbols": 8}, n_segments=4)).model.core
    assert isinstance(core, CompressiveMemory)
    (shape,) = set(core.shapes)
    tokens = th.arange(24)
    first_seen = shape.block_length * shape.blocks_left(tokens)
    assert first_seen.tolist() == [0] * 12 + [6] * 6 + [12] * 6


def test_the_command_is_that_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_algorithmic([TINY], tmp_path / "first")
    folder = tmp_path / "first" / TINY.name
    command = json.loads((folder / "config.json").read_text())["command"]
    words = shlex.split(command)
    assert words[:3] == ["memory-bench", "sequence", "copy"]
    assert run([*words[1:], "--out", str(tmp_path / "second")]) == 0
    again = tmp_path / "second" / TINY.name
    assert load_config(again, AlgorithmicConfig) == TINY
    assert (again / CURVE_FILE).read_text() == (folder / CURVE_FILE).read_text()
    assert "accuracy" in capsys.readouterr().out


def test_runs_are_done_once_and_shown_beside_the_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sequence", "copy", "--out", str(tmp_path), "--agents", "none,rmt", *WORDS]
    assert run(words) == 0
    scores = {path: path.stat().st_mtime_ns for path in tmp_path.glob(f"*/{SCORE_FILE}")}
    assert sorted(path.parent.name for path in scores) == [
        "copy-none-n3-s0", "copy-none-n3-s1", "copy-rmt-n3-s0", "copy-rmt-n3-s1",
    ]  # fmt: skip
    capsys.readouterr()
    assert run(words) == 0
    assert scores == {path: path.stat().st_mtime_ns for path in scores}
    table = (tmp_path / "table.md").read_text()
    rows = table.splitlines()[2:]
    assert ["| none |" in row for row in rows] == [True, False]
    assert all("| 0, 1 |" in row for row in rows)
    # What was published is of another task than this one of two symbols.
    assert all("| 1 x 8 |" in row and "| - |" in row for row in rows)
    assert table in capsys.readouterr().out
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert run(["sequence", "table", str(tmp_path), "--out", str(tmp_path / "again" / "t.md")]) == 0
    assert (tmp_path / "again" / "t.md").read_text() == table
    assert run(["sequence", "table", str(tmp_path), "--curves", str(tmp_path / "c.svg")]) == 0
    assert "<svg" in (tmp_path / "c.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--curves", "s.xyz"], "s.xyz' has no picture's ending; use s.png"),
        (["--curves", "s"], "s' has no picture's ending; use s.png"),
        (["--curves", "."], "is a folder; name a file"),
        (["--out", "."], "is a folder; name a file"),
    ],
)
def test_files_that_cannot_be_written_are_refused_first(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sequence", "table", str(tmp_path), words[0], str(tmp_path / words[1])]) == 2
    assert message in capsys.readouterr().err


def test_half_a_score_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_algorithmic([TINY], tmp_path)
    path = tmp_path / TINY.name / SCORE_FILE
    text = path.read_text()
    for half in (text[:30], "", "3"):
        path.write_text(half)
        assert run(["sequence", "table", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert str(path) in error
        assert "delete it, and run again" in error
    # Before anything is trained that no table could have.
    with pytest.raises(UsageError, match="delete it, and run again"):
        run_algorithmic([replace(TINY, seed=1)], tmp_path)
    assert not (tmp_path / replace(TINY, seed=1).name).exists()
    path.unlink()
    run_algorithmic([TINY], tmp_path)
    assert json.loads(path.read_text())["accuracy"] == json.loads(text)["accuracy"]


def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kwargs = {"xl_memory": 1, "dropout": 0.3}
    config = replace(TINY, memory_kwargs=kwargs, updates=7, stop_at=1.1)
    run_algorithmic([config], tmp_path / "whole")
    folder = tmp_path / "killed" / config.name
    begun = kill_at({1, 6}, monkeypatch)
    for has_checkpoint in (False, True):
        with pytest.raises(KeyboardInterrupt):
            run_algorithmic([config], folder.parent)
        assert (folder / CHECKPOINT_FILE).is_file() == has_checkpoint
    run_algorithmic([config], folder.parent)
    assert not (folder / CHECKPOINT_FILE).exists()
    # Without a checkpoint from the beginning on, then from the latest one.
    assert begun == [0, 1, 0, 1, 2, 3, 4, 4, 5, 6]
    scores = [json.loads((path / config.name / SCORE_FILE).read_text()) for path in (tmp_path / "whole", folder.parent)]
    for score in scores:
        assert score.pop("train_cpu_seconds") > 0
        assert score.pop("train_seconds") > 0
    assert scores[0] == scores[1]
    assert (folder / "curve.csv").read_text() == (tmp_path / "whole" / config.name / "curve.csv").read_text()


def test_a_run_tells_all_code_that_it_is_made_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, told = tmp_path / TINY.name, []
    for now in ("a", "b", "b", None, "a"):
        monkeypatch.setattr(runs, "commit", lambda now=now: now)
        runs.begin_run(folder, TINY)
        told.append(json.loads((folder / "config.json").read_text())["commit"])
        (folder / CHECKPOINT_FILE).touch()
    assert told == ["a", "a, b", "a, b", "a, b", "a, b, a"]
    # A checkpoint of nobody knows what is no beginning.
    (folder / "config.json").unlink()
    runs.begin_run(folder, TINY)
    assert not (folder / CHECKPOINT_FILE).exists()
    assert json.loads((folder / "config.json").read_text())["commit"] == "a"


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    run_algorithmic([TINY], tmp_path)
    with pytest.raises(UsageError, match="with other arguments; choose another"):
        run_algorithmic([replace(TINY, updates=5)], tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--agents", "rmtt"], "--agents 'rmtt' is unknown; did you mean rmt?"),
        (["--segments", "0"], "--segments '0' is out of bounds"),
        (["--segments", "5-4"], "--segments '5-4' has no number in it; write the smaller one first"),
        (["--seeds", ""], "--seeds '' has no number in it; write whole numbers from 0 up"),
        (["--segments", "5"], "--segments 5: n_segments=5 does not split 6 tokens; use 6"),
        (["--task-kwargs", "symbols=3"], '--task-kwargs {"symbols": 3} cannot be used'),
        (["--memory-kwargs", "tokens=3"], "--agents 'rmt' cannot be made"),
        (["--d-model", "7"], "--agents 'rmt' cannot be made"),
        (["--warmup", "9"], "--warmup 9 leaves nothing of --updates 4; lower --warmup"),
        (["--stop-at", "0"], "--stop-at 0.0 stops before anything is learned"),
        (["--bptt", "-1"], "--bptt -1 is too small"),
        (["--autocast", "float16"], "autocast must be one of"),
        (["--agents", ","], "--agents ',' names none; use none, xl"),
        (["--device", "abacus"], "--device 'abacus' is unknown"),
    ],
)
def test_bad_arguments_leave_no_folder(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    tiny = [word for word in WORDS if word not in ("--task-kwargs", "n_symbols=2", "alphabet=3")]
    given = ["--segments", "3"] if words[0] != "--segments" else []
    kept = tiny[: tiny.index("--segments")]
    for name in words[::2]:
        if name in kept:
            del kept[kept.index(name) : kept.index(name) + 2]
    task = [] if words[0] == "--task-kwargs" else ["--task-kwargs", "n_symbols=2"]
    agents = [] if words[0] == "--agents" else ["--agents", "rmt"]
    assert run(["sequence", "copy", "--out", str(out), *agents, *kept, *given, *task, *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_published_stands_beside_the_papers_own_task(tmp_path: Path) -> None:
    run_algorithmic([replace(TINY, task_kwargs={}, agent=agent) for agent in ("none", "rmt")], tmp_path)
    none, rmt = algorithmic_table(algorithmic_groups([tmp_path])).splitlines()[2:]
    assert "| 0.118 (4 x 128) |" in none
    assert "| 1.000 (4 x 128) |" in rmt
    assert "| rmt (n_memory=2) |" in rmt


def test_a_judger_that_nobody_trains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody would train its judger"):
        run_algorithmic([replace(TINY, agent="compressive", memory_kwargs={"judger": True})], tmp_path)


def test_retrieval_has_a_longer_budget_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[AlgorithmicConfig] = []
    monkeypatch.setattr(algorithmic_cli, "run_algorithmic", lambda configs, *_: asked.extend(configs))
    for task in ("copy", "retrieval"):
        # There is no run to make a table of.
        assert run(["sequence", task, "--agents", "rmt", "--segments", "2", "--out", str(tmp_path)]) == 2
    copying, retrieving = asked
    assert copying == AlgorithmicConfig("copy", "rmt", 2)
    assert retrieving == AlgorithmicConfig("retrieval", "rmt", 2, updates=20_000, batch_size=64)


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished run in"):
        algorithmic_groups([tmp_path])


def test_groups_are_ordered_as_the_paper_has_them(tmp_path: Path) -> None:
    configs = [replace(TINY, agent=agent, n_segments=n, updates=2) for agent in ("rmt", "none") for n in (3, 2)]
    run_algorithmic(configs, tmp_path)
    groups = algorithmic_groups([tmp_path])
    assert [(group[0][0].n_segments, group[0][0].agent) for group in groups] == [
        (2, "none"), (2, "rmt"), (3, "none"), (3, "rmt"),
    ]  # fmt: skip
    assert len(algorithmic_table(groups).splitlines()) == 6


def test_rows_tell_what_no_column_does(tmp_path: Path) -> None:
    tiny = replace(TINY, updates=2)
    run_algorithmic([replace(tiny, n_heads=1), replace(tiny, n_heads=1, agent="none")], tmp_path / "one")
    run_algorithmic([replace(tiny, n_heads=2)], tmp_path / "two")
    memories = [row.split(" | ")[2] for row in algorithmic_table(algorithmic_groups([tmp_path])).splitlines()[2:]]
    assert memories == ["none", "rmt (n_memory=2, n_heads=1)", "rmt (n_memory=2, n_heads=2)"]
