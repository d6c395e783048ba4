"""Whether a memory of one's own keeps the contract."""

from __future__ import annotations

from copy import deepcopy
from functools import cached_property
from typing import Any

import torch as th

from memory_agents.memory.core import MemoryCore
from memory_agents.memory.state import tree_bytes, tree_clone, tree_leaves, tree_select
from memory_agents.nn.arguments import check_integers

#: Environments side by side, of which one is changed and the others must not notice.
BATCH = 3


def check_memory_core(core: MemoryCore[Any], *, steps: int = 64, tolerance: float = 1e-4, seed: int = 0) -> None:
    """
    Hold a memory core to the contract of :class:`~memory_agents.memory.MemoryCore`, as Stable-Baselines3's
    ``check_env`` holds environments to theirs: acting equals learning, nothing crosses an episode or an environment,
    states are left alone and do not grow, gradients reach the parameters. A core that breaks a law trains without
    complaint, and learns something else than what it does.

    Nothing of the core is changed: a copy of it runs, in evaluation mode, on random inputs. Choices are the likeliest
    ones; a core that draws them even so cannot be checked.

    :param core: the core
    :param steps: how many to take; more than its memory holds, so that it forgets something, too
    :param tolerance: by how much numbers may differ, absolutely and relative to their size
    :param seed: of the inputs
    :raises TypeError: when a state holds something else than tensors, tuples and dictionaries
    :raises ValueError: when ``steps`` is below 4
    :raises AssertionError: when a law is broken, which the message names
    """
    check_integers(least=4, steps=steps)
    _Inspection(deepcopy(core).eval(), steps, tolerance, seed).run()


class _Inspection:
    """
    :param core: the core, which nobody else uses
    :param steps: how many to take
    :param tolerance: by how much numbers may differ
    :param seed: of the inputs
    """

    def __init__(self, core: MemoryCore[Any], steps: int, tolerance: float, seed: int) -> None:
        self.core, self.steps, self.tolerance = core, steps, tolerance
        first = next(core.parameters(), th.zeros(()))
        generator = th.Generator().manual_seed(seed)
        numbers = th.randn(2, BATCH, steps, core.input_dim, generator=generator).to(first)
        self.x, self.other = numbers
        starts = th.rand(BATCH, steps, generator=generator) < 2 / steps
        # One line has two in any case: a core may forget at the first and no more.
        starts[0, [steps // 4, 3 * steps // 4]] = True
        self.starts = starts.to(first.device)
        self.none = th.zeros_like(self.starts)
        self.ways = {"step": self.act, "unroll": self.learn}

    def run(self) -> None:
        """
        :raises AssertionError: when a law is broken
        """
        self.states_are_batched()
        self.outputs_are_as_announced()
        self.states_are_left_alone()
        self.acting_equals_learning()
        self.acting_may_overwrite()
        self.an_episode_start_forgets()
        if not self.core.decides_together:
            self.environments_are_apart()
        self.packed_states_are_whole()
        self.gradients_reach_parameters_and_inputs()
        self.nothing_grows()

    def act(self, x: th.Tensor, starts: th.Tensor, state: Any = None) -> tuple[th.Tensor, Any]:
        """One step after the other."""
        state, outputs = self.core.initial_state(len(x)) if state is None else state, []
        for t in range(x.shape[1]):
            y, state = self.core.step(x[:, t], state, starts[:, t])
            outputs.append(y)
        return th.stack(outputs, dim=1), state

    def learn(self, x: th.Tensor, starts: th.Tensor, state: Any = None) -> tuple[th.Tensor, Any]:
        """All steps at once."""
        return self.core.unroll(x, self.core.initial_state(len(x)) if state is None else state, starts)

    @cached_property
    def runs(self) -> dict[str, tuple[th.Tensor, Any]]:
        """Outputs and states of both ways through the same steps."""
        return {method: run(self.x, self.starts) for method, run in self.ways.items()}

    def states_are_batched(self) -> None:
        names = set(self.core.state_dict())
        first = {"initial_state": self.core.initial_state(BATCH)}
        for method, state in {**first, **{method: state for method, (_, state) in self.runs.items()}}.items():
            leaves = list(tree_leaves(state))
            if not leaves:
                self.broken(
                    "the first dimension of a state is the batch, so it holds a tensor at least, but a state that "
                    f"{method}() gives has none; use torch.zeros(batch_size, 0) where there is nothing to remember"
                )
            for leaf in leaves:
                if leaf.dim() == 0 or len(leaf) != BATCH:
                    self.broken(
                        f"the first dimension of a state is the batch, but for {BATCH} environments {method}() gives "
                        f"a tensor of shape {tuple(leaf.shape)}"
                    )
                if leaf.requires_grad:
                    self.broken(f"states have no gradients, but one that {method}() gives has; detach() it")
        if set(self.core.state_dict()) != names:
            self.broken("a state is no part of state_dict(), but running the core changed what is in that")

    def outputs_are_as_announced(self) -> None:
        expected = (BATCH, self.steps, self.core.output_dim)
        for method, (y, _) in self.runs.items():
            if y.shape != expected:
                self.broken(
                    f"output_dim={self.core.output_dim}, but the outputs of {method}(), {self.steps} steps of {BATCH} "
                    f"environments, are of shape {tuple(y.shape)}"
                )
            if not y.isfinite().all():
                self.broken(f"outputs of {method}() are not finite")

    def states_are_left_alone(self) -> None:
        _, state = self.runs["unroll"]
        before = tree_clone(state)
        for method, run in self.ways.items():
            run(self.other, self.starts, state)
            if not all(map(th.equal, tree_leaves(state), tree_leaves(before))):
                self.broken(f"{method}() leaves the state that it is given alone, but changed it; step_() alone may")

    def acting_equals_learning(self) -> None:
        (acted, acted_state), (learned, state) = self.runs["step"], self.runs["unroll"]
        self.same(acted, learned, "acting equals learning, but outputs of step() and unroll() differ")
        self.same_states(acted_state, state, "acting equals learning, but states after step() and unroll() differ")
        cut = self.steps // 3
        _, state = self.learn(self.x[:, :cut], self.starts[:, :cut])
        rest, state = self.learn(self.x[:, cut:], self.starts[:, cut:], state)
        self.same(rest, learned[:, cut:], "a window can be cut in two, but outputs of unroll() differ then")
        self.same_states(state, acted_state, "a window can be cut in two, but states after unroll() differ then")
        self.all_ways_of_learning_agree()

    @th.no_grad()
    def acting_may_overwrite(self) -> None:
        """What policies call, on states of which nobody else has a copy."""
        state = self.core.initial_state(BATCH)
        before, outputs = tree_clone(state), []
        for t in range(self.steps):
            y, state = self.core.act_(self.x[:, t], state, self.starts[:, t], True)
            outputs.append(y.clone())
        acted, acted_state = self.runs["step"]
        law = "act_() does what step_() does where choices are the likeliest, but their {} differ"
        self.same(th.stack(outputs, dim=1), acted, law.format("outputs"))
        self.same_states(state, acted_state, law.format("states"))
        law = "step_() may overwrite the state that it is given, but then initial_state() gives another; make it anew"
        self.same_states(self.core.initial_state(BATCH), before, law)

    def all_ways_of_learning_agree(self) -> None:
        (y, after), core = self.runs["unroll"], self.core
        window = self.x, core.initial_state(BATCH), self.starts
        segment, state, _ = core.unroll_segment(*window)
        outputs = {
            "unroll_outputs": core.unroll_outputs(*window),
            "unroll_with_loss": core.unroll_with_loss(*window)[0],
            "unroll_segment": segment,
        }
        law = "all ways of learning agree, but {}() and unroll() differ"
        for method, found in outputs.items():
            self.same(found, y, law.format(f"outputs of {method}"))
        self.same_states(state, after, law.format("states after unroll_segment"))

    def an_episode_start_forgets(self) -> None:
        start, starts = self.steps // 2, self.none[:1].clone()
        starts[0, start] = True
        for method, run in self.ways.items():
            law = f"at an episode start everything before it is forgotten, but {method}() remembers some of it"
            y, state = run(self.x[:1], starts)
            fresh, fresh_state = run(self.x[:1, start:], self.none[:1, start:])
            self.same(y[:, start:], fresh, law)
            self.same_states(state, fresh_state, law)

    def environments_are_apart(self) -> None:
        x, starts = self.x.clone(), self.starts.clone()
        x[0], starts[0] = self.other[0], ~starts[0]
        for method, run in self.ways.items():
            law = f"nothing crosses from one environment to another, but with {method}() something does"
            (y, state), (y_other, state_other) = self.runs[method], run(x, starts)
            self.same(y[1:], y_other[1:], law)
            others = th.tensor([1, 2], device=x.device)
            self.same_states(tree_select(state, others), tree_select(state_other, others), law)

    def packed_states_are_whole(self) -> None:
        _, state = self.runs["step"]
        packed = self.core.pack_state(state)
        y, _ = self.act(self.other, self.starts, state)
        law = "a packed state is whole, but with {} it goes on otherwise"
        self.same(self.act(self.other, self.starts, self.core.unpack_state(packed))[0], y, law.format("unpack_state()"))
        self.same(self.learn(self.other, self.starts, packed)[0], y, law.format("unroll()"))

    def gradients_reach_parameters_and_inputs(self) -> None:
        judges = {id(parameter) for parameter in self.core.judge_parameters()}
        learned = [p for p in self.core.parameters() if p.requires_grad and id(p) not in judges]
        x = self.x.clone().requires_grad_()
        y, _ = self.learn(x, self.starts)
        if not y.requires_grad:
            self.broken("unroll() learns, but its outputs have no gradients")
        gradients = th.autograd.grad(y.square().sum(), [x, *learned], allow_unused=True)
        if gradients[0] is None or not gradients[0].any():
            self.broken("features are learned through unroll(), but its inputs get no gradients")
        if learned and all(gradient is None for gradient in gradients[1:]):
            self.broken("unroll() learns, but no parameter gets gradients")
        if not all(gradient is None or gradient.isfinite().all() for gradient in gradients):
            self.broken("gradients of unroll() are not finite")

    def nothing_grows(self) -> None:
        size = tree_bytes(self.core.initial_state(BATCH))
        for steps in (1, self.steps):
            _, state = self.act(self.x[:, :steps], self.none[:, :steps])
            if tree_bytes(state) != size:
                self.broken(
                    f"acting costs the same for ever, but the state holds {size} bytes at first and "
                    f"{tree_bytes(state)} after {steps} steps"
                )

    def same(self, one: th.Tensor, other: th.Tensor, law: str) -> None:
        if one.shape != other.shape:
            self.broken(f"{law} (shapes {tuple(one.shape)} and {tuple(other.shape)})")
        if not th.allclose(one, other, rtol=self.tolerance, atol=self.tolerance):
            self.broken(f"{law} (largest difference {float((one - other).detach().abs().max()):.2g})")

    def same_states(self, one: Any, other: Any, law: str) -> None:
        for leaf, another in zip(
            tree_leaves(self.core.pack_state(one)), tree_leaves(self.core.pack_state(other)), strict=True
        ):
            if leaf.is_floating_point():
                self.same(leaf, another, law)
            elif not th.equal(leaf, another):
                self.broken(law)

    def broken(self, law: str) -> None:
        raise AssertionError(f"{type(self.core).__name__}: {law}")
