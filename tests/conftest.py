"""Settings for all tests."""

import gc
import os
from collections.abc import Iterator

import pytest
import torch as th
from hypothesis import settings

from memory_agents import nn
from memory_agents.memory import memory_registry
from memory_agents.nn.registry import Registry
from tests.emulated_device import EMULATED, emulated_device

# Small networks run fastest on one thread, and one thread makes sums reproducible.
th.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("default", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=1_000)
# Continuous integration runs the same examples every time, so that what fails there is what was changed.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def pytest_collection_finish() -> None:
    """All that is imported and collected stays; to look through it anew at every collection of garbage takes time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seed() -> None:
    th.manual_seed(0)


NEEDS_CUDA = (pytest.mark.cuda, pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device"))


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> Iterator[th.device]:
    """Devices beside the CPU."""
    if request.param == "cuda":
        yield th.device("cuda")
    else:
        with emulated_device():
            yield EMULATED


@pytest.fixture(autouse=True)
def _what_a_test_registers_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (memory_registry, *vars(nn).values()):
        if isinstance(registry, Registry):
            monkeypatch.setattr(registry, "_entries", dict(registry._entries))
