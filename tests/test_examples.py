"""The examples run as they stand, but for the length of their training; the core in them is a good one."""

from __future__ import annotations

import ast
import inspect
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch as th
from hypothesis import strategies as st

from memory_agents import MemoryCore, memory_registry
from memory_agents.memory.building import make_memory
from tests.memory import test_laws

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OWN_CORE = EXAMPLES[1]
#: What some of them need beside the library.
NEEDS = {"06_export": ("onnxruntime", "onnxscript")}
LAWS: list[Callable[..., None]] = [
    law
    for name, law in vars(test_laws).items()
    if name.startswith("test_") and "cuda" not in name and list(inspect.signature(law).parameters) == ["name"]
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_and_is_listed(example: Path, tmp_path: Path) -> None:
    for module in NEEDS.get(example.stem, ()):
        pytest.importorskip(module, reason=f"{example.name} needs {module}, which is not installed")
    command = [sys.executable, str(example), "--total-timesteps", "600"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}  # a bare checkout will do, as for all other tests
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^success rate: [01]\.\d\d$", done.stdout, flags=re.MULTILINE)
    assert not list(tmp_path.iterdir())
    assert f"[`{example.name}`]({example.name})" in example.with_name("README.md").read_text()


def test_examples_are_numbered() -> None:
    assert len(EXAMPLES) >= 7
    assert [int(example.stem[:2]) for example in EXAMPLES] == list(range(1, len(EXAMPLES) + 1))


@pytest.fixture
def own_core(monkeypatch: pytest.MonkeyPatch) -> Callable[..., MemoryCore[Any]]:
    """The core of the example, registered for one test."""
    sizes = dict(n_averages=st.sampled_from([1, 5, 64]), longest_span=st.sampled_from([2.0, 1000.0]))
    monkeypatch.setitem(test_laws.KWARGS, "moving_averages", st.fixed_dictionaries(sizes))
    runpy.run_path(str(OWN_CORE))
    return memory_registry["moving_averages"]


def test_the_own_core_is_short() -> None:
    tree = ast.parse(OWN_CORE.read_text())
    (core,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert core.end_lineno is not None
    assert core.end_lineno - core.decorator_list[0].lineno + 1 < 60


def test_all_laws_are_found() -> None:
    assert len(LAWS) >= 9


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("test_"))
@pytest.mark.usefixtures("own_core")
def test_the_own_core_keeps_the_laws(law: Callable[..., None]) -> None:
    law(name="moving_averages")


def test_the_own_core_is_its_equation(own_core: Callable[..., MemoryCore[Any]]) -> None:
    core = own_core(3, n_averages=4)
    with th.no_grad():
        for parameter in core.parameters():
            parameter.normal_()
    p = dict(core.named_parameters())
    x, starts, h = th.randn(1, 21, 3), th.zeros(1, 21, dtype=th.bool), th.randn(4)
    starts[0, [5, 6, 13]] = True
    y, state = core.unroll(x, h[None], starts)
    for t, now in enumerate(x[0]):
        a = th.sigmoid(p["keep.weight"] @ now + p["keep.bias"])
        before = th.zeros(4) if starts[0, t] else h
        h = a * before + (1 - a) * (p["write.weight"] @ now + p["write.bias"])
        expected = (p["read.weight"] @ th.cat([h, now]) + p["read.bias"]).clamp(min=0)
        th.testing.assert_close(y[0, t], expected)
    th.testing.assert_close(state[0], h)


def test_the_own_core_starts_with_fast_and_slow_averages(own_core: Callable[..., MemoryCore[Any]]) -> None:
    core = own_core(3, n_averages=3, longest_span=128.0)
    kept = th.sigmoid(core.get_parameter("keep.bias"))
    th.testing.assert_close(1 / (1 - kept), th.tensor([2.0, 16.0, 128.0]))


@pytest.mark.parametrize(
    ("kwargs", "told"), [(dict(n_averages=0), "0 and 256"), (dict(longest_span=1.0), "64 and 1.0")]
)
@pytest.mark.usefixtures("own_core")
def test_the_own_core_refuses_sizes_that_make_no_sense(kwargs: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"need n_averages >= 1 and longest_span >= 2, got {told}"):
        make_memory("moving_averages", 3, kwargs)
