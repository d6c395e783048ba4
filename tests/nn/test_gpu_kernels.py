"""Kernels of a GPU are picked by switches that also stand in PyTorch's builds for CPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th

from memory_agents.nn import gpu_kernels
from memory_agents.nn.gpu_kernels import single_precision, unplanned_attention
from memory_agents.sequence import Copy, DCTTrainer, SequenceModel, SequenceTrainer, evaluate
from tests.dqn.toys import toy_agent as toy_dqn
from tests.ppo.toys import TINY, toy_agent

new_switches = pytest.mark.skipif(not hasattr(th.backends.cudnn, "rnn"), reason="PyTorch has one switch only")


@new_switches
@pytest.mark.parametrize("before", ["none", "tf32", "ieee"])
def test_recurrent_kernels_compute_in_single_precision(before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cudnn: Any = th.backends.cudnn
    rnn, convolution = cudnn.rnn, cudnn.conv
    monkeypatch.setattr(rnn, "fp32_precision", before)
    kept = convolution.fp32_precision
    with single_precision(th.device("cuda")):
        assert rnn.fp32_precision == "ieee"
        assert convolution.fp32_precision == kept
        assert not th.is_autocast_enabled("cuda")
    assert rnn.fp32_precision == before
    with single_precision(th.device("cpu")):
        assert rnn.fp32_precision == before


@pytest.mark.parametrize("allowed", [True, False])
def test_an_older_pytorch_has_one_switch(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cudnn:
        allow_tf32 = allowed

    class Backends:
        cudnn = Cudnn

    class Torch:
        backends, autocast = Backends, th.autocast

    monkeypatch.setattr(gpu_kernels, "th", Torch)
    with single_precision(th.device("cuda")):
        assert Cudnn.allow_tf32 is False
    assert Cudnn.allow_tf32 is allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_fused_attention_goes_without_plans(allowed: bool) -> None:
    enabled: Any = th.backends.cuda.cudnn_sdp_enabled
    before = enabled()
    th.backends.cuda.enable_cudnn_sdp(allowed)
    try:
        with unplanned_attention():
            assert not enabled()
        assert enabled() is allowed
    finally:
        th.backends.cuda.enable_cudnn_sdp(before)


def ppo() -> tuple[th.nn.Module, Callable[[], object]]:
    agent = toy_agent()
    return agent.policy.memories[0], lambda: agent.learn(48)


def dqn() -> tuple[th.nn.Module, Callable[[], object]]:
    agent = toy_dqn()
    return agent.policy.network.memory, lambda: agent.learn(240)


def model(**kwargs: Any) -> SequenceModel:
    return SequenceModel(11, "compressive", {**TINY, **kwargs})


def sequence() -> tuple[th.nn.Module, Callable[[], object]]:
    made = model()
    batch = Copy().draw(2, np.random.default_rng(0))
    return made.core, lambda: SequenceTrainer(made).update(batch)


def dct() -> tuple[th.nn.Module, Callable[[], object]]:
    made = model(judger=True)
    batch = Copy().draw(2, np.random.default_rng(0))
    return made.core, lambda: DCTTrainer(SequenceTrainer(made, window=18)).update(batch)


def scoring() -> tuple[th.nn.Module, Callable[[], object]]:
    made = model()
    return made.core, lambda: evaluate(made, [Copy().draw(2, np.random.default_rng(0))])


@pytest.mark.parametrize("make", [ppo, dqn, sequence, dct, scoring])
def test_whatever_learns_goes_without_plans(
    make: Callable[[], tuple[th.nn.Module, Callable[[], object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: Any = th.backends.cuda.cudnn_sdp_enabled
    th.backends.cuda.enable_cudnn_sdp(True)
    memory, learn = make()
    core: Any = memory
    met = []

    def listening(method: Callable[..., Any]) -> Callable[..., Any]:
        def listen(*args: Any, **kwargs: Any) -> Any:
            met.append(enabled())
            return method(*args, **kwargs)

        return listen

    for name in ("unroll", "unroll_with_loss", "unroll_outputs", "unroll_segment"):
        monkeypatch.setattr(core, name, listening(getattr(core, name)))
    learn()
    assert met
    assert not any(met)
    assert enabled()
