"""The steps of a rollout: a policy with the memory that it carries, on a GPU as a graph that is replayed."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.type_aliases import PyTorchObs
from torch.distributions import Distribution

from memory_agents.common.collecting import collecting
from memory_agents.common.policies import MemoryActorCriticPolicy, PolicyState
from memory_agents.memory import batch_size, static_shapes, tree_clone, tree_leaves

#: Steps before a graph is recorded, so that libraries have set up what they need.
WARM_UP_STEPS = 3


class Acted(NamedTuple):
    """
    What a policy says at a step; from a graph, only until the next step.

    :param actions: (n_envs, ...)
    :param values: (n_envs, 1)
    :param log_probs: (n_envs,)
    """

    actions: th.Tensor
    values: th.Tensor
    log_probs: th.Tensor


def on_cpu(acted: Acted) -> tuple[np.ndarray, th.Tensor, th.Tensor]:
    """
    :param acted: what a policy says at a step
    :return: actions as an array, values and log-probabilities, where environments and buffers are; from a device in one
        transfer, since each waits for all that was asked of it
    :raises ValueError: when they came from a device and are not all finite: there PyTorch's distributions, which
        would have complained, cannot look at numbers
    """
    actions, values, log_probs = acted
    if actions.device.type == "cpu":
        return actions.numpy(), values, log_probs
    n_envs = len(actions)
    numbers = th.cat([actions.double().view(n_envs, -1), values.double(), log_probs.double()[:, None]], dim=1).cpu()
    check_finite(numbers)
    chosen = numbers[:, :-2].reshape(actions.shape).to(actions.dtype)
    return chosen.numpy(), numbers[:, -2:-1].float(), numbers[:, -1].float()


def check_finite(numbers: th.Tensor) -> None:
    """
    :param numbers: actions, value and log-probability of every environment, (n_envs, ...)
    :raises ValueError: when one is not finite
    """
    if not numbers.isfinite().all():
        raise ValueError(
            f"the policy says {numbers[~numbers.isfinite().all(dim=1)][0].tolist()} (actions, value, log-probability), "
            "so training has diverged; lower learning_rate or max_grad_norm, or look for observations and rewards that "
            "are not finite"
        )


@contextmanager
def _unvalidated() -> Iterator[None]:
    """While it lasts distributions do not look at their numbers, for which they would wait for the device."""
    validates = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validates)


@contextmanager
def _never_waiting() -> Iterator[None]:
    """While it lasts whatever waits for a device raises RuntimeError."""
    mode = th.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # That it may miss some.
        warnings.simplefilter("ignore")
        th.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        th.cuda.set_sync_debug_mode(mode)


#: Records some work, of which a rehearsal has no consequences, on a device; what it returns does the work.
Record = Callable[[Callable[[], None], Callable[[], None], th.device], Callable[[], None]]


def record_on_cuda(work: Callable[[], None], rehearsal: Callable[[], None], device: th.device) -> Callable[[], None]:
    """
    Record a CUDA graph. A recording that fails leaves PyTorch's generator and stream in a state in which nothing works
    any more, so what cannot be recorded is found out before, and they are put back all the same.

    :param work: what the graph shall do; recorded, not done
    :param rehearsal: the same without consequences; its random draws are undone
    :param device: where
    :return: does the work, by one launch in place of one for each operation
    :raises RuntimeError: when it cannot be recorded
    """
    with th.cuda.device(device):
        return _record(work, rehearsal)


def _record(work: Callable[[], None], rehearsal: Callable[[], None]) -> Callable[[], None]:
    """On the current device."""
    generator = th.cuda.default_generators[th.cuda.current_device()]
    kept, before = generator.clone_state(), th.cuda.current_stream()
    stream = th.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(before)
    graph, pool = th.cuda.CUDAGraph(), th.cuda.graph_pool_handle()
    try:
        with th.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                rehearsal()
            with _never_waiting():
                rehearsal()
        before.wait_stream(stream)
        generator.set_state(kept.get_state())
        with _no_garbage(), th.cuda.graph(graph, pool=pool):
            work()
    except BaseException:
        th.cuda.set_stream(before)
        generator.graphsafe_set_state(kept)
        # Up to PyTorch 2.11 a recording that fails leaves the allocator recording, after which none succeeds; where it
        # is not, it says so.
        with suppress(RuntimeError):
            th._C._cuda_endAllocateToPool(th.cuda.current_device(), pool)
        raise
    return graph.replay


@contextmanager
def _no_garbage() -> Iterator[None]:
    """While it lasts no graph that nobody holds any more is torn down, which a recording would not survive."""
    gc.collect()
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _finite(net: th.nn.Module) -> Iterator[list[th.Tensor]]:
    """
    While it lasts a network says numbers only, since drawing actions from anything else ends all work on the device.

    :param net: gives the parameters of a distribution, (n_envs, values)
    :return: for each time, zero for every environment, and NaN where it would have said something else, (n_envs,)
    """
    doubts: list[th.Tensor] = []

    def hook(module: th.nn.Module, inputs: Any, outputs: th.Tensor) -> th.Tensor:
        doubts.append((outputs - outputs).sum(dim=1))
        return outputs.nan_to_num()

    handle = net.register_forward_hook(hook)
    try:
        yield doubts
    finally:
        handle.remove()


class StepGraph:
    """
    A step of a policy, recorded. It reads what it is given, the memory included, from tensors of its own and writes its
    answers and the memory after the step into tensors of its own.

    :param policy: who acts
    :param obs: observations of a step, (n_envs, ...)
    :param state: the memory before it
    :param episode_starts: whether an episode starts there, (n_envs,) bool
    :param record: makes the recording
    """

    def __init__(
        self,
        policy: MemoryActorCriticPolicy,
        obs: PyTorchObs,
        state: PolicyState,
        episode_starts: th.Tensor,
        record: Record = record_on_cuda,
    ) -> None:
        self.state = tree_clone(state)
        self._inputs = tree_clone((obs, episode_starts))
        self._parameters = _addresses(policy)
        self._acted: Acted

        def act(state: PolicyState) -> PolicyState:
            after: PolicyState
            with _finite(policy.action_net) as doubts:
                actions, values, log_probs, after = policy(self._inputs[0], state, self._inputs[1], in_place=True)
            self._acted = Acted(actions, values, log_probs + sum(doubts))
            return after

        def rehearsal() -> None:
            act(tree_clone(self.state))

        def work() -> None:
            _copy_(self.state, act(self.state))

        with th.no_grad(), static_shapes(), _unvalidated():
            self._replay = record(work, rehearsal, policy.device)

    def fits(self, policy: MemoryActorCriticPolicy, n_envs: int) -> bool:
        """
        :param policy: who acts
        :param n_envs: number of environments
        :return: whether this is a recording of that
        """
        return batch_size(self.state) == n_envs and self._parameters == _addresses(policy)

    def __call__(self, obs: PyTorchObs, episode_starts: th.Tensor) -> Acted:
        """
        :param obs: observations, (n_envs, ...)
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :return: what the policy says; :attr:`state` is the memory after the step
        """
        mine = self._inputs[0]
        if isinstance(mine, dict) and isinstance(obs, dict):
            obs = {key: obs[key] for key in mine}  # in whatever order the environments have them
        _copy_(self._inputs, (obs, episode_starts))
        self._replay()
        return self._acted


class RolloutSteps:
    """
    The steps of rollouts. Where a step cannot be recorded it is computed as ever, with a warning that says why.

    :param policy: who acts
    """

    def __init__(self, policy: MemoryActorCriticPolicy) -> None:
        self.policy = policy
        self.state: PolicyState = ()
        self._graph: StepGraph | None = None
        self._collecting: Callable[[], AbstractContextManager[None]]
        self._records = policy.cuda_graph and policy.device.type == "cuda" and not policy.use_sde

    def begin(self, state: PolicyState) -> None:
        """
        :param state: the memory before the rollout; it may be overwritten
        """
        self.state = self.policy.unpack_state(state)
        self._collecting = collecting(self.policy, batch_size(state))
        if self._graph is not None and not self._graph.fits(self.policy, batch_size(state)):
            self._graph = None
        if self._graph is not None:
            _copy_(self._graph.state, self.state)
            self.state = self._graph.state

    def __call__(self, obs: PyTorchObs, episode_starts: th.Tensor, masks: dict[str, np.ndarray]) -> Acted:
        """
        :param obs: observations, (n_envs, ...)
        :param episode_starts: whether an episode starts at this step, (n_envs,) bool
        :param masks: what else the policy is told
        :return: what it says, with :attr:`state` the memory after the step
        """
        if self._records and not masks:
            if self._graph is None:
                self._record(obs, episode_starts)
            if self._graph is not None:
                return self._graph(obs, episode_starts)
        with self._collecting():
            actions, values, log_probs, self.state = self.policy(
                obs, self.state, episode_starts, in_place=True, **masks
            )
        # Callbacks may learn from what is said.
        return Acted(actions, values.clone(), log_probs.clone())

    def _record(self, obs: PyTorchObs, episode_starts: th.Tensor) -> None:
        try:
            self._graph = StepGraph(self.policy, obs, self.state, episode_starts)
        except (RuntimeError, ValueError) as error:
            self._records = False
            warnings.warn(
                f"acting is not recorded as a CUDA graph and goes on without, more slowly: {error}; "
                "policy_kwargs=dict(cuda_graph=False) asks for that",
                stacklevel=3,
            )
            return
        self.state = self._graph.state


def _addresses(policy: MemoryActorCriticPolicy) -> list[int]:
    """Where the parameters lie: a graph goes on reading there."""
    return [tensor.data_ptr() for tensor in (*policy.parameters(), *policy.buffers())]


def _copy_(tree: Any, other: Any) -> None:
    """Overwrite every tensor of a tree with that of another."""
    for old, new in zip(tree_leaves(tree), tree_leaves(other), strict=True):
        if old.data_ptr() != new.data_ptr():
            old.copy_(new)
