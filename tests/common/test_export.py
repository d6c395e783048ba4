"""Exported agents act as ``predict`` does: every core, every space, many environments, episodes that begin anew."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from memory_agents import PPO, VecPreviousActionReward, common, export_onnx, export_step
from memory_agents.common.export import ActingStep
from memory_agents.memory import MemoryCore, memory_registry, tree_leaves
from tests.ppo.toys import ACTIONS, OBSERVATIONS, TINY, toy_agent, toy_venv

SEGMENTS: dict[str, Any] = dict(segment_length=4, d_model=16, n_heads=2)
#: A policy of every core and of every preset, small.
POLICIES: dict[str, dict[str, Any]] = {
    "compressive": dict(policy_kwargs=dict(memory_kwargs=TINY)),
    "lstm": dict(memory_kwargs=dict(hidden_size=16, n_layers=2)),
    "gru": dict(memory_kwargs=dict(hidden_size=16, n_layers=2)),
    "brc": dict(memory_kwargs=dict(hidden_size=16)),
    "nbrc": dict(memory_kwargs=dict(hidden_size=16)),
    "rmt": dict(memory_kwargs=dict(**SEGMENTS, xl_memory=2, n_memory_tokens=3)),
    "memformer": dict(memory_kwargs=dict(**SEGMENTS, xl_memory=2)),
    "block_recurrent": dict(memory_kwargs=SEGMENTS),
    "GTrXLPolicy": dict(policy_kwargs=dict(memory_kwargs=dict(memory_length=5, d_model=16))),
    "TransformerXLPolicy": dict(policy_kwargs=dict(memory_kwargs=dict(memory_length=5, d_model=16))),
    "CompressiveTransformerPolicy": dict(policy_kwargs=dict(memory_kwargs=TINY)),
    "CompressiveMemoryPolicy": dict(policy_kwargs=dict(memory_kwargs=TINY, share_features_extractor=False)),
    "judger": dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": True})),
    "judger-last": dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": dict(pooling="last")})),
    "judger-max": dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": dict(pooling="max")})),
    "discard": dict(policy_kwargs=dict(memory_kwargs={**TINY, "judger": "discard"})),
    "rotary": dict(policy_kwargs=dict(memory_kwargs={**TINY, "positions": "rotary"})),
    "learned": dict(policy_kwargs=dict(memory_kwargs={**TINY, "positions": "learned", "norm": "post"})),
    "most_used": dict(
        policy_kwargs=dict(memory_kwargs={**TINY, "compression": "most_used", "block_length": 4, "recurrence_delay": 2})
    ),
    "dilated": dict(
        policy_kwargs=dict(
            memory_kwargs={
                **TINY,
                "compression": "dilated",
                "gating": "nbrc",
                "mogrifier_rounds": 2,
                "final_norm": True,
            }
        )
    ),
    "layers": dict(policy_kwargs=dict(memory_kwargs={**TINY, "memory_length": [0, 6], "compressed_length": [0, 4]})),
}
#: Those that run on every push; ONNX files are made from such programs, and one of the compressive memory is, too.
QUICK = {"lstm", "rmt"}


def agent_of(name: str, env: Any = None, **kwargs: Any) -> PPO:
    """An agent of one of :data:`POLICIES`, with parameters that are no longer those of the start."""
    settings: dict[str, Any] = dict(POLICIES[name])
    if name in memory_registry and name != "compressive":
        settings = dict(policy="MemoryPolicy", policy_kwargs=dict(memory_class=name, **settings))
    elif name.endswith("Policy"):
        settings["policy"] = name
    settings["policy_kwargs"] = {**settings["policy_kwargs"], **kwargs.pop("policy_kwargs", {})}
    agent = toy_agent(env, **{**settings, **kwargs})
    with th.no_grad():
        for parameter in agent.policy.parameters():
            parameter.add_(0.1 * th.randn_like(parameter))
    return agent


def marked(names: Any, quick: set[str]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def observations(env: Any, steps: int, seed: int = 0) -> list[tuple[Any, np.ndarray]]:
    """Observations and episode starts of a run in which actions do not matter."""
    env.seed(seed)
    obs, starts, found = env.reset(), np.ones(env.num_envs, dtype=bool), []
    for _ in range(steps):
        found.append((obs, starts))
        obs, _, starts, _ = env.step([env.action_space.sample() for _ in range(env.num_envs)])
    return found


@pytest.mark.parametrize("name", marked(POLICIES, QUICK))
@pytest.mark.parametrize("action", ["discrete"])
def test_a_program_does_what_predict_does(name: str, action: str) -> None:
    env = toy_venv(3, action=action)
    agent = agent_of(name, env)
    policy = agent.policy
    program = export_step(agent, outputs=["value", "distribution"]).module()
    for n_envs in (3, 1):
        state: Any = policy.initial_state(n_envs)
        leaves = list(tree_leaves(state))
        for obs, starts in observations(toy_venv(n_envs, action=action), 60):
            x, start = th.as_tensor(obs), th.as_tensor(starts)
            expected = policy.predict_values(x, state, start)
            logits: Any = policy.get_distribution(x, state, start).distribution
            actions, state = policy.predict(obs, state, starts, deterministic=True)
            found_actions, value, found_logits, *leaves = program(x, start, *leaves)
            np.testing.assert_array_equal(found_actions.numpy(), actions)
            th.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
            th.testing.assert_close(found_logits, logits.logits, atol=1e-5, rtol=1e-5)
        for found, leaf in zip(leaves, tree_leaves(state), strict=True):
            th.testing.assert_close(found, leaf, atol=1e-5, rtol=1e-5)


def test_every_core_and_preset_is_exported_here() -> None:
    assert set(memory_registry) | set(PPO.policy_aliases) - {"MemoryPolicy"} <= set(POLICIES)


def test_a_program_can_be_saved(tmp_path: Path) -> None:
    agent = agent_of("gru")
    program = export_step(agent.policy, n_envs=2)
    th.export.save(program, tmp_path / "agent.pt2")
    loaded = th.export.load(tmp_path / "agent.pt2").module()
    obs = th.randn(2, 3)
    state = agent.policy.initial_state(2)
    action, *_ = loaded(obs, th.ones(2, dtype=th.bool), *tree_leaves(state))
    np.testing.assert_array_equal(action.numpy(), agent.predict(obs.numpy(), deterministic=True)[0])
    assert agent.policy.training is False


def test_a_random_judge_is_refused() -> None:
    agent = toy_agent(policy_kwargs=dict(memory_kwargs={**TINY, "judger": "random"}))
    with pytest.raises(ValueError, match="RandomJudge, which draws its decisions even when acting deterministically"):
        export_step(agent)


def test_other_policies_and_outputs_are_refused() -> None:
    from stable_baselines3 import PPO as Memoryless

    with pytest.raises(TypeError, match="agent has a ActorCriticPolicy, which is no MemoryActorCriticPolicy"):
        export_step(Memoryless("MlpPolicy", "CartPole-v1", device="cpu"))
    with pytest.raises(ValueError, match="outputs has 'regret'; known: 'value', 'distribution'"):
        export_step(toy_agent(), outputs=["regret"])


class Peeking(MemoryCore[th.Tensor]):
    """A core that decides by looking."""

    def __init__(self, input_dim: int) -> None:
        super().__init__(input_dim, input_dim)

    def initial_state(self, batch_size: int) -> th.Tensor:
        return th.zeros(batch_size, self.output_dim)

    def step_(self, x: th.Tensor, state: th.Tensor, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        return (x, x) if bool(episode_starts.any()) else (state, x)

    def unroll(self, x: th.Tensor, state: th.Tensor, episode_starts: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        raise NotImplementedError


def test_a_core_that_cannot_be_a_graph_is_named() -> None:
    agent = toy_agent(policy="MemoryPolicy", policy_kwargs=dict(memory_class=Peeking, memory_kwargs={}))
    with pytest.raises(ValueError, match="most likely because step_ of Peeking looks at numbers in tensors"):
        export_step(agent)


def test_names_tell_where_tensors_belong() -> None:
    step = ActingStep(agent_of("compressive", toy_venv(2, observation="dict")).policy, ["distribution"])
    assert list(step.spaces()) == ["observation.kind", "observation.x"]
    assert step.output_names() == ["action", "logits"]
    assert step.state_names()[:3] == ["state.0.steps", "state.0.layers.0.recent", "state.0.layers.0.slots"]


# --- ONNX


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """Where an ONNX file can be written, and run."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript, with which PyTorch writes ONNX files, is not installed")
    return tmp_path / "agent.onnx"


def onnx_agent(path: Path) -> Any:
    """An :class:`OnnxAgent`, whose module can be imported only where onnxruntime is."""
    return importlib.import_module("memory_agents.common.onnx_agent").OnnxAgent(path)


def check_onnx(agent: PPO, make_env: Any, path: Path, *, steps: int = 100, **kwargs: Any) -> Any:
    """Act with and without ONNX in three environments, then in one."""
    export_onnx(agent, path, outputs=["value", "distribution"], **kwargs)
    acting = onnx_agent(path)
    normalize: VecNormalize | None = kwargs.get("vec_normalize")
    policy, n_starts = agent.policy, 0
    for n_envs in (3, 1):
        acting.reset()
        state: Any = policy.initial_state(n_envs)
        for obs, starts in observations(make_env(n_envs), steps if n_envs == 3 else 20):
            read = obs if normalize is None else normalize.normalize_obs(obs)
            x = policy.obs_to_tensor(read)[0]
            with th.no_grad():
                values = policy.predict_values(x, state, th.as_tensor(starts)).numpy()
            actions, state = agent.predict(read, state, starts, deterministic=True)
            found = acting.act(obs, starts)
            assert found.dtype == actions.dtype
            np.testing.assert_allclose(found, actions, atol=1e-5)
            np.testing.assert_allclose(acting.outputs["value"], values, atol=1e-5, rtol=1e-5)
            n_starts += int(starts.sum())
    assert n_starts > 8
    return acting


@pytest.mark.parametrize("name", marked(POLICIES, {"compressive"}))
def test_onnx_acts_as_predict_does(name: str, onnx: Path) -> None:
    check_onnx(agent_of(name, toy_venv(3)), toy_venv, onnx)


@pytest.mark.parametrize("observation", marked(OBSERVATIONS, {"dict_image"}))
def test_onnx_reads_any_observation(observation: str, onnx: Path) -> None:
    def make(n_envs: int) -> Any:
        return toy_venv(n_envs, observation=observation)

    check_onnx(agent_of("gru", make(3)), make, onnx, steps=20)


@pytest.mark.parametrize(
    "action", marked([name for name in ACTIONS if name != "discrete"], {"multi_discrete_from_three"})
)
def test_onnx_takes_any_action(action: str, onnx: Path) -> None:
    def make(n_envs: int) -> Any:
        return toy_venv(n_envs, action=action)

    check_onnx(agent_of("gru", make(3)), make, onnx, steps=20)


@pytest.mark.parametrize("squash", [pytest.param(False, marks=pytest.mark.slow), True])
def test_onnx_squashes_and_tells_the_noise_of_state_dependent_exploration(squash: bool, onnx: Path) -> None:
    def make(n_envs: int) -> Any:
        return toy_venv(n_envs, action="box")

    agent = agent_of("gru", make(3), use_sde=True, policy_kwargs=dict(squash_output=squash))
    acting = check_onnx(agent, make, onnx, steps=20)
    assert acting.metadata["outputs"] == ["action", "value", "mean", "std"]
    obs = np.ones((1, 3), np.float32)
    acting.reset()
    acting.act(obs)
    inner: Any = agent.policy.get_distribution(
        th.as_tensor(obs), agent.policy.initial_state(1), th.ones(1)
    ).distribution
    np.testing.assert_allclose(acting.outputs["mean"], inner.mean.detach(), atol=1e-5)
    np.testing.assert_allclose(acting.outputs["std"], inner.stddev.detach(), atol=1e-5)


@pytest.mark.parametrize("observation", ["box", "dict_image", pytest.param("dict", marks=pytest.mark.slow)])
def test_onnx_normalises_observations(observation: str, onnx: Path) -> None:
    keys = None if observation == "box" else ["x"]

    def make(n_envs: int) -> Any:
        return toy_venv(n_envs, observation=observation)

    env = VecNormalize(make(3), norm_obs_keys=keys)
    agent = agent_of("gru", env).learn(96)
    check_onnx(agent, make, onnx, steps=20, vec_normalize=env)


def test_an_onnx_agent_says_what_does_not_fit(onnx: Path) -> None:
    agent = agent_of("gru")
    export_onnx(agent, onnx, n_envs=2)
    acting = onnx_agent(onnx)
    assert acting.metadata["n_envs"] == 2
    obs = np.zeros((2, 3), np.float32)
    np.testing.assert_array_equal(acting.act(obs), agent.predict(obs, deterministic=True)[0])
    with pytest.raises(
        ValueError, match="is of 1 environments, but the agent was exported for 2; give as many, or exp"
    ):
        acting.act(obs[0])
    with pytest.raises(ValueError, match=r"observation has shape \(2, 4\), the agent reads \(3,\) or \(n_envs, ...\)"):
        acting.act(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="the agent reads"):
        acting.act({"x": obs})
    # What was refused is forgotten, also where it came first.
    acting.reset()
    with pytest.raises(ValueError, match="exported for 2"):
        acting.act(obs[0])
    assert acting.act(obs).shape == (2,)
    export_onnx(agent, onnx)
    acting = onnx_agent(onnx)
    acting.act(obs)
    with pytest.raises(ValueError, match="observation is of 1 environments, the memory of 2; call reset"):
        acting.act(obs[0])


@pytest.mark.parametrize("around", [VecPreviousActionReward, lambda venv: VecFrameStack(venv, 2)])
def test_what_is_normalised_must_be_what_the_policy_reads(around: Callable[[VecEnv], VecEnv]) -> None:
    normalize = VecNormalize(toy_venv(3))
    agent = agent_of("gru", around(normalize))
    with pytest.raises(ValueError, match=r"another wrapper stands around VecNormalize. Put VecNormalize around that"):
        export_step(agent, vec_normalize=normalize)
    export_step(agent)
    keys = ["observation"] if around is VecPreviousActionReward else None
    mended = VecNormalize(around(toy_venv(3)), norm_obs_keys=keys)
    export_step(agent_of("gru", mended), vec_normalize=mended)


def test_the_deployed_part_needs_numpy_and_onnxruntime_only(onnx: Path) -> None:
    source = Path(common.__file__).with_name("onnx_agent.py")
    tree = ast.parse(source.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}

    agent = agent_of("gru")
    export_onnx(agent, onnx)
    copy = onnx.with_name("onnx_agent.py")
    copy.write_text(source.read_text())
    program = (
        "import json, sys, onnx_agent\n"
        f"agent = onnx_agent.OnnxAgent({str(onnx)!r})\n"
        "print(json.dumps([int(agent.act([0.1, 0.2, step], step == 0)) for step in range(5)]))\n"
        "assert not {'torch', 'stable_baselines3', 'gymnasium', 'memory_agents'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=onnx.parent, capture_output=True, text=True, check=True)
    expected, state = [], None
    for step in range(5):
        action, state = agent.predict(np.array([0.1, 0.2, step], np.float32), state, deterministic=True)
        expected.append(int(action))
    assert json.loads(done.stdout) == expected
