"""What is wrong with a memory core is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch as th
from torch import nn

from memory_agents import MemoryCore, check_memory_core
from memory_agents.memory import memory_registry
from memory_agents.memory.building import make_memory
from tests.algorithms.agents import SMALL
from tests.memory.strategies import SURE_JUDGES


class Leaky(MemoryCore[Any]):
    """A core without faults: a leaky sum."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.write = nn.Linear(3, 4)

    def initial_state(self, batch_size: int) -> Any:
        return {"sum": self.write.bias.new_zeros(batch_size, 4)}

    @th.no_grad()
    def step_(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return self.one_step(x, state, episode_starts)

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        total = 0.9 * state["sum"] * ~episode_starts[:, None] + self.write(x)
        return total.tanh(), {"sum": total}

    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        outputs = []
        for t in range(x.shape[1]):
            y, state = self.one_step(x[:, t], state, episode_starts[:, t])
            outputs.append(y)
        return th.stack(outputs, dim=1), {name: leaf.detach() for name, leaf in state.items()}


@pytest.mark.parametrize("name", list(memory_registry))
def test_cores_of_the_library_are_right(name: str) -> None:
    check_memory_core(make_memory(name, 3, SMALL.get(name, {})), steps=40)


@pytest.mark.parametrize("judger", SURE_JUDGES, ids=str)
def test_judged_memories_are_right(judger: Any) -> None:
    check_memory_core(make_memory("compressive", 3, {**SMALL["compressive"], "judger": judger}), steps=40)


def test_a_core_that_decides_together_is_right() -> None:
    judger = dict(decisions="batch")
    check_memory_core(make_memory("compressive", 3, {**SMALL["compressive"], "judger": judger}), steps=40)


def test_a_core_on_a_device_is_checked_there(device: th.device) -> None:
    check_memory_core(Leaky().to(device), steps=4)


def test_the_core_itself_and_random_numbers_stay_as_they_were() -> None:
    core = Leaky().double().train()
    before, drawn = th.random.get_rng_state(), core.write.weight.clone()
    check_memory_core(core)
    assert th.equal(th.random.get_rng_state(), before)
    assert th.equal(core.write.weight, drawn)
    assert core.training


class Scalar(Leaky):
    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "time": th.zeros(())}


class Attached(Leaky):
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, _ = super().unroll(x, state, episode_starts)
        return y, {"sum": y[:, -1].atanh()}


class Listed(Leaky):
    def initial_state(self, batch_size: int) -> Any:
        return [super().initial_state(batch_size)]


class Registered(Leaky):
    def initial_state(self, batch_size: int) -> Any:
        if not hasattr(self, "sum"):
            self.register_buffer("sum", th.zeros(batch_size, 4))
        return super().initial_state(batch_size)


class Narrow(Leaky):
    def __init__(self) -> None:
        super().__init__()
        self.output_dim = 5


class Infinite(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, state = super().one_step(x, state, episode_starts)
        return y / 0, state


class InPlace(Leaky):
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().unroll(x, state, episode_starts)
        state["sum"] += 1
        return y, after


class OtherwiseLearning(Leaky):
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().unroll(x, state, episode_starts)
        return 1.01 * y, after


class OtherwiseRemembering(Leaky):
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().unroll(x, state, episode_starts)
        return y, {"sum": after["sum"] + 0.01}


class OnlyWholeWindows(Leaky):
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().unroll(x, self.initial_state(len(x)), episode_starts)


class NeverForgetting(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(x, state, th.zeros_like(episode_starts))


class ForgettingOnlyTheFirst(Leaky):
    """Where one environment begins an episode, all do."""

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(x, state, episode_starts.any().expand(len(x)))


class Mixing(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(x - x.mean(dim=0), state, episode_starts)


class Unpackable(Leaky):
    def pack_state(self, state: Any) -> Any:
        return {"sum": state["sum"].round()}


class Unlearnable(Leaky):
    @th.no_grad()
    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().unroll(x, state, episode_starts)


class Deaf(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(x.detach(), state, episode_starts)


class Fixed(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        total = 0.9 * state["sum"] * ~episode_starts[:, None] + x.mean(dim=1, keepdim=True)
        return total.tanh(), {"sum": total}


class Growing(Leaky):
    """A list of all that it has seen, of which it reads the sum."""

    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "seen": th.zeros(batch_size, 0)}

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, {"sum": state["sum"]}, episode_starts)
        return y, {**after, "seen": th.cat([state["seen"], th.zeros(len(x), 1)], dim=1)}

    def pack_state(self, state: Any) -> Any:
        return {**state, "seen": state["seen"][:, :0]}


class OtherOutputs(Leaky):
    def unroll_outputs(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> th.Tensor:
        return 1.01 * super().unroll_outputs(x, state, episode_starts)


class OtherLoss(Leaky):
    def unroll_with_loss(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        outputs = self.unroll_outputs(x, state, episode_starts)
        return outputs + 0.01, outputs.mean()


class OtherSegments(Leaky):
    def unroll_segment(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any, None]:
        return self.unroll_outputs(x, state, episode_starts), self.initial_state(len(x)), None


class Stateless(Leaky):
    def initial_state(self, batch_size: int) -> Any:
        return ()

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return self.write(x).tanh(), ()

    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return self.write(x).tanh(), ()


class OtherwiseActing(Leaky):
    def act_(self, x: th.Tensor, state: Any, episode_starts: th.Tensor, deterministic: bool) -> tuple[th.Tensor, Any]:
        y, after = super().act_(x, state, episode_starts, deterministic)
        return 1.01 * y, after


class OneBeginning(Leaky):
    """Acts in place, and begins with one and the same tensor every time."""

    def __init__(self) -> None:
        super().__init__()
        self.beginnings: dict[int, th.Tensor] = {}

    def initial_state(self, batch_size: int) -> Any:
        return {"sum": self.beginnings.setdefault(batch_size, th.zeros(batch_size, 4))}

    @th.no_grad()
    def step_(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().step_(x, state, episode_starts)
        state["sum"].copy_(after["sum"])
        return y, state


@pytest.mark.parametrize(
    ("core", "error", "complaint"),
    [
        (
            Scalar,
            AssertionError,
            r"Scalar: the first .* for 3 environments initial_state\(\) gives a tensor of shape \(\)",
        ),
        (Attached, AssertionError, r"states have no gradients, but one that unroll\(\) gives has; detach\(\) it"),
        (Listed, TypeError, "a memory state holds tensors, tuples and dictionaries; found list"),
        (Registered, AssertionError, r"no part of state_dict\(\), but running the core changed what is in that"),
        (Narrow, AssertionError, r"output_dim=5, but the outputs of step\(\), 20 steps .*, are of shape \(3, 20, 4\)"),
        (Infinite, AssertionError, r"outputs of step\(\) are not finite"),
        (InPlace, AssertionError, r"unroll\(\) leaves the state that it is given alone, but changed it"),
        (OtherwiseLearning, AssertionError, r"outputs of step\(\) and unroll\(\) differ \(largest difference 0.0"),
        (
            OtherwiseRemembering,
            AssertionError,
            r"states after step\(\) and unroll\(\) differ \(largest difference 0.01",
        ),
        (OtherOutputs, AssertionError, r"outputs of unroll_outputs\(\) and unroll\(\) differ"),
        (OtherLoss, AssertionError, r"outputs of unroll_with_loss\(\) and unroll\(\) differ"),
        (OtherSegments, AssertionError, r"states after unroll_segment\(\) and unroll\(\) differ"),
        (OnlyWholeWindows, AssertionError, r"a window can be cut in two, but outputs of unroll\(\) differ then"),
        (NeverForgetting, AssertionError, r"at an episode start everything before it is forgotten, but step\(\) remem"),
        (ForgettingOnlyTheFirst, AssertionError, r"nothing crosses .* to another, but with step\(\) something does"),
        (Mixing, AssertionError, r"nothing crosses from one environment to another, but with step\(\) something does"),
        (Unpackable, AssertionError, r"a packed state is whole, but with unpack_state\(\) it goes on otherwise"),
        (Unlearnable, AssertionError, r"unroll\(\) learns, but its outputs have no gradients"),
        (Deaf, AssertionError, r"features are learned through unroll\(\), but its inputs get no gradients"),
        (Fixed, AssertionError, r"unroll\(\) learns, but no parameter gets gradients"),
        (
            Stateless,
            AssertionError,
            r"initial_state\(\) gives has none; use torch.zeros\(batch_size, 0\)",
        ),
        (OtherwiseActing, AssertionError, r"act_\(\) does what step_\(\) does .*, but their outputs differ"),
        (OneBeginning, AssertionError, r"step_\(\) may overwrite .*, but then initial_state\(\) gives another"),
        (Growing, AssertionError, "the state holds 48 bytes at first and 60 after 1 steps"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_are_named(core: Callable[[], MemoryCore[Any]], error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        check_memory_core(core(), steps=20)


def test_the_tolerance_is_the_users() -> None:
    check_memory_core(OtherwiseLearning(), steps=20, tolerance=0.1)
    with pytest.raises(ValueError, match="steps must be an integer of at least 4, got 3"):
        check_memory_core(Leaky(), steps=3)


class Counting(Leaky):
    """Counts the steps of an episode, for nobody."""

    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "steps": th.zeros(batch_size, dtype=th.long)}

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y, {**after, "steps": state["steps"].masked_fill(episode_starts, 0) + 1}


class ForgetfulCounter(Counting):
    """unroll() counts from its window's beginning."""

    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().unroll(x, {**state, "steps": th.zeros_like(state["steps"])}, episode_starts)


class CountingTwice(Counting):
    def act_(self, x: th.Tensor, state: Any, episode_starts: th.Tensor, deterministic: bool) -> tuple[th.Tensor, Any]:
        y, after = super().act_(x, state, episode_starts, deterministic)
        return y, {**after, "steps": after["steps"] + 1}


class CountingForEver(Counting):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y, {**after, "steps": state["steps"] + 1}


class GrowingLater(Growing):
    """Of what it sees first it keeps nothing."""

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y, after if state["sum"].any() else {**after, "seen": state["seen"]}


class Echoing(Leaky):
    """What it says at an episode's start has to do with the episode before."""

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y + 0.1 * state["sum"], after


class MixingOutputs(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y + y.mean(dim=0), after


class Sideways(Leaky):
    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "times": th.zeros(1, batch_size)}


class SteppingInPlace(Leaky):
    def step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().step(x, state, episode_starts)
        state["sum"] += 1
        return y, after


class MixingStates(Leaky):
    """Remembers what its neighbours see, and does not show it."""

    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "mean": th.zeros(batch_size, 3)}

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y, {**after, "mean": x.mean(dim=0).expand_as(x)}


class HalfPacked(Leaky):
    """Takes a packed state for one that is not, when it learns."""

    def initial_state(self, batch_size: int) -> Any:
        return {**super().initial_state(batch_size), "packed": th.zeros(batch_size)}

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y, {**after, "packed": th.zeros(len(x))}

    def pack_state(self, state: Any) -> Any:
        factor = th.where(state["packed"] > 0, 1.0, 0.5)[:, None]
        return {"sum": state["sum"] * factor, "packed": th.ones_like(state["packed"])}

    def unpack_state(self, state: Any) -> Any:
        factor = th.where(state["packed"] > 0, 2.0, 1.0)[:, None]
        return {"sum": state["sum"] * factor, "packed": th.zeros_like(state["packed"])}


class Steep(Leaky):
    """Finite, with gradients that are not."""

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return y + (0 * y).sqrt(), after


class Muted(Leaky):
    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(x.detach() + 0 * x, state, episode_starts)


class ForgettingOnce(Leaky):
    """Of the episodes that start within a window, learning knows the first."""

    def unroll(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().unroll(x, state, episode_starts & (episode_starts.long().cumsum(1) == 1))


class OneOutput(Leaky):
    def unroll_outputs(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> th.Tensor:
        return super().unroll_outputs(x, state, episode_starts)[..., :1]


@pytest.mark.parametrize(
    ("core", "complaint"),
    [
        (ForgetfulCounter, r"a window can be cut in two, but states after unroll\(\) differ then"),
        (CountingTwice, r"act_\(\) does what step_\(\) does .*, but their states differ"),
        (CountingForEver, r"everything before it is forgotten, but step\(\) remembers some of it"),
        (GrowingLater, "the state holds 48 bytes at first and [0-9]+ after 40 steps"),
        (Echoing, r"everything before it is forgotten, but step\(\) remembers some of it"),
        (MixingOutputs, r"nothing crosses from one environment to another, but with step\(\)"),
        (Sideways, r"for 3 environments initial_state\(\) gives a tensor of shape \(1, 3\)"),
        (SteppingInPlace, r"step\(\) leaves the state that it is given alone, but changed it"),
        (MixingStates, r"nothing crosses from one environment to another, but with step\(\)"),
        (HalfPacked, r"a packed state is whole, but with unroll\(\) it goes on otherwise"),
        (Steep, r"gradients of unroll\(\) are not finite"),
        (Muted, r"its inputs get no gradients"),
        (ForgettingOnce, r"acting equals learning, but outputs"),
        (OneOutput, r"outputs of unroll_outputs\(\) and unroll\(\) differ \(shapes \(3, 40, 1\) and \(3, 40, 4\)\)"),
    ],
)
def test_hidden_faults_are_named(core: Callable[[], MemoryCore[Any]], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_memory_core(core(), steps=40)


@pytest.mark.parametrize("steps", [4, 5, 20, 64])
@pytest.mark.parametrize("seed", range(5))
def test_several_episodes_begin_in_a_window_whatever_is_drawn(steps: int, seed: int) -> None:
    with pytest.raises(AssertionError, match="acting equals learning"):
        check_memory_core(ForgettingOnce(), steps=steps, seed=seed)


class Dropping(Leaky):
    """Drops inputs while training, which a check is not."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        return super().one_step(self.dropout(x), state, episode_starts)


class Large(Leaky):
    """Its numbers are large, and differ by their last digits."""

    def one_step(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> tuple[th.Tensor, Any]:
        y, after = super().one_step(x, state, episode_starts)
        return 1e4 * y, after

    def unroll_outputs(self, x: th.Tensor, state: Any, episode_starts: th.Tensor) -> th.Tensor:
        return (1 + 1e-5) * super().unroll_outputs(x, state, episode_starts)


class Together(Mixing):
    """Says that its environments depend on each other."""

    @property
    def decides_together(self) -> bool:
        return True


class Frozen(Leaky):
    """Part of it is not to be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.write.bias.requires_grad_(False)


@pytest.mark.parametrize("core", [Dropping, Large, Together, Frozen])
def test_what_is_no_fault(core: Callable[[], MemoryCore[Any]]) -> None:
    check_memory_core(core().train(), steps=40)
