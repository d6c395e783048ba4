"""Memory that is kept between updates."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from memory_agents import DQN, PPO
from memory_agents.sequence import SequenceModel, SequenceTrainer

FAULTS = """
import resource
import torch as th
from memory_agents.nn.heap import keep_heap

if {kept}:
    keep_heap()

def update():
    return [th.ones(2**18) for _ in range(16)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

update()
update()
before = faults()
for _ in range(5):
    update()
print((faults() - before) // 5)
"""


def page_faults(kept: bool) -> int:
    """Pages that an update of 16 MiB waits for."""
    code = FAULTS.format(kept=kept)
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
def test_memory_is_not_asked_for_anew_by_every_update() -> None:
    assert page_faults(kept=True) < 100
    # What there is to keep: 16 MiB in pages of 4 KiB, or in huge ones.
    assert page_faults(kept=False) > page_faults(kept=True)


@pytest.mark.parametrize("learner", ["on_policy", "off_policy", "training"])
def test_whoever_learns_keeps_it(learner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    where = "memory_agents.sequence" if learner == "training" else "memory_agents.common"
    monkeypatch.setattr(f"{where}.{learner}.keep_heap", lambda: asked.append(learner))
    if learner == "training":
        SequenceTrainer(SequenceModel(5, "lstm"), learning_rate=1e-3, window=4)
    else:
        {"on_policy": PPO, "off_policy": DQN}[learner]("MemoryPolicy", "CartPole-v1", device="cpu")
    assert asked == [learner]
