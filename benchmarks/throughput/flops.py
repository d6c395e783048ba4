"""Floating-point operations: how many learning takes, and how many a second this machine can do at best."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memory_agents.benchmarks.throughput.stopwatch import WALL, Stopwatch
from memory_agents.nn.mixed_precision import FORMATS

#: Edges of the square matrices that are multiplied to find the peak.
CPU_SIZES = (256, 512, 1024, 2048)
CUDA_SIZES = (1024, 2048, 4096, 8192)

Multiply = Callable[[th.Tensor, th.Tensor], th.Tensor]


def learning_flops(agent: OnPolicyAlgorithm) -> float:
    """
    Count the operations of a pass over the rollout that the agent holds, forward and backward, with PyTorch's
    ``FlopCounterMode``. A multiplication and an addition are two operations. The rollout is taken for one in the middle
    of long episodes and learned from at once, so that what is counted is what the network needs: what is done besides
    for the sake of padding is not.

    Counted are matrix products, attention (its products, whether masked or not, and none of them twice, however the
    kernel goes about it) and convolutions. Left out are elementwise work, softmax, norms, reductions, the optimizer,
    and everything in NumPy.

    :param agent: an agent on the CPU with a full rollout buffer; its gradients are cleared, and of the rollout it is
        forgotten where episodes start
    :return: operations per transition
    """
    policy: Any = agent.policy
    policy.set_training_mode(True)
    agent.rollout_buffer.episode_starts[:] = 0
    batch: Any = next(iter(agent.rollout_buffer.get(None)))
    discrete = isinstance(agent.action_space, spaces.Discrete)
    actions = batch.actions.long().flatten() if discrete else batch.actions
    recurrent = (batch.lstm_states, batch.episode_starts) if hasattr(batch, "lstm_states") else ()
    counter = FlopCounterMode(display=False, custom_mapping=COUNTED_IN_PLACE)
    with warnings.catch_warnings():
        # What PyTorch says of Intel's GPUs when oneDNN is switched off and on again.
        warnings.simplefilter("ignore", UserWarning)
        # oneDNN's recurrent kernels and fused attention are no products that the counter knows, but without them the
        # same work is done in products that it does.
        with th.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH), counter:
            values, log_prob, entropy = policy.evaluate_actions(batch.observations, actions, *recurrent)
            loss = values.sum() + log_prob.sum() + (0 if entropy is None else entropy.sum())
            loss.backward()
    policy.optimizer.zero_grad()
    # Where sequences were padded nevertheless, there are more actions than transitions.
    return counter.get_total_flops() / len(actions)


def _products(total: th.Size, left: th.Size, right: th.Size, **_: Any) -> int:
    """Operations of products of matrices, (batch, rows, inner) by (batch, inner, columns)."""
    batch, rows, inner = left
    return 2 * batch * rows * inner * right[2]


#: ``FlopCounterMode`` knows the product that adds to a new tensor, not the one that adds to its own.
COUNTED_IN_PLACE = {th.ops.aten.baddbmm_: _products}


def matmul_peaks(
    device: str,
    sizes: Sequence[int] | None = None,
    seconds: float = 0.15,
    clock: str = WALL,
    formats: Collection[str] = (),
) -> dict[str, float]:
    """
    The most operations a second that products of two square matrices reach, over their sizes and over repeats.

    :param device: PyTorch's device
    :param sizes: edges of the matrices (default: what suits the device)
    :param seconds: how long to try each size, twice at least
    :param clock: of which times seconds are
    :param formats: types of number beside float32, by name; those that learning can have are measured on a GPU anyway
    :return: operations per second, by the type of number; on the CPU also ``float32, oneDNN``, those of oneDNN called
        by itself, which on some processors is much quicker than the library that ``th.mm`` calls
    """
    watch, found = Stopwatch(th.device(device), clock), {}
    for name, dtype, multiply in _ways(watch.device, formats):
        best = 0.0
        for size in sizes or (CUDA_SIZES if watch.device.type == "cuda" else CPU_SIZES):
            one, other = (th.randn(size, size, device=device).to(dtype) for _ in range(2))
            multiply(one, other)
            begin, tries = watch.now(), 0
            while tries < 2 or watch.now() - begin < seconds:
                start = watch.now()
                multiply(one, other)
                best = max(best, 2 * size**3 / (watch.now() - start))
                tries += 1
        found[name] = best
    return found


def _ways(device: th.device, formats: Collection[str]) -> list[tuple[str, th.dtype, Multiply]]:
    ways: list[tuple[str, th.dtype, Multiply]] = [("float32", th.float32, th.mm)]
    ways += [(name, kind, th.mm) for name, kind in FORMATS.items() if name in formats or device.type == "cuda"]
    if device.type == "cpu" and _one_dnn_multiplies():
        ways.append(("float32, oneDNN", th.float32, _one_dnn))
    return ways


def _one_dnn(one: th.Tensor, other: th.Tensor) -> th.Tensor:
    product: th.Tensor = th.ops.mkldnn._linear_pointwise(one, other, None, "none", [], "")
    return product


def _one_dnn_multiplies() -> bool:
    """Whether this PyTorch has the operator, which is not for the public and may go or change."""
    one, other = th.randn(2, 3), th.randn(4, 3)
    try:
        return bool(th.allclose(_one_dnn(one, other), one @ other.T, atol=1e-5))
    except (AttributeError, RuntimeError, TypeError):
        return False
