"""The judge's choices in a window, found before the window is learned from."""

from __future__ import annotations

from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.memory import CompressiveMemory, static_shapes, tree_clone, tree_leaves, tree_map
from memory_agents.memory.compressive import Choice, LearnedJudge, Scene, group_means, judge_registry, log_prob
from tests.memory.strategies import compressive_kwargs
from tests.memory.test_judger import SMALL, act, fewer, never, perturbed


def chosen(core: CompressiveMemory, x: th.Tensor, starts: th.Tensor, deterministic: bool = True) -> Choice:
    choices = core.choose(x, core.initial_state(len(x)), starts, deterministic)
    assert isinstance(choices, Choice)
    return choices


def counted_steps(core: CompressiveMemory, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that gets an element for every acting step."""
    taken: list[None] = []
    acting = core.act_

    def act_(*arguments: Any) -> Any:
        taken.append(None)
        return acting(*arguments)

    monkeypatch.setattr(core, "act_", act_)
    return taken


def assert_same(found: Choice, expected: Choice, tolerance: float = 0.0) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        th.testing.assert_close(mine, theirs, atol=tolerance, rtol=tolerance)


@fewer
@given(data=st.data())
def test_choices_are_those_of_acting(data: st.DataObject) -> None:
    """Wherever episodes start, in windows in which no block leaves, and after the last one that does."""
    kwargs = data.draw(compressive_kwargs(list(judge_registry), longest=4, widest_rate=3))
    seed, frequency = data.draw(st.integers(0, 2**16)), data.draw(st.sampled_from([0.0, 0.02, 0.1, 0.5]))
    th.manual_seed(seed)
    core = perturbed(CompressiveMemory(3, **kwargs).eval()).double()
    if isinstance(core.judge, LearnedJudge):
        core.judge.warming_up.fill_(data.draw(st.booleans()))
    batch, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    x, starts = th.randn(batch, steps, 3).double(), th.rand(batch, steps) < frequency
    deterministic = data.draw(st.booleans())
    th.manual_seed(seed)
    _, states, choices = act(core, x, starts, deterministic)
    first = data.draw(st.integers(0, steps - 1))
    end = data.draw(st.integers(first + 1, steps))
    before = tree_clone(states[first])
    given_state = core.pack_state(before) if data.draw(st.booleans()) else before
    if deterministic and core.judge is not None and core.judge.has_likeliest:
        found = core.choose(x[:, first:end], given_state, starts[:, first:end], deterministic)
        assert_same(found, tree_map(lambda part: part[:, first:end], choices), 1e-9)  # type: ignore[arg-type]
        for same, was in zip(tree_leaves(before), tree_leaves(states[first]), strict=True):
            assert th.equal(same, was)
    th.manual_seed(seed)
    assert_same(chosen(core, x, starts, deterministic), choices, 1e-9)


@pytest.mark.parametrize("judger", [True, dict(decisions="batch"), "oracle"])
def test_in_a_graph_all_steps_are_taken_and_the_same_is_chosen(judger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    core = perturbed(CompressiveMemory(3, **SMALL, judger=judger).eval())
    taken = counted_steps(core, monkeypatch)
    x, starts = th.randn(3, 21, 3), th.rand(3, 21) < 0.05
    starts[:, -2] = True
    found = chosen(core, x, starts)
    assert len(taken) < 21
    taken.clear()
    with static_shapes():
        assert_same(chosen(core, x, starts), found, 1e-6)
    assert len(taken) == 21


def test_nothing_is_computed_once_no_block_can_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 2 leave a memory of 4 at the ends of the steps 4, 6, 8, ..."""
    core = CompressiveMemory(3, **SMALL, judger=True).eval()
    taken = counted_steps(core, monkeypatch)
    x = th.randn(2, 40, 3)
    state = core.initial_state(2)
    for first, length, expected in [(0, 4, 0), (4, 2, 1), (6, 2, 1), (8, 4, 3), (12, 1, 1), (13, 1, 0), (14, 5, 5)]:
        taken.clear()
        window = x[:, first : first + length]
        _, state = core.unroll(window, state, never(window))
        assert len(taken) == expected


def test_a_window_of_a_block_has_one_step_that_decides() -> None:
    """n_s = 4, n_m = 4: memory_length 8, and windows of 4 tokens from the beginning."""
    core = CompressiveMemory(
        3, memory_length=8, block_length=4, compressed_length=2, compression_rate=2, d_model=8, n_heads=2, judger=True
    )
    x = th.randn(3, 32, 3)
    judged = chosen(core, x, never(x)).judged
    assert judged.any(dim=0).nonzero().flatten().tolist() == [12, 16, 20, 24, 28]
    assert judged[:, 12::4].all()


def test_nothing_is_dropped_where_choices_are_made() -> None:
    core = perturbed(CompressiveMemory(3, **SMALL, dropout=0.5, judger=True))
    x = th.randn(4, 40, 3)
    evaluated = chosen(core.eval(), x, never(x))
    core.train()
    core.blocks[1].eval()
    assert_same(chosen(core, x, never(x)), evaluated)
    assert core.training
    assert core.blocks[0].training
    assert not core.blocks[1].training


def test_without_a_judge_there_is_nothing_to_choose() -> None:
    core = CompressiveMemory(3, **SMALL)
    x = th.randn(1, 5, 3)
    state = core.initial_state(1)
    assert core.choose(x, state, never(x), True) == ()
    assert core.with_choices(state, ()) is state


def test_one_decision_for_a_batch() -> None:
    core = perturbed(CompressiveMemory(3, **SMALL, judger=dict(decisions="batch")).eval())
    assert core.decides_together
    assert not CompressiveMemory(3, **SMALL, judger=True).decides_together
    x, starts = th.randn(5, 60, 3), th.rand(5, 60) < 0.02
    for deterministic in (False, True):
        choices = chosen(core, x, starts, deterministic)
        several = 0
        for t in range(60):
            kept, chances = choices.keep[choices.judged[:, t], t], choices.log_prob[choices.judged[:, t], t]
            several += len(kept) > 1
            assert len(set(kept.tolist())) <= 1
            assert len(set(chances.tolist())) <= 1
        assert several > 10
        assert 0 < float(choices.keep[choices.judged].float().mean()) < 1 or deterministic


@pytest.mark.parametrize("deterministic", [False, True])
def test_the_decision_of_a_batch_is_that_of_the_mean_logit(deterministic: bool) -> None:
    core = perturbed(CompressiveMemory(3, **SMALL, judger=dict(decisions="batch")).eval())
    judge = core.judge
    assert isinstance(judge, LearnedJudge)
    scene = Scene(th.randn(6, 5 + 3, 8), th.full((6,), 3), th.zeros(6, dtype=th.bool))
    judged = th.tensor([True, False, True, True, False, True])
    mean = judge(scene)[judged].mean()
    drawn = set()
    for _ in range(40):
        keep, chances = judge.decide(scene, judged, deterministic)
        assert len(set(keep[judged].tolist())) == 1
        th.testing.assert_close(chances, log_prob(mean.expand(6), keep))
        drawn.add(bool(keep[judged][0]))
    assert drawn == ({bool(mean > 0)} if deterministic else {False, True})


def test_means_of_groups() -> None:
    means = group_means(th.tensor([1.0, 2.0, 3.0, 6.0]), th.tensor([0, 2, 0, 2]), 4)
    assert means.tolist() == [2.0, 0.0, 4.0, 0.0]


def test_an_option_begins_the_warm_up() -> None:
    core = CompressiveMemory(3, **SMALL, judger=dict(warming_up=True))
    x = th.randn(2, 40, 3)
    choices = chosen(core, x, never(x), deterministic=False)
    assert choices.judged.any()
    assert choices.keep[choices.judged].all()


@pytest.mark.parametrize(
    ("judger", "message"),
    [
        (dict(decisions="row"), r"decisions must be one of 'sample', 'batch', got 'row'"),
        (dict(warming_up=1), r"warming_up must be True or False, got 1"),
        (dict(kind="keep", decisions="batch"), r"has 'decisions', which judge 'keep' does not know; known: none"),
    ],
)
def test_bad_options_name_the_mend(judger: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        CompressiveMemory(3, **SMALL, judger=judger)


@pytest.mark.parametrize("judger", ["keep", "discard", dict(warming_up=True)])
def test_what_is_foregone_is_known_without_a_step(judger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is what acting would choose is tested above."""
    core = CompressiveMemory(3, **SMALL, judger=judger)
    taken = counted_steps(core, monkeypatch)
    x = th.randn(2, 30, 3)
    found = chosen(core, x, never(x), deterministic=False)
    assert found.judged.any()
    assert not taken
    if isinstance(core.judge, LearnedJudge):
        core.judge.warming_up.fill_(False)
        chosen(core, x, never(x), deterministic=False)
        assert taken
