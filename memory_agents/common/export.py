"""The acting step of an agent as a graph: for ``torch.export``, and for ONNX."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from memory_agents.common.policies import MemoryActorCriticPolicy
from memory_agents.memory import tree_leaves, tree_map
from memory_agents.memory.compressive import judge_of

#: What a graph can tell beside the action.
EXTRA_OUTPUTS = ("value", "distribution")
#: Under this name an ONNX file keeps what its inputs and outputs are.
METADATA = "memory_agents"


class ActingStep(nn.Module):
    """
    One deterministic acting step as a function of tensors alone: what ``predict`` does between the observation as the
    environment gives it and the action as the environment takes it, memory included.

    It is called with the observations (one tensor, or one for each entry of a dictionary), the episode starts
    ``(n_envs,)`` bool, and the tensors of the state, and returns the action, what else was asked for, and the tensors
    of the state after the step, which are in the same order.

    :param policy: the policy; it is not copied
    :param outputs: what to return beside the action: ``"value"``, (n_envs, 1), and ``"distribution"``, the parameters
        of the distribution over actions, before they are scaled, clipped or counted from where the space starts:
        ``logits`` (n_envs, choices) for choices, those of all choices side by side, and ``mean`` and ``std``, (n_envs,
        actions) each, for numbers, before squashing. Masks of actions are not part of the graph; who has some applies
        them to the logits
    :param vec_normalize: statistics with which observations are normalised first
    :raises TypeError: when the policy has no memory of this library
    :raises ValueError: when an output is unknown, the memory draws its choices, or what is normalised is not what the
        policy reads
    """

    def __init__(
        self, policy: BasePolicy, outputs: Sequence[str] = (), vec_normalize: VecNormalize | None = None
    ) -> None:
        if not isinstance(policy, MemoryActorCriticPolicy):
            raise TypeError(
                f"agent has a {type(policy).__name__}, which is no MemoryActorCriticPolicy; export this library's "
                "agents with an actor here (of DQN and QRDQN there is no export), and others as Stable-Baselines3's "
                "documentation says"
            )
        for name in outputs:
            if name not in EXTRA_OUTPUTS:
                raise ValueError(f"outputs has {name!r}; known: {', '.join(map(repr, EXTRA_OUTPUTS))}")
        for memory in policy.memories:
            judge = judge_of(memory)
            if judge is not None and not judge.has_likeliest:
                raise ValueError(
                    f"the memory has a {type(judge).__name__}, which draws its decisions even when acting "
                    "deterministically, so that no graph can act as predict does; use another judger"
                )
        super().__init__()
        self.policy = policy
        self.outputs = tuple(name for name in EXTRA_OUTPUTS if name in outputs)
        self.vec_normalize = None if vec_normalize is None or not vec_normalize.norm_obs else vec_normalize
        #: space of what it is called with
        self.observation_space = policy.observation_space
        if self.vec_normalize is not None:
            raw = self.vec_normalize.venv.observation_space
            if isinstance(raw, spaces.Dict):
                # What is not normalised reaches the policy as it takes it, images channels first.
                keys = self.vec_normalize.norm_obs_keys or ()
                taken: Any = policy.observation_space
                raw = spaces.Dict({key: raw[key] if key in keys else taken[key] for key in taken if key in raw.spaces})
            if _form(raw) != _form(policy.observation_space):
                raise ValueError(
                    f"vec_normalize normalises observations of {raw}, but the policy reads {policy.observation_space}: "
                    "another wrapper stands around VecNormalize. Put VecNormalize around that one, or export without "
                    "vec_normalize and normalise observations yourself"
                )
            self.observation_space = raw
        if isinstance(self.observation_space, spaces.Dict):
            self.keys: tuple[str, ...] = tuple(self.observation_space)
        else:
            self.keys = ()

    def spaces(self) -> dict[str, spaces.Space[Any]]:
        """
        :return: the spaces of the observations, by the names of the inputs
        """
        if isinstance(self.observation_space, spaces.Dict):
            return {f"observation.{key}": self.observation_space[key] for key in self.keys}
        return {"observation": self.observation_space}

    def state_names(self) -> list[str]:
        """
        :return: names of the tensors of the state, in their order
        """
        return [".".join(("state", *path)) for path, _ in _paths(self.policy.initial_state(1))]

    def output_names(self) -> list[str]:
        """
        :return: names of what is returned before the state
        """
        parameters = ("mean", "std") if isinstance(self.policy.action_space, spaces.Box) else ("logits",)
        extra = {"value": ("value",), "distribution": parameters}
        return ["action", *(name for output in self.outputs for name in extra[output])]

    def example(self, n_envs: int) -> tuple[th.Tensor, ...]:
        """
        :param n_envs: number of environments
        :return: arguments to be called with
        """
        device = self.policy.device
        observations = [
            th.zeros((n_envs, *(space.shape or ())), dtype=_dtype(space), device=device)
            + (th.as_tensor(space.start, device=device) if isinstance(space, spaces.Discrete) else 0)
            for space in self.spaces().values()
        ]
        starts = th.ones(n_envs, dtype=th.bool, device=device)
        return (*observations, starts, *tree_leaves(self.policy.initial_state(n_envs)))

    def forward(self, *tensors: th.Tensor) -> tuple[th.Tensor, ...]:
        """
        :param tensors: observations, episode starts, state
        :return: action, further outputs, state
        """
        policy, n_observations = self.policy, max(len(self.keys), 1)
        observations = [self._normalized(x, key) for x, key in zip(tensors, self.keys or (None,), strict=False)]
        obs = dict(zip(self.keys, observations, strict=True)) if self.keys else observations[0]
        leaves = iter(tensors[n_observations + 1 :])
        state = tree_map(lambda _: next(leaves), policy.initial_state(1))
        latent_pi, latent_vf, state = policy._latents(obs, state, tensors[n_observations])
        actions, parameters = self._likeliest(latent_pi)
        found = [self._for_environments(actions)]
        if "value" in self.outputs:
            found.append(policy.value_net(latent_vf))
        if "distribution" in self.outputs:
            found.extend(parameters)
        return (*found, *tree_leaves(state))

    def _likeliest(self, latent_pi: th.Tensor) -> tuple[th.Tensor, tuple[th.Tensor, ...]]:
        """The mode of the distribution over actions, and its parameters. Those of PyTorch cannot be traced."""
        policy, space, distribution = self.policy, self.policy.action_space, self.policy.action_dist
        net: th.Tensor = policy.action_net(latent_pi)
        if isinstance(space, spaces.Discrete):
            return net.argmax(dim=1), (net.log_softmax(dim=1),)
        if isinstance(space, spaces.MultiDiscrete):
            parts = th.split(net, [int(n) for n in space.nvec], dim=1)
            logits = th.cat([part.log_softmax(dim=1) for part in parts], dim=1)
            return th.stack([part.argmax(dim=1) for part in parts], dim=1), (logits,)
        if isinstance(space, spaces.MultiBinary):
            return net.sigmoid().round(), (net,)
        if isinstance(distribution, StateDependentNoiseDistribution):
            variance = latent_pi.square() @ distribution.get_std(policy.log_std).square()
            std = (variance + distribution.epsilon).sqrt()
            return net if distribution.bijector is None else net.tanh(), (net, std)
        return net, (net, policy.log_std.exp().expand_as(net))

    def _normalized(self, obs: th.Tensor, key: str | None) -> th.Tensor:
        """An observation, or an entry of it, as ``VecNormalize`` would give it."""
        normalize = self.vec_normalize
        if normalize is None or (key is not None and key not in (normalize.norm_obs_keys or ())):
            return obs
        every: Any = normalize.obs_rms
        statistics = every if key is None else every[key]
        mean = th.as_tensor(statistics.mean, device=obs.device)
        std = th.as_tensor(statistics.var + normalize.epsilon, device=obs.device).sqrt()
        return ((obs - mean) / std).clamp(-normalize.clip_obs, normalize.clip_obs).float()

    def _for_environments(self, actions: th.Tensor) -> th.Tensor:
        """The same as :func:`~memory_agents.common.policies.env_actions`."""
        space = self.policy.action_space
        actions = actions.reshape(-1, *(space.shape or ()))
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            return actions + th.as_tensor(space.start, device=actions.device)
        if not isinstance(space, spaces.Box):
            return actions
        low, high = (th.as_tensor(bound, device=actions.device) for bound in (space.low, space.high))
        if self.policy.squash_output:
            return low + 0.5 * (actions + 1.0) * (high - low)
        return actions.clamp(low, high)


def export_step(
    agent: BaseAlgorithm | BasePolicy,
    *,
    outputs: Sequence[str] = (),
    vec_normalize: VecNormalize | None = None,
    n_envs: int | None = None,
) -> th.export.ExportedProgram:
    """
    The acting step as a program of ``torch.export``: to be saved with ``torch.export.save`` and run without this
    library, compiled ahead of time, or turned into something else. See :class:`ActingStep` for its arguments and
    results.

    :param agent: an agent with memory, or its policy
    :param outputs: what to return beside the action, see :class:`ActingStep`
    :param vec_normalize: statistics with which observations are normalised first; its environment's observations are
        then what the program takes
    :param n_envs: number of environments (default: any)
    :return: the program
    :raises TypeError: when the policy has no memory of this library
    :raises ValueError: when an output is unknown, or the memory cannot be exported
    """
    return _export(_step(agent, outputs, vec_normalize), n_envs)


def export_onnx(
    agent: BaseAlgorithm | BasePolicy,
    path: str | Path,
    *,
    outputs: Sequence[str] = (),
    vec_normalize: VecNormalize | None = None,
    n_envs: int | None = None,
) -> Path:
    """
    Write the acting step as an ONNX file. Its inputs are ``observation`` (or ``observation.KEY`` for each entry of a
    dictionary), ``episode_start`` and the tensors of the state, ``state....``; its outputs are ``action``, ``value``,
    ``logits`` or ``mean`` and ``std``, as far as asked for, and the state after the step, ``next_state....``. An
    episode start makes whatever state there is the initial one.

    :class:`~memory_agents.common.onnx_agent.OnnxAgent` acts with the file, without PyTorch and Stable-Baselines3.

    :param agent: an agent with memory, or its policy
    :param path: file to write
    :param outputs: what to tell beside the action, see :class:`ActingStep`
    :param vec_normalize: statistics with which observations are normalised first; its environment's observations are
        then what the graph takes
    :param n_envs: number of environments (default: any)
    :return: the file
    :raises ImportError: when ``onnxscript``, which PyTorch needs for it, is missing
    :raises TypeError: when the policy has no memory of this library
    :raises ValueError: when an output is unknown, or the memory cannot be exported
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError("ONNX files need more packages: pip install 'memory_agents[export]'") from error
    step = _step(agent, outputs, vec_normalize)
    states, told = step.state_names(), step.output_names()
    program = th.onnx.export(
        _export(step, n_envs),
        input_names=[*step.spaces(), "episode_start", *states],
        output_names=[*told, *(f"next_{name}" for name in states)],
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[METADATA] = json.dumps(_metadata(step, told, n_envs))
    path = Path(path)
    program.save(path)
    return path


def _form(space: spaces.Space[Any]) -> Any:
    """Shapes, by names of the entries."""
    return {key: _form(part) for key, part in space.items()} if isinstance(space, spaces.Dict) else space.shape


def _step(agent: BaseAlgorithm | BasePolicy, outputs: Sequence[str], vec_normalize: VecNormalize | None) -> ActingStep:
    return ActingStep(agent.policy if isinstance(agent, BaseAlgorithm) else agent, outputs, vec_normalize)


def _export(step: ActingStep, n_envs: int | None) -> th.export.ExportedProgram:
    policy, training = step.policy, step.policy.training
    policy.set_training_mode(False)
    # One environment would make the graph one for a single environment.
    arguments = step.example(3 if n_envs is None else n_envs)
    shapes = None
    if n_envs is None:
        batch = th.export.Dim("n_envs", min=1)
        shapes = {"tensors": tuple({0: batch} for _ in arguments)}
    try:
        with th.no_grad():
            return th.export.export(step, arguments, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        memories = ", ".join(type(memory).__name__ for memory in policy.memories)
        raise ValueError(
            f"the acting step cannot be made into a graph, most likely because step_ of {memories} looks at numbers in "
            "tensors to decide what to compute; memory_agents.nn.tracing shows how to avoid it"
            + ("" if n_envs is not None else ", and a fixed n_envs asks for less")
            + f" ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    finally:
        policy.set_training_mode(training)


def _metadata(step: ActingStep, told: list[str], n_envs: int | None) -> dict[str, Any]:
    """What who acts with a file must know: shapes without the first dimension."""
    action = step.policy.action_space
    state = tree_leaves(step.policy.initial_state(1))
    return {
        "format": 1,
        "n_envs": n_envs,
        "observations": {
            name: {
                "shape": list(space.shape or ()),
                "dtype": _name(_dtype(space)),
                "image": is_image_space(space, normalized_image=not step.policy.normalize_images),
            }
            for name, space in step.spaces().items()
        },
        "state": {
            name: {"shape": list(leaf.shape[1:]), "dtype": _name(leaf.dtype)}
            for name, leaf in zip(step.state_names(), state, strict=True)
        },
        "outputs": told,
        "action": {"space": str(action), "shape": list(action.shape or ())},
    }


def _paths(tree: Any) -> Iterator[tuple[tuple[str, ...], th.Tensor]]:
    """Every tensor of a state, in the order of :func:`~memory_agents.memory.tree_leaves`, and the path to it."""
    if isinstance(tree, th.Tensor):
        yield (), tree
        return
    if isinstance(tree, dict):
        children = [(str(key), child) for key, child in tree.items()]
    else:
        names = getattr(tree, "_fields", None) or range(len(tree))
        children = [(str(name), child) for name, child in zip(names, tree, strict=True)]
    for name, child in children:
        for path, leaf in _paths(child):
            yield (name, *path), leaf


def _dtype(space: spaces.Space[Any]) -> th.dtype:
    dtype: th.dtype = getattr(th, str(space.dtype))
    return dtype


def _name(dtype: th.dtype) -> str:
    return str(dtype).removeprefix("torch.")
