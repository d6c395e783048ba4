"""The laws that every registered memory core keeps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from memory_agents.memory import (
    MemoryCore,
    batch_size,
    memory_registry,
    tree_bytes,
    tree_clone,
    tree_leaves,
    tree_select,
)
from memory_agents.memory.building import make_memory
from memory_agents.memory.compressive import judge_of
from tests.memory.segments import jolted
from tests.memory.strategies import (
    SURE_JUDGES,
    block_recurrent_kwargs,
    compressive_kwargs,
    memformer_kwargs,
    recurrent_kwargs,
    rmt_kwargs,
    run_steps,
)

#: Strategies over keyword arguments; a core without an entry is tested with its defaults.
KWARGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "compressive": compressive_kwargs(SURE_JUDGES),
    "lstm": recurrent_kwargs(1, 5, 8, 64),
    "gru": recurrent_kwargs(1, 5, 8, 64),
    # Rounding in products of fewer than 11 columns depends on the row, and bistable cells blow it up.
    "brc": recurrent_kwargs(6, 8, 11, 64),
    "nbrc": recurrent_kwargs(6, 8, 11, 64),
    "rmt": rmt_kwargs(),
    "memformer": memformer_kwargs(),
    "block_recurrent": block_recurrent_kwargs(),
}

#: All options and sizes, also those for which rounding shows; for tests in double precision.
EVERY_KWARGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **dict.fromkeys(["lstm", "gru", "brc", "nbrc"], recurrent_kwargs(1, 2, 5, 8, 64)),
    "rmt": rmt_kwargs(every=True),
    "memformer": memformer_kwargs(every=True),
    "block_recurrent": block_recurrent_kwargs(every=True),
}

#: Options with which rounding does not show, where those above have others.
STEADY_KWARGS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "compressive": compressive_kwargs(SURE_JUDGES, every=False)
}

every_core = pytest.mark.parametrize("name", list(memory_registry))


def make(
    name: str, data: st.DataObject, instead: dict[str, st.SearchStrategy[dict[str, Any]]] | None = None
) -> MemoryCore[Any]:
    kwargs = data.draw({**KWARGS, **(instead or {})}.get(name, st.just({})))
    th.manual_seed(data.draw(st.integers(0, 2**16)))
    return make_memory(name, 3, kwargs).eval()  # dropout is for training only


def few_steps(core: MemoryCore[Any], passes: int) -> int:
    """
    At most 60 steps, and so few that what a core passes on to itself goes through its layers at most ``passes`` times:
    each time its rounding can grow.
    """
    period = getattr(core, "segment_length", None) or getattr(core, "recurrence_delay", None) or 60
    return min(60, passes * period)


def assert_states_close(state: Any, other: Any, tolerance: float = 1e-5) -> None:
    for leaf, other_leaf in zip(tree_leaves(state), tree_leaves(other), strict=True):
        th.testing.assert_close(leaf, other_leaf, atol=tolerance, rtol=tolerance)


def compare_acting_and_learning(
    core: MemoryCore[Any], data: st.DataObject, longest: int, tolerance: float, caches: bool = True
) -> None:
    """
    Random windows of at most ``longest`` steps, learned in random pieces, in the precision of the core's parameters.

    :param caches: whether to compare states with what follows from them and the parameters
    :raises AssertionError: when numbers differ by more than ``tolerance``
    """

    def assert_close(tensor: th.Tensor, other: th.Tensor) -> None:
        th.testing.assert_close(tensor, other, atol=tolerance, rtol=tolerance)

    batch, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, longest))
    frequency = data.draw(st.sampled_from([0.0, 0.03, 0.15, 0.6]))
    x, starts = th.randn(batch, steps, 3), th.rand(batch, steps) < frequency
    x = x.to(next(core.parameters()).dtype)
    acted, state = run_steps(core, x, core.initial_state(batch), starts)

    cuts = sorted({0, steps, *data.draw(st.lists(st.integers(1, steps), max_size=4))})
    window_state, outputs = core.initial_state(batch), []
    for i, j in pairwise(cuts):
        y, window_state = core.unroll(x[:, i:j], window_state, starts[:, i:j])
        run = data.draw(st.sampled_from([core.unroll_outputs, lambda *window: core.unroll_with_loss(*window)[0]]))
        assert_close(run(x[:, :j], core.initial_state(batch), starts[:, :j])[:, i:], y)
        window_state = core.pack_state(window_state) if data.draw(st.booleans()) else window_state
        outputs.append(y)
    assert_close(th.cat(outputs, dim=1), acted)
    view = core.unpack_state if caches else core.pack_state
    assert_states_close(view(window_state), view(state), tolerance)

    # Acting goes on from a state that learning made as from its own.
    y, _ = core.step(x[:, 0], window_state, starts[:, 0])
    expected, _ = core.step(x[:, 0], state, starts[:, 0])
    assert_close(y, expected)


@every_core
@given(data=st.data())
def test_acting_equals_learning(name: str, data: st.DataObject) -> None:
    core = jolted(make(name, data, EVERY_KWARGS))
    compare_acting_and_learning(core, data, few_steps(core, 12), 1e-9)


@every_core
@given(data=st.data())
def test_acting_equals_learning_in_single_precision(name: str, data: st.DataObject) -> None:
    core = make(name, data, STEADY_KWARGS)
    # Layer norm blows rounding up in keys and values of memories that are nearly constant, as small ones are.
    compare_acting_and_learning(core, data, few_steps(core, 6), 1e-5, caches=False)


@every_core
@given(data=st.data())
def test_acting_equals_learning_from_what_other_parameters_have_left(name: str, data: st.DataObject) -> None:
    """As in every epoch but the first."""
    core = jolted(make(name, data, EVERY_KWARGS))
    steps = data.draw(st.integers(1, few_steps(core, 3)))
    x, starts = th.randn(2, 2 * steps, 3).double(), th.rand(2, 2 * steps) < 0.03
    _, state = core.unroll(x[:, :steps], core.initial_state(2), starts[:, :steps])
    core, packed = jolted(core), core.pack_state(state)
    acted, _ = run_steps(core, x[:, steps:], core.unpack_state(packed), starts[:, steps:])
    learned = core.unroll_outputs(x[:, steps:], packed, starts[:, steps:])
    th.testing.assert_close(learned, acted, atol=1e-9, rtol=1e-9)


@every_core
@given(data=st.data())
def test_nothing_crosses_an_episode_or_an_environment(name: str, data: st.DataObject) -> None:
    core = make(name, data)
    steps = data.draw(st.integers(2, 40))
    start = data.draw(st.integers(1, steps - 1))
    x, starts = th.randn(3, steps, 3), th.zeros(3, steps, dtype=th.bool)
    starts[1, start] = True
    other = x.clone()
    other[1, :start] = 100 * th.randn(start, 3)  # another past of the same environment
    other[0] = 100 * th.randn(steps, 3)  # another neighbour
    starts_other = starts.clone()
    starts_other[0] = th.rand(steps) < 0.2

    def compare(run: Any, starts_other: th.Tensor, tolerance: float = 0.0) -> None:
        y, state = run(core, x, core.initial_state(3), starts)
        y_other, state_other = run(core, other, core.initial_state(3), starts_other)
        pairs = [(y[1, start:], y_other[1, start:]), (y[2], y_other[2])]
        leaves = zip(tree_leaves(state), tree_leaves(state_other), strict=True)
        pairs += [(leaf[1:], leaf_other[1:]) for leaf, leaf_other in leaves]
        for part, part_other in pairs:
            th.testing.assert_close(part, part_other, rtol=tolerance, atol=tolerance)

    def unroll(core: MemoryCore[Any], *args: Any) -> Any:
        return core.unroll(*args)

    compare(run_steps, starts_other)
    if name != "compressive":
        compare(unroll, starts_other)
        return
    # Its windows leave out what none of their steps can see. That depends on all episodes, and on what is kept of them,
    # and the rounding on that.
    judge = judge_of(core)
    if judge is None or judge.foregone is not None:
        compare(unroll, starts)
    core, x, other = core.double(), x.double(), other.double()
    compare(unroll, starts_other, tolerance=1e-9)


@every_core
@given(data=st.data())
def test_an_episode_start_equals_a_fresh_state(name: str, data: st.DataObject) -> None:
    core = make(name, data)
    x, starts = th.randn(2, 40, 3), th.zeros(2, 40, dtype=th.bool)
    _, used = core.unroll(x, core.initial_state(2), starts)
    steps = data.draw(st.integers(1, 40))
    x, starts = x[:, :steps], starts[:, :steps]
    starts[:, 0] = True
    y, state = run_steps(core, x, used, starts)
    y_fresh, state_fresh = run_steps(core, x, core.initial_state(2), th.zeros_like(starts))
    assert th.equal(y, y_fresh)
    assert_states_close(state, state_fresh, 0.0)


@every_core
def test_step_leaves_its_state_alone_and_step_in_place_agrees(name: str) -> None:
    core = make_memory(name, 3, {})
    _, state = core.unroll(th.randn(2, 30, 3), core.initial_state(2), th.zeros(2, 30, dtype=th.bool))
    before, x = tree_clone(state), th.randn(2, 3)
    starts = th.tensor([True, False])
    y, after = core.step(x, state, starts)
    assert_states_close(state, before, 0.0)
    y_in_place, after_in_place = core.step_(x, state, starts)
    assert th.equal(y, y_in_place)
    assert_states_close(after, after_in_place, 0.0)


@every_core
def test_unroll_leaves_its_state_alone(name: str) -> None:
    core = make_memory(name, 3, {})
    _, state = core.unroll(th.randn(2, 30, 3), core.initial_state(2), th.zeros(2, 30, dtype=th.bool))
    before = tree_clone(state)
    core.unroll(th.randn(2, 30, 3), state, th.zeros(2, 30, dtype=th.bool))
    assert_states_close(state, before, 0.0)


@every_core
def test_states_are_batched_and_not_parameters(name: str) -> None:
    core = make_memory(name, 3, {})
    state = core.initial_state(5)
    assert batch_size(state) == 5
    assert all(len(leaf) == 5 and not leaf.requires_grad for leaf in tree_leaves(state))
    names = set(core.state_dict())
    core.step(th.randn(5, 3), state, th.ones(5, dtype=th.bool))
    assert set(core.state_dict()) == names == {name for name, _ in core.named_parameters()}


@every_core
def test_environments_can_be_taken_out_of_a_state(name: str) -> None:
    core = make_memory(name, 3, {})
    x, starts = th.randn(4, 50, 3), th.rand(4, 50) < 0.05
    _, state = core.unroll(x, core.initial_state(4), starts)
    index, x = th.tensor([2, 0]), th.randn(4, 3)
    none = th.zeros(4, dtype=th.bool)
    y, _ = core.step(x[index], tree_select(state, index), none[:2])
    th.testing.assert_close(y, core.step(x, state, none)[0][index])


@every_core
def test_packed_states_unpack_to_themselves(name: str) -> None:
    core = make_memory(name, 3, {})
    _, state = run_steps(core, th.randn(2, 150, 3), core.initial_state(2), th.rand(2, 150) < 0.01)
    packed = core.pack_state(state)
    assert tree_bytes(packed) <= tree_bytes(state)
    assert_states_close(core.unpack_state(packed), state)


@every_core
def test_functions_of_parameters_can_be_transformed(name: str) -> None:
    """As by those who learn to learn."""
    th.manual_seed(0)
    core = make_memory(name, 3, {}).double()
    x, starts = th.randn(2, 12, 3).double(), th.zeros(2, 12, dtype=th.bool)

    class Unrolled(th.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.core = core

        def forward(self) -> th.Tensor:
            return core.unroll_outputs(x, core.initial_state(2), starts).square().sum()

    def loss(parameters: dict[str, th.Tensor]) -> th.Tensor:
        found: th.Tensor = th.func.functional_call(unrolled, parameters, ())
        return found

    unrolled = Unrolled()
    parameters: dict[str, th.Tensor] = dict(unrolled.named_parameters())
    expected = th.autograd.grad(unrolled(), list(parameters.values()), allow_unused=True, materialize_grads=True)
    for found, gradient in zip(th.func.grad(loss)(parameters).values(), expected, strict=True):
        th.testing.assert_close(found, gradient)


@every_core
def test_acting_costs_the_same_for_ever(name: str) -> None:
    """The state is as large at step 3,000 as at step 0, and a step calls as many operations."""
    core = make_memory(name, 3, {})
    state = core.initial_state(1)
    sizes, calls = {tree_bytes(state)}, []
    none = th.zeros(1, dtype=th.bool)
    for t in range(3_001):
        if t in (1_000, 3_000):  # the same phase of eviction at the defaults
            with th.profiler.profile() as profile:
                _, state = core.step(th.zeros(1, 3), state, none)
            calls.append(sum(event.count for event in profile.key_averages()))
        else:
            _, state = core.step_(th.zeros(1, 3), state, none)
        sizes.add(tree_bytes(state))
    assert len(sizes) == 1
    assert calls[0] == calls[1]


@every_core
def test_a_device_computes_what_the_cpu_computes(name: str, device: th.device) -> None:
    core = make_memory(name, 3, {})
    x, starts = th.randn(3, 150, 3), th.rand(3, 150) < 0.02
    with th.no_grad():
        expected, _ = core.unroll(x, core.initial_state(3), starts)
    core.to(device)
    x, starts = x.to(device), starts.to(device)
    learned, learned_state = core.unroll(x, core.initial_state(3), starts)
    acted, acted_state = run_steps(core, x, core.initial_state(3), starts)
    for outputs in (learned, acted):
        th.testing.assert_close(outputs.cpu(), expected, atol=1e-4, rtol=1e-4)
    assert_states_close(acted_state, learned_state, 1e-4)


@every_core
@given(data=st.data())
def test_built_in_double_precision_it_computes_in_it(name: str, data: st.DataObject) -> None:
    th.set_default_dtype(th.float64)
    try:
        core = make(name, data, EVERY_KWARGS)
        compare_acting_and_learning(core, data, 10, 1e-8)
        assert {leaf.dtype for leaf in [*core.parameters(), *core.buffers()]} <= {th.float64, th.bool, th.int64}
    finally:
        th.set_default_dtype(th.float32)
