"""The judge of the compressive memory: what it sees, what its decisions do, and that learning sees the same."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_agents.memory import CompressiveMemory, CompressiveState, tree_clone, tree_leaves, tree_map
from memory_agents.memory.compressive import Choice, Judge, LearnedJudge, Scene, judge_registry, log_prob
from tests.memory import reference
from tests.memory.strategies import compressive_kwargs

#: Four recent tokens, blocks of two that become a slot each, room for three.
SMALL: dict[str, Any] = dict(memory_length=4, compressed_length=3, compression_rate=2, d_model=8, n_heads=2)
JUDGES = list(judge_registry)
#: Acting takes its time, step by step.
fewer = settings(max_examples=settings.default.max_examples // 2)  # type: ignore[union-attr]


#: Draws, but what it decides is certain.
ALWAYS = dict(kind="random", probability=1.0)


def act(
    core: CompressiveMemory, x: th.Tensor, starts: th.Tensor, deterministic: bool = False
) -> tuple[th.Tensor, list[CompressiveState], Choice]:
    """
    :param core: a memory
    :param x: inputs, (batch, steps, input_dim)
    :param starts: whether an episode starts at a step, (batch, steps) bool
    :param deterministic: the likelier decisions in place of drawn ones
    :return: outputs (batch, steps, d_model), the states before the first and after every step, and the choices,
        (batch, steps) each
    """
    states, outputs, choices = [core.initial_state(len(x))], [], []
    for t in range(x.shape[1]):
        y, state = core.act_(x[:, t], tree_clone(states[-1]), starts[:, t], deterministic)
        outputs.append(y)
        states.append(tree_clone(state))
        chosen = core.choices(state)
        assert isinstance(chosen, Choice)
        choices.append(tree_clone(chosen))
    return th.stack(outputs, dim=1), states, tree_map(lambda *parts: th.stack(parts, dim=1), *choices)


def never(x: th.Tensor) -> th.Tensor:
    return th.zeros(x.shape[:2], dtype=th.bool)


def episodes(starts: th.Tensor) -> list[tuple[int, int]]:
    """First step and the step after the last, of each episode of a time line with these starts (steps,)."""
    return list(pairwise(sorted({0, len(starts), *starts.nonzero().flatten().tolist()})))


def perturbed(core: CompressiveMemory) -> CompressiveMemory:
    """Biases that start at zero must count, too."""
    for parameter in core.parameters():
        parameter.data.add_(0.1 * th.randn_like(parameter))
    return core


@pytest.mark.parametrize("judge", JUDGES)
@fewer
@given(data=st.data())
def test_learning_sees_the_memory_that_acting_saw(judge: str, data: st.DataObject) -> None:
    precise = data.draw(st.booleans())
    dtype = th.float64 if precise else th.float32
    kwargs = data.draw(compressive_kwargs([judge], longest=4, widest_rate=3, every=precise))
    tolerance = 1e-9 if precise else 1e-5
    th.manual_seed(data.draw(st.integers(0, 2**16)))
    core = perturbed(CompressiveMemory(3, **kwargs).eval()).to(dtype)
    batch, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 50))
    frequency = data.draw(st.sampled_from([0.0, 0.02, 0.1]))
    x, starts = th.randn(batch, steps, 3, dtype=dtype), th.rand(batch, steps) < frequency
    acted, states, choices = act(core, x, starts)

    cuts = sorted({0, steps, *data.draw(st.lists(st.integers(1, steps), max_size=4))})
    state, outputs = core.initial_state(batch), []
    for i, j in pairwise(cuts):
        planned = core.with_choices(state, tree_map(lambda part, i=i, j=j: part[:, i:j], choices))
        window = x[:, i:j], planned, starts[:, i:j]
        if judge in ("learned", "oracle"):
            judged = core.judged_blocks(*window)
            expected = th.stack(choices.judged[:, i:j].nonzero(as_tuple=True))
            assert th.equal(th.stack([judged.window, judged.step]), expected)
            assert core.judge is not None
            again = log_prob(core.judge(judged.scenes), judged.choices.keep)
            chances = judged.choices.log_prob
            assert chances.dtype is dtype
            th.testing.assert_close(again.to(chances), chances, atol=tolerance, rtol=tolerance)
        y, state = core.unroll(*window)
        th.testing.assert_close(core.unroll_outputs(*window), y)
        th.testing.assert_close(core.unroll_with_loss(*window)[0], y)
        outputs.append(y)
        for mine, acting in zip(tree_leaves(state), tree_leaves(states[j]), strict=True):
            th.testing.assert_close(mine, acting, atol=tolerance, rtol=tolerance)
        state = core.pack_state(state) if data.draw(st.booleans()) else state
    th.testing.assert_close(th.cat(outputs, dim=1), acted, atol=tolerance, rtol=tolerance)


@fewer
@given(
    kwargs=compressive_kwargs(JUDGES, longest=3, widest_rate=2, every=True),
    seed=st.integers(0, 2**16),
    steps=st.integers(1, 30),
)
def test_a_drawn_memory_equals_the_reference(kwargs: dict[str, Any], seed: int, steps: int) -> None:
    """Plain loops over everything that ever was; the blocks that were kept are all they are told."""
    th.manual_seed(seed)
    core = perturbed(CompressiveMemory(3, **kwargs).eval()).double()
    x, starts = th.randn(1, steps, 3).double(), th.rand(1, steps) < 0.04
    acted, _, choices = act(core, x, starts)
    learned, _ = core.unroll(x, core.with_choices(core.initial_state(1), choices), starts)
    seen = core.judging.told(x)[0][0]  # type: ignore[union-attr]
    m, b = core.shapes[-1].memory_length, core.shapes[-1].block_length
    with th.no_grad():
        expected = th.cat(
            [
                reference.run_episode(core, seen[i:j], [bool(keep) for keep in choices.keep[0, i + m : j : b]])
                for i, j in episodes(starts[0])
            ]
        )
    th.testing.assert_close(acted[0], expected, atol=1e-9, rtol=1e-9)
    th.testing.assert_close(learned[0], expected, atol=1e-9, rtol=1e-9)


@fewer
@given(kwargs=compressive_kwargs(JUDGES, longest=3, widest_rate=3), seed=st.integers(0, 2**16))
def test_decisions_are_made_once_the_slots_are_full(kwargs: dict[str, Any], seed: int) -> None:
    """A list of the numbers of the slots that are there, step by step: first in, first out, of kept blocks alone."""
    th.manual_seed(seed)
    core = CompressiveMemory(3, **kwargs).eval()
    shape = core.shapes[-1]
    rate, per_block = shape.compression_rate, shape.slots_per_block
    x, starts = th.randn(1, 60, 3), th.rand(1, 60) < 0.02
    _, states, choices = act(core, x, starts)
    for first, end in episodes(starts[0]):
        slots: list[int] = []
        first_tokens: list[int] = []
        for t in range(first, end):
            e = t - first
            leaves = e >= shape.memory_length and (e - shape.memory_length) % shape.block_length == 0
            judged, keep = bool(choices.judged[0, t]), bool(choices.keep[0, t])
            assert judged == (leaves and len(slots) >= shape.compressed_length)
            assert not keep or leaves
            assert keep or judged or not leaves
            assert judged or choices.log_prob[0, t] == 0
            if keep:
                block = (e - shape.memory_length) // shape.block_length
                slots += range(block * per_block, (block + 1) * per_block)
                dilated = kwargs["compression"] == "dilated"
                first_tokens += [block * shape.block_length + i * (1 if dilated else rate) for i in range(per_block)]
            newest = slots[-shape.compressed_length :]
            judgement = states[t + 1].judgement[0]
            assert int(judgement.made) == len(slots)
            rows = [(len(slots) - len(newest) + i) % shape.compressed_length for i in range(len(newest))]
            assert judgement.numbers[0, rows].tolist() == newest
            # The oldest token that any slot stands for, or the first one of all while there are no slots.
            oldest = first_tokens[-shape.compressed_length :][0] if newest else 0
            assert int(choices.reading_distance[0, t]) == e - oldest


def influence(core: CompressiveMemory, keeps: list[bool], steps: int) -> list[int]:
    """Steps whose inputs reach the last output, the blocks after the slots are full being kept as ``keeps`` says."""
    x = th.randn(1, steps, core.input_dim, requires_grad=True)
    shape = core.shapes[-1]
    keep = th.zeros(1, steps, dtype=th.bool)
    leaving = range(shape.memory_length, steps, shape.block_length)
    keep[0, list(leaving)] = th.tensor([True] * (len(leaving) - len(keeps)) + keeps)
    none = th.zeros(1, steps)
    state = core.with_choices(core.initial_state(1), Choice(keep, keep, none, none.long()))
    core.unroll(x, state, never(x))[0][0, -1].sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return x.grad[0].abs().sum(1).nonzero().flatten().tolist()


def test_kept_blocks_alone_are_heard() -> None:
    core = CompressiveMemory(2, **SMALL, n_layers=1, judger=True)
    # Token 15 hears 10 to 15 at most: blocks 0 to 5, tokens 0 to 11, have left, so 12 to 15. The last of the slots'
    # blocks is number 5.
    recent = [12, 13, 14, 15]
    assert influence(core, [True, True, True], 16) == [*range(6, 12), *recent]
    assert influence(core, [False, False, False], 16) == [*range(6), *recent]
    assert influence(core, [True, False, False], 16) == [*range(2, 8), *recent]
    assert influence(core, [False, True, False], 16) == [*range(2, 6), 8, 9, *recent]
    assert influence(core, [False, True, True], 16) == [4, 5, *range(8, 12), *recent]


def test_without_a_judge_nothing_changes() -> None:
    x, starts = th.randn(3, 60, 3), th.rand(3, 60) < 0.03
    runs = []
    for judger in (None, False, "keep"):
        th.manual_seed(3)
        core = CompressiveMemory(3, **SMALL, judger=judger)
        state, acted = core.initial_state(3), []
        for t in range(60):
            y, state = core.act_(x[:, t], state, starts[:, t], deterministic=False)
            acted.append(y)
        learned = core.unroll_outputs(x, core.initial_state(3), starts)
        learned.square().sum().backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in core.parameters()]
        assert bool(state.judgement) == (judger == "keep")
        assert (core.choices(state) == ()) == (judger != "keep")
        assert core.judge_parameters() == []
        runs.append([th.stack(acted, dim=1), learned, *gradients, *tree_leaves(state.layers), state.steps])
    for run in runs[1:]:
        assert all(th.equal(a, b) for a, b in zip(runs[0], run, strict=True))  # type: ignore[arg-type]


def test_discarding_keeps_what_came_first_for_ever() -> None:
    core = CompressiveMemory(3, **SMALL, judger="discard")
    x = th.randn(2, 80, 3)
    _, states, choices = act(core, x, never(x))
    full = SMALL["memory_length"] + (SMALL["compressed_length"] - 1) * SMALL["compression_rate"]
    for state in states[full + 1 :]:
        for layer, then in zip(state.layers, states[full + 1].layers, strict=True):
            assert th.equal(layer.slots, then.slots)
    assert choices.keep.sum(1).tolist() == [3, 3]
    assert choices.reading_distance[:, -1].tolist() == [79, 79]


def test_deterministic_acting_takes_the_likelier_decision() -> None:
    core = CompressiveMemory(3, **SMALL, judger=True)
    x = th.randn(4, 60, 3)
    assert isinstance(core.judge, LearnedJudge)
    head = core.judge.network.head
    for bias, expected in ((0.1, True), (-0.1, False)):
        head.weight.data.zero_()
        head.bias.data = th.tensor([0.0, bias])
        _, _, choices = act(core, x, never(x), deterministic=True)
        assert choices.keep[choices.judged].tolist() == [expected] * int(choices.judged.sum())
        chance = th.tensor(abs(bias)).sigmoid().log()
        th.testing.assert_close(choices.log_prob[choices.judged], chance.expand(int(choices.judged.sum())))
        _, _, drawn = act(core, x, never(x))
        assert 0.3 < float(drawn.keep[drawn.judged].float().mean()) < 0.7


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("deterministic", [False, True])
def test_random_draws_in_any_case(probability: float, deterministic: bool) -> None:
    core = CompressiveMemory(3, **SMALL, judger=dict(kind="random", probability=probability))
    x = th.randn(40, 60, 3)
    _, _, choices = act(core, x, never(x), deterministic)
    kept = choices.keep[choices.judged].float()
    assert len(kept) == 40 * 25
    assert abs(float(kept.mean()) - probability) < 0.05 * (0 < probability < 1) + 1e-9
    chances = th.where(kept > 0, th.tensor(probability), th.tensor(1 - probability)).log()
    th.testing.assert_close(choices.log_prob[choices.judged], chances)
    # Every environment has a draw of its own.
    together = choices.keep[:, choices.judged[0]].float().mean(0)
    assert (0 < probability < 1) == bool(((together > 0) & (together < 1)).all())


def test_the_network_is_told_which_memories_are_about_to_leave() -> None:
    core = CompressiveMemory(3, **SMALL, judger=True)
    judge, read = core.judge, []
    assert isinstance(judge, LearnedJudge)
    judge.network.lstm.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x = th.randn(2, 40, 3)
    act(core, x, never(x))
    for inputs in read:
        # The present token, the recent ones that stay, the block that leaves, the slots.
        assert (inputs[:, :, SMALL["d_model"] :].argmax(2) == th.tensor([0, 1, 1, 2, 2, 3, 3, 3])).all()
    # Before step 10 the slots are not full, and it is not asked.
    assert len(read) == len(range(10, 40, 2))


def test_while_it_warms_up_it_keeps_everything() -> None:
    core = CompressiveMemory(3, **SMALL, judger=True)
    judge = core.judge
    assert isinstance(judge, LearnedJudge)
    assert not judge.warming_up
    judge.network.head.bias.data = th.tensor([9.0, 0.0])  # would discard
    x = th.randn(2, 40, 3)
    judge.warming_up.fill_(True)
    for deterministic in (False, True):
        _, _, choices = act(core, x, never(x), deterministic)
        assert choices.judged.any()
        assert choices.keep[choices.judged].all()
        assert not choices.log_prob.any()
    other = CompressiveMemory(3, **SMALL, judger=True)
    other.load_state_dict(core.state_dict())
    assert other.judge.warming_up  # type: ignore[union-attr]
    judge.warming_up.fill_(False)
    assert not act(core, x, never(x), True)[2].keep[choices.judged].any()


def test_no_decision_depends_on_another_environment() -> None:
    core = CompressiveMemory(3, **SMALL, judger=True).eval()
    x, starts = th.randn(2, 40, 3), th.zeros(2, 40, dtype=th.bool)
    other, other_starts = x.clone(), starts.clone()
    other[0] = th.randn(40, 3)
    other_starts[0] = th.rand(40) < 0.2  # whose slots are hardly ever full
    mine, theirs = act(core, x, starts, True)[2], act(core, other, other_starts, True)[2]
    assert mine.judged[1].any()
    assert all(th.equal(a[1], b[1]) for a, b in zip(mine, theirs, strict=True))


def test_the_oracle_keeps_what_matters_and_the_network_does_not_hear_of_it() -> None:
    core = CompressiveMemory(3, **SMALL, judger="oracle")
    x, starts = th.randn(3, 60, 3), th.rand(3, 60) < 0.03
    flags = th.rand(3, 60) < 0.2
    x[:, :, 0] = flags.float()
    acted, _, choices = act(core, x, starts)
    for row in range(3):
        for first, end in episodes(starts[row]):
            for t in range(first, end):
                block = t - SMALL["memory_length"]
                if choices.judged[row, t]:
                    assert choices.keep[row, t] == flags[row, block : block + 2].any()
    # Anything that leaves the decisions as they are leaves the outputs as they are.
    other = x.clone()
    other[:, :, 0] = 0.51 + flags.float() * th.rand(3, 60) - ~flags * 7.0
    assert th.equal(act(core, other, starts)[0], acted)
    flipped = x.clone()
    flipped[:, :, 0] = 1 - x[:, :, 0]
    learned = core.unroll_outputs(flipped, core.with_choices(core.initial_state(3), choices), starts)
    th.testing.assert_close(learned, acted)
    assert not th.equal(act(core, flipped, starts)[0], acted)


def test_an_own_judge_is_looked_up_by_name() -> None:
    class ByFirstNumber(Judge):
        def forward(self, scene: Scene) -> th.Tensor:
            return scene.memories[:, 0, 0]

    judge_registry.register("of-this-test")(ByFirstNumber)
    try:
        core = CompressiveMemory(3, **SMALL, judger="of-this-test")
        x = th.randn(2, 50, 3)
        acted, _, choices = act(core, x, never(x), deterministic=True)
        assert choices.keep[choices.judged].float().mean() not in (0, 1)
        th.testing.assert_close(core.unroll_outputs(x, core.initial_state(2), never(x)), acted)
    finally:
        del judge_registry._entries["of-this-test"]


def test_choices_that_were_known_before_a_step_say_nothing_of_the_steps_after_it() -> None:
    core = CompressiveMemory(3, **SMALL, judger="keep")
    x = th.randn(2, 30, 3)
    state = core.unroll(x, core.initial_state(2), never(x))[1]
    known = act(CompressiveMemory(3, **SMALL, judger="discard"), x, never(x))[2]
    after = [core.step(x[:, 0], before, never(x)[:, 0])[1] for before in (state, core.with_choices(state, known))]
    learned = [core.unroll_outputs(x, each, never(x)) for each in after]
    assert th.equal(*learned)


def test_without_a_judge_there_is_nothing_to_look_at() -> None:
    core = CompressiveMemory(3, **SMALL)
    x = th.randn(1, 5, 3)
    with pytest.raises(RuntimeError, match=r"nobody judges here; build the memory with judger=True"):
        core.judged_blocks(x, core.initial_state(1), never(x))


@pytest.mark.parametrize(
    ("judger", "kwargs", "message"),
    [
        ("guess", {}, r"unknown judge 'guess'; known: 'learned', 'keep', 'discard', 'oracle', 'random'"),
        (dict(kind=3), {}, r"unknown judge 3; known: 'learned'"),
        (3, {}, r"judger is 3; give None, True, one of 'learned', .* or a dictionary of options"),
        (dict(probability=0.5), {}, r"has 'probability', which judge 'learned' does not know; known: decisions, "),
        (dict(kind="keep", p=1), {}, r"has 'p', which judge 'keep' does not know; known: none"),
        (dict(kind="random", p=1), {}, r"has 'p', which judge 'random' does not know; known: probability"),
        (dict(kind="random", probability=1.5), {}, r"probability is 1\.5; give a number from 0 to 1"),
        (dict(hidden_size=0), {}, r"hidden_size must be a positive integer, got 0"),
        (dict(pooling="guess"), {}, r"pooling must be one of 'leaving', .*, got 'guess'"),
        (True, dict(compressed_length=[3, 0]), r"judger=True judges by the last layer's memory, which has no slots"),
        (True, dict(compressed_length=0), r"use a compressed_length of 1 or more there, or judger=None"),
        ("keep", dict(compressed_length=[2, 3]), r"one decision for all layers, .* got \[\(4, 2\), \(4, 3\)\]"),
        ("keep", dict(memory_length=[4, 6]), r"need equal memory_length and compressed_length; got"),
    ],
)
def test_bad_judges_name_the_mend(judger: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        CompressiveMemory(3, **{**SMALL, "judger": judger, **kwargs})


def test_more_than_half_is_what_matters() -> None:
    core = CompressiveMemory(
        3, memory_length=4, compressed_length=3, compression_rate=2, d_model=8, n_heads=2, judger="oracle"
    )
    x = th.zeros(1, 30, 3)
    x[..., 0] = th.where(th.arange(30) < 16, 0.5, 0.51)
    choice = core.choose(x, core.initial_state(1), th.zeros(1, 30, dtype=th.bool), True)
    assert isinstance(choice, Choice)
    steps = choice.judged[0].nonzero().flatten().tolist()
    assert choice.keep[0, steps].tolist() == [step - 3 >= 16 for step in steps]


def test_options_are_read_and_left_as_they_are() -> None:
    options = dict(kind="random", probability=0.25)
    for _ in range(2):
        judge: Any = CompressiveMemory(3, **SMALL, judger=options).judge
        assert judge.probability == 0.25
    assert options == dict(kind="random", probability=0.25)
    assert isinstance(CompressiveMemory(3, **SMALL, judger={}).judge, LearnedJudge)


@pytest.mark.parametrize("judger", ["learned", dict(decisions="batch"), "keep", "discard", "oracle", ALWAYS], ids=str)
def test_a_device_chooses_what_the_cpu_chooses(judger: Any, device: th.device) -> None:
    core = perturbed(CompressiveMemory(3, **SMALL, n_layers=1, judger=judger).eval())
    x, starts = th.randn(2, 14, 3), th.zeros(2, 14, dtype=th.bool)
    starts[0, 1] = True
    expected = act(core, x, starts, deterministic=True)[2]
    assert expected.judged.any()
    core.to(device)
    x, starts = x.to(device), starts.to(device)
    acted = act(core, x, starts, deterministic=True)[2]
    judged = core.judged_blocks(x, core.with_choices(core.initial_state(2), acted), starts)
    assert core.judge is not None
    again = log_prob(core.judge(judged.scenes), judged.choices.keep)
    th.testing.assert_close(again, judged.choices.log_prob, atol=1e-4, rtol=1e-4)
    for found in (acted, core.choose(x, core.initial_state(2), starts, deterministic=True)):
        for there, here in zip(found, expected, strict=True):
            th.testing.assert_close(there.cpu(), here, atol=1e-4, rtol=1e-4)


def test_a_judge_of_ones_own_may_take_any_options() -> None:
    class Options(Judge):
        def __init__(self, shape: Any, d_model: int, **options: Any) -> None:
            super().__init__(shape, d_model)
            self.options = options

        def forward(self, scene: Scene) -> th.Tensor:
            return scene.memories[:, 0, 0]

    judge_registry.register("of-any-options")(Options)
    try:
        kind = dict(kind="of-any-options", a=1)
        judge = CompressiveMemory(3, compressed_length=3, compression_rate=2, d_model=8, n_heads=2, judger=kind).judge
        assert isinstance(judge, Options)
        assert judge.options == {"a": 1}
    finally:
        del judge_registry._entries["of-any-options"]
