"""
Acting with an exported agent. NumPy and onnxruntime are all that this file needs, so that it can be copied to where
neither PyTorch nor Stable-Baselines3 is installed::

    agent = OnnxAgent("agent.onnx")
    action = agent.act(observation, episode_start=True)
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class OnnxAgent:
    """
    An agent that acts in one or many environments and remembers on its own.

    :param path: file that ``memory_agents.export_onnx`` wrote
    :param n_threads: threads that one step runs on; small networks are fastest on one
    :raises ValueError: when another program wrote the file
    """

    def __init__(self, path: str | Path, n_threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map.get("memory_agents")
        if metadata is None:
            raise ValueError(f"path={str(path)!r} is no agent with memory; write it with memory_agents.export_onnx")
        #: names, shapes (without the dimension of the environments) and types of what goes in and comes out
        self.metadata: dict[str, Any] = json.loads(metadata)
        #: tensors after the latest step, by their names; None before the first step
        self.state: dict[str, np.ndarray] | None = None
        #: what the latest step told, by name: ``action``, and what else was exported
        self.outputs: dict[str, np.ndarray] = {}

    def reset(self) -> None:
        """Forget everything, in all environments."""
        self.state = None

    def initial_state(self, n_envs: int) -> dict[str, np.ndarray]:
        """
        :param n_envs: number of environments
        :return: a state to begin episodes with: its numbers do not matter, as an episode start replaces them
        """
        return {
            name: np.zeros((n_envs, *kind["shape"]), dtype=kind["dtype"])
            for name, kind in self.metadata["state"].items()
        }

    def act(self, observation: Any, episode_start: Any = False) -> np.ndarray:
        """
        The likeliest action, or one for each environment.

        :param observation: one observation, or one for each environment; a dictionary where the agent reads one
        :param episode_start: whether an episode starts at this step, one for all environments or one for each; what was
            before is then forgotten
        :return: the action, as the environment takes it
        :raises ValueError: when observations are not of the shape that the agent reads, or are of another number of
            environments than before, or than it was exported for
        """
        inputs, vectorized = self._inputs(observation)
        n_envs, exported = len(next(iter(inputs.values()))), self.metadata["n_envs"]
        if exported not in (None, n_envs):
            raise ValueError(
                f"observation is of {n_envs} environments, but the agent was exported for {exported}; give as many, or "
                "export it without n_envs"
            )
        starts, state = np.broadcast_to(np.asarray(episode_start, dtype=bool).reshape(-1), n_envs), self.state
        if state is None:
            state, starts = self.initial_state(n_envs), np.ones(n_envs, dtype=bool)
        n_before = len(next(iter(state.values())))
        if n_before != n_envs:
            raise ValueError(
                f"observation is of {n_envs} environments, the memory of {n_before}; call reset() when their number "
                "changes"
            )
        told, self.state = self.step(inputs, state, starts)
        self.outputs = told if vectorized else {name: value[0] for name, value in told.items()}
        return self.outputs["action"]

    def step(
        self, inputs: dict[str, np.ndarray], state: dict[str, np.ndarray], episode_start: np.ndarray
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """
        One run of the graph, which changes nothing in this object.

        :param inputs: observations by the names of the inputs, (n_envs, ...) each
        :param state: the state before the step
        :param episode_start: whether an episode starts at this step, (n_envs,) bool
        :return: what the step tells, by name, and the state after it
        """
        told = self.metadata["outputs"]
        feed = {**inputs, "episode_start": np.ascontiguousarray(episode_start), **state}
        # The optimiser removes inputs that nothing reads.
        known = {node.name for node in self.session.get_inputs()}
        feed = {name: value for name, value in feed.items() if name in known}
        found = self.session.run([*told, *(f"next_{name}" for name in state)], feed)
        return dict(zip(told, found, strict=False)), dict(zip(state, found[len(told) :], strict=True))

    def _inputs(self, observation: Any) -> tuple[dict[str, np.ndarray], bool]:
        """Observations by the names of the inputs, (n_envs, ...) each, and whether they were those of a batch."""
        entries = {".".join(("observation", *path)): entry for path, entry in self._entries(observation)}
        kinds = self.metadata["observations"]
        if entries.keys() != kinds.keys():
            raise ValueError(f"observation has {sorted(entries)}, the agent reads {sorted(kinds)}")
        inputs, vectorized = {}, set()
        for name, kind in kinds.items():
            value, shape = np.asarray(entries[name], dtype=kind["dtype"]), tuple(kind["shape"])
            if kind["image"] and value.shape[-3:] != shape and value.ndim >= 3:
                value = np.moveaxis(value, -1, -3)
            if value.shape != shape and value.shape[1:] != shape:
                raise ValueError(
                    f"{name} has shape {np.shape(entries[name])}, the agent reads {shape} or (n_envs, ...)"
                )
            vectorized.add(value.shape != shape)
            inputs[name] = value if value.shape != shape else value[None]
        if len(vectorized) > 1 or len({len(value) for value in inputs.values()}) > 1:
            raise ValueError("observation has entries of different numbers of environments")
        return {name: np.ascontiguousarray(value) for name, value in inputs.items()}, vectorized == {True}

    def _entries(self, observation: Any) -> list[tuple[tuple[str, ...], Any]]:
        """What a dictionary holds, nested ones as one, their names joined as in training."""
        if not isinstance(observation, (dict, tuple)):
            return [((), observation)]
        found: list[tuple[tuple[str, ...], Any]] = []
        for key, part in observation.items() if isinstance(observation, dict) else enumerate(observation):
            for path, entry in self._entries(part):
                found.append((("/".join((str(key), *path)),), entry))
        return found
